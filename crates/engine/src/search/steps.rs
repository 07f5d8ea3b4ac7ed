//! Steps of one query on the pool: some in flight, the rest not begun, so that reading keeps just ahead of computing.

use std::{collections::VecDeque, sync::Arc};

use pinyon_model::Result;

use super::{
    Run,
    top_k::{ByRow, Candidate, Floor, Tie, TopK},
};
use crate::pool::Pending;

/// Steps in flight for each thread: one that runs and one that waits.
const STEPS_PER_THREAD: usize = 2;

/// The steps of one source.
pub(super) struct Steps<T> {
    in_flight: VecDeque<Pending<Result<T>>>,
    most: usize,
    done: Vec<T>,
}

impl<T: Send + 'static> Steps<T> {
    pub(super) fn new(run: &Run) -> Self {
        Self { in_flight: VecDeque::new(), most: run.threads * STEPS_PER_THREAD, done: Vec::new() }
    }

    /// Begins a step; waits for an earlier one if many are in flight.
    pub(super) async fn begin(&mut self, run: &Run, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<()> {
        if self.in_flight.len() >= self.most
            && let Some(step) = self.in_flight.pop_front()
        {
            self.done.push(step.await??);
        }
        self.in_flight.push_back(run.lane.spawn(work));
        Ok(())
    }

    /// What all steps gave, in their order.
    pub(super) async fn finish(mut self) -> Result<Vec<T>> {
        for step in self.in_flight {
            self.done.push(step.await??);
        }
        Ok(self.done)
    }
}

/// The best of what several steps over one source found.
pub(super) fn best_of<T: Tie>(found: Vec<Vec<Candidate>>, k: usize, tie: T, floor: &Floor) -> Vec<Candidate> {
    let mut lists = found.into_iter().filter(|list| !list.is_empty());
    let (Some(first), second) = (lists.next(), lists.next()) else { return Vec::new() };
    let Some(second) = second else { return first };
    let mut top = TopK::new(k, tie, floor);
    first.into_iter().chain(second).chain(lists.flatten()).for_each(|c| top.push(c.rank, c.row));
    top.finish()
}

impl Run {
    /// The best of several steps over one segment, put together on the pool if they are many.
    pub(super) async fn best_rows(&self, found: Vec<Vec<Candidate>>) -> Result<Vec<Candidate>> {
        let (k, floor) = (self.search.top_k, Arc::clone(&self.floor));
        if found.iter().map(Vec::len).sum::<usize>() < 4_096 {
            return Ok(best_of(found, k, ByRow, &floor));
        }
        self.lane.spawn(move || best_of(found, k, ByRow, &floor)).await
    }
}

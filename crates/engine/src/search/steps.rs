//! Steps of one query on the pool: some in flight, the rest not begun, so that reading keeps just ahead of computing.

use std::{collections::VecDeque, sync::Arc};

use pinyon_model::Result;

use super::{
    Run,
    top_k::{ByRow, Candidate, Floor, Tie, TopK},
};
use crate::pool::Pending;

/// Steps in flight for each thread that hold bytes of their own: one that runs and one that waits.
const HEAVY_STEPS_PER_THREAD: usize = 2;
/// Steps in flight for each thread in all. Those over cached blocks hold next to nothing, so there may be enough of them that
/// no thread idles while a busy machine gets round to queueing more.
const STEPS_PER_THREAD: usize = 16;

/// The steps of one source.
pub(super) struct Steps<T> {
    /// Whether each is heavy, and its result.
    in_flight: VecDeque<(bool, Pending<Result<T>>)>,
    threads: usize,
    done: Vec<T>,
}

impl<T: Send + 'static> Steps<T> {
    pub(super) fn new(run: &Run) -> Self {
        Self { in_flight: VecDeque::new(), threads: run.threads, done: Vec::new() }
    }

    /// Begins a step, a heavy one if it holds bytes that were read for it; waits for earlier ones if many are in flight.
    pub(super) async fn begin(&mut self, run: &Run, heavy: bool, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<()> {
        while self.is_full(heavy)
            && let Some((_, step)) = self.in_flight.pop_front()
        {
            self.done.push(step.await??);
        }
        self.in_flight.push_back((heavy, run.lane.spawn(work)));
        Ok(())
    }

    fn is_full(&self, heavy: bool) -> bool {
        let held = self.in_flight.iter().filter(|(heavy, _)| *heavy).count();
        self.in_flight.len() >= self.threads * STEPS_PER_THREAD || heavy && held >= self.threads * HEAVY_STEPS_PER_THREAD
    }

    /// What all steps gave, in their order.
    pub(super) async fn finish(mut self) -> Result<Vec<T>> {
        for (_, step) in self.in_flight {
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

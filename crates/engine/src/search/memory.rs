//! Rows in memory, scored one by one.

use std::{cmp::Ordering, ops::Range, sync::Arc};

use pinyon_model::{Record, Result};

use super::{
    Run, Search,
    steps::{Steps, best_of},
    top_k::{Candidate, Floor, Tie, TopK},
};
use crate::filter;

/// Records in memory as one version sees them.
pub(crate) trait MemoryRows: Send + Sync {
    /// One more than the highest row.
    fn len(&self) -> u32;
    /// The record of `row`, if the version has it.
    fn get(&self, row: u32) -> Option<&Record>;
}

/// About how many bytes of vectors one step scores.
const STEP_BYTES: usize = 2 << 20;
/// What looking at a row costs beside its vector, in bytes of vector.
const ROW_BYTES: usize = 256;

/// Rows in memory are numbered as they came: their ids decide.
#[derive(Clone)]
struct ById(Arc<dyn MemoryRows>);

impl Tie for ById {
    fn order(&self, a: u32, b: u32) -> Ordering {
        let id = |row| self.0.get(row).map(|record| &record.id);
        id(a).cmp(&id(b))
    }
}

impl Run {
    pub(super) async fn memory(&self, rows: &Arc<dyn MemoryRows>) -> Result<Vec<Candidate>> {
        let mut steps = Steps::new(self);
        let each = (STEP_BYTES / (ROW_BYTES + self.search.query.dense_bytes())).max(1) as u32;
        let len = rows.len();
        for first in (0..len).step_by(each as usize) {
            let (rows, search, floor) = (Arc::clone(rows), self.search.clone(), Arc::clone(&self.floor));
            steps.begin(self, false, move || Ok(score(&rows, first..len.min(first.saturating_add(each)), &search, &floor))).await?;
        }
        let found = steps.finish().await?;
        Ok(best_of(found, self.search.top_k, ById(Arc::clone(rows)), &self.floor))
    }
}

fn score(rows: &Arc<dyn MemoryRows>, range: Range<u32>, search: &Search, floor: &Floor) -> Vec<Candidate> {
    let mut top = TopK::new(search.top_k, ById(Arc::clone(rows)), floor);
    for row in range {
        let Some(record) = rows.get(row) else { continue };
        let Some(score) = search.query.score_record(record) else { continue };
        let rank = search.query.rank(score);
        if rank >= top.least() && search.filter.as_ref().is_none_or(|filter| filter::matches(filter, &record.metadata)) {
            top.push(rank, row);
        }
    }
    top.finish()
}

//! One query, both ways.

use std::sync::Arc;

use pinyon_model::{Result, SearchPlan};

use crate::{
    Clock,
    pool::Pool,
    search::{self, Effort, Hit, PreparedQuery, Recorder, Search, Source},
};

/// What a search finds, and what it should.
pub(super) struct BothWays {
    /// With codes.
    pub(super) found: Vec<Hit>,
    /// Without.
    pub(super) exact: Vec<Hit>,
}

/// Searches these sources approximately, then exactly; nothing where the first search was exact already.
pub(super) async fn both_ways(pool: &Pool, clock: &Arc<dyn Clock>, search: Search, sources: Vec<Source>) -> Result<Option<BothWays>> {
    let recorder = Recorder::new(Arc::clone(clock), sources.len());
    let found = search::recorded(pool, search.clone(), sources.clone(), Arc::clone(&recorder)).await?;
    if !recorder.take().iter().any(|source| matches!(source.plan, SearchPlan::Walk | SearchPlan::Direct)) {
        return Ok(None);
    }
    let effort = Effort { exact: true, ..search.effort };
    let exact = search::search(pool, Search { effort, ..search }, sources).await?;
    Ok(Some(BothWays { found, exact }))
}

impl BothWays {
    /// The share of the exact answer that was found; none of an empty one. What scores as well as its last entry is as good.
    pub(super) fn recall(&self, query: &PreparedQuery) -> Option<f64> {
        let last = self.exact.last()?;
        let good = |hit: &&Hit| query.is_as_good(hit.score, last.score) || self.exact.iter().any(|exact| exact.id == hit.id);
        let found = self.found.iter().take(self.exact.len()).filter(good).count();
        Some(found as f64 / self.exact.len() as f64)
    }
}

/// The recall of this search of these sources; none where it finds nothing, or is exact.
pub(crate) async fn recall(pool: &Pool, clock: &Arc<dyn Clock>, search: Search, sources: Vec<Source>) -> Result<Option<f64>> {
    let query = Arc::clone(&search.query);
    Ok(both_ways(pool, clock, search, sources).await?.and_then(|both| both.recall(&query)))
}

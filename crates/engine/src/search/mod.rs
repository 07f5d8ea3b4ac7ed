//! Exact search over the segments and memtables of one version.
//!
//! Each source gives its best rows, best first; then these are put together. Scores are sums in `f64`, compared as the
//! `f32` that is returned, and the id decides between equal ones, so that a search has one answer however it is cut.
//! A segment with codes gives estimates instead; the best of those of all segments are then scored exactly, so that what is returned is
//! exact in any case. A whole search runs on the pool, and gives the thread to others where it waits.

mod bases;
mod coded;
mod dense;
mod explain;
mod filtered;
mod memory;
mod nearest;
mod query;
mod rerank;
mod sparse;
mod steps;
mod top_k;

pub(crate) use explain::Recorder;
pub(crate) use memory::MemoryRows;
pub(crate) use query::PreparedQuery;

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use pinyon_model::{Error, Filter, RecordId, Result, SearchPlan};
use roaring::RoaringBitmap;

#[cfg(test)]
use crate::filter;
use crate::{
    filter::Selection,
    pool::{Lane, Pool},
    segment::SegmentReader,
};
use coded::Estimate;
use top_k::{Candidate, Floor};

/// One place where records are.
#[derive(Clone)]
pub(crate) enum Source {
    /// A segment, and its rows that are dead in this version.
    Segment {
        /// The segment.
        reader: Arc<SegmentReader>,
        /// Its dead rows.
        dead: Arc<RoaringBitmap>,
    },
    /// Rows in memory.
    Memory(Arc<dyn MemoryRows>),
}

/// What is searched for.
#[derive(Clone)]
pub(crate) struct Search {
    /// The vectors.
    pub(crate) query: Arc<PreparedQuery>,
    /// Which records count; all without one.
    pub(crate) filter: Option<Arc<Filter>>,
    /// How many are wanted, at least one.
    pub(crate) top_k: usize,
    /// How hard to look.
    pub(crate) effort: Effort,
}

/// How hard to look in segments with codes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Effort {
    /// Times the clusters and the pool that the segment's calibration asks for.
    pub(crate) factor: f64,
    /// At most so many vectors go from the scan to the second codes.
    pub(crate) pool_max: usize,
    /// Whether codes are left aside, and every matching vector is scored, past the cache: to learn what there is to find.
    pub(crate) exact: bool,
}

impl Default for Effort {
    fn default() -> Self {
        Self { factor: 1.0, pool_max: usize::MAX, exact: false }
    }
}

/// One answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Hit {
    /// Which of the sources it is in.
    pub(crate) source: usize,
    /// Its row there.
    pub(crate) row: u32,
    /// Its id.
    pub(crate) id: RecordId,
    /// Its score, finite.
    pub(crate) score: f32,
}

/// How many sources one query works on at a time.
const SOURCES_AT_ONCE: usize = 4;

/// The best records of all sources, best first. No id may be alive in two of them.
pub(crate) async fn search(pool: &Pool, search: Search, sources: Vec<Source>) -> Result<Vec<Hit>> {
    run(pool, search, sources, None).await
}

/// The same, taking down what is done.
pub(crate) async fn recorded(pool: &Pool, search: Search, sources: Vec<Source>, recorder: Arc<Recorder>) -> Result<Vec<Hit>> {
    run(pool, search, sources, Some(recorder)).await
}

async fn run(pool: &Pool, search: Search, sources: Vec<Source>, recorder: Option<Arc<Recorder>>) -> Result<Vec<Hit>> {
    // A replay leaves the other threads to live queries.
    let threads = if search.effort.exact { 1 } else { pool.threads() };
    let run = Run { lane: pool.lane(), threads, search, floor: Arc::new(Floor::new()), recorder };
    if pool.is_on_caller() {
        return run.all(&sources).await;
    }
    pool.lane().run(async move { run.all(&sources).await }).await?
}

/// What was found in one source.
enum Found {
    /// The best rows, best first.
    Exact(Vec<Candidate>),
    /// More rows than are wanted, whose exact scores are yet to be had.
    Estimated(Vec<Estimate>),
}

/// The rows of a segment that count.
#[derive(Clone)]
enum Allowed {
    /// All but these.
    Except(Arc<RoaringBitmap>),
    /// These alone.
    Only(Arc<RoaringBitmap>),
}

impl Allowed {
    #[inline]
    fn contains(&self, row: u32) -> bool {
        match self {
            Self::Except(dead) => !dead.contains(row),
            Self::Only(rows) => rows.contains(row),
        }
    }
}

/// What decides which rows of a segment count.
struct Counted {
    /// What the filter selects, if there is one.
    selection: Option<Arc<Selection>>,
    /// Rows that do not count in any case.
    dead: Arc<RoaringBitmap>,
}

impl Counted {
    /// How many rows of a segment with so many count.
    fn rows(&self, all: u32) -> u64 {
        match &self.selection {
            None => u64::from(all).saturating_sub(self.dead.len()),
            Some(selection) if self.dead.is_empty() => selection.rows().len(),
            Some(selection) => selection.rows().len() - selection.rows().intersection_len(&self.dead),
        }
    }

    fn allowed(&self) -> Allowed {
        match &self.selection {
            None => Allowed::Except(Arc::clone(&self.dead)),
            Some(selection) if self.dead.is_empty() => Allowed::Only(Arc::clone(selection.rows())),
            Some(selection) => Allowed::Only(Arc::new(&**selection.rows() - &*self.dead)),
        }
    }
}

/// One query under way.
struct Run {
    lane: Lane,
    threads: usize,
    search: Search,
    floor: Arc<Floor>,
    recorder: Option<Arc<Recorder>>,
}

impl Run {
    async fn all(&self, sources: &[Source]) -> Result<Vec<Hit>> {
        // Most namespaces at rest have one source, and no need of a queue.
        if let [source] = sources {
            let found = vec![self.source(0, source).await?];
            let best = self.exact(sources, found).await?;
            return merge(&self.search, sources, &best);
        }
        // The futures are made before the first wait: a closure over a borrow, kept across it, would not be `Send` to the compiler.
        let all: Vec<_> = sources.iter().enumerate().map(|(at, source)| self.source(at, source)).collect();
        let at_once = if self.is_recorded() { 1 } else { SOURCES_AT_ONCE };
        let found: Vec<Found> = stream::iter(all).buffered(at_once).try_collect().await?;
        let best = self.exact(sources, found).await?;
        merge(&self.search, sources, &best)
    }

    async fn source(&self, at: usize, source: &Source) -> Result<Found> {
        let began = self.now_us();
        let (reader, dead) = match source {
            Source::Memory(rows) => {
                let found = self.memory(rows).await?;
                self.note_memory(at, rows, began);
                return Ok(Found::Exact(found));
            }
            Source::Segment { reader, dead } => (reader, dead),
        };
        let selection = match &self.search.filter {
            None => None,
            Some(filter) => Some(Selection::of(&self.lane, reader, filter).await?),
        };
        let counted = Counted { selection, dead: Arc::clone(dead) };
        let rows = counted.rows(reader.rows());
        self.note_counted(at, reader, rows, began);
        if rows == 0 {
            return Ok(Found::Exact(Vec::new()));
        }
        let began = self.now_us();
        if !self.search.query.is_dense() {
            let found = self.sparse(reader, counted.allowed()).await?;
            self.note_scored(at, SearchPlan::Sparse, began);
            return Ok(Found::Exact(found));
        }
        if let Some(codes) = self.codes(reader).await? {
            let loaded = self.now_us();
            self.note(at, |source| source.load_us = loaded.saturating_sub(began));
            if let Some(estimates) = self.estimate(at, reader, &codes, &counted, rows) {
                return Ok(Found::Estimated(estimates));
            }
        }
        let began = self.now_us();
        let found = self.dense(reader, counted.allowed()).await?;
        self.note_scored(at, SearchPlan::Exact, began);
        Ok(Found::Exact(found))
    }
}

/// Puts the best of each source together.
fn merge(search: &Search, sources: &[Source], best: &[Vec<Candidate>]) -> Result<Vec<Hit>> {
    let mut found = best.iter().enumerate().filter(|(_, found)| !found.is_empty());
    if let (Some((source, found)), None) = (found.next(), found.next()) {
        if let Source::Segment { reader, .. } = &sources[source] {
            found.iter().take(search.top_k).for_each(|candidate| reader.prefetch_id(search.query.kernels(), candidate.row));
        }
        // The best of one source are in the order of their ids where they are equal.
        return found.iter().take(search.top_k).map(|candidate| hit(search, sources, &(*candidate, source))).collect();
    }
    let mut all: Vec<(Candidate, usize)> =
        best.iter().enumerate().flat_map(|(source, found)| found.iter().map(move |candidate| (*candidate, source))).collect();
    // Stable: within a source, equal ranks stay in the order of their ids.
    all.sort_by(|a, b| b.0.rank.total_cmp(&a.0.rank));
    let mut hits = Vec::with_capacity(search.top_k.min(all.len()));
    for equal in all.chunk_by(|a, b| a.0.rank == b.0.rank) {
        if hits.len() >= search.top_k {
            break;
        }
        let one_source = equal.iter().all(|(_, source)| *source == equal[0].1);
        let enough = if one_source { search.top_k - hits.len() } else { equal.len() };
        let mut group = equal.iter().take(enough).map(|c| hit(search, sources, c)).collect::<Result<Vec<Hit>>>()?;
        group.sort_by(|a, b| a.id.cmp(&b.id));
        hits.append(&mut group);
    }
    hits.truncate(search.top_k);
    Ok(hits)
}

fn hit(search: &Search, sources: &[Source], (candidate, source): &(Candidate, usize)) -> Result<Hit> {
    let id = match &sources[*source] {
        Source::Segment { reader, .. } => reader.id(candidate.row),
        Source::Memory(rows) => rows.get(candidate.row).map(|record| record.id.clone()),
    };
    let id = id.ok_or_else(|| Error::internal("A row that was found is gone"))?;
    Ok(Hit { source: *source, row: candidate.row, id, score: search.query.score(candidate.rank) })
}

#[cfg(test)]
mod filtered_tests;
#[cfg(test)]
mod tests;

//! What a search did, written down while it is under way when somebody asks for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pinyon_model::{SearchPlan, SegmentExplain};

use super::{MemoryRows, Run, Search};
use crate::{Clock, filter, segment::SegmentReader};

/// Takes down what is done in each source of one search.
pub(crate) struct Recorder {
    clock: Arc<dyn Clock>,
    sources: Mutex<Vec<SegmentExplain>>,
}

impl Recorder {
    /// For a search of so many sources.
    pub(crate) fn new(clock: Arc<dyn Clock>, sources: usize) -> Arc<Self> {
        Arc::new(Self { clock, sources: Mutex::new(vec![SegmentExplain::default(); sources]) })
    }

    /// What was taken down, by source.
    pub(crate) fn take(&self) -> Vec<SegmentExplain> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<SegmentExplain>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Run {
    /// Whether what is done is written down.
    pub(super) fn is_recorded(&self) -> bool {
        self.recorder.is_some()
    }

    /// The time, when it matters; 0 otherwise.
    pub(super) fn now_us(&self) -> u64 {
        self.recorder.as_ref().map_or(0, |recorder| recorder.clock.now_us())
    }

    /// Takes something down about the source `at`.
    pub(super) fn note(&self, at: usize, write: impl FnOnce(&mut SegmentExplain)) {
        if let Some(recorder) = &self.recorder
            && let Some(source) = recorder.lock().get_mut(at)
        {
            write(source);
        }
    }

    /// Takes down that rows in memory were scored since `began_us`.
    pub(super) fn note_memory(&self, at: usize, rows: &Arc<dyn MemoryRows>, began_us: u64) {
        let now = self.now_us();
        self.note(at, |source| {
            source.plan = SearchPlan::Exact;
            source.rows = u64::from(rows.len());
            source.exact_us = now.saturating_sub(began_us);
            source.matching_rows = (0..rows.len()).filter(|row| is_matching(&self.search, &**rows, *row)).count() as u64;
            source.exact_rows = source.matching_rows;
        });
    }

    /// Takes down how many rows of a segment count, which was found out since `began_us`.
    pub(super) fn note_counted(&self, at: usize, reader: &SegmentReader, rows: u64, began_us: u64) {
        let now = self.now_us();
        self.note(at, |source| {
            source.rows = u64::from(reader.rows());
            source.matching_rows = rows;
            source.filter_us = now.saturating_sub(began_us);
        });
    }

    /// Takes down that all that counts was scored since `began_us`, or looked up in inverted lists.
    pub(super) fn note_scored(&self, at: usize, plan: SearchPlan, began_us: u64) {
        let now = self.now_us();
        self.note(at, |source| {
            source.plan = plan;
            source.exact_us = now.saturating_sub(began_us);
            source.exact_rows = if plan == SearchPlan::Exact { source.matching_rows } else { 0 };
        });
    }
}

fn is_matching(search: &Search, rows: &dyn MemoryRows, row: u32) -> bool {
    let matches = |metadata| search.filter.as_ref().is_none_or(|filter| filter::matches(filter, metadata));
    rows.get(row).is_some_and(|record| matches(&record.metadata))
}

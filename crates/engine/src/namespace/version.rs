//! What a reader sees: a namespace as it was after one write, for as long as the reader holds on to it.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use pinyon_model::{Lsn, ObjectId, RecordId};
use roaring::RoaringBitmap;

use super::{manifest::StoredSegment, memtable::Memtable, removal::Superseded};
use crate::{segment::SegmentReader, slot::Counts};

/// A stored segment that is in use. When nobody uses it any more and it was retired, its object is removed.
pub(crate) struct Segment {
    /// Reads it.
    pub(crate) reader: Arc<SegmentReader>,
    /// As the manifest names it, but for the deletes, which [`SegmentView`] holds.
    pub(crate) stored: StoredSegment,
    retired: OnceLock<Superseded>,
}

impl Segment {
    pub(crate) fn new(reader: SegmentReader, stored: StoredSegment) -> Arc<Self> {
        Arc::new(Self { reader: Arc::new(reader), stored, retired: OnceLock::new() })
    }
    pub(crate) fn id(&self) -> ObjectId {
        self.stored.id
    }
    /// No manifest names it any more: remove it as soon as its last reader lets go.
    pub(crate) fn retire(&self, superseded: Superseded) {
        let _ = self.retired.set(superseded);
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if let Some(superseded) = self.retired.take() {
            superseded.request(self.stored.id);
        }
    }
}

/// A segment and which of its rows are gone.
#[derive(Clone)]
pub(crate) struct SegmentView {
    pub(crate) segment: Arc<Segment>,
    pub(crate) dead: Arc<RoaringBitmap>,
    /// Counted bytes of the dead rows.
    pub(crate) dead_bytes: u64,
}

impl SegmentView {
    pub(crate) fn id(&self) -> ObjectId {
        self.segment.id()
    }
    /// The live row of an id.
    pub(crate) fn find(&self, id: &RecordId) -> Option<u32> {
        self.segment.reader.find(id).filter(|row| !self.dead.contains(*row))
    }
    /// Rows that are not dead.
    pub(crate) fn live_rows(&self) -> u64 {
        u64::from(self.segment.stored.rows).saturating_sub(self.dead.len())
    }
    /// Counted bytes of those rows.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.segment.stored.counted_bytes.saturating_sub(self.dead_bytes)
    }
}

/// A namespace after the write of one LSN. An id is live in one place at most.
#[derive(Clone)]
pub(crate) struct Version {
    /// The last write it holds.
    pub(crate) lsn: Lsn,
    /// The one that is written to, then the one that is being stored, if there is one.
    pub(crate) memtables: Vec<Arc<Memtable>>,
    /// The segments.
    pub(crate) segments: Vec<SegmentView>,
    /// Live records.
    pub(crate) records: u64,
    /// Their counted bytes.
    pub(crate) bytes: u64,
}

/// Where a version holds a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the memtable of this position, in this row.
    Memtable(usize, u32),
    /// In the segment of this position, in this row.
    Segment(usize, u32),
}

impl Version {
    /// Live records, their bytes, and the last write.
    pub(crate) fn counts(&self) -> Counts {
        Counts { records: self.records, bytes: self.bytes, lsn: self.lsn.0 }
    }
    pub(crate) fn active(&self) -> &Arc<Memtable> {
        &self.memtables[0]
    }
    pub(crate) fn frozen(&self) -> Option<&Arc<Memtable>> {
        self.memtables.get(1)
    }
    /// Where the record of this id is.
    pub(crate) fn find(&self, id: &RecordId) -> Option<Place> {
        let mut tables = self.memtables.iter().enumerate();
        let in_memory = tables.find_map(|(n, table)| table.visible(id, self.lsn).map(|(row, _)| Place::Memtable(n, row)));
        in_memory.or_else(|| self.segments.iter().enumerate().find_map(|(n, s)| s.find(id).map(|row| Place::Segment(n, row))))
    }

    /// The counted bytes of the record of this id; 0 if there is none.
    pub(crate) fn size_of(&self, id: &RecordId) -> u64 {
        match self.find(id) {
            Some(Place::Memtable(table, row)) => self.memtables[table].row(row).map_or(0, |row| u64::from(row.size)),
            Some(Place::Segment(segment, row)) => self.segments[segment].segment.reader.size_bytes(row),
            None => 0,
        }
    }
}

/// The deletes of segment rows that no manifest holds yet, by segment: row, and the write that deleted it.
///
/// A manifest must hold the deletes up to its flushed LSN and no later one: a later frame is replayed, and a patch among
/// them reads the row that it replaced.
#[derive(Default)]
pub(crate) struct Unsaved(HashMap<ObjectId, Vec<(u32, Lsn)>>);

impl Unsaved {
    pub(crate) fn add(&mut self, segment: ObjectId, row: u32, lsn: Lsn) {
        self.0.entry(segment).or_default().push((row, lsn));
    }
    pub(crate) fn put(&mut self, segment: ObjectId, rows: Vec<(u32, Lsn)>) {
        if !rows.is_empty() {
            self.0.insert(segment, rows);
        }
    }
    /// The rows of a segment deleted after `lsn`.
    pub(crate) fn after(&self, segment: ObjectId, lsn: Lsn) -> impl Iterator<Item = (u32, Lsn)> {
        self.0.get(&segment).into_iter().flatten().copied().filter(move |(_, at)| *at > lsn)
    }
    /// The dead rows of a segment as they were after the write of `lsn`, which is no older than the last manifest.
    pub(crate) fn dead_at(&self, view: &SegmentView, lsn: Lsn) -> RoaringBitmap {
        let mut dead = (*view.dead).clone();
        self.after(view.id(), lsn).for_each(|(row, _)| {
            dead.remove(row);
        });
        dead
    }
    /// A manifest holds everything up to `lsn` now.
    pub(crate) fn saved(&mut self, lsn: Lsn) {
        self.0.retain(|_, rows| {
            rows.retain(|(_, at)| *at > lsn);
            !rows.is_empty()
        });
    }
    pub(crate) fn forget(&mut self, segment: ObjectId) {
        self.0.remove(&segment);
    }
}

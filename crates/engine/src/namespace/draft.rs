//! The next version in the making: what a durable write changes. Nothing here can fail, for the write is on disk already.

use std::sync::Arc;

use pinyon_model::{Lsn, Record, RecordId};

use super::{
    Cleared, Core,
    version::{Unsaved, Version},
};

/// One change of one record, with everything it needs at hand.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    Put(Record),
    Remove(RecordId),
    Clear,
}

/// A version that is being made from the one before.
pub(super) struct Draft<'a> {
    version: Version,
    unsaved: &'a mut Unsaved,
    cleared: &'a mut Vec<Cleared>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(version: &Version, core: &'a mut Core) -> Self {
        Self { version: version.clone(), unsaved: &mut core.unsaved, cleared: &mut core.cleared }
    }

    /// Makes a change that the frame of this LSN holds; returns the counted bytes of what it replaced or removed.
    pub(super) fn apply(&mut self, change: Change, lsn: Lsn) -> u64 {
        match change {
            Change::Put(record) => {
                let old = self.remove(&record.id, lsn);
                self.version.records += 1;
                self.version.bytes += record.size_bytes() as u64;
                self.version.active().push(record, lsn);
                old
            }
            Change::Remove(id) => self.remove(&id, lsn),
            Change::Clear => self.clear(lsn),
        }
    }

    /// The version after the write of this LSN.
    pub(super) fn finish(mut self, lsn: Lsn) -> Version {
        self.version.lsn = lsn;
        self.version
    }

    fn remove(&mut self, id: &RecordId, lsn: Lsn) -> u64 {
        let Some(size) = self.remove_from_memtables(id, lsn).or_else(|| self.remove_from_segments(id, lsn)) else { return 0 };
        self.version.records = self.version.records.saturating_sub(1);
        self.version.bytes = self.version.bytes.saturating_sub(size);
        size
    }

    fn remove_from_memtables(&mut self, id: &RecordId, lsn: Lsn) -> Option<u64> {
        let (table, (number, row)) = self.version.memtables.iter().find_map(|table| Some((table, table.live(id)?)))?;
        table.delete(number, lsn);
        Some(u64::from(row.size))
    }

    fn remove_from_segments(&mut self, id: &RecordId, lsn: Lsn) -> Option<u64> {
        let (view, row) = self.version.segments.iter_mut().find_map(|view| view.find(id).map(|row| (view, row)))?;
        let size = view.segment.reader.size_bytes(row);
        Arc::make_mut(&mut view.dead).insert(row);
        view.dead_bytes += size;
        self.unsaved.add(view.id(), row, lsn);
        Some(size)
    }

    fn clear(&mut self, lsn: Lsn) -> u64 {
        for table in &self.version.memtables {
            table.rows().filter(|(_, row)| row.deleted().is_none()).for_each(|(number, _)| table.delete(number, lsn));
        }
        self.cleared.extend(self.version.segments.drain(..).map(|view| Cleared { view, at: lsn }));
        self.version.records = 0;
        std::mem::take(&mut self.version.bytes)
    }
}

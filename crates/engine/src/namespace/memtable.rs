//! Records that are in the log and in memory, and not yet in a segment.
//!
//! Rows are only ever added. A row carries the LSN that wrote it and, once, the LSN that deleted it, so a reader of a
//! version sees what that version saw while the writer goes on; nothing here is locked for longer than one look-up.

use std::{
    collections::BTreeMap,
    sync::{
        OnceLock, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use pinyon_model::{Lsn, Record, RecordId};

/// Rows of the first chunk; each further one is twice as large as the one before.
const FIRST_CHUNK: usize = 16;
const CHUNKS: usize = 24;
/// No row.
const NONE: u32 = u32::MAX;
/// What a row costs beside its record's counted bytes.
const ROW_OVERHEAD_BYTES: u64 = 256;

/// One record as it was written once.
pub(crate) struct Row {
    /// The record.
    pub(crate) record: Record,
    /// The write that put it.
    pub(crate) lsn: Lsn,
    /// Its counted bytes.
    pub(crate) size: u32,
    /// The write that removed or replaced it; 0: none.
    deleted: AtomicU64,
    /// The row of this id before this one, in this memtable.
    previous: u32,
}

impl Row {
    /// Whether the version of this LSN holds it.
    pub(crate) fn visible_at(&self, lsn: Lsn) -> bool {
        self.lsn <= lsn && self.deleted().is_none_or(|d| d > lsn)
    }
    /// The write that removed it.
    pub(crate) fn deleted(&self) -> Option<Lsn> {
        match self.deleted.load(Ordering::Acquire) {
            0 => None,
            lsn => Some(Lsn(lsn)),
        }
    }
}

/// The rows of one memtable.
pub(crate) struct Memtable {
    chunks: [OnceLock<Box<[OnceLock<Row>]>>; CHUNKS],
    len: AtomicU32,
    bytes: AtomicU64,
    newest: RwLock<BTreeMap<RecordId, u32>>,
}

impl Memtable {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self { chunks: [const { OnceLock::new() }; CHUNKS], len: AtomicU32::new(0), bytes: AtomicU64::new(0), newest: RwLock::default() }
    }

    /// How many rows were ever put in.
    pub(crate) fn len(&self) -> u32 {
        self.len.load(Ordering::Acquire)
    }
    /// Whether no row was ever put in.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Bytes that the rows occupy, about, deleted ones too.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// A row by its number.
    pub(crate) fn row(&self, number: u32) -> Option<&Row> {
        let (chunk, slot) = place(number);
        self.chunks.get(chunk)?.get()?.get(slot)?.get()
    }

    /// Every row with its number.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (u32, &Row)> {
        (0..self.len()).map_while(|n| self.row(n).map(|row| (n, row)))
    }

    /// The newest row of an id that no write has removed. For the writer, who alone knows the present.
    pub(crate) fn live(&self, id: &RecordId) -> Option<(u32, &Row)> {
        let number = *self.newest().get(id)?;
        self.row(number).filter(|row| row.deleted().is_none()).map(|row| (number, row))
    }

    /// The row of an id that the version of this LSN holds.
    pub(crate) fn visible(&self, id: &RecordId, lsn: Lsn) -> Option<(u32, &Row)> {
        let number = *self.newest().get(id)?;
        self.visible_from(number, lsn)
    }

    fn visible_from(&self, mut number: u32, lsn: Lsn) -> Option<(u32, &Row)> {
        // Rows of one id were written one after the other: the first that is old enough decides.
        while number != NONE {
            let row = self.row(number)?;
            if row.lsn <= lsn {
                return row.visible_at(lsn).then_some((number, row));
            }
            number = row.previous;
        }
        None
    }

    /// The first `limit` ids after `after` that begin with `prefix` and that the version of this LSN holds, in order.
    pub(crate) fn ids(&self, prefix: &str, after: Option<&RecordId>, limit: usize, lsn: Lsn) -> Vec<RecordId> {
        let start = match after {
            Some(after) if after.as_str() >= prefix => std::ops::Bound::Excluded(after.clone()),
            _ => match RecordId::new(prefix) {
                Ok(id) => std::ops::Bound::Included(id),
                Err(_) => std::ops::Bound::Unbounded,
            },
        };
        let newest = self.newest();
        let range = newest.range((start, std::ops::Bound::Unbounded));
        range
            .take_while(|(id, _)| id.as_str().starts_with(prefix))
            .filter(|(_, number)| self.visible_from(**number, lsn).is_some())
            .take(limit)
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// The numbers of the rows that the version of this LSN holds, in the order of their ids.
    pub(crate) fn sorted(&self, lsn: Lsn) -> Vec<u32> {
        let mut rows: Vec<(u32, &Row)> = self.rows().filter(|(_, row)| row.visible_at(lsn)).collect();
        rows.sort_unstable_by(|a, b| a.1.record.id.cmp(&b.1.record.id));
        rows.into_iter().map(|(n, _)| n).collect()
    }

    /// Adds a row. One writer at a time, who deletes the id's row before, if there is a live one.
    pub(crate) fn push(&self, record: Record, lsn: Lsn) {
        let number = self.len();
        let (chunk, slot) = place(number);
        let size = u32::try_from(record.size_bytes()).unwrap_or(u32::MAX);
        let id = record.id.clone();
        let mut newest = self.newest.write().unwrap_or_else(PoisonError::into_inner);
        let previous = newest.get(&id).copied().unwrap_or(NONE);
        let row = Row { record, lsn, size, deleted: AtomicU64::new(0), previous };
        let rows = self.chunks[chunk].get_or_init(|| (0..FIRST_CHUNK << chunk).map(|_| OnceLock::new()).collect());
        let fresh = rows[slot].set(row).is_ok();
        debug_assert!(fresh, "one writer at a time");
        newest.insert(id, number);
        self.bytes.fetch_add(u64::from(size) + ROW_OVERHEAD_BYTES, Ordering::Relaxed);
        self.len.store(number + 1, Ordering::Release);
    }

    /// Deletes a row, which the version of any LSN before this one keeps.
    pub(crate) fn delete(&self, number: u32, lsn: Lsn) {
        if let Some(row) = self.row(number) {
            row.deleted.store(lsn.0, Ordering::Release);
        }
    }

    fn newest(&self) -> RwLockReadGuard<'_, BTreeMap<RecordId, u32>> {
        self.newest.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Chunk and slot of a row.
fn place(number: u32) -> (usize, usize) {
    let at = number as usize + FIRST_CHUNK;
    let chunk = (at.ilog2() - FIRST_CHUNK.ilog2()) as usize;
    (chunk, at - (FIRST_CHUNK << chunk))
}

#[cfg(test)]
mod tests {
    use pinyon_model::{DenseVector, Metadata};

    use super::*;

    fn record(id: &str, value: f32) -> Record {
        Record {
            id: RecordId::new(id).unwrap(),
            dense: Some(DenseVector::new(vec![value]).unwrap()),
            sparse: None,
            metadata: Metadata::default(),
        }
    }

    fn value(row: Option<(u32, &Row)>) -> Option<f32> {
        row.map(|(_, r)| r.record.dense.as_ref().unwrap().as_slice()[0])
    }

    #[test]
    fn every_number_has_its_own_place() {
        let mut expected = (0, 0);
        for number in 0..10_000 {
            assert_eq!(place(number), expected);
            expected.1 += 1;
            if expected.1 == FIRST_CHUNK << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
    }

    #[test]
    fn each_version_sees_its_own_rows() {
        let table = Memtable::new();
        let id = RecordId::new("a").unwrap();
        for lsn in 1..=100 {
            if let Some((n, _)) = table.live(&id) {
                table.delete(n, Lsn(lsn));
            }
            table.push(record("a", lsn as f32), Lsn(lsn));
        }
        let (n, _) = table.live(&id).unwrap();
        table.delete(n, Lsn(101));
        for lsn in 1..=100 {
            assert_eq!(value(table.visible(&id, Lsn(lsn))), Some(lsn as f32));
            assert_eq!(table.sorted(Lsn(lsn)), [lsn as u32 - 1]);
        }
        assert_eq!(value(table.visible(&id, Lsn(0))), None);
        assert_eq!(value(table.visible(&id, Lsn(101))), None);
        assert!(table.live(&id).is_none());
    }

    #[test]
    fn ids_come_in_order_with_prefix_and_after() {
        let table = Memtable::new();
        for (n, id) in ["b", "ab", "a", "abc", "ac", "ab#2"].into_iter().enumerate() {
            table.push(record(id, 0.0), Lsn(n as u64 + 1));
        }
        let ids = |prefix: &str, after: Option<&str>, limit| {
            let after = after.map(|a| RecordId::new(a).unwrap());
            let ids = table.ids(prefix, after.as_ref(), limit, Lsn(6));
            ids.iter().map(|i| i.as_str().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(ids("", None, 10), ["a", "ab", "ab#2", "abc", "ac", "b"]);
        assert_eq!(ids("ab", None, 10), ["ab", "ab#2", "abc"]);
        assert_eq!(ids("ab", Some("ab"), 1), ["ab#2"]);
        assert_eq!(ids("ab", Some("a"), 10), ["ab", "ab#2", "abc"]);
        assert_eq!(ids("", Some("b"), 10), [] as [&str; 0]);
    }
}

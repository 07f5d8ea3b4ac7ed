//! The ids of a segment, ascending, so that the place of an id is its row.
//!
//! Ids are front-coded in runs of sixteen, in RAM as on disk: `doc-000001` and its neighbours cost some three bytes each.

use std::cmp::Ordering;

use pinyon_kernels::Kernels;
use pinyon_model::{RecordId, limits::ID_LEN_MAX};

use super::codec::{Decoder, Encode, Malformed};

const RUN: u32 = 16;

/// Builds the section's bytes.
#[derive(Default)]
pub(crate) struct IdTableBuilder {
    bytes: Vec<u8>,
    rows: u32,
    last: Vec<u8>,
}

impl IdTableBuilder {
    /// Appends the next id. Tells whether it is greater than the one before; if not, nothing was done.
    pub(crate) fn push(&mut self, id: &RecordId) -> bool {
        let id = id.as_bytes();
        if self.rows > 0 && *id <= *self.last {
            return false;
        }
        let shared = if self.rows.is_multiple_of(RUN) { 0 } else { self.last.iter().zip(id).take_while(|(a, b)| a == b).count() };
        self.bytes.put_varint(shared as u64);
        self.bytes.put_blob(&id[shared..]);
        self.last.clear();
        self.last.extend_from_slice(id);
        self.rows += 1;
        true
    }

    pub(crate) fn rows(&self) -> u32 {
        self.rows
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// The ids, resident.
pub(crate) struct IdTable {
    bytes: Box<[u8]>,
    /// Where each run begins.
    runs: Box<[usize]>,
    rows: u32,
}

impl IdTable {
    /// Reads and checks all `rows` ids: valid, ascending, nothing left over.
    pub(crate) fn decode(bytes: &[u8], rows: u32) -> Result<Self, Malformed> {
        if rows as usize > bytes.len() {
            return Err(Malformed("it announces more than it holds"));
        }
        let mut runs = Vec::with_capacity(rows.div_ceil(RUN) as usize);
        let mut from = Decoder::new(bytes);
        let (mut id, mut previous) = (Vec::with_capacity(ID_LEN_MAX), Vec::with_capacity(ID_LEN_MAX));
        for row in 0..rows {
            if row.is_multiple_of(RUN) {
                runs.push(bytes.len() - from.remaining());
            }
            std::mem::swap(&mut id, &mut previous);
            let shared = from.varint32()? as usize;
            if shared > previous.len() || (shared > 0 && row.is_multiple_of(RUN)) {
                return Err(Malformed("an id shares more than there is"));
            }
            id.clear();
            id.extend_from_slice(&previous[..shared]);
            id.extend_from_slice(from.blob()?);
            if id.is_empty() || id.len() > ID_LEN_MAX || id.iter().any(|b| !b.is_ascii() || *b == 0) {
                return Err(Malformed("it holds an id that is not valid"));
            }
            if row > 0 && id <= previous {
                return Err(Malformed("ids are not ascending"));
            }
        }
        from.finish()?;
        Ok(Self { bytes: bytes.into(), runs: runs.into(), rows })
    }

    /// The id of `row`, if there is such a row.
    pub(crate) fn get(&self, row: u32) -> Option<RecordId> {
        let at = *self.runs.get((row / RUN) as usize).filter(|_| row < self.rows)?;
        // A search asks for one id after the other, from anywhere: nothing is allocated but the id, and of the ids before it only what
        // it shares is copied, from the last one that has it.
        let nth = (row % RUN) as usize;
        let mut from = Decoder::new(&self.bytes[at..]);
        let mut run = [(0, &[][..]); RUN as usize];
        for place in &mut run[..=nth] {
            *place = (from.varint().ok()? as usize, from.blob().ok()?);
        }
        let mut id = [0; ID_LEN_MAX];
        let len = run[nth].0 + run[nth].1.len();
        let mut wanted = len;
        for (shared, rest) in run[..=nth].iter().rev().filter(|(_, rest)| !rest.is_empty()) {
            if *shared < wanted {
                id.get_mut(*shared..wanted)?.copy_from_slice(rest.get(..wanted - shared)?);
                wanted = *shared;
            }
        }
        std::str::from_utf8(&id[..len]).ok().and_then(|text| RecordId::new(text).ok())
    }

    /// Hints that the id of `row` will be wanted.
    pub(crate) fn prefetch(&self, kernels: Kernels, row: u32) {
        if let Some(at) = self.runs.get((row / RUN) as usize) {
            kernels.prefetch_at(self.bytes[*at..].as_ptr());
            kernels.prefetch_at(self.bytes[*at..].as_ptr().wrapping_add(64));
        }
    }

    /// The row of this id.
    pub(crate) fn find(&self, id: &[u8]) -> Option<u32> {
        let (row, exact) = self.lower_bound(id);
        exact.then_some(row)
    }

    /// The first row whose id is not less than `id`, and whether it is equal. The number of rows if there is none.
    pub(crate) fn lower_bound(&self, id: &[u8]) -> (u32, bool) {
        let run = self.runs.partition_point(|&at| self.first_of_run(at) <= id);
        let Some(run) = run.checked_sub(1) else { return (0, false) };
        let first = run as u32 * RUN;
        let mut cursor = Cursor { table: self, at: self.runs[run], row: first, id: Vec::new() };
        while cursor.row < self.rows && cursor.row < first + RUN {
            cursor.advance();
            match (*cursor.id).cmp(id) {
                Ordering::Less => {}
                Ordering::Equal => return (cursor.row - 1, true),
                Ordering::Greater => return (cursor.row - 1, false),
            }
        }
        (cursor.row, false)
    }

    /// The rows from `row` on, with their ids.
    pub(crate) fn from(&self, row: u32) -> Cursor<'_> {
        let run = row / RUN;
        let at = self.runs.get(run as usize).copied().unwrap_or(self.bytes.len());
        let mut cursor = Cursor { table: self, at, row: (run * RUN).min(self.rows), id: Vec::new() };
        while cursor.row < row && cursor.row < self.rows {
            cursor.advance();
        }
        cursor
    }

    fn first_of_run(&self, at: usize) -> &[u8] {
        let mut from = Decoder::new(&self.bytes[at..]);
        let _shared = from.varint();
        from.blob().unwrap_or_default()
    }
}

/// Walks ids in order.
pub(crate) struct Cursor<'a> {
    table: &'a IdTable,
    at: usize,
    row: u32,
    id: Vec<u8>,
}

impl Cursor<'_> {
    fn advance(&mut self) {
        let rest = &self.table.bytes[self.at..];
        let mut from = Decoder::new(rest);
        let shared = from.varint().unwrap_or(0) as usize;
        self.id.truncate(shared);
        self.id.extend_from_slice(from.blob().unwrap_or_default());
        self.at += rest.len() - from.remaining();
        self.row += 1;
    }
}

impl Iterator for Cursor<'_> {
    type Item = (u32, RecordId);

    fn next(&mut self) -> Option<Self::Item> {
        if self.row >= self.table.rows {
            return None;
        }
        self.advance();
        let id = std::str::from_utf8(&self.id).ok().and_then(|text| RecordId::new(text).ok());
        Some((self.row - 1, id.expect("every id was checked when the table was read")))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn build(ids: &BTreeSet<String>) -> Vec<u8> {
        let mut builder = IdTableBuilder::default();
        for id in ids {
            assert!(builder.push(&RecordId::new(id.as_str()).unwrap()));
        }
        builder.finish()
    }

    proptest! {
        #[test]
        fn finds_what_a_sorted_list_finds(ids in prop::collection::btree_set("[a-c]{1,6}", 0..80), probe in "[a-c]{0,7}", from in 0u32..90) {
            let table = IdTable::decode(&build(&ids), ids.len() as u32).unwrap();
            let list: Vec<&String> = ids.iter().collect();
            let place = list.partition_point(|id| **id < probe);
            let exact = ids.contains(&probe);
            prop_assert_eq!(table.lower_bound(probe.as_bytes()), (place as u32, exact));
            prop_assert_eq!(table.find(probe.as_bytes()), exact.then_some(place as u32));
            let tail: Vec<String> = table.from(from).map(|(_, id)| id.as_str().to_owned()).collect();
            let expected: Vec<String> = ids.iter().skip(from as usize).cloned().collect();
            prop_assert_eq!(tail, expected);
            prop_assert_eq!(table.get(from).map(|id| id.as_str().to_owned()), list.get(from as usize).map(|s| (*s).clone()));
        }

        #[test]
        fn bad_bytes_are_an_error_or_a_table(bytes in prop::collection::vec(any::<u8>(), 0..200), rows in 0u32..40) {
            if let Ok(table) = IdTable::decode(&bytes, rows) {
                prop_assert_eq!(table.from(0).count() as u32, rows);
            }
        }
    }

    #[test]
    fn refuses_what_is_not_ascending() {
        let mut builder = IdTableBuilder::default();
        let id = |text: &str| RecordId::new(text).unwrap();
        assert!(builder.push(&id("b")));
        assert!(!builder.push(&id("b")));
        assert!(!builder.push(&id("a")));
        assert!(builder.push(&id("c")));
        let bytes = builder.finish();
        assert!(IdTable::decode(&bytes, 2).is_ok());
        assert!(IdTable::decode(&bytes, 1).is_err());
        assert!(IdTable::decode(&bytes, 3).is_err());
    }

    #[test]
    fn long_neighbours_are_cheap() {
        let ids: BTreeSet<String> = (0..1_000).map(|i| format!("{}{i:06}", "x".repeat(400))).collect();
        let bytes = build(&ids);
        assert!(bytes.len() < 40 * 1_000, "{}", bytes.len());
    }
}

//! Sparse vectors turned around: for each index the rows that have it, with their values, exact.
//!
//! Rows are cut into groups of at most 65,536, so that a posting is a 16-bit row and a 32-bit value, a writer holds one group,
//! and a search adds up one group's scores in a table that stays in the processor's cache. A group has two blocks: its
//! *terms* (each index that occurs, how often, its largest value) and its *postings* (the lists of all terms, one after
//! the other), of which a search reads only the lists it needs.

use std::ops::Range;

use pinyon_kernels::Kernels;
use pinyon_model::SparseVector;

use super::{
    block::{Block, Shape},
    codec::{Decoder, Encode, Malformed},
    format::Section,
    impact_order::order_rows,
    impacts::ImpactOrder,
};

/// Rows of a group at most.
pub(crate) const GROUP_ROWS: u32 = 1 << 16;
/// Postings after which a group ends early: it bounds what a writer holds.
const GROUP_POSTINGS: usize = 4 << 20;
/// Groups of fewer rows have no order of their own: a search looks at all of them as fast.
const ORDERED_FROM: u32 = 512;
/// Bytes of one posting.
const POSTING: u64 = 2 + 4;

/// The terms of one group.
pub(crate) struct TermsBlock {
    indices: Box<[u32]>,
    /// How many postings come before each term's, and at the end how many there are.
    starts: Box<[u32]>,
    /// The largest magnitude of each term's values.
    largest: Box<[f32]>,
    /// Where the indices of each stretch of 2^`stretch` begin, so that finding one looks at a few.
    stretches: Box<[u32]>,
    stretch: u32,
}

impl TermsBlock {
    /// Which of the group's terms this index is.
    pub(crate) fn find(&self, index: u32) -> Option<u32> {
        let stretch = (index >> self.stretch) as usize;
        let (from, to) = (*self.stretches.get(stretch)?, *self.stretches.get(stretch + 1)?);
        let within = self.indices.get(from as usize..to as usize)?;
        within.binary_search(&index).ok().map(|at| from + at as u32)
    }

    /// Hints that this index will be looked for: first that its stretch will be, then, once that is near, the stretch's indices.
    pub(crate) fn prefetch(&self, kernels: Kernels, index: u32, stretch_is_near: bool) {
        let Some(from) = self.stretches.get((index >> self.stretch) as usize) else { return };
        if !stretch_is_near {
            kernels.prefetch_at(from);
        } else if let Some(first) = self.indices.get(*from as usize) {
            kernels.prefetch_at(first);
        }
    }

    /// Where in the group's postings block this term's list lies.
    pub(crate) fn list_at(&self, term: u32) -> Range<u64> {
        let term = term as usize;
        u64::from(self.starts[term]) * POSTING..u64::from(self.starts[term + 1]) * POSTING
    }

    /// Bytes that the group's postings block must have.
    pub(crate) fn postings_len(&self) -> u64 {
        self.starts.last().map_or(0, |n| u64::from(*n) * POSTING)
    }

    pub(crate) fn len(&self) -> u32 {
        self.indices.len() as u32
    }

    /// No value of this term's postings has a larger magnitude.
    pub(crate) fn largest(&self, term: u32) -> f32 {
        self.largest[term as usize]
    }
}

impl Block for TermsBlock {
    const SECTION: Section = Section::PostingTerms;

    fn decode(bytes: &[u8], _: &Shape) -> Result<Self, Malformed> {
        let mut from = Decoder::new(bytes);
        let terms = from.count(6)?;
        let (mut indices, mut starts) = (Vec::with_capacity(terms), Vec::with_capacity(terms + 1));
        let mut largest = Vec::with_capacity(terms);
        let (mut next, mut start) = (0u64, 0u32);
        for _ in 0..terms {
            // Each index is stored as its distance from the least that could follow.
            let index = next.checked_add(from.varint()?).and_then(|n| u32::try_from(n).ok()).ok_or(Malformed("a term is too large"))?;
            next = u64::from(index) + 1;
            indices.push(index);
            starts.push(start);
            let count = from.varint32()?;
            if count == 0 || count > GROUP_ROWS {
                return Err(Malformed("a term has too many postings or none"));
            }
            start = start.checked_add(count).ok_or(Malformed("it has too many postings"))?;
            largest.push(from.f32()?);
        }
        starts.push(start);
        from.finish()?;
        let (stretches, stretch) = stretches(&indices);
        Ok(Self { indices: indices.into(), starts: starts.into(), largest: largest.into(), stretches, stretch })
    }

    fn weight_bytes(&self) -> usize {
        self.indices.len() * 12 + self.stretches.len() * 4
    }
}

/// Where the indices of each stretch begin, and after all of them; there are at most about half as many stretches as indices.
fn stretches(indices: &[u32]) -> (Box<[u32]>, u32) {
    let last = indices.last().copied().unwrap_or(0);
    let stretch = (0..32).find(|stretch| (last >> stretch) as usize <= indices.len() / 2).unwrap_or(31);
    let begins = |number: u32| indices.partition_point(|index| index >> stretch < number) as u32;
    let mut all: Vec<u32> = (0..=last >> stretch).map(begins).collect();
    all.push(indices.len() as u32);
    (all.into(), stretch)
}

/// The postings of one term in one group: rows counted from the group's first, ascending, with their values.
pub(crate) struct PostingList {
    rows: Box<[u16]>,
    values: Box<[f32]>,
}

impl PostingList {
    /// Reads one list; `rows` is how many rows its group has.
    pub(crate) fn decode(bytes: &[u8], rows: u32) -> Result<Self, Malformed> {
        if !(bytes.len() as u64).is_multiple_of(POSTING) {
            return Err(Malformed("a list's length is not that of postings"));
        }
        let (row_bytes, value_bytes) = bytes.split_at(bytes.len() / POSTING as usize * 2);
        let rows_within: Box<[u16]> = row_bytes.as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b)).collect();
        let values: Box<[f32]> = super::dense::floats(value_bytes).into();
        if !rows_within.is_sorted_by(|a, b| a < b) || rows_within.last().is_some_and(|last| u32::from(*last) >= rows) {
            return Err(Malformed("a list's rows are not ascending rows of the group"));
        }
        if values.iter().any(|v| !v.is_finite()) {
            return Err(Malformed("it holds a number that is not finite"));
        }
        Ok(Self { rows: rows_within, values })
    }

    /// Adds `weight` times each value to its row's place in `scores`, which has a place for each row of the group.
    pub(crate) fn add_to(&self, weight: f32, scores: &mut [f64]) {
        let weight = f64::from(weight);
        for (row, value) in self.rows.iter().zip(&self.values) {
            if let Some(score) = scores.get_mut(usize::from(*row)) {
                *score += weight * f64::from(*value);
            }
        }
    }

    /// The largest magnitude of a value.
    pub(crate) fn largest(&self) -> f32 {
        self.values.iter().fold(0.0, |most, value| most.max(value.abs()))
    }

    /// The rows and their values.
    pub(crate) fn into_parts(self) -> (Box<[u16]>, Box<[f32]>) {
        (self.rows, self.values)
    }

    pub(crate) fn weight_bytes(&self) -> usize {
        self.rows.len() * POSTING as usize
    }
}

/// A group that is being filled.
#[derive(Default)]
pub(crate) struct GroupBuilder {
    first: u32,
    rows: u32,
    postings: Vec<(u32, u16, f32)>,
}

/// A group that has all its rows; its blocks are yet to be made.
pub(crate) struct GroupRows {
    first: u32,
    rows: u32,
    postings: Vec<(u32, u16, f32)>,
}

/// A finished group's blocks.
pub(crate) struct Group {
    pub(crate) first: u32,
    pub(crate) terms: Vec<u8>,
    pub(crate) postings: Vec<u8>,
    /// The order of its rows that helps a search skip, if it was asked for and there are enough rows.
    pub(crate) order: Option<Vec<u8>>,
}

impl GroupBuilder {
    /// The next row, which may have no sparse vector.
    pub(crate) fn push(&mut self, sparse: Option<&SparseVector>) {
        let row = self.rows as u16;
        if let Some(sparse) = sparse {
            self.postings.extend(sparse.indices().iter().zip(sparse.values()).map(|(i, v)| (*i, row, *v)));
        }
        self.rows += 1;
    }

    pub(crate) fn is_full(&self) -> bool {
        self.rows >= GROUP_ROWS || self.postings.len() >= GROUP_POSTINGS
    }

    /// The group so far; the builder stands at the row after it then. Nothing if no row had a sparse vector.
    pub(crate) fn take(&mut self) -> Option<GroupRows> {
        let (first, rows) = (self.first, std::mem::take(&mut self.rows));
        self.first += rows;
        let postings = std::mem::take(&mut self.postings);
        (!postings.is_empty()).then_some(GroupRows { first, rows, postings })
    }
}

impl GroupRows {
    /// Makes the blocks: up to seconds of work for a full group.
    pub(crate) fn encode(self, ordered: bool) -> Group {
        let mut all = self.postings;
        all.sort_unstable_by_key(|(index, row, _)| (*index, *row));
        let lists: Vec<&[(u32, u16, f32)]> = all.chunk_by(|a, b| a.0 == b.0).collect();
        let mut terms = Vec::with_capacity(lists.len() * 8);
        let mut postings = Vec::with_capacity(all.len() * POSTING as usize);
        terms.put_varint(lists.len() as u64);
        let mut next = 0u64;
        for list in &lists {
            let index = u64::from(list[0].0);
            terms.put_varint(index - next);
            next = index + 1;
            terms.put_varint(list.len() as u64);
            let largest = list.iter().fold(0f32, |most, (_, _, v)| most.max(v.abs()));
            terms.extend_from_slice(&largest.to_le_bytes());
            list.iter().for_each(|(_, row, _)| postings.extend_from_slice(&row.to_le_bytes()));
            list.iter().for_each(|(_, _, value)| postings.extend_from_slice(&value.to_le_bytes()));
        }
        let order = (ordered && self.rows >= ORDERED_FROM).then(|| {
            let rows: Vec<u16> = all.iter().map(|(_, row, _)| *row).collect();
            let lists = lists.iter().scan(&rows[..], |rest, list| rest.split_off(..list.len()));
            ImpactOrder::encode(&order_rows(self.rows as usize, lists))
        });
        Group { first: self.first, terms, postings, order }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> Shape {
        Shape { rows: 10, dimension: 0, field_pages: 0 }
    }

    #[test]
    fn every_index_is_found_and_no_other() {
        for step in [1u32, 3, 1_000, 40_000_000] {
            for count in 1..100 {
                let vector =
                    SparseVector::new((0..count).map(|n| n * step + step / 2 * (n % 2)).collect(), vec![1.0; count as usize]).unwrap();
                let mut builder = GroupBuilder::default();
                builder.push(Some(&vector));
                let terms = TermsBlock::decode(&builder.take().unwrap().encode(false).terms, &shape()).unwrap();
                for (term, index) in vector.indices().iter().enumerate() {
                    assert_eq!(terms.find(*index), Some(term as u32));
                    let other = index.wrapping_add(1);
                    assert_eq!(terms.find(other), vector.indices().iter().position(|i| *i == other).map(|at| at as u32));
                }
            }
        }
    }

    #[test]
    fn a_group_adds_up_to_dot_products() {
        let sparse =
            |pairs: &[(u32, f32)]| SparseVector::new(pairs.iter().map(|p| p.0).collect(), pairs.iter().map(|p| p.1).collect()).unwrap();
        let mut builder = GroupBuilder::default();
        builder.push(Some(&sparse(&[(0, 1.0), (u32::MAX, 2.0)])));
        builder.push(None);
        builder.push(Some(&sparse(&[(0, -3.0), (7, 4.0)])));
        let group = builder.take().unwrap().encode(true);
        let terms = TermsBlock::decode(&group.terms, &shape()).unwrap();
        assert_eq!(terms.postings_len(), group.postings.len() as u64);
        assert_eq!((terms.find(0), terms.find(7), terms.find(u32::MAX), terms.find(1)), (Some(0), Some(1), Some(2), None));
        let mut scores = vec![0.0; 3];
        for (index, weight) in [(0, 10.0), (u32::MAX, 1.0)] {
            let at = terms.list_at(terms.find(index).unwrap());
            PostingList::decode(&group.postings[at.start as usize..at.end as usize], 3).unwrap().add_to(weight, &mut scores);
        }
        assert_eq!(scores, [12.0, 0.0, -30.0]);
        assert!(PostingList::decode(&group.postings[..12], 2).is_err(), "row 2 of two rows");
        assert_eq!(terms.largest(0), 3.0);
        builder.push(Some(&sparse(&[(3, 1.0)])));
        assert_eq!(builder.take().unwrap().encode(false).first, 3);
    }
}

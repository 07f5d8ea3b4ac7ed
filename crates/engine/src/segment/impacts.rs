//! Impacts: postings as a search that skips wants them, made from the stored ones when they are first read.
//!
//! A group's rows have *positions*, an order in which rows with the same terms lie together ([`ImpactOrder`]); a *block* is
//! 64 positions. A list that most blocks have part in is cut into blocks, each with a bitmap of its rows and an upper bound
//! of its values in 8 bits; a shorter one is just positions and values. Values are exact in both. The bounds are worked out
//! from the values when a list is decoded, so that no damage can make them too low.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use pinyon_model::{Result, SparseVector};

use super::{
    block::{Block, Shape},
    codec::Malformed,
    format::Section,
    postings::{GROUP_ROWS, PostingList, TermsBlock},
    reader::{Fetched, SegmentReader},
};
use crate::cache::BlockKey;

/// Rows of a block.
pub(crate) const BLOCK_ROWS: usize = 64;
/// Lists of fewer postings are never cut into blocks.
const BLOCKED_FROM: usize = 64;
/// What tells a list's key in the cache from that of an order.
const LIST_KEY: u64 = 1 << 63;

/// The order of one group's rows.
pub(crate) struct ImpactOrder {
    rows: Box<[u16]>,
    positions: Box<[u16]>,
}

impl ImpactOrder {
    /// The row at `position`, counted from the group's first.
    pub(crate) fn row(&self, position: u16) -> u16 {
        self.rows[usize::from(position)]
    }

    /// The position of `row`, counted from the group's first.
    pub(crate) fn position(&self, row: u16) -> u16 {
        self.positions[usize::from(row)]
    }

    /// The rows, each once.
    pub(crate) fn rows(&self) -> impl Iterator<Item = u16> {
        self.rows.iter().copied()
    }

    /// Rows of the group.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The stored form of the rows in the order of their positions.
    pub(crate) fn encode(rows: &[u16]) -> Vec<u8> {
        rows.iter().flat_map(|row| row.to_le_bytes()).collect()
    }
}

impl Block for ImpactOrder {
    const SECTION: Section = Section::ImpactOrder;

    fn decode(bytes: &[u8], _: &Shape) -> Result<Self, Malformed> {
        let (pairs, rest) = bytes.as_chunks::<2>();
        if !rest.is_empty() || pairs.len() > GROUP_ROWS as usize {
            return Err(Malformed("its length is not that of an order of rows"));
        }
        let rows: Box<[u16]> = pairs.iter().map(|b| u16::from_le_bytes(*b)).collect();
        let mut positions: Vec<Option<u16>> = vec![None; rows.len()];
        for (position, row) in rows.iter().enumerate() {
            match positions.get_mut(usize::from(*row)) {
                Some(place @ None) => *place = Some(position as u16),
                _ => return Err(Malformed("it does not have every row once")),
            }
        }
        let positions: Option<Box<[u16]>> = positions.into_iter().collect();
        Ok(Self { rows, positions: positions.ok_or(Malformed("it does not have every row once"))? })
    }

    fn weight_bytes(&self) -> usize {
        self.rows.len() * 4
    }
}

/// The postings of one term in one group, by position.
pub(crate) struct ImpactList {
    /// Whether a value is above 0.
    pub(crate) positive: bool,
    /// Whether a value is below 0.
    pub(crate) negative: bool,
    /// The largest magnitude of a value, as the group's terms have it.
    pub(crate) largest: f32,
    /// The postings.
    pub(crate) postings: Impacts,
}

/// How a list's postings are kept.
pub(crate) enum Impacts {
    /// A few.
    Short(ShortImpacts),
    /// Many, in blocks.
    Blocked(BlockedImpacts),
}

/// Postings one by one, by ascending position.
pub(crate) struct ShortImpacts {
    /// The position of each.
    pub(crate) positions: Box<[u16]>,
    /// The value of each.
    pub(crate) values: Box<[f32]>,
}

/// Postings in blocks.
pub(crate) struct BlockedImpacts {
    /// Each block's greatest share, one after the other, for adding up bounds.
    pub(crate) maxima: Box<[u8]>,
    blocks: Box<[ImpactBlock]>,
    /// The value of each posting, by ascending position.
    values: Box<[f32]>,
}

/// What a look-up in a block needs, side by side: it comes from memory as one.
#[derive(Clone, Copy, Default)]
struct ImpactBlock {
    /// Which positions have a posting.
    rows: u64,
    /// How many postings the blocks before have.
    start: u16,
    /// The largest magnitude, in 255ths of the list's largest, rounded up.
    share: u8,
}

impl BlockedImpacts {
    /// Which positions of `block` have a posting.
    pub(crate) fn rows(&self, block: usize) -> u64 {
        self.blocks[block].rows
    }

    /// An upper bound of the magnitude at `position`, in 255ths of the list's largest; 0 if there is no posting.
    #[inline]
    pub(crate) fn share(&self, position: u16) -> u8 {
        let block = &self.blocks[usize::from(position) / BLOCK_ROWS];
        let has = (block.rows >> (usize::from(position) % BLOCK_ROWS) & 1) as u8;
        block.share * has
    }

    /// The value at `position`, 0 if there is no posting. There is no branch in it, so that the processor looks up several
    /// at a time.
    #[inline]
    pub(crate) fn value_or_zero(&self, position: u16) -> f32 {
        let (at, has) = self.find(position);
        let value = self.values[at.min(self.values.len() - 1)];
        if has { value } else { 0.0 }
    }

    /// Where the value at `position` is or would be, and whether there is one.
    #[inline]
    fn find(&self, position: u16) -> (usize, bool) {
        let block = &self.blocks[usize::from(position) / BLOCK_ROWS];
        let bit = usize::from(position) % BLOCK_ROWS;
        let before = (block.rows & ((1 << bit) - 1)).count_ones() as usize;
        (usize::from(block.start) + before, block.rows >> bit & 1 == 1)
    }
}

impl ImpactList {
    /// Reads a stored list of a group of `rows` rows, whose terms say that `largest` is its largest magnitude.
    pub(crate) fn decode(bytes: &[u8], rows: u32, largest: f32, order: Option<&ImpactOrder>) -> Result<Self, Malformed> {
        let (stored_rows, values) = PostingList::decode(bytes, rows)?.into_parts();
        if values.iter().any(|v| v.abs() > largest) {
            return Err(Malformed("a value is larger than its term's largest"));
        }
        let position = |row: &u16| order.map_or(*row, |order| order.position(*row));
        let mut pairs: Vec<(u16, f32)> = stored_rows.iter().map(position).zip(values).collect();
        pairs.sort_unstable_by_key(|(position, _)| *position);
        let blocks = (rows as usize).div_ceil(BLOCK_ROWS);
        let (positive, negative) = (pairs.iter().any(|p| p.1 > 0.0), pairs.iter().any(|p| p.1 < 0.0));
        let blocked = pairs.len() >= blocks.max(BLOCKED_FROM);
        let postings =
            if blocked { Impacts::Blocked(blocked_impacts(&pairs, blocks, largest)) } else { Impacts::Short(short_impacts(&pairs)) };
        Ok(Self { positive, negative, largest, postings })
    }

    /// How many postings there are.
    pub(crate) fn len(&self) -> usize {
        match &self.postings {
            Impacts::Short(short) => short.values.len(),
            Impacts::Blocked(blocked) => blocked.values.len(),
        }
    }

    /// The value at `position`, if there is one.
    pub(crate) fn get(&self, position: u16) -> Option<f32> {
        match &self.postings {
            Impacts::Short(short) => short.positions.binary_search(&position).ok().map(|at| short.values[at]),
            Impacts::Blocked(blocked) => match blocked.find(position) {
                (at, true) => Some(blocked.values[at]),
                _ => None,
            },
        }
    }

    /// Adds `weight` times each value to its position's place in `scores`, which has a place for each row of the group.
    pub(crate) fn add_to(&self, weight: f32, scores: &mut [f64]) {
        let weight = f64::from(weight);
        match &self.postings {
            Impacts::Short(short) => {
                for (position, value) in short.positions.iter().zip(&short.values) {
                    if let Some(score) = scores.get_mut(usize::from(*position)) {
                        *score += weight * f64::from(*value);
                    }
                }
            }
            Impacts::Blocked(blocked) => {
                let mut values = blocked.values.iter();
                for (block, scores) in blocked.blocks.iter().zip(scores.chunks_mut(BLOCK_ROWS)) {
                    let mut rows = block.rows;
                    while let (Some(score), Some(value)) = (scores.get_mut(rows.trailing_zeros() as usize), values.as_slice().first()) {
                        *score += weight * f64::from(*value);
                        values.next();
                        rows &= rows - 1;
                    }
                }
            }
        }
    }

    pub(crate) fn weight_bytes(&self) -> usize {
        match &self.postings {
            Impacts::Short(short) => short.values.len() * 6,
            Impacts::Blocked(blocked) => blocked.values.len() * 4 + blocked.maxima.len() * (1 + size_of::<ImpactBlock>()),
        }
    }
}

fn short_impacts(pairs: &[(u16, f32)]) -> ShortImpacts {
    let (positions, values): (Vec<u16>, Vec<f32>) = pairs.iter().copied().unzip();
    ShortImpacts { positions: positions.into(), values: values.into() }
}

fn blocked_impacts(pairs: &[(u16, f32)], blocks: usize, largest: f32) -> BlockedImpacts {
    let mut all = vec![ImpactBlock::default(); blocks];
    for (position, value) in pairs {
        let block = &mut all[usize::from(*position) / BLOCK_ROWS];
        block.rows |= 1 << (usize::from(*position) % BLOCK_ROWS);
        // At most 255, since no magnitude is above the largest; an all-zero list divides 0 by 0, which becomes 0.
        block.share = block.share.max((f64::from(value.abs()) / f64::from(largest) * 255.0).ceil() as u8);
    }
    let mut start = 0u32;
    for block in &mut all {
        // It fits: before the last block there are at most 65,535 rows, hence postings.
        block.start = start as u16;
        start += block.rows.count_ones();
    }
    let maxima = all.iter().map(|block| block.share).collect();
    BlockedImpacts { maxima, blocks: all.into(), values: pairs.iter().map(|p| p.1).collect() }
}

/// One term's list that was fetched, and the query's value for the term.
struct FetchedList {
    weight: f32,
    largest: f32,
    key: BlockKey,
    source: ListFrom,
}

enum ListFrom {
    Cache(Arc<ImpactList>),
    Store(Bytes),
}

/// What a search needs of one group, fetched.
pub(crate) struct FetchedGroup {
    rows: Range<u32>,
    order: Option<Fetched<ImpactOrder>>,
    lists: Vec<FetchedList>,
}

/// What a search needs of one group.
pub(crate) struct GroupImpacts {
    /// The group's rows.
    pub(crate) rows: Range<u32>,
    /// Their positions; without it, they are in their own order.
    pub(crate) order: Option<Arc<ImpactOrder>>,
    /// For each index that the query and the group have, in ascending order, the query's value and the postings.
    pub(crate) lists: Vec<(f32, Arc<ImpactList>)>,
}

#[cfg(test)]
impl GroupImpacts {
    /// The postings of `lists`, by row counted from the group's first, as if they had been stored and read.
    pub(crate) fn of(rows: Range<u32>, order: Option<&[u16]>, lists: &[(f32, std::collections::BTreeMap<u16, f32>)]) -> Self {
        let shape = Shape { rows: rows.end, dimension: 0, field_pages: 0 };
        let order = order.map(|order| Arc::new(ImpactOrder::decode(&ImpactOrder::encode(order), &shape).unwrap()));
        let read = |(weight, postings): &(f32, std::collections::BTreeMap<u16, f32>)| {
            let mut bytes: Vec<u8> = postings.keys().flat_map(|row| row.to_le_bytes()).collect();
            bytes.extend(postings.values().flat_map(|value| value.to_le_bytes()));
            let largest = postings.values().fold(0f32, |most, v| most.max(v.abs()));
            (*weight, Arc::new(ImpactList::decode(&bytes, rows.len() as u32, largest, order.as_deref()).unwrap()))
        };
        let lists = lists.iter().map(read).collect();
        Self { rows, order, lists }
    }
}

impl FetchedGroup {
    /// Whether it holds bytes that were just read.
    pub(crate) fn is_stored(&self) -> bool {
        self.order.as_ref().is_some_and(Fetched::is_stored) || self.lists.iter().any(|list| matches!(list.source, ListFrom::Store(_)))
    }

    /// No score of its rows is larger than this, nor is any magnitude of one.
    pub(crate) fn bound(&self) -> f64 {
        // A little more, for the roundings of this sum and of those that it bounds.
        self.lists.iter().map(|list| f64::from(list.weight.abs()) * f64::from(list.largest)).sum::<f64>() * (1.0 + 1e-9)
    }
}

impl SegmentReader {
    /// What a search for `query` needs of these groups, in two batched reads.
    pub(crate) async fn fetch_impacts(&self, groups: &[u32], query: &SparseVector) -> Result<Vec<FetchedGroup>> {
        let terms = self.load::<TermsBlock>(groups).await?;
        let mut fetched = Vec::with_capacity(groups.len());
        let mut ranges = Vec::new();
        for (group, terms) in groups.iter().zip(&terms) {
            let at = self.postings_at(*group, terms)?;
            let rows = self.group(*group);
            let mut lists = Vec::with_capacity(query.len());
            for (index, weight) in query.indices().iter().zip(query.values()) {
                let Some(term) = terms.find(*index) else { continue };
                let key = self.key(Section::ImpactOrder, LIST_KEY | u64::from(*group) << 32 | u64::from(term));
                let source = match self.cache().get(&key) {
                    Some(list) => ListFrom::Cache(list),
                    None => {
                        let list = terms.list_at(term);
                        ranges.push(at + list.start..at + list.end);
                        ListFrom::Store(Bytes::new())
                    }
                };
                lists.push(FetchedList { weight: *weight, largest: terms.largest(term), key, source });
            }
            fetched.push(FetchedGroup { rows, order: None, lists });
        }
        let ordered: Vec<Option<u32>> = fetched.iter().map(|group| self.order_block(group.rows.start)).collect();
        let blocks: Vec<u32> = ordered.iter().flatten().copied().collect();
        let mut orders = self.fetch::<ImpactOrder>(&blocks).await?.into_iter();
        let mut read = self.read_ranges(&ranges).await?.into_iter();
        for (group, ordered) in fetched.iter_mut().zip(ordered) {
            group.order = ordered.and_then(|_| orders.next());
            for list in &mut group.lists {
                if let ListFrom::Store(bytes) = &mut list.source {
                    *bytes = read.next().unwrap_or_default();
                }
            }
        }
        Ok(fetched)
    }

    /// The block of the order of the group that begins at `first`, if it has one.
    fn order_block(&self, first: u32) -> Option<u32> {
        let orders = self.directory(Section::ImpactOrder);
        orders.block_of(first).filter(|block| orders.get(*block).is_some_and(|entry| entry.first == first))
    }

    /// Decodes what was fetched and keeps it in the cache. This is work for the pool.
    pub(crate) fn decode_impacts(&self, fetched: FetchedGroup) -> Result<GroupImpacts> {
        let rows = fetched.rows;
        let order = fetched.order.map(|order| self.decode(order)).transpose()?;
        if order.as_ref().is_some_and(|order| order.len() != rows.len()) {
            return Err(self.damaged(Section::ImpactOrder, Malformed("it is not that of the group's rows")));
        }
        let lists = fetched.lists.into_iter().map(|list| {
            let bytes = match list.source {
                ListFrom::Cache(decoded) => return Ok((list.weight, decoded)),
                ListFrom::Store(bytes) => bytes,
            };
            let decoded = ImpactList::decode(&bytes, rows.len() as u32, list.largest, order.as_deref());
            let decoded = Arc::new(decoded.map_err(|m| self.damaged(Section::Postings, m))?);
            self.keep(list.key, &decoded, decoded.weight_bytes());
            Ok((list.weight, decoded))
        });
        let lists = lists.collect::<Result<_>>()?;
        Ok(GroupImpacts { rows, order, lists })
    }

    /// Checks that every order is that of a group's rows.
    pub(super) async fn verify_impacts(&self) -> Result<()> {
        for group in 0..self.groups() {
            let rows = self.group(group);
            let Some(block) = self.order_block(rows.start) else { continue };
            for order in self.load::<ImpactOrder>(&[block]).await? {
                if order.len() != rows.len() {
                    return Err(self.damaged(Section::ImpactOrder, Malformed("it is not that of the group's rows")));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHAPE: Shape = Shape { rows: 0, dimension: 0, field_pages: 0 };

    fn order(rows: &[u16]) -> Result<ImpactOrder, Malformed> {
        ImpactOrder::decode(&ImpactOrder::encode(rows), &SHAPE)
    }

    fn stored(postings: &std::collections::BTreeMap<u16, f32>) -> Vec<u8> {
        let rows = postings.keys().flat_map(|row| row.to_le_bytes());
        rows.chain(postings.values().flat_map(|value| value.to_le_bytes())).collect()
    }

    #[test]
    fn an_order_has_every_row_once() {
        let read = order(&[2, 0, 1]).unwrap();
        assert_eq!([0, 1, 2].map(|at| read.row(at)), [2, 0, 1]);
        assert_eq!([0, 1, 2].map(|row| read.position(row)), [1, 2, 0]);
        assert!(order(&[0, 0]).is_err() && order(&[0, 2]).is_err());
        assert!(ImpactOrder::decode(&[0], &SHAPE).is_err());
        assert!(ImpactOrder::decode(&vec![0; 2 * (GROUP_ROWS as usize + 1)], &SHAPE).is_err());
    }

    #[test]
    fn a_full_group_fits() {
        let all: std::collections::BTreeMap<u16, f32> = (0..=u16::MAX).map(|row| (row, f32::from(row))).collect();
        let list = ImpactList::decode(&stored(&all), GROUP_ROWS, 65_535.0, None).unwrap();
        assert!((0..=u16::MAX).all(|row| list.get(row) == Some(f32::from(row))));
    }

    #[test]
    fn a_value_above_the_terms_largest_is_damage() {
        let postings = [(0u16, -3.0f32)].into();
        assert!(ImpactList::decode(&stored(&postings), 1, 3.0, None).is_ok());
        assert!(ImpactList::decode(&stored(&postings), 1, 2.9, None).is_err());
    }

    proptest! {
        /// Few rows and many, so that lists of both kinds come up.
        #[test]
        fn every_value_is_found_and_bounded(
            postings in prop::collection::btree_map(0u16..300, prop_oneof![4 => -2.0f32..2.0, 1 => Just(0.0), 1 => prop::num::f32::NORMAL], 1..300),
            turn in 0usize..300,
            mirrored in any::<bool>(),
        ) {
            let mut rows: Vec<u16> = (0..300).collect();
            rows.rotate_left(turn);
            let order = mirrored.then(|| order(&rows).unwrap());
            let largest = postings.values().fold(0f32, |most, v| most.max(v.abs()));
            let list = ImpactList::decode(&stored(&postings), 300, largest, order.as_ref()).unwrap();
            prop_assert_eq!(list.len(), postings.len());
            let mut scores = vec![0.0; 300];
            list.add_to(1.0, &mut scores);
            for row in 0u16..300 {
                let position = order.as_ref().map_or(row, |order| order.position(row));
                let value = postings.get(&row).copied();
                prop_assert_eq!(list.get(position), value);
                prop_assert_eq!(scores[usize::from(position)], f64::from(value.unwrap_or(0.0)));
                if let Impacts::Blocked(blocked) = &list.postings {
                    prop_assert_eq!(blocked.value_or_zero(position), value.unwrap_or(0.0));
                    let block = usize::from(position) / BLOCK_ROWS;
                    prop_assert_eq!(blocked.rows(block) >> (usize::from(position) % BLOCK_ROWS) & 1 == 1, value.is_some());
                    prop_assert!(value.is_some() || blocked.share(position) == 0);
                    for share in [blocked.maxima[block], blocked.share(position)] {
                        let bound = f64::from(share) / 255.0 * f64::from(largest);
                        prop_assert!(f64::from(value.unwrap_or(0.0).abs()) <= bound * (1.0 + 1e-12));
                    }
                }
            }
            prop_assert_eq!((list.positive, list.negative), (postings.values().any(|v| *v > 0.0), postings.values().any(|v| *v < 0.0)));
        }
    }
}

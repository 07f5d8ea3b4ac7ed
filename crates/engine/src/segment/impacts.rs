//! Impacts: postings as a search that skips wants them, made from the stored ones when they are first read.
//!
//! A group's rows have *positions*, an order in which rows with the same terms lie together ([`ImpactOrder`]); a *block* is
//! 64 positions. A list that most blocks have part in is cut into blocks, each with a bitmap of its rows and an upper bound
//! of its values in 8 bits, and has such a bound for every value too; a shorter one is just positions and values. Values are exact in
//! both. The bounds, and how many values reach how much, are worked out from the values when a list is decoded, so that no damage can
//! make them too low.

use pinyon_kernels::{IMPACT_ROWS, ImpactPart, Kernels};
use pinyon_model::Result;

use super::{
    block::{Block, Shape},
    codec::Malformed,
    format::Section,
    postings::{GROUP_ROWS, PostingList},
};

/// Rows of a block.
pub(crate) const BLOCK_ROWS: usize = IMPACT_ROWS;
/// Lists of fewer postings are never cut into blocks.
const BLOCKED_FROM: usize = 64;
/// Which largest values of a list are known by their place.
const RANKS: [u16; 23] =
    [1, 5, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1_000, 1_500, 2_000, 3_000, 5_000, 7_000, 10_000, 15_000, 20_000];
/// Lists of fewer postings do without: adding them up tells as much.
const RANKED_FROM: usize = 10;

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
    /// The magnitudes that have the places of [`RANKS`], as far as there are so many.
    ranked: Box<[f32]>,
}

/// How a list's postings are kept.
pub(crate) enum Impacts {
    /// A few.
    Short(ShortImpacts),
    /// Many, in blocks.
    Blocked(BlockedImpacts),
}

/// Postings one by one, by ascending position.
pub(crate) type ShortImpacts = Box<[Impact]>;

/// One posting, in six bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, packed(2))]
pub(crate) struct Impact {
    /// The value.
    pub(crate) value: f32,
    /// Where its row is.
    pub(crate) position: u16,
}

/// Postings in blocks.
pub(crate) struct BlockedImpacts {
    /// Each block's greatest share, one after the other, for adding up bounds.
    pub(crate) maxima: Box<[u8]>,
    blocks: Box<[ImpactBlock]>,
    /// The magnitude of each posting's value, by ascending position, in 255ths of the list's largest, rounded up.
    shares: Box<[u8]>,
    /// The value of each posting.
    values: Box<[f32]>,
}

/// What a look-up in a block needs, side by side: it comes from memory as one.
#[derive(Clone, Copy, Default)]
struct ImpactBlock {
    /// Which positions have a posting.
    rows: u64,
    /// How many postings the blocks before have.
    start: u16,
}

impl BlockedImpacts {
    /// Which positions of `block` have a posting.
    pub(crate) fn rows(&self, block: usize) -> u64 {
        self.blocks[block].rows
    }

    /// What the postings of `block` add to upper bounds, 255ths of the list's largest being worth `factor`.
    #[inline]
    pub(crate) fn part(&self, block: usize, factor: f32) -> ImpactPart<'_> {
        let ImpactBlock { rows, start } = self.blocks[block];
        ImpactPart { factor, most: factor * f32::from(self.maxima[block]), rows, impacts: &self.shares[usize::from(start)..] }
    }

    /// Hints that `block` will be wanted.
    #[inline]
    pub(crate) fn prefetch_block(&self, kernels: Kernels, block: usize) {
        kernels.prefetch_at(&raw const self.blocks[block]);
    }

    /// Hints that the bounds of the rows of `block` will be.
    #[inline]
    pub(crate) fn prefetch_shares(&self, kernels: Kernels, block: usize) {
        kernels.prefetch_at(self.shares[usize::from(self.blocks[block].start)..].as_ptr());
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
        let ranked = if pairs.len() < RANKED_FROM { Box::default() } else { ranked(&pairs) };
        let blocked = pairs.len() >= blocks.max(BLOCKED_FROM);
        let postings =
            if blocked { Impacts::Blocked(blocked_impacts(&pairs, blocks, largest)) } else { Impacts::Short(short_impacts(&pairs)) };
        Ok(Self { positive, negative, largest, postings, ranked })
    }

    /// How many postings there are.
    pub(crate) fn len(&self) -> usize {
        match &self.postings {
            Impacts::Short(short) => short.len(),
            Impacts::Blocked(blocked) => blocked.values.len(),
        }
    }

    /// A magnitude that at least `count` values reach; 0 if none is known.
    pub(crate) fn reached_by(&self, count: usize) -> f32 {
        self.ranked.get(RANKS.partition_point(|rank| usize::from(*rank) < count)).copied().unwrap_or(0.0)
    }

    /// Hints that the list will be walked.
    pub(crate) fn prefetch(&self, kernels: Kernels) {
        match &self.postings {
            Impacts::Short(short) => {
                // The rest comes by itself.
                kernels.prefetch_at(short.as_ptr());
                kernels.prefetch_at(short.as_ptr().wrapping_add(64 / size_of::<Impact>()));
            }
            Impacts::Blocked(blocked) => kernels.prefetch_at(blocked.maxima.as_ptr()),
        }
        kernels.prefetch_at(self.ranked.as_ptr());
    }

    /// The value at `position`, if there is one.
    pub(crate) fn get(&self, position: u16) -> Option<f32> {
        match &self.postings {
            Impacts::Short(short) => short.binary_search_by_key(&position, |impact| impact.position).ok().map(|at| short[at].value),
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
                for Impact { value, position } in short.iter().copied() {
                    if let Some(score) = scores.get_mut(usize::from(position)) {
                        *score += weight * f64::from(value);
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
        let postings = match &self.postings {
            Impacts::Short(short) => size_of_val(&**short),
            Impacts::Blocked(blocked) => blocked.values.len() * 5 + blocked.maxima.len() * (1 + size_of::<ImpactBlock>()),
        };
        postings + size_of_val(&*self.ranked) + size_of::<Self>()
    }
}

fn short_impacts(pairs: &[(u16, f32)]) -> ShortImpacts {
    pairs.iter().map(|(position, value)| Impact { value: *value, position: *position }).collect()
}

fn blocked_impacts(pairs: &[(u16, f32)], blocks: usize, largest: f32) -> BlockedImpacts {
    let (mut all, mut maxima) = (vec![ImpactBlock::default(); blocks], vec![0u8; blocks]);
    // At most 255, since no magnitude is above the largest; an all-zero list divides 0 by 0, which becomes 0.
    let share = |value: f32| (f64::from(value.abs()) / f64::from(largest) * 255.0).ceil() as u8;
    for (position, value) in pairs {
        let at = usize::from(*position) / BLOCK_ROWS;
        all[at].rows |= 1 << (usize::from(*position) % BLOCK_ROWS);
        maxima[at] = maxima[at].max(share(*value));
    }
    let mut start = 0u32;
    for block in &mut all {
        // It fits: before the last block there are at most 65,535 rows, hence postings.
        block.start = start as u16;
        start += block.rows.count_ones();
    }
    let (shares, values) = pairs.iter().map(|(_, value)| (share(*value), *value)).unzip::<u8, f32, Vec<_>, Vec<_>>();
    BlockedImpacts { maxima: maxima.into(), blocks: all.into(), shares: shares.into(), values: values.into() }
}

/// The magnitudes that have the places of [`RANKS`].
fn ranked(pairs: &[(u16, f32)]) -> Box<[f32]> {
    let mut magnitudes: Vec<f32> = pairs.iter().map(|(_, value)| value.abs()).collect();
    let mut rest = &mut magnitudes[..];
    let within = RANKS.iter().filter(|rank| usize::from(**rank) <= rest.len()).count();
    let mut ranked = vec![0.0; within];
    // From the last place up, each time among what is larger.
    for (place, rank) in ranked.iter_mut().zip(&RANKS).rev() {
        let (larger, value, _) = rest.select_nth_unstable_by(usize::from(*rank) - 1, |a, b| b.total_cmp(a));
        (*place, rest) = (*value, larger);
    }
    ranked.into()
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
                    let bit = usize::from(position) % BLOCK_ROWS;
                    prop_assert_eq!(blocked.rows(block) >> bit & 1 == 1, value.is_some());
                    if let Some(value) = value {
                        let part = blocked.part(block, 1.0);
                        let share = part.impacts[(part.rows & ((1 << bit) - 1)).count_ones() as usize];
                        prop_assert!(f32::from(share) <= part.most);
                        let unit = f64::from(largest) / 255.0;
                        let bound = f64::from(share) * unit;
                        prop_assert!(f64::from(value.abs()) <= bound * (1.0 + 1e-12) && bound <= f64::from(value.abs()) + unit * (1.0 + 1e-12));
                    }
                }
            }
            for count in 1..310 {
                let reached = list.reached_by(count);
                prop_assert!(reached == 0.0 || postings.values().filter(|value| value.abs() >= reached).count() >= count, "{}", count);
            }
            prop_assert!(postings.len() < RANKED_FROM || list.reached_by(1) == largest);
            prop_assert_eq!((list.positive, list.negative), (postings.values().any(|v| *v > 0.0), postings.values().any(|v| *v < 0.0)));
        }
    }
}

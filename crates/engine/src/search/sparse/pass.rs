//! The rows of a group that have a chance, found block by block from upper bounds.
//!
//! Short lists, those of the telling terms, are added up by position in single precision; each block remembers its largest sum. Lists in
//! blocks, those of common terms, give each block an upper bound of what they can add. Blocks whose largest sum and bound together
//! cannot reach the *level*, what enough rows are known to reach, are passed over. Of the others, the likeliest first, the common
//! terms' bounds of all 64 rows are added to the sums at once, until no row has a chance any more or all have been added. Rows that have a
//! chance then are kept, and raise the level by what they surely reach.
//!
//! Before any block is looked at, the level is what the best of the query's terms alone gives to enough rows: by the largest values of
//! its list, whose places are known, and by the largest sums of blocks.

use std::sync::Arc;

use pinyon_kernels::{ImpactPart, Kernels};

use super::{
    group::{Counted, GroupSearch, Scale, row},
    scratch::BLOCKS,
};
use crate::segment::{BLOCK_ROWS, BlockedImpacts, GroupImpacts, Impact, ImpactList, Impacts, ShortImpacts};

/// Blocks looked at in the order of their bounds at least; by then the level is nearly known.
const SORTED_BLOCKS: usize = 8;
/// How many blocks ahead a block is asked for, and then its rows' bounds.
const BLOCK_AHEAD: usize = 6;
const SHARES_AHEAD: usize = 3;

/// A list in blocks, and what its values are worth here.
struct Common<'g> {
    list: &'g BlockedImpacts,
    /// What a 255th of its largest value is worth.
    factor: f32,
}

/// The search of one group under way. Sums and levels are shares, as `scale` has them.
pub(super) struct Pass<'s, 'a, 'g> {
    search: &'s mut GroupSearch<'a>,
    group: &'g GroupImpacts,
    scale: Scale,
    counted: &'g Counted,
    kernels: Kernels,
    short: Vec<&'g ShortImpacts>,
    /// Descending by factor.
    common: Vec<Common<'g>>,
    /// How much less than its sum a row may have, because bounds are rounded up.
    rounded_up: f32,
    /// A row that cannot reach this has no chance.
    level: f32,
    candidates: Vec<(f32, u16)>,
}

impl<'s, 'a, 'g> Pass<'s, 'a, 'g> {
    pub(super) fn new(search: &'s mut GroupSearch<'a>, group: &'g GroupImpacts, scale: Scale, counted: &'g Counted) -> Self {
        let (kernels, level) = (search.query.kernels(), lowest(scale));
        let (short, common) = (Vec::with_capacity(group.lists.len()), Vec::with_capacity(group.lists.len()));
        Self { search, group, scale, counted, kernels, short, common, rounded_up: 0.0, level, candidates: Vec::with_capacity(64) }
    }

    /// The rows that have a chance: what each can reach, and its position. Nothing if they became more than `most`, or if fewer rows than
    /// are wanted are known to reach anything, so that no bound says who may be left out.
    pub(super) fn run(mut self, most: usize) -> Option<Vec<(f32, u16)>> {
        self.by_largest_values();
        self.add_up();
        self.by_largest_sums();
        let within = self.look(most);
        for list in &self.short {
            list.iter().for_each(|impact| self.search.scratch.sums[usize::from(impact.position)] = 0.0);
        }
        self.search.floor.raise_to(self.search.reached.settle());
        self.raise_level();
        let level = self.level;
        self.candidates.retain(|(share, _)| *share >= level);
        // Otherwise rows that were passed over from the start may be among the best.
        let is_known = self.scale.level(self.search.least()) >= lowest(self.scale);
        (within && is_known && self.candidates.len() <= most).then_some(self.candidates)
    }

    /// As many values of one list as are wanted, and as many more as may be of rows that do not count, reach something.
    fn by_largest_values(&mut self) {
        if self.counted.mask.is_none() {
            let enough = self.search.top_k.saturating_add(self.counted.others);
            let reached = |(weight, list): &(f32, Arc<ImpactList>)| f64::from(weight.abs()) * f64::from(list.reached_by(enough));
            let most = self.group.lists.iter().map(reached).fold(0.0, f64::max);
            self.known((most / self.scale.total) as f32);
        }
    }

    /// As many rows as are wanted surely have this share.
    fn known(&mut self, share: f32) {
        if share > lowest(self.scale) {
            self.search.floor.raise_to(Some(self.scale.surely(share)));
        }
        self.raise_level();
    }

    fn raise_level(&mut self) {
        self.level = self.level.max(self.scale.level(self.search.least()));
    }

    /// Adds up short lists by row, and bounds of the others by block.
    fn add_up(&mut self) {
        let scratch = &mut self.search.scratch;
        scratch.bounds.fill(0.0);
        scratch.most.fill(0.0);
        let blocks = self.group.rows.len().div_ceil(BLOCK_ROWS);
        for (weight, list) in &self.group.lists {
            match &list.postings {
                Impacts::Short(short) => {
                    let factor = self.scale.factor(*weight);
                    for Impact { value, position } in short.iter().copied() {
                        let (sum, most) = (&mut scratch.sums[usize::from(position)], &mut scratch.most[usize::from(position) / BLOCK_ROWS]);
                        *sum += factor * value;
                        *most = most.max(*sum);
                    }
                    self.short.push(short);
                }
                Impacts::Blocked(blocked) => {
                    let factor = (f64::from(weight.abs()) * f64::from(list.largest) / self.scale.total / 255.0) as f32;
                    self.kernels.add_bounds(factor, &blocked.maxima, &mut scratch.bounds[..blocks]);
                    self.rounded_up += factor;
                    self.common.push(Common { list: blocked, factor });
                }
            }
        }
        self.common.sort_by(|a, b| b.factor.total_cmp(&a.factor));
        if let Some(mask) = &self.counted.mask {
            // A largest sum must be of a row that counts.
            for (block, mask) in mask.iter().enumerate() {
                let sums = &scratch.sums[block * BLOCK_ROWS..][..BLOCK_ROWS];
                if scratch.most[block] > 0.0 {
                    let counted = sums.iter().enumerate().filter(|(bit, _)| mask >> bit & 1 == 1);
                    scratch.most[block] = counted.fold(0.0, |most, (_, sum)| most.max(*sum));
                }
            }
        }
    }

    /// As many blocks as rows are wanted, and as many more as may be of rows that do not count, have a row of such a sum.
    fn by_largest_sums(&mut self) {
        let enough = self.search.top_k.saturating_add(self.counted.others);
        if enough > BLOCKS {
            return;
        }
        let scratch = &mut self.search.scratch;
        scratch.chosen.clear();
        for (first, most) in (0..BLOCKS).step_by(BLOCK_ROWS).zip(scratch.most.as_chunks::<BLOCK_ROWS>().0) {
            let mut reaching = self.kernels.reaching(most, &[0.0; BLOCK_ROWS], self.level);
            while reaching != 0 {
                let block = reaching.trailing_zeros() as usize;
                reaching &= reaching - 1;
                // Not negative, so that the bits are in the order of the sums.
                scratch.chosen.push((most[block].to_bits(), (first + block) as u16));
            }
        }
        if scratch.chosen.len() >= enough {
            let (_, (share, _), _) = scratch.chosen.select_nth_unstable_by(enough - 1, |a, b| b.cmp(a));
            let share = f32::from_bits(*share);
            self.known(share);
        }
    }

    /// Looks at the blocks that have a chance. Tells whether no more rows than `most` have one.
    fn look(&mut self, most: usize) -> bool {
        let mut chosen = std::mem::take(&mut self.search.scratch.chosen);
        self.choose(&mut chosen);
        let mut parts = Vec::with_capacity(self.common.len());
        let mut within = true;
        for at in 0..chosen.len() {
            self.prefetch(&chosen, at);
            let (bound, block) = chosen[at];
            if f32::from_bits(bound) < self.level {
                continue;
            }
            let block = usize::from(block);
            parts.clear();
            parts.extend(self.common.iter().map(|common| common.list.part(block, common.factor)));
            self.look_at(block, &parts);
            if self.candidates.len() > most {
                let level = self.level;
                self.candidates.retain(|(share, _)| *share >= level);
                within = self.candidates.len() <= most / 2;
                if !within {
                    break;
                }
            }
        }
        self.search.scratch.chosen = chosen;
        within
    }

    /// The blocks that have a chance, the likeliest first.
    fn choose(&self, chosen: &mut Vec<(u32, u16)>) {
        let scratch = &self.search.scratch;
        chosen.clear();
        let chunks = scratch.most.as_chunks::<BLOCK_ROWS>().0.iter().zip(scratch.bounds.as_chunks::<BLOCK_ROWS>().0);
        for (first, (most, bounds)) in (0..BLOCKS).step_by(BLOCK_ROWS).zip(chunks) {
            let mut reaching = self.kernels.reaching(most, bounds, self.level);
            while reaching != 0 {
                let block = reaching.trailing_zeros() as usize;
                reaching &= reaching - 1;
                chosen.push(((most[block] + bounds[block]).to_bits(), (first + block) as u16));
            }
        }
        let sorted = (self.search.top_k / 4).max(SORTED_BLOCKS).min(chosen.len());
        if sorted < chosen.len() {
            chosen.select_nth_unstable_by(sorted, |a, b| b.cmp(a));
        }
        chosen[..sorted].sort_unstable_by(|a, b| b.cmp(a));
    }

    /// Asks for what the next blocks need: it lies in many places.
    fn prefetch(&self, chosen: &[(u32, u16)], at: usize) {
        if let Some((_, block)) = chosen.get(at + BLOCK_AHEAD) {
            let block = usize::from(*block);
            self.common.iter().for_each(|common| common.list.prefetch_block(self.kernels, block));
            for line in self.search.scratch.sums[block * BLOCK_ROWS..][..BLOCK_ROWS].chunks(16) {
                self.kernels.prefetch_at(line.as_ptr());
            }
        }
        if let Some((_, block)) = chosen.get(at + SHARES_AHEAD) {
            self.common.iter().for_each(|common| common.list.prefetch_shares(self.kernels, usize::from(*block)));
        }
    }

    /// Keeps the rows of a block that have a chance.
    fn look_at(&mut self, block: usize, parts: &[ImpactPart<'_>]) {
        let scratch = &self.search.scratch;
        let Some(sums) = scratch.sums.as_chunks::<BLOCK_ROWS>().0.get(block) else { return };
        let mut sums = *sums;
        let mut rows = self.kernels.sum_block(&mut sums, parts, self.level, scratch.bounds[block]);
        if let Some(mask) = &self.counted.mask {
            rows &= mask[block];
        }
        while rows != 0 {
            let bit = rows.trailing_zeros() as usize;
            rows &= rows - 1;
            let (position, most) = ((block * BLOCK_ROWS + bit) as u16, sums[bit]);
            if self.counted.others > 0 && !self.search.allowed.contains(row(self.group, position)) {
                continue;
            }
            self.candidates.push((most, position));
            let surely = most - self.rounded_up;
            if surely > lowest(self.scale)
                && let Some(kth) = self.search.reached.push(self.scale.surely(surely))
            {
                self.search.floor.raise_to(Some(kth));
                self.raise_level();
            }
        }
    }
}

/// What no row is looked at below. A row that surely has more has a score, and a score is all it takes to count.
fn lowest(scale: Scale) -> f32 {
    (2.0 * scale.slack) as f32
}

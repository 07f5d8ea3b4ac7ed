//! One group of rows after the other, searched exactly and for as few rows as the bounds allow.
//!
//! Short lists, those of the telling terms, are added up by position in single precision. Lists in blocks, those of common
//! terms, only give an upper bound for each block. A row whose sum and bound together cannot reach the rank that enough
//! rows are known to reach is passed over; of the others the sum is completed, and those that remain in the end are
//! scored anew in double precision, term by term in the order of the indices, exactly as a search of every row would.
//! Rows that only common terms have are looked at block by block, from the highest bound down, and only where the common
//! terms alone can reach the rank.
//!
//! All sums in single precision are shares of the largest score that any row could have, so that they neither overflow nor
//! vanish, and one slack covers all their roundings. Where skipping does not pay, because many rows are wanted or most
//! score alike, all postings are added up instead; the cost of finding out is bounded by the cost of doing so.

use roaring::RoaringBitmap;

use super::{
    super::{
        Allowed, PreparedQuery,
        top_k::{ByRow, Candidate, Floor, TopK},
    },
    reached::Reached,
    scratch::{BLOCKS, Scratch},
};
use crate::segment::{BLOCK_ROWS, BlockedImpacts, GroupImpacts, Impacts, ShortImpacts};

/// What completing a row's sum costs for each list in blocks, and one more, in postings added up.
const ROW_COST: usize = 8;
/// What each list adds to the exact score of one row, in postings added up.
const EXACT_COST: usize = 24;
/// From the bitmap of what counts a mask by position is made if it has at most one in so many rows.
const MASK_FROM_ONE_IN: u64 = 4;
/// Blocks looked at in the order of their bounds at least; by then the rank to reach is nearly known.
const SORTED_BLOCKS: usize = 16;
/// Rows completed together: what they need lies far apart, and is fetched for all of them at once.
const BATCH: usize = 16;
/// A position that was looked at.
const DONE: f32 = f32::NEG_INFINITY;

/// The search of some groups of one segment.
pub(super) struct GroupSearch<'a> {
    query: &'a PreparedQuery,
    allowed: &'a Allowed,
    top_k: usize,
    floor: &'a Floor,
    found: TopK<'a, ByRow>,
    reached: Reached,
    scratch: Scratch,
    /// Tests look at skipping alone, whatever it costs.
    pub(super) always_skip: bool,
    /// Rows that were not passed over.
    pub(super) looked_at: usize,
}

/// A list in blocks, and what its values are worth here.
struct Common<'g> {
    list: &'g BlockedImpacts,
    /// What a value is multiplied with.
    weight: f64,
    /// What a block's maximum is multiplied with to bound its values; 0 if none can add anything.
    factor: f32,
}

/// A short list, and the most that a row can have from it.
struct Short<'g> {
    list: &'g ShortImpacts,
    most: f64,
}

/// Some rows, and what short lists add up to for each.
#[derive(Default)]
struct Batch {
    positions: [u16; BATCH],
    sums: [f32; BATCH],
    len: usize,
}

/// The search of one group under way. Sums and levels are shares of `total`.
struct Pass<'s, 'a, 'g> {
    search: &'s mut GroupSearch<'a>,
    group: &'g GroupImpacts,
    /// No score's magnitude is larger.
    total: f64,
    /// More than roundings can make in any sum.
    slack: f64,
    /// Ascending by factor.
    common: Vec<Common<'g>>,
    /// Which positions count, if that was worked out.
    mask: Option<Vec<u64>>,
    /// A row whose sum cannot reach this has no chance.
    level: f32,
    /// Rows whose sums are yet to be completed.
    batch: Batch,
    /// Rows that had a chance when they were looked at, with their sums.
    candidates: Vec<(f32, u16)>,
    /// What was spent on rows, and what may be, in postings added up.
    spent: usize,
    budget: usize,
}

impl<'a> GroupSearch<'a> {
    pub(super) fn new(query: &'a PreparedQuery, allowed: &'a Allowed, top_k: usize, floor: &'a Floor) -> Self {
        let found = TopK::new(top_k, ByRow, floor);
        let (reached, scratch) = (Reached::new(top_k), Scratch::take());
        Self { query, allowed, top_k, floor, found, reached, scratch, always_skip: false, looked_at: 0 }
    }

    /// The rank that a row must reach.
    fn least(&self) -> f32 {
        self.reached.kth().unwrap_or(f32::NEG_INFINITY).max(self.floor.get())
    }

    /// Whether a row of this score could be among the best.
    pub(super) fn may_reach(&self, score: f64) -> bool {
        self.query.rank(score) >= self.least()
    }

    /// Takes the rows of one group into account.
    pub(super) fn search(&mut self, group: &GroupImpacts) {
        let total: f64 = group.lists.iter().map(|(weight, list)| f64::from(weight.abs()) * f64::from(list.largest)).sum();
        if total <= 0.0 {
            return;
        }
        let postings: usize = group.lists.iter().map(|(_, list)| list.len()).sum();
        let budget = if self.always_skip { usize::MAX } else { postings + group.rows.len() / 2 };
        let exact_cost = group.lists.len() * EXACT_COST;
        if !self.always_skip && self.top_k.saturating_mul(exact_cost) > budget {
            return self.search_all(group);
        }
        let Ok(mask) = self.mask(group) else { return };
        let slack = (group.lists.len() as f64 + 8.0) * f64::from(2f32.powi(-22)) + f64::from(f32::from_bits(1)) / total;
        let mut pass = Pass {
            search: self,
            group,
            total,
            slack,
            common: Vec::new(),
            mask,
            level: f32::MIN,
            batch: Batch::default(),
            candidates: Vec::new(),
            spent: 0,
            budget,
        };
        pass.raise_level();
        pass.look();
        let candidates = pass.candidates();
        if candidates.len().saturating_mul(exact_cost).saturating_add(pass.spent) > budget {
            return self.search_all(group);
        }
        for position in candidates {
            self.take(group, position);
        }
        if let Some(kth) = self.reached.kth() {
            self.floor.raise(kth);
        }
    }

    /// The positions that count, if they are few; an error if there are none.
    fn mask(&self, group: &GroupImpacts) -> Result<Option<Vec<u64>>, ()> {
        let Allowed::Only(rows) = self.allowed else { return Ok(None) };
        let count = rows.range_cardinality(group.rows.clone());
        if count == 0 {
            return Err(());
        }
        Ok((count <= group.rows.len() as u64 / MASK_FROM_ONE_IN).then(|| positions(rows, group)))
    }

    /// Adds up every posting.
    fn search_all(&mut self, group: &GroupImpacts) {
        let mut least = self.least();
        let scores = &mut self.scratch.scores;
        scores.clear();
        scores.resize(group.rows.len(), 0.0);
        group.lists.iter().for_each(|(weight, list)| list.add_to(*weight, scores));
        for (first, scores) in (0usize..).step_by(BLOCK_ROWS).zip(scores.chunks(BLOCK_ROWS)) {
            // No score below this rounds to the least rank. Most blocks have none, which takes one branch to tell.
            let cut = if least > f32::MIN { f64::from(least.next_down()) } else { f64::NEG_INFINITY };
            if !scores.iter().fold(false, |any, score| any | (*score >= cut)) {
                continue;
            }
            for (position, score) in (first..).zip(scores) {
                let rank = self.query.rank(*score);
                if *score != 0.0 && rank >= least {
                    let row = row(group, position as u16);
                    if self.allowed.contains(row) {
                        self.found.push(rank, row);
                        least = least.max(self.found.least());
                    }
                }
            }
        }
    }

    /// Takes one row into account, exactly.
    fn take(&mut self, group: &GroupImpacts, position: u16) {
        let score = exact(group, position);
        if score != 0.0 {
            self.found.push(self.query.rank(score), row(group, position));
        }
    }

    /// The best rows of the groups, best first.
    pub(super) fn finish(self) -> Vec<Candidate> {
        self.scratch.give_back();
        self.found.finish()
    }
}

impl<'g> Pass<'_, '_, 'g> {
    /// Looks at the rows that have a chance.
    fn look(&mut self) {
        let mut short: Vec<Short<'g>> = Vec::with_capacity(self.group.lists.len());
        self.search.scratch.bounds.fill(0.0);
        let blocks = self.group.rows.len().div_ceil(BLOCK_ROWS);
        let kernels = self.search.query.kernels();
        for (weight, list) in &self.group.lists {
            let most = f64::from(weight.abs()) * f64::from(list.largest) / self.total;
            let weight = f64::from(*weight) / self.total;
            let adds = (weight > 0.0 && list.positive) || (weight < 0.0 && list.negative);
            match &list.postings {
                Impacts::Short(list) => {
                    add_up(list, weight, &mut self.search.scratch);
                    short.push(Short { list, most: if adds { most } else { 0.0 } });
                }
                Impacts::Blocked(list) => {
                    let factor = if adds { (most / 255.0) as f32 } else { 0.0 };
                    if adds {
                        kernels.add_bounds(factor, &list.maxima, &mut self.search.scratch.bounds[..blocks]);
                    }
                    self.common.push(Common { list, weight, factor });
                }
            }
        }
        // The most telling term first: its rows are the likeliest to be the best, and raise the level for all others.
        short.sort_by(|a, b| b.most.total_cmp(&a.most));
        self.common.sort_by(|a, b| a.factor.total_cmp(&b.factor));
        short.iter().for_each(|short| self.look_at_list(short.list));
        self.look_at_blocks(blocks);
        for short in &short {
            short.list.positions.iter().for_each(|position| self.search.scratch.sums[usize::from(*position)] = 0.0);
        }
    }

    fn look_at_list(&mut self, list: &ShortImpacts) {
        for position in &list.positions {
            let place = usize::from(*position);
            let sum = self.search.scratch.sums[place];
            if sum + self.search.scratch.bounds[place / BLOCK_ROWS] >= self.level {
                self.search.scratch.sums[place] = DONE;
                self.look_at(*position, sum);
            }
        }
        self.complete();
    }

    /// Looks at rows that no short list has, where common terms alone can reach the level.
    fn look_at_blocks(&mut self, blocks: usize) {
        if self.common.is_empty() || self.common.iter().map(|common| common.factor * 255.0).sum::<f32>() < self.level {
            return;
        }
        let bounds = &self.search.scratch.bounds[..blocks];
        let counts = |block: usize| self.mask.as_ref().is_none_or(|mask| mask[block] != 0);
        let with_chance = bounds.iter().enumerate().filter(|(block, bound)| **bound >= self.level && counts(*block));
        // Not negative, so that the bits are in the order of the bounds.
        let mut chosen: Vec<(u32, u16)> = with_chance.map(|(block, bound)| (bound.to_bits(), block as u16)).collect();
        let sorted = self.search.top_k.max(SORTED_BLOCKS).min(chosen.len());
        if sorted < chosen.len() {
            chosen.select_nth_unstable_by(sorted, |a, b| b.cmp(a));
        }
        chosen[..sorted].sort_unstable_by(|a, b| b.cmp(a));
        for (bound, block) in chosen {
            if f32::from_bits(bound) >= self.level {
                self.look_at_block(usize::from(block));
                self.complete();
            }
        }
    }

    fn look_at_block(&mut self, block: usize) {
        // The terms that together cannot reach the level leave their rows to the others.
        let (mut rows, mut bound) = (0, 0.0);
        for common in &self.common {
            bound += common.factor * f32::from(common.list.maxima[block]);
            if bound >= self.level {
                rows |= common.list.rows(block);
            }
        }
        self.spent += self.common.len();
        if let Some(mask) = &self.mask {
            rows &= mask[block];
        }
        while rows != 0 {
            let place = block * BLOCK_ROWS + rows.trailing_zeros() as usize;
            rows &= rows - 1;
            // What short lists add up to was looked at, or has no chance.
            if self.search.scratch.sums[place] == 0.0 {
                self.look_at(place as u16, 0.0);
            }
        }
    }

    /// Takes in a row, of which short lists make up `sum`, to complete it with the next few.
    fn look_at(&mut self, position: u16, sum: f32) {
        let (block, bit) = (usize::from(position) / BLOCK_ROWS, usize::from(position) % BLOCK_ROWS);
        if self.mask.as_ref().is_some_and(|mask| mask[block] >> bit & 1 == 0) {
            return;
        }
        self.batch.positions[self.batch.len] = position;
        self.batch.sums[self.batch.len] = sum;
        self.batch.len += 1;
        if self.batch.len == BATCH {
            self.complete();
        }
    }

    /// Completes the sums of the rows taken in, and keeps those that have a chance.
    fn complete(&mut self) {
        let Batch { mut positions, mut sums, len } = std::mem::take(&mut self.batch);
        self.search.looked_at += len;
        self.spent += len * (1 + self.common.len()) * ROW_COST;
        let mut bounds = sums;
        for common in &self.common {
            for (bound, position) in bounds.iter_mut().zip(&positions[..len]) {
                *bound += common.factor * f32::from(common.list.share(*position));
            }
        }
        let mut kept = 0;
        for at in 0..len {
            (positions[kept], sums[kept]) = (positions[at], sums[at]);
            kept += usize::from(bounds[at] >= self.level);
        }
        for common in &self.common {
            for (sum, position) in sums.iter_mut().zip(&positions[..kept]) {
                *sum += (common.weight * f64::from(common.list.value_or_zero(*position))) as f32;
            }
        }
        for (position, sum) in positions.into_iter().zip(sums).take(kept) {
            if sum >= self.level {
                self.keep(position, sum);
            }
        }
        if self.spent > self.budget {
            self.level = f32::INFINITY;
        }
    }

    /// Keeps a row with its sum, if it counts.
    fn keep(&mut self, position: u16, sum: f32) {
        if self.mask.is_none() && !self.search.allowed.contains(row(self.group, position)) {
            return;
        }
        // A row counts unless its score is exactly 0.
        let mut reached = (f64::from(sum) - self.slack) * self.total;
        if reached <= 0.0 && f64::from(sum) + self.slack >= 0.0 {
            self.spent += self.group.lists.len() * EXACT_COST;
            reached = exact(self.group, position);
            if reached == 0.0 {
                return;
            }
        }
        self.candidates.push((sum, position));
        self.search.reached.push(rounded_down(reached));
        self.raise_level();
    }

    fn raise_level(&mut self) {
        // The lowest rank is that of every score too low for 32 bits.
        let least = self.search.least();
        if least > f32::MIN {
            self.level = self.level.max((f64::from(least) / self.total - self.slack) as f32);
        }
    }

    /// The candidates that still have a chance.
    fn candidates(&self) -> Vec<u16> {
        let with_chance = self.candidates.iter().filter(|(sum, _)| *sum >= self.level || self.spent > self.budget);
        with_chance.map(|(_, position)| *position).collect()
    }
}

/// Adds a list to the sums.
fn add_up(list: &ShortImpacts, weight: f64, scratch: &mut Scratch) {
    for (position, value) in list.positions.iter().zip(&list.values) {
        scratch.sums[usize::from(*position)] += (weight * f64::from(*value)) as f32;
    }
}

/// The score of the row at `position`: the sum that a search of every row would make.
fn exact(group: &GroupImpacts, position: u16) -> f64 {
    let mut score = 0.0;
    for (weight, list) in &group.lists {
        if let Some(value) = list.get(position) {
            score += f64::from(*weight) * f64::from(value);
        }
    }
    score
}

/// The row at `position`.
fn row(group: &GroupImpacts, position: u16) -> u32 {
    group.rows.start + u32::from(group.order.as_ref().map_or(position, |order| order.row(position)))
}

/// Which positions these rows have.
fn positions(rows: &RoaringBitmap, group: &GroupImpacts) -> Vec<u64> {
    let mut mask = vec![0u64; BLOCKS];
    for row in rows.range(group.rows.clone()) {
        let row = (row - group.rows.start) as u16;
        let position = usize::from(group.order.as_ref().map_or(row, |order| order.position(row)));
        mask[position / BLOCK_ROWS] |= 1 << (position % BLOCK_ROWS);
    }
    mask
}

/// The greatest rank that is not above `score`.
fn rounded_down(score: f64) -> f32 {
    let score = score.clamp(f64::from(f32::MIN), f64::from(f32::MAX));
    let rank = score as f32;
    if f64::from(rank) > score { rank.next_down() } else { rank }
}

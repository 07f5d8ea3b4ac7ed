//! One group of rows after the other, searched exactly, each in the way that costs least.
//!
//! Where weights and values have one sign, rows are passed over by bounds ([`Pass`]); the few that remain in the end are scored in double
//! precision, term by term in the order of the indices, exactly as a search of every row would. Where numbers of both signs meet, where
//! the group has fewer postings than matches are wanted, and where bounds turn out to tell too little, because many rows are wanted or
//! most score alike, all postings are added up instead.

use roaring::RoaringBitmap;

use super::{
    super::{
        Allowed, PreparedQuery,
        top_k::{ByRow, Candidate, Floor, TopK},
    },
    exact::{EXACT_ROWS, exact},
    pass::Pass,
    reached::Reached,
    scratch::{BLOCKS, Scratch},
};
use crate::segment::{BLOCK_ROWS, GroupImpacts, Impacts};

/// What each list adds to the exact score of one row, in postings added up.
const EXACT_COST: usize = 4;
/// From the bitmap of what counts a mask by position is made if it has at most one in so many rows.
const MASK_FROM_ONE_IN: u64 = 4;
/// Up to one posting in so many rows, the rows of the postings are scored one by one: clearing and reading sums of all would take longer.
const LISTED_FROM_ONE_IN: usize = 16;

/// The search of some groups of one segment.
pub(super) struct GroupSearch<'a> {
    pub(super) query: &'a PreparedQuery,
    pub(super) allowed: &'a Allowed,
    pub(super) top_k: usize,
    pub(super) floor: &'a Floor,
    found: TopK<'a, ByRow>,
    pub(super) reached: Reached,
    pub(super) scratch: Scratch,
    /// Groups with rows that had a chance when they were looked at.
    pending: Vec<Pending>,
    /// Tests look at bounds alone, whatever it costs.
    pub(super) always_skip: bool,
    /// Rows that were scored exactly, or added up.
    looked_at: usize,
}

/// Rows of one group that may be among the best.
struct Pending {
    group: GroupImpacts,
    scale: Scale,
    /// What each can reach at most, as a share, and its position.
    candidates: Vec<(f32, u16)>,
}

/// In what sums of one group are counted: shares of the largest score that any row could have, so that in single precision they neither
/// overflow nor vanish.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    /// No score's magnitude is larger.
    pub(super) total: f64,
    /// More than roundings can make in any sum.
    pub(super) slack: f64,
}

/// Which rows of a group count.
pub(super) struct Counted {
    /// By position, if that was worked out.
    pub(super) mask: Option<Vec<u64>>,
    /// How many do not that a sum may be of.
    pub(super) others: usize,
}

impl Scale {
    fn of(group: &GroupImpacts) -> Self {
        let total: f64 = group.lists.iter().map(|(weight, list)| f64::from(weight.abs()) * f64::from(list.largest)).sum();
        let slack = (group.lists.len() as f64 + 8.0) * f64::from(2f32.powi(-21)) + f64::from(f32::from_bits(1)) / total;
        Self { total, slack }
    }

    /// The factor that makes values shares.
    pub(super) fn factor(&self, weight: f32) -> f32 {
        (f64::from(weight) / self.total) as f32
    }

    /// Whether these factors are as exact as single precision can be.
    fn suits(&self, group: &GroupImpacts) -> bool {
        group.lists.iter().all(|(weight, _)| *weight == 0.0 || self.factor(*weight).is_normal())
    }

    /// The share that a row must be able to reach for this rank.
    pub(super) fn level(&self, rank: f32) -> f32 {
        // The lowest rank is that of every score too low for 32 bits.
        if rank > f32::MIN { (f64::from(rank) / self.total - self.slack) as f32 } else { f32::MIN }
    }

    /// A rank that a row with this share surely reaches.
    pub(super) fn surely(&self, share: f32) -> f32 {
        rounded_down((f64::from(share) - self.slack) * self.total)
    }
}

impl<'a> GroupSearch<'a> {
    pub(super) fn new(query: &'a PreparedQuery, allowed: &'a Allowed, top_k: usize, floor: &'a Floor) -> Self {
        let found = TopK::new(top_k, ByRow, floor);
        let (reached, scratch) = (Reached::new(top_k), Scratch::take());
        Self { query, allowed, top_k, floor, found, reached, scratch, pending: Vec::new(), always_skip: false, looked_at: 0 }
    }

    /// The rank that a row must reach.
    pub(super) fn least(&self) -> f32 {
        self.floor.get()
    }

    /// Whether a row of this score could be among the best.
    pub(super) fn may_reach(&self, score: f64) -> bool {
        self.query.rank(score) >= self.least()
    }

    /// Takes the rows of one group into account.
    pub(super) fn search(&mut self, group: GroupImpacts) {
        let scale = Scale::of(&group);
        if scale.total <= 0.0 {
            return;
        }
        let Some(counted) = self.counted(&group) else { return };
        let postings: usize = group.lists.iter().map(|(_, list)| list.len()).sum();
        let row_cost = group.lists.len() * EXACT_COST;
        let budget = if self.always_skip { usize::MAX } else { (postings + group.rows.len()) / row_cost };
        if has_one_sign(&group) && scale.suits(&group) && (self.always_skip || postings >= self.top_k) && self.top_k <= budget {
            let known = self.reached.len();
            if let Some(candidates) = Pass::new(self, &group, scale, &counted).run(budget.saturating_mul(2)) {
                self.pending.push(Pending { group, scale, candidates });
                return;
            }
            self.reached.forget_after(known);
        }
        if postings <= group.rows.len() / LISTED_FROM_ONE_IN {
            let rows = self.listed(&group, &counted);
            self.score(&group, &rows);
        } else {
            self.search_all(&group);
        }
    }

    /// What counts; nothing if no row does.
    fn counted(&self, group: &GroupImpacts) -> Option<Counted> {
        let rows = match self.allowed {
            Allowed::Except(dead) if dead.is_empty() => return Some(Counted { mask: None, others: 0 }),
            Allowed::Except(dead) => return Some(Counted { mask: None, others: dead.range_cardinality(group.rows.clone()) as usize }),
            Allowed::Only(rows) => rows,
        };
        let count = rows.range_cardinality(group.rows.clone());
        let all = group.rows.len();
        if count == 0 {
            return None;
        }
        let few = count <= all as u64 / MASK_FROM_ONE_IN;
        Some(if few {
            Counted { mask: Some(positions(rows, group)), others: 0 }
        } else {
            Counted { mask: None, others: all - count as usize }
        })
    }

    /// Adds up every posting.
    fn search_all(&mut self, group: &GroupImpacts) {
        self.looked_at += group.rows.len();
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

    /// The positions that any list has, ascending, without those that a mask rules out.
    fn listed(&self, group: &GroupImpacts, counted: &Counted) -> Vec<u16> {
        let mut bits = vec![0u64; BLOCKS];
        for (_, list) in &group.lists {
            match &list.postings {
                Impacts::Short(short) => short.iter().for_each(|impact| {
                    let position = usize::from(impact.position);
                    bits[position / BLOCK_ROWS] |= 1 << (position % BLOCK_ROWS);
                }),
                Impacts::Blocked(blocked) => (0..blocked.maxima.len()).for_each(|block| bits[block] |= blocked.rows(block)),
            }
        }
        let mask = counted.mask.as_deref();
        let within = bits.iter().enumerate().map(|(block, bits)| (block, bits & mask.map_or(u64::MAX, |mask| mask[block])));
        let mut listed = Vec::new();
        for (block, mut bits) in within {
            while bits != 0 {
                listed.push((block * BLOCK_ROWS) as u16 + bits.trailing_zeros() as u16);
                bits &= bits - 1;
            }
        }
        listed
    }

    /// Takes some rows into account, exactly.
    fn score(&mut self, group: &GroupImpacts, positions: &[u16]) {
        self.looked_at += positions.len();
        for positions in positions.chunks(EXACT_ROWS) {
            let scores = exact(group, positions, &mut self.scratch);
            for (position, score) in positions.iter().zip(scores) {
                let rank = self.query.rank(*score);
                if *score != 0.0 && rank >= self.found.least() {
                    let row = row(group, *position);
                    if self.allowed.contains(row) {
                        self.found.push(rank, row);
                    }
                }
            }
        }
    }

    /// The best rows of the groups, best first.
    pub(super) fn finish(self) -> Vec<Candidate> {
        self.finish_counted().0
    }

    /// The same, and how many rows were looked at.
    pub(super) fn finish_counted(mut self) -> (Vec<Candidate>, usize) {
        for Pending { group, scale, candidates } in std::mem::take(&mut self.pending) {
            let level = scale.level(self.least());
            let positions: Vec<u16> = candidates.iter().filter(|(most, _)| *most >= level).map(|(_, position)| *position).collect();
            self.score(&group, &positions);
        }
        self.scratch.give_back();
        (self.found.finish(), self.looked_at)
    }
}

/// Whether no list takes anything from a score.
fn has_one_sign(group: &GroupImpacts) -> bool {
    group.lists.iter().all(|(weight, list)| !(*weight > 0.0 && list.negative || *weight < 0.0 && list.positive))
}

/// The row at `position`.
pub(super) fn row(group: &GroupImpacts, position: u16) -> u32 {
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

//! How a filter changes which codes of a segment are looked at.
//!
//! A filter that leaves one row in n makes the best k of what matches about the best k·n of everything, so as many clusters are visited
//! as these need. Where matching rows lie near the query, n is what it is there, and fewer are; where they lie far from it, more, until as
//! large a share of them was seen as would be of everything. In a cluster where few rows match, their second codes are asked at once,
//! which are exact enough to be final; where many do, all of its scan codes are, and the best of those that match go on.

use pinyon_model::SearchPlan;

use super::{
    Run,
    coded::{DEVIATIONS, NEAREST_FIRST, Narrowed, STRAIN_MAX, Walk, reread},
};
use crate::filter::SlotSet;

/// All that matches is asked for its second codes when it is no more than so many times what is scored exactly: few rows may lie anywhere.
const FEW: usize = 16;
/// What ranking one cluster costs, in scan codes.
const RANK_COST: f64 = 4.0;
/// A cluster is scanned when at least one in so many of its codes is of a matching row: a second code that lies beside others costs
/// as much as so many scan codes.
const SCAN_FROM_ONE_IN: u32 = 4;
/// Codes that are scanned at a time: a cluster's last ones cost as much.
const LANES: u32 = pinyon_kernels::SCAN_BLOCK_LANES as u32;

/// What a second code costs, in scan codes, where this share of rows is asked for theirs: memory is waited for longer the further apart
/// they lie. From 10 ns side by side to 80 ns alone, against 4.7 ns for a scan code.
fn second_cost(density: f64) -> f64 {
    (2.0 / density.clamp(1e-9, 1.0).cbrt()).min(20.0)
}

/// How far to look under a filter.
struct Reach {
    /// The least base of a cluster to be visited.
    least: f32,
    /// The share of rows that match, about where is looked.
    share: f64,
    /// How many times more to keep of scan codes.
    strain: f64,
}

impl Run {
    /// What the scan codes and the filter leave for the second codes; `matching` vectors count.
    pub(super) fn filtered(&self, walk: &mut Walk<'_>, set: &SlotSet, matching: u64) -> Narrowed {
        let codes = walk.codes;
        let share = matching as f64 / f64::from(codes.vectors());
        let clusters = self.clusters(codes, codes.head().effort(self.search.top_k as f64 / share).0);
        if self.takes_all(walk, set, clusters) {
            walk.rank(set.clusters());
            let ranked_us = self.now_us();
            let mut taken = Taken::default();
            for (at, cluster) in set.clusters().iter().enumerate() {
                walk.take(set, at, *cluster, &mut taken);
            }
            let Taken { slots, bases } = taken;
            return Narrowed { plan: SearchPlan::Direct, pool: slots.len(), slots, bases, ranked_us };
        }
        walk.query.bases(codes, &mut walk.bases);
        let ranked_us = self.now_us();
        let reach = self.reach(walk, set, matching, clusters);
        let (_, pool) = codes.head().effort(self.search.top_k as f64 / reach.share);
        let pool = self.pool(pool * reach.share * reach.strain);
        let wanted = pool.min(usize::try_from(matching).unwrap_or(usize::MAX));
        let Taken { slots, bases } = walk.visit(set, reach.least, pool, wanted);
        Narrowed { plan: SearchPlan::Walk, pool, slots, bases, ranked_us }
    }

    /// Whether asking the second codes of all that matches costs less than finding out where to look first.
    fn takes_all(&self, walk: &Walk<'_>, set: &SlotSet, clusters: usize) -> bool {
        let all = f64::from(walk.codes.clusters());
        let each = f64::from(set.len()) * second_cost(set.density());
        set.len() as usize <= FEW * reread(self.search.top_k)
            || each + RANK_COST * set.clusters().len() as f64 <= RANK_COST * all + each * clusters as f64 / all
    }

    /// How far to look, if so many clusters are what it takes were matching rows spread evenly.
    fn reach(&self, walk: &Walk<'_>, set: &SlotSet, matching: u64, clusters: usize) -> Reach {
        let all = walk.bases.len() as f64;
        let share = matching as f64 / f64::from(walk.codes.vectors());
        let mut bases = walk.bases.clone();
        let nth = |bases: &mut [f32], n: usize| *bases.select_nth_unstable_by(n - 1, |a, b| b.total_cmp(a)).1;
        let least = nth(&mut bases, clusters);
        let seen = walk.seen(set, least);
        let expected = f64::from(set.len()) * clusters as f64 / all;
        let chance = DEVIATIONS * expected.max(1.0).sqrt();
        if seen > expected + chance {
            // No more than is sure.
            let nearer = (share * (seen - chance) / expected).clamp(share, 1.0);
            let fewer = self.clusters(walk.codes, walk.codes.head().effort(self.search.top_k as f64 / nearer).0).min(clusters);
            let least = nth(&mut bases[..clusters], fewer);
            return Reach { least, share: nearer, strain: 1.0 };
        }
        if seen >= expected - chance {
            return Reach { least, share, strain: 1.0 };
        }
        // Rows that all lie far from the query differ less from each other than near ones do, in proportion to how far estimates are off.
        let strain = (expected / seen.max(0.25)).powi(2).min(STRAIN_MAX);
        let clusters = ((clusters as f64 * strain) as usize).min(bases.len());
        let least = nth(&mut bases, clusters);
        let wanted = (f64::from(set.len()) * clusters as f64 / all).ceil();
        Reach { least: least.min(walk.base_that_shows(set, wanted)), share, strain }
    }
}

impl Walk<'_> {
    /// The bases of these clusters alone.
    fn rank(&mut self, clusters: &[u32]) {
        self.query.bases_of(self.codes, clusters, &mut self.bases);
    }

    /// How many selected rows lie in clusters with no lesser base.
    fn seen(&self, set: &SlotSet, least: f32) -> f64 {
        // Without a branch, which could not be foretold.
        let count = |(at, cluster): (usize, &u32)| set.count(at) * u32::from(self.bases[*cluster as usize] >= least);
        f64::from(set.clusters().iter().enumerate().map(count).sum::<u32>())
    }

    /// The greatest base down to which so many selected rows lie.
    fn base_that_shows(&self, set: &SlotSet, wanted: f64) -> f32 {
        let mut bases: Vec<(f32, u32)> =
            set.clusters().iter().enumerate().map(|(at, cluster)| (self.bases[*cluster as usize], set.count(at))).collect();
        bases.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        let mut shown = 0.0;
        let last = bases.iter().find(|(_, count)| {
            shown += f64::from(*count);
            shown >= wanted
        });
        last.map_or(f32::NEG_INFINITY, |(base, _)| *base)
    }

    /// The slots of matching rows in clusters down to a base: all of them where they are few, of the others the best `pool` by scan code.
    /// So many as are `wanted`, from further away if need be: most of what is near may be dead.
    fn visit(&mut self, set: &SlotSet, mut least: f32, pool: usize, wanted: usize) -> Taken {
        let (mut taken, mut found) = (Taken::default(), Found::default());
        let mut above = f32::INFINITY;
        loop {
            let mut dense: Vec<usize> = Vec::new();
            let near = self.between(set, least, above);
            for at in near.iter().copied() {
                let cluster = set.clusters()[at];
                let lanes = (self.codes.slots(cluster).len() as u32).next_multiple_of(LANES);
                if set.count(at) * SCAN_FROM_ONE_IN < lanes {
                    self.take(set, at, cluster, &mut taken);
                } else {
                    dense.push(at);
                }
            }
            self.scan_selected(set, &mut dense, pool, &mut found);
            if let Some((clusters, codes)) = &mut self.visited {
                *clusters += near.len() as u64;
                *codes += dense.iter().map(|at| self.codes.slots(set.clusters()[*at]).len() as u64).sum::<u64>();
            }
            if taken.slots.len() + found.best.len() >= wanted || least == f32::NEG_INFINITY {
                break;
            }
            above = least;
            least = self.base_that_shows(set, 2.0 * self.seen(set, least) + wanted as f64);
            if least >= above {
                least = f32::NEG_INFINITY;
            }
        }
        self.cut(&mut found.best, pool);
        taken.bases.extend(found.best.iter().map(|(slot, _)| self.base_of(*slot)));
        taken.slots.extend(found.best.iter().map(|(slot, _)| *slot));
        taken
    }

    /// The places in the set of the clusters from a base on, and below another.
    fn between(&self, set: &SlotSet, least: f32, above: f32) -> Vec<usize> {
        let mut places = vec![0; set.clusters().len()];
        let mut count = 0;
        for (at, cluster) in set.clusters().iter().enumerate() {
            let base = self.bases[*cluster as usize];
            // Without a branch, which could not be foretold.
            places[count] = at;
            count += usize::from((base >= least) & (base < above));
        }
        places.truncate(count);
        places
    }

    /// Takes all that matches and is not dead of the cluster at `at`.
    fn take(&self, set: &SlotSet, at: usize, cluster: u32, taken: &mut Taken) {
        let from = taken.slots.len();
        set.append(at, &self.codes.slots(cluster), &mut taken.slots);
        if !self.dead.is_empty() {
            let mut kept = from;
            for at in from..taken.slots.len() {
                if self.is_live(taken.slots[at]) {
                    taken.slots[kept] = taken.slots[at];
                    kept += 1;
                }
            }
            taken.slots.truncate(kept);
        }
        taken.bases.resize(taken.slots.len(), self.bases[cluster as usize]);
    }

    /// Scans these clusters, by their places in the set, and keeps the best `pool` of what matches and is not dead.
    fn scan_selected(&self, set: &SlotSet, dense: &mut [usize], pool: usize, found: &mut Found) {
        let base = |at: usize| self.bases[set.clusters()[at] as usize];
        // The nearest raise the floor; the rest are visited as they lie in memory, which reads ahead.
        if dense.len() > NEAREST_FIRST {
            let mut bases: Vec<f32> = dense.iter().map(|at| base(*at)).collect();
            let near = *bases.select_nth_unstable_by(NEAREST_FIRST - 1, |a, b| b.total_cmp(a)).1;
            dense.sort_by_key(|at| base(*at) < near);
        }
        for (turn, at) in dense.iter().enumerate() {
            let cluster = set.clusters()[*at];
            let before = found.best.len();
            if let Some(next) = dense.get(turn + 1) {
                self.query.prefetch(self.codes, set.clusters()[*next]);
            }
            self.query.scan(self.codes, cluster, base(*at), found.floor, &mut found.best);
            let mut kept = before;
            for one in before..found.best.len() {
                if set.contains(*at, found.best[one].0) {
                    found.best[kept] = found.best[one];
                    kept += 1;
                }
            }
            found.best.truncate(kept);
            self.drop_dead(&mut found.best, before);
            if found.best.len() >= 2 * pool + 32 {
                found.floor = self.cut(&mut found.best, pool);
            }
        }
    }
}

/// What goes on to the second codes: slots, and the bases of their clusters.
#[derive(Default)]
struct Taken {
    slots: Vec<u32>,
    bases: Vec<f32>,
}

/// What scan codes found.
struct Found {
    best: Vec<(u32, f32)>,
    /// What is below has no chance any more.
    floor: f32,
}

impl Default for Found {
    fn default() -> Self {
        Self { best: Vec::new(), floor: f32::NEG_INFINITY }
    }
}

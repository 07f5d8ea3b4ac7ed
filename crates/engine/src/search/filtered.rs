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
    nearest::{Ranked, leave_best, once_each},
};
use crate::filter::PlaceSet;

/// All that matches is asked for its second codes when it is no more than so many times what is scored exactly: few rows may lie anywhere.
const FEW: usize = 16;
/// What ranking one cluster costs, in scan codes.
const RANK_COST: f64 = 4.0;
/// A cluster may be scanned when at least one in so many of its codes is of a matching row: a second code that lies beside others costs
/// as much as so many scan codes.
const SCAN_FROM_ONE_IN: u32 = 3;
/// What a second code costs, in scan codes, that scan codes chose: it lies alone.
const CHOSEN_COST: usize = 7;
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
    pub(super) fn filtered(&self, walk: &mut Walk<'_>, set: &PlaceSet, matching: u64) -> Narrowed {
        let codes = walk.codes;
        let share = matching as f64 / f64::from(codes.vectors());
        let clusters = self.clusters(codes, codes.head().effort(self.search.top_k as f64 / share).0);
        if self.takes_all(walk, set, clusters) {
            let ranked_us = self.now_us();
            let mut slots = Vec::new();
            for (at, cluster) in set.clusters().iter().enumerate() {
                walk.take(set, at, walk.codes.slots(*cluster).len(), &mut slots);
            }
            return Narrowed { plan: SearchPlan::Direct, pool: slots.len(), slots, ranked_us };
        }
        walk.bases.roughly(&walk.query, codes);
        let ranked_us = self.now_us();
        let reach = self.reach(walk, set, matching, clusters);
        let (_, pool) = codes.head().effort(self.search.top_k as f64 / reach.share);
        let pool = self.pool(pool * reach.share * reach.strain);
        let wanted = pool.min(usize::try_from(matching).unwrap_or(usize::MAX));
        let slots = walk.visit_selected(set, reach.least, pool, wanted);
        Narrowed { plan: SearchPlan::Walk, pool, slots, ranked_us }
    }

    /// Whether asking the second codes of all that matches costs less than finding out where to look first.
    fn takes_all(&self, walk: &Walk<'_>, set: &PlaceSet, clusters: usize) -> bool {
        let all = f64::from(walk.codes.clusters());
        let each = f64::from(set.vectors()) * second_cost(set.density());
        set.vectors() as usize <= FEW * reread(self.search.top_k)
            || each + RANK_COST * set.clusters().len() as f64 <= RANK_COST * all + each * clusters as f64 / all
    }

    /// How far to look, if so many clusters are what it takes were matching rows spread evenly.
    fn reach(&self, walk: &Walk<'_>, set: &PlaceSet, matching: u64, clusters: usize) -> Reach {
        let all = walk.bases.all().len() as f64;
        let share = matching as f64 / f64::from(walk.codes.vectors());
        let mut bases = walk.bases.all().to_vec();
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
    /// How many selected rows lie in clusters with no lesser base.
    fn seen(&self, set: &PlaceSet, least: f32) -> f64 {
        // Without a branch, which could not be foretold.
        let count = |(at, cluster): (usize, &u32)| set.count(at) * u32::from(self.bases.of(*cluster) >= least);
        f64::from(set.clusters().iter().enumerate().map(count).sum::<u32>())
    }

    /// The greatest base down to which so many selected rows lie.
    fn base_that_shows(&self, set: &PlaceSet, wanted: f64) -> f32 {
        let mut bases: Vec<(f32, u32)> =
            set.clusters().iter().enumerate().map(|(at, cluster)| (self.bases.of(*cluster), set.count(at))).collect();
        bases.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        let mut shown = 0.0;
        let last = bases.iter().find(|(_, count)| {
            shown += f64::from(*count);
            shown >= wanted
        });
        last.map_or(f32::NEG_INFINITY, |(base, _)| *base)
    }

    /// The slots of matching rows in clusters down to a base, ascending: all of them where they are few, of the others the best `pool` by
    /// scan code. So many as are `wanted`, from further away if need be: most of what is near may be dead.
    fn visit_selected(&mut self, set: &PlaceSet, mut least: f32, pool: usize, wanted: usize) -> Vec<u32> {
        let (mut taken, mut found) = (Vec::new(), Found { best: Vec::new(), floor: f32::NEG_INFINITY });
        let mut above = f32::INFINITY;
        loop {
            let mut dense: Vec<usize> = Vec::new();
            let near = self.between(set, least, above);
            for at in near.iter().copied() {
                let lanes = (self.codes.places(set.clusters()[at]).len() as u32).next_multiple_of(LANES);
                if set.count(at) * SCAN_FROM_ONE_IN < lanes {
                    self.take(set, at, usize::MAX, &mut taken);
                } else {
                    dense.push(at);
                }
            }
            if self.is_scan_in_vain(set, &dense, pool) {
                dense.drain(..).for_each(|at| self.take(set, at, usize::MAX, &mut taken));
            }
            self.scan_selected(set, &mut dense, pool, &mut found);
            if let Some((clusters, codes)) = &mut self.visited {
                *clusters += near.len() as u64;
                *codes += dense.iter().map(|at| self.codes.places(set.clusters()[*at]).len() as u64).sum::<u64>();
            }
            let is_all = least == f32::NEG_INFINITY;
            if taken.len() + found.best.len() >= wanted || is_all {
                let mut best = found.best.clone();
                once_each(&mut best);
                leave_best(&mut best, pool);
                let mut slots = taken.clone();
                slots.extend(best.iter().map(|one| one.number()));
                slots.sort_unstable();
                slots.dedup();
                if slots.len() >= wanted || is_all {
                    return slots;
                }
            }
            above = least;
            least = self.base_that_shows(set, 2.0 * self.seen(set, least) + wanted as f64);
            if least >= above {
                least = f32::NEG_INFINITY;
            }
        }
    }

    /// Whether scanning these clusters costs more than asking for the second codes of all that matches in them, because most of it would be
    /// asked for its second code in any case.
    fn is_scan_in_vain(&self, set: &PlaceSet, dense: &[usize], pool: usize) -> bool {
        let matching: usize = dense.iter().map(|at| set.count(*at) as usize).sum();
        let codes: usize = dense.iter().map(|at| self.codes.places(set.clusters()[*at]).len()).sum();
        matching * SCAN_FROM_ONE_IN as usize <= codes + CHOSEN_COST * pool.min(matching)
    }

    /// The places in the set of the clusters from a base on, and below another.
    fn between(&self, set: &PlaceSet, least: f32, above: f32) -> Vec<usize> {
        let mut places = vec![0; set.clusters().len()];
        let mut count = 0;
        for (at, cluster) in set.clusters().iter().enumerate() {
            let base = self.bases.of(*cluster);
            // Without a branch, which could not be foretold.
            places[count] = at;
            count += usize::from((base >= least) & (base < above));
        }
        places.truncate(count);
        places
    }

    /// Takes what matches and is not dead of the first `count` places of the cluster at `at`.
    fn take(&self, set: &PlaceSet, at: usize, count: usize, taken: &mut Vec<u32>) {
        let cluster = set.clusters()[at];
        let (from, mut here) = (taken.len(), self.codes.places(cluster));
        set.append(at, &here, taken);
        here.end = here.start + count.min(here.len()) as u32;
        let end = from + taken[from..].partition_point(|place| *place < here.end);
        taken.truncate(end);
        taken[from..].iter_mut().for_each(|place| *place = self.codes.slot_at(cluster, *place));
        if !self.dead.is_empty() {
            let mut kept = from;
            for at in from..taken.len() {
                if self.is_live(taken[at]) {
                    taken[kept] = taken[at];
                    kept += 1;
                }
            }
            taken.truncate(kept);
        }
    }

    /// Scans these clusters, by their places in the set, and keeps the best `pool` of what matches and is not dead; as many places more, since
    /// a slot may have two.
    fn scan_selected(&mut self, set: &PlaceSet, dense: &mut [usize], pool: usize, found: &mut Found) {
        self.bases.ensure(&self.query, self.codes, dense.iter().map(|at| set.clusters()[*at]));
        let base = |at: usize| self.bases.of(set.clusters()[at]);
        // The nearest raise the floor; the rest are visited as they lie in memory, which reads ahead.
        if dense.len() > NEAREST_FIRST {
            let mut bases: Vec<f32> = dense.iter().map(|at| base(*at)).collect();
            let near = *bases.select_nth_unstable_by(NEAREST_FIRST - 1, |a, b| b.total_cmp(a)).1;
            dense.sort_by_key(|at| base(*at) < near);
        }
        let mut hits = Vec::new();
        for (turn, at) in dense.iter().enumerate() {
            let cluster = set.clusters()[*at];
            let next = dense.get(turn + 1).map(|next| set.clusters()[*next]);
            hits.clear();
            self.query.scan_before(next, self.codes, cluster, base(*at), found.floor, &mut hits);
            let selected = hits.iter().filter(|(place, _)| set.contains(*at, *place));
            let ranked = selected.map(|(place, estimate)| Ranked::new(self.codes.slot_at(cluster, *place), *estimate));
            found.best.extend(ranked.filter(|one| self.dead.is_empty() || self.is_live(one.number())));
            if found.best.len() >= 4 * pool + 32 {
                found.floor = leave_best(&mut found.best, 2 * pool).unwrap_or(found.floor);
            }
        }
        leave_best(&mut found.best, 2 * pool);
    }
}

/// What scan codes found.
struct Found {
    best: Vec<Ranked>,
    /// What is below has no chance any more.
    floor: f32,
}

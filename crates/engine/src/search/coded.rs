//! Dense search of a segment by its codes: which clusters to visit, their best by scan code, and the best of those by second code.
//!
//! How far to look is the segment's calibration's to say. Where what counts lies far from the query, more clusters are visited, until as
//! large a share of it was seen as would be of everything. With a filter, [`filtered`](super::filtered) decides.

use std::{cmp::Ordering, sync::Arc};

use pinyon_model::{Result, SearchPlan};
use roaring::RoaringBitmap;

use super::{
    Counted, Run,
    bases::Bases,
    nearest::{Ranked, leave_best, once_each},
};
use crate::segment::{CodeQuery, Codes, SegmentReader};

/// A vector and what its score comes to by its codes; higher is better, and over segments of one namespace they compare.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Estimate {
    pub(super) estimate: f32,
    pub(super) ordinal: u32,
}

/// Orders estimates, better first; of equal ones the lower ordinal, and so the lower id.
pub(super) fn better(a: &Estimate, b: &Estimate) -> Ordering {
    b.estimate.total_cmp(&a.estimate).then(a.ordinal.cmp(&b.ordinal))
}

/// How many vectors are scored exactly at first to find the best `top_k`. Where what they tell of the estimates says that others may
/// be among the best, those are scored too.
pub(super) fn reread(top_k: usize) -> usize {
    top_k + (top_k / 10).max(3)
}

/// How many times as many estimates are kept, for when estimates turn out to be far off.
const RESERVE: usize = 8;
/// When more than this many vectors, and an eighth of what matches, would be scored exactly, all of what matches is.
const REREAD_MAX: usize = 4_096;
/// Clusters that are visited in the order of their nearness.
pub(super) const NEAREST_FIRST: usize = 16;
/// Live rows that are looked up to learn where in the clusters they lie.
const SAMPLES: u64 = 256;
/// When fewer matching rows than chance explains lie in the nearest clusters, by so many deviations, more clusters are visited and more is
/// kept of them; at most so many times more.
pub(super) const DEVIATIONS: f64 = 2.0;
pub(super) const STRAIN_MAX: f64 = 16.0;
/// From this share of live rows on they are taken to lie where all rows do.
const EVERYWHERE: f64 = 0.95;

impl Run {
    /// The codes to search a segment by, if it has any and this query can use them.
    pub(super) async fn codes(&self, reader: &Arc<SegmentReader>) -> Result<Option<Arc<Codes>>> {
        let fit = !self.search.effort.exact && self.search.query.sparse().is_none() && self.search.query.can_use_codes();
        if fit { reader.codes().await } else { Ok(None) }
    }

    /// The best of a segment by its codes, `rows` being how many of its rows count; none if all of these should be scored instead.
    pub(super) fn estimate(&self, at: usize, reader: &SegmentReader, codes: &Codes, counted: &Counted, rows: u64) -> Option<Vec<Estimate>> {
        let matching = matching(reader, codes, counted, rows);
        let reread = reread(self.search.top_k);
        if reread as u64 >= matching || reread > REREAD_MAX && reread as u64 * 8 > matching {
            return None;
        }
        let began = self.now_us();
        let rotated = self.search.query.rotated(codes.rotation());
        let query = CodeQuery::new(self.search.query.kernels(), codes, &rotated);
        let bases = Bases::new(&query, codes);
        let mut walk = Walk { reader, codes, dead: &counted.dead, query, bases, visited: self.is_recorded().then_some((0, 0)) };
        let found = match &counted.selection {
            Some(selection) => self.filtered(&mut walk, selection.places(reader, codes), matching),
            None => self.unfiltered(&mut walk, matching),
        };
        let scanned = self.now_us();
        let asked = found.slots.len() as u64;
        let estimates = walk.second(found.slots, reread * RESERVE);
        let ended = self.now_us();
        self.note(at, |source| {
            source.plan = found.plan;
            source.clusters = u64::from(codes.clusters());
            (source.clusters_visited, source.scan_codes) = walk.visited.unwrap_or_default();
            (source.pool, source.second_codes) = (found.pool as u64, asked);
            let ranked = found.ranked_us;
            (source.clusters_us, source.scan_us, source.second_us) = (ranked - began, scanned - ranked, ended - scanned);
        });
        Some(estimates)
    }

    fn unfiltered(&self, walk: &mut Walk<'_>, matching: u64) -> Narrowed {
        let codes = walk.codes;
        let share = matching as f64 / f64::from(codes.vectors());
        let (clusters, _) = codes.head().effort(self.search.top_k as f64 / share);
        let (_, pool) = codes.head().effort(self.search.top_k as f64);
        let clusters = self.clusters(codes, clusters);
        let pool = self.pool(pool);
        let (clusters, pool) = walk.strained(clusters, pool, share);
        let order = walk.order(clusters);
        let ranked_us = self.now_us();
        let slots = walk.scan(order, matching, pool, pool.max(2 * reread(self.search.top_k)));
        Narrowed { plan: SearchPlan::Walk, pool, slots, ranked_us }
    }

    /// So many clusters, times the effort that is asked for.
    pub(super) fn clusters(&self, codes: &Codes, calibrated: f64) -> usize {
        ((calibrated * self.search.effort.factor).ceil() as usize).clamp(1, codes.clusters() as usize)
    }

    /// A pool of so many, times the effort that is asked for.
    pub(super) fn pool(&self, calibrated: f64) -> usize {
        let pool = (calibrated * self.search.effort.factor).ceil() as usize;
        pool.min(self.search.effort.pool_max).max(reread(self.search.top_k))
    }
}

/// What is left for the second codes.
pub(super) struct Narrowed {
    pub(super) plan: SearchPlan,
    /// How many may come from scan codes.
    pub(super) pool: usize,
    pub(super) slots: Vec<u32>,
    /// When the clusters were ranked.
    pub(super) ranked_us: u64,
}

/// How many vectors count, of so many rows.
fn matching(reader: &SegmentReader, codes: &Codes, counted: &Counted, rows: u64) -> u64 {
    match &counted.selection {
        None => u64::from(codes.vectors()).saturating_sub(counted.dead.len()),
        Some(_) if codes.vectors() == reader.rows() => rows,
        Some(selection) if counted.dead.is_empty() => u64::from(selection.places(reader, codes).vectors()),
        Some(selection) => reader.dense().ordinals(&(&**selection.rows() - &*counted.dead)).len() as u64,
    }
}

/// One search of one segment's codes.
pub(super) struct Walk<'a> {
    pub(super) reader: &'a SegmentReader,
    pub(super) codes: &'a Codes,
    pub(super) dead: &'a RoaringBitmap,
    pub(super) query: CodeQuery,
    pub(super) bases: Bases,
    /// Clusters that were visited, and their codes, when somebody wants to know.
    pub(super) visited: Option<(u64, u64)>,
}

impl Walk<'_> {
    /// How many clusters to visit, and how much to keep of them, if so many would do were all vectors to count; `share` of them do.
    fn strained(&mut self, clusters: usize, pool: usize, share: f64) -> (usize, usize) {
        if share >= EVERYWHERE {
            return (clusters, pool);
        }
        self.bases.roughly(&self.query, self.codes);
        let sampled = self.sampled(share);
        let strain = self.strain(clusters, &sampled);
        let clusters = ((clusters as f64 * strain) as usize).min(self.bases.all().len());
        (self.as_much_of(clusters, sampled), (pool as f64 * strain) as usize)
    }

    /// The nearest clusters in the order in which to visit them: the nearest few raise the floor, the rest come as they lie in memory, which
    /// reads ahead.
    fn order(&mut self, clusters: usize) -> Vec<u32> {
        let mut ranked = self.bases.nearest(&self.query, self.codes, clusters);
        let first = ranked.len().min(NEAREST_FIRST);
        if first < ranked.len() {
            ranked.select_nth_unstable(first);
        }
        ranked[..first].sort_unstable();
        let mut order: Vec<u32> = ranked.into_iter().map(Ranked::number).collect();
        order[first..].sort_unstable();
        order
    }

    /// The slots of the best `pool` by scan code in these clusters, ascending, out of the best `kept` places, of which a slot may have two;
    /// fewer than half as many only if no more match.
    fn scan(&mut self, mut order: Vec<u32>, matching: u64, pool: usize, kept: usize) -> Vec<u32> {
        let mut found: Vec<Ranked> = Vec::with_capacity(2 * kept + 256);
        let (mut floor, mut hits) = (f32::NEG_INFINITY, Vec::new());
        for (at, cluster) in order.iter().enumerate() {
            self.visit(*cluster, order.get(at + 1).copied(), floor, &mut hits, &mut found);
            if found.len() >= 2 * kept + 32 {
                floor = leave_best(&mut found, kept).unwrap_or(floor);
            }
        }
        let wanted = pool.min(usize::try_from(matching).unwrap_or(usize::MAX));
        if floor == f32::NEG_INFINITY {
            once_each(&mut found);
            if found.len() < wanted {
                self.go_on(&mut order, wanted, &mut found);
            }
        }
        if let Some(visited) = &mut self.visited {
            *visited = (order.len() as u64, order.iter().map(|cluster| self.codes.places(*cluster).len() as u64).sum());
        }
        leave_best(&mut found, kept);
        once_each(&mut found);
        leave_best(&mut found, pool);
        let mut slots: Vec<u32> = found.into_iter().map(Ranked::number).collect();
        slots.sort_unstable();
        slots
    }

    /// Scans a cluster before another, and adds what is live of it and not below `floor`.
    fn visit(&self, cluster: u32, next: Option<u32>, floor: f32, hits: &mut Vec<(u32, f32)>, found: &mut Vec<Ranked>) {
        hits.clear();
        self.query.scan_before(next, self.codes, cluster, self.bases.of(cluster), floor, hits);
        let ranked = hits.iter().map(|(place, estimate)| Ranked::new(self.codes.slot_at(cluster, *place), *estimate));
        match self.dead.is_empty() {
            true => found.extend(ranked),
            false => found.extend(ranked.filter(|one| self.is_live(one.number()))),
        }
    }

    /// Visits the other clusters, nearest first, until enough was found: most of what is near may be dead.
    fn go_on(&mut self, order: &mut Vec<u32>, wanted: usize, found: &mut Vec<Ranked>) {
        let mut left = vec![true; self.codes.clusters() as usize];
        order.iter().for_each(|cluster| left[*cluster as usize] = false);
        let rest = || self.codes.all_centers().iter().copied().filter(|cluster| left[*cluster as usize]);
        self.bases.ensure(&self.query, self.codes, rest());
        let mut rest: Vec<Ranked> = rest().map(|cluster| Ranked::new(cluster, self.bases.of(cluster))).collect();
        rest.sort_unstable();
        let mut hits = Vec::new();
        for cluster in rest.into_iter().map(Ranked::number) {
            if found.len() >= wanted {
                once_each(found);
                if found.len() >= wanted {
                    break;
                }
            }
            self.visit(cluster, None, f32::NEG_INFINITY, &mut hits, found);
            order.push(cluster);
        }
        once_each(found);
    }

    /// Whether the row of a slot is not dead.
    pub(super) fn is_live(&self, slot: u32) -> bool {
        !self.dead.contains(self.reader.dense().row(self.codes.ordinal(slot)))
    }

    /// How many clusters to visit to see as large a share of what counts as `clusters` would hold of everything.
    fn as_much_of(&self, clusters: usize, mut sampled: Vec<f32>) -> usize {
        if sampled.is_empty() {
            return clusters;
        }
        let visited = clusters as f64 / self.bases.all().len() as f64;
        let at = ((sampled.len() as f64 * visited).ceil() as usize).clamp(1, sampled.len());
        let (_, least, _) = sampled.select_nth_unstable_by(at - 1, |a, b| b.total_cmp(a));
        clusters.max(self.bases.at_least(*least))
    }

    /// How much harder than calibrated it is to look: rows that all lie far from the query differ less from each other than the near ones
    /// do, in proportion to how far estimates are off. Told by how many fewer of what counts lie in the nearest clusters.
    fn strain(&self, clusters: usize, sampled: &[f32]) -> f64 {
        if sampled.is_empty() {
            return 1.0;
        }
        // Enough of them to tell chance from more.
        let mut bases = self.bases.all().to_vec();
        let clusters = clusters.max(bases.len() / 16);
        let least = *bases.select_nth_unstable_by(clusters - 1, |a, b| b.total_cmp(a)).1;
        let near = sampled.iter().filter(|base| **base >= least).count();
        let expected = sampled.len() as f64 * clusters as f64 / bases.len() as f64;
        let (near, chance) = (near as f64, expected.sqrt());
        if near > expected - DEVIATIONS * chance { 1.0 } else { (expected / near.max(0.25)).powi(2).min(STRAIN_MAX) }
    }

    /// The bases of the clusters that some live rows lie in, spread over all of them.
    fn sampled(&self, share: f64) -> Vec<f32> {
        let (rows, tries) = (u64::from(self.reader.rows()), (SAMPLES as f64 / share.max(1.0 / 64.0)) as u64);
        let tries = rows.min(tries);
        let live = (0..tries).map(|n| (n * rows / tries) as u32).filter(|row| !self.dead.contains(*row));
        let ordinals = live.filter_map(|row| self.reader.dense().ordinal(row));
        let slots = self.codes.slot_of();
        ordinals.map(|ordinal| self.bases.of(self.codes.cluster_of(slots[ordinal as usize]))).collect()
    }

    /// The best `count` of these slots by second code.
    fn second(&mut self, slots: Vec<u32>, count: usize) -> Vec<Estimate> {
        self.bases.ensure(&self.query, self.codes, slots.iter().map(|slot| self.codes.cluster_of(*slot)));
        let mut estimates: Vec<f32> = slots.iter().map(|slot| self.bases.of(self.codes.cluster_of(*slot))).collect();
        self.query.second(self.codes, &slots, &mut estimates);
        let mut best: Vec<Ranked> = Vec::with_capacity(slots.len().min(2 * count + 32));
        let mut floor = f32::NEG_INFINITY;
        for (slot, estimate) in slots.into_iter().zip(estimates).filter(|(_, estimate)| !estimate.is_nan()) {
            if estimate >= floor {
                best.push(Ranked::new(slot, estimate));
                if best.len() >= 2 * count + 32 {
                    floor = leave_best(&mut best, count).unwrap_or(floor);
                }
            }
        }
        leave_best(&mut best, count);
        let unit = self.query.unit();
        best.into_iter().map(|one| Estimate { estimate: one.score() * unit, ordinal: self.codes.ordinal(one.number()) }).collect()
    }
}

//! Dense search of a segment by its codes: which clusters to visit, their best by scan code, and the best of those by second code.
//!
//! How far to look is the segment's calibration's to say. Where what counts lies far from the query, more clusters are visited, until as
//! large a share of it was seen as would be of everything. With a filter, [`filtered`](super::filtered) decides.

use std::{cmp::Ordering, sync::Arc};

use pinyon_model::{Result, SearchPlan};
use roaring::RoaringBitmap;

use super::{Counted, Run};
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
        let mut walk = Walk { reader, codes, dead: &counted.dead, query, bases: Vec::new(), visited: self.is_recorded().then_some((0, 0)) };
        let found = match &counted.selection {
            Some(selection) => self.filtered(&mut walk, selection.slots(reader, codes), matching),
            None => self.unfiltered(&mut walk, matching),
        };
        let scanned = self.now_us();
        let asked = found.slots.len() as u64;
        let estimates = walk.second(found.slots, found.bases, reread * RESERVE);
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
        walk.query.bases(codes, &mut walk.bases);
        let ranked_us = self.now_us();
        let share = matching as f64 / f64::from(codes.vectors());
        let (clusters, _) = codes.head().effort(self.search.top_k as f64 / share);
        let (_, pool) = codes.head().effort(self.search.top_k as f64);
        let clusters = self.clusters(codes, clusters);
        let pool = self.pool(pool);
        let slots = walk.scan(clusters, matching, pool);
        let bases = slots.iter().map(|slot| walk.base_of(*slot)).collect();
        Narrowed { plan: SearchPlan::Walk, pool, slots, bases, ranked_us }
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
    /// The bases of their clusters.
    pub(super) bases: Vec<f32>,
    /// When the clusters were ranked.
    pub(super) ranked_us: u64,
}

/// How many vectors count, of so many rows.
fn matching(reader: &SegmentReader, codes: &Codes, counted: &Counted, rows: u64) -> u64 {
    match &counted.selection {
        None => u64::from(codes.vectors()).saturating_sub(counted.dead.len()),
        Some(_) if codes.vectors() == reader.rows() => rows,
        Some(selection) if counted.dead.is_empty() => u64::from(selection.slots(reader, codes).len()),
        Some(selection) => reader.dense().ordinals(&(&**selection.rows() - &*counted.dead)).len() as u64,
    }
}

/// One search of one segment's codes.
pub(super) struct Walk<'a> {
    pub(super) reader: &'a SegmentReader,
    pub(super) codes: &'a Codes,
    pub(super) dead: &'a RoaringBitmap,
    pub(super) query: CodeQuery,
    /// By cluster; negative infinity where it does not matter.
    pub(super) bases: Vec<f32>,
    /// Clusters that were visited, and their codes, when somebody wants to know.
    pub(super) visited: Option<(u64, u64)>,
}

impl Walk<'_> {
    /// The slots of the best `pool` by scan code in the nearest clusters; fewer only if no more match.
    fn scan(&mut self, clusters: usize, matching: u64, pool: usize) -> Vec<u32> {
        let share = matching as f64 / f64::from(self.codes.vectors());
        let sampled = if share < EVERYWHERE { self.sampled(share) } else { Vec::new() };
        let strain = self.strain(clusters, &sampled);
        let clusters = ((clusters as f64 * strain) as usize).min(self.bases.len());
        let pool = (pool as f64 * strain) as usize;
        let (near, least) = self.bounds(clusters, sampled);
        let at_least = |c: &u32| self.bases[*c as usize] >= least;
        // The nearest raise the floor; the rest are visited as they lie in memory, which reads ahead.
        let (mut order, rest): (Vec<u32>, Vec<u32>) =
            self.codes.all_centers().iter().copied().filter(at_least).partition(|c| self.bases[*c as usize] >= near);
        order.sort_unstable_by(|a, b| self.bases[*b as usize].total_cmp(&self.bases[*a as usize]));
        order.extend(rest);
        let mut found: Vec<(u32, f32)> = Vec::with_capacity(4 * pool + 64);
        let mut floor = f32::NEG_INFINITY;
        for (at, cluster) in order.iter().copied().enumerate() {
            let before = found.len();
            if let Some(next) = order.get(at + 1) {
                self.query.prefetch(self.codes, *next);
            }
            self.query.scan(self.codes, cluster, self.bases[cluster as usize], floor, &mut found);
            self.drop_dead(&mut found, before);
            if found.len() >= 2 * pool + 32 {
                floor = self.cut(&mut found, pool);
            }
        }
        let wanted = pool.min(usize::try_from(matching).unwrap_or(usize::MAX));
        if found.len() < wanted {
            self.go_on(&mut order, least, wanted, &mut found);
        }
        if let Some(visited) = &mut self.visited {
            *visited = (order.len() as u64, order.iter().map(|cluster| self.codes.slots(*cluster).len() as u64).sum());
        }
        self.cut(&mut found, pool);
        found.into_iter().map(|(slot, _)| slot).collect()
    }

    /// Visits the clusters below `least`, nearest first, until enough was found: most of what is near may be dead or not match.
    fn go_on(&self, order: &mut Vec<u32>, least: f32, wanted: usize, found: &mut Vec<(u32, f32)>) {
        let base = |cluster: u32| self.bases[cluster as usize];
        let mut rest: Vec<u32> = self.codes.all_centers().iter().copied().filter(|cluster| base(*cluster) < least).collect();
        rest.sort_unstable_by(|a, b| base(*b).total_cmp(&base(*a)));
        for cluster in rest {
            if found.len() >= wanted {
                break;
            }
            let before = found.len();
            self.query.scan(self.codes, cluster, base(cluster), f32::NEG_INFINITY, found);
            self.drop_dead(found, before);
            order.push(cluster);
        }
    }

    pub(super) fn drop_dead(&self, found: &mut Vec<(u32, f32)>, from: usize) {
        if self.dead.is_empty() {
            return;
        }
        let mut kept = from;
        for at in from..found.len() {
            if self.is_live(found[at].0) {
                found[kept] = found[at];
                kept += 1;
            }
        }
        found.truncate(kept);
    }

    /// Whether the row of a slot is not dead.
    pub(super) fn is_live(&self, slot: u32) -> bool {
        !self.dead.contains(self.reader.dense().row(self.codes.ordinal(slot)))
    }

    /// Leaves the best `pool`; what is below the result has no chance any more.
    pub(super) fn cut(&self, found: &mut Vec<(u32, f32)>, pool: usize) -> f32 {
        if found.len() <= pool {
            return f32::NEG_INFINITY;
        }
        let order =
            |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then_with(|| self.codes.ordinal(a.0).cmp(&self.codes.ordinal(b.0)));
        let (_, last, _) = found.select_nth_unstable_by(pool - 1, order);
        let floor = last.1;
        found.truncate(pool);
        floor
    }

    /// The bases that a cluster must have to be visited first, and to be visited at all.
    fn bounds(&self, clusters: usize, mut sampled: Vec<f32>) -> (f32, f32) {
        let mut bases = self.bases.clone();
        let nth = |bases: &mut [f32], n: usize| *bases.select_nth_unstable_by(n - 1, |a, b| b.total_cmp(a)).1;
        let least = nth(&mut bases, clusters);
        let near = nth(&mut bases[..clusters], clusters.min(NEAREST_FIRST));
        if sampled.is_empty() {
            return (near, least);
        }
        // As large a share of what counts is to be seen as of everything.
        let visited = clusters as f64 / self.bases.len() as f64;
        let at = ((sampled.len() as f64 * visited).ceil() as usize).clamp(1, sampled.len());
        (near, least.min(nth(&mut sampled, at)))
    }

    /// How much harder than calibrated it is to look: rows that all lie far from the query differ less from each other than the near ones
    /// do, in proportion to how far estimates are off. Told by how many fewer of what counts lie in the nearest clusters.
    fn strain(&self, clusters: usize, sampled: &[f32]) -> f64 {
        if sampled.is_empty() {
            return 1.0;
        }
        // Enough of them to tell chance from more.
        let clusters = clusters.max(self.bases.len() / 16);
        let mut bases = self.bases.clone();
        let least = *bases.select_nth_unstable_by(clusters - 1, |a, b| b.total_cmp(a)).1;
        let near = sampled.iter().filter(|base| **base >= least).count();
        let expected = sampled.len() as f64 * clusters as f64 / self.bases.len() as f64;
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
        ordinals.map(|ordinal| self.bases[self.codes.cluster_of(slots[ordinal as usize]) as usize]).collect()
    }

    /// The base of the cluster of a slot.
    pub(super) fn base_of(&self, slot: u32) -> f32 {
        self.bases[self.codes.cluster_of(slot) as usize]
    }

    /// The best `count` of these slots by second code; `estimates` are the bases of their clusters.
    fn second(&self, slots: Vec<u32>, mut estimates: Vec<f32>, count: usize) -> Vec<Estimate> {
        self.query.second(self.codes, &slots, &mut estimates);
        let mut best: Vec<(u32, f32)> = Vec::with_capacity(slots.len().min(2 * count + 32));
        let mut floor = f32::NEG_INFINITY;
        for one in slots.into_iter().zip(estimates).filter(|(_, estimate)| !estimate.is_nan()) {
            if one.1 >= floor {
                best.push(one);
                if best.len() >= 2 * count + 32 {
                    floor = self.cut(&mut best, count);
                }
            }
        }
        self.cut(&mut best, count);
        let unit = self.query.unit();
        best.into_iter().map(|(slot, estimate)| Estimate { estimate: estimate * unit, ordinal: self.codes.ordinal(slot) }).collect()
    }
}

//! How near the clusters of a segment are to a query: of many, all are told apart by scan codes of their centers, and only those that may be
//! among the nearest by the 8 bits that estimates are made of.

use super::nearest::{Ranked, leave_best};
use crate::segment::{CodeQuery, Codes};

/// Up to so many clusters are ranked by 8 bits outright.
const RANKED_OUTRIGHT: usize = 512;
/// For so many nearest clusters by 8 bits, so many at most are ranked that are the nearest by scan code: nearly all of the nearest are among
/// them.
const SHORTLIST: f64 = 4.5;
const SHORTLIST_LEAST: usize = 32;
/// How many of them are ranked in any case, by which the others are judged.
const RANKED_FIRST: f64 = 1.5;
const RANKED_FIRST_LEAST: usize = 16;
/// The others are ranked down to so many deviations of scan codes below the last of the nearest: 98 or 99 in 100 of the nearest are found.
const DEVIATIONS: f32 = 1.25;

/// The base of every cluster: the estimate of a member is this and what its own codes add. Greater is nearer.
pub(super) struct Bases {
    /// By cluster.
    of: Vec<f32>,
    /// Whether it is what 8 bits say.
    sure: Vec<bool>,
    /// Whether something is known of all of them.
    all_known: bool,
    /// Room for what is asked at once.
    asked: Vec<f32>,
}

impl Bases {
    /// Nothing is known yet of many clusters, and all of few.
    pub(super) fn new(query: &CodeQuery, codes: &Codes) -> Self {
        let clusters = codes.clusters() as usize;
        let mut bases = Self { of: vec![f32::NEG_INFINITY; clusters], sure: vec![false; clusters], all_known: false, asked: Vec::new() };
        if clusters <= RANKED_OUTRIGHT {
            bases.ensure(query, codes, 0..clusters as u32);
            bases.all_known = true;
        }
        bases
    }

    /// Asks for the bases of all clusters, as far as nothing is known of them: not sure ones.
    pub(super) fn roughly(&mut self, query: &CodeQuery, codes: &Codes) {
        if !std::mem::replace(&mut self.all_known, true) {
            for (cluster, base) in query.rough_bases(codes, self.of.len()) {
                if !self.sure[cluster as usize] {
                    self.of[cluster as usize] = base;
                }
            }
        }
    }

    /// The bases, sure and unsure; those of clusters that nothing is known of are -inf.
    pub(super) fn all(&self) -> &[f32] {
        &self.of
    }

    pub(super) fn of(&self, cluster: u32) -> f32 {
        self.of[cluster as usize]
    }

    /// How many clusters have at least this base.
    pub(super) fn at_least(&self, base: f32) -> usize {
        self.of.iter().filter(|other| **other >= base).count()
    }

    /// The nearest `count` clusters, in no order; their bases are sure then.
    pub(super) fn nearest(&mut self, query: &CodeQuery, codes: &Codes, count: usize) -> Vec<Ranked> {
        let listed = SHORTLIST_LEAST + (count as f64 * SHORTLIST) as usize;
        let mut ranked: Vec<Ranked> = match self.all_known {
            true => (0..).zip(&self.of).map(|(cluster, base)| Ranked::new(cluster, *base)).collect(),
            false => query.rough_bases(codes, listed).into_iter().map(|(cluster, base)| Ranked::new(cluster, base)).collect(),
        };
        if self.of.len() > RANKED_OUTRIGHT {
            leave_best(&mut ranked, listed);
            self.sure_nearest(query, codes, &mut ranked, count);
        }
        leave_best(&mut ranked, count);
        ranked
    }

    /// Leaves of clusters that are ranked roughly those that may be among the nearest `count`, ranked by 8 bits.
    fn sure_nearest(&mut self, query: &CodeQuery, codes: &Codes, ranked: &mut Vec<Ranked>, count: usize) {
        let first = RANKED_FIRST_LEAST + (count as f64 * RANKED_FIRST) as usize;
        let mut rest = Vec::new();
        if first < ranked.len() {
            ranked.select_nth_unstable(first);
            rest = ranked.split_off(first);
        }
        let off_squared = self.make_sure(query, codes, ranked);
        if let Some(last) = count.checked_sub(1).filter(|last| *last < ranked.len()) {
            let least = ranked.select_nth_unstable(last).1.score() - DEVIATIONS * (off_squared / ranked.len() as f32).sqrt();
            rest.retain(|one| one.score() >= least);
        }
        self.make_sure(query, codes, &mut rest);
        ranked.append(&mut rest);
    }

    /// Ranks clusters by 8 bits; the sum of the squares of what they were off before.
    fn make_sure(&mut self, query: &CodeQuery, codes: &Codes, ranked: &mut [Ranked]) -> f32 {
        self.ensure(query, codes, ranked.iter().map(|one| one.number()));
        let sure = |one: &mut Ranked| {
            let (rough, base) = (one.score(), self.of(one.number()));
            *one = Ranked::new(one.number(), base);
            (base - rough).powi(2)
        };
        ranked.iter_mut().map(sure).sum()
    }

    /// Makes sure of the bases of these clusters.
    pub(super) fn ensure(&mut self, query: &CodeQuery, codes: &Codes, clusters: impl Iterator<Item = u32>) {
        let sure = &mut self.sure;
        let unsure: Vec<u32> = clusters.filter(|cluster| !std::mem::replace(&mut sure[*cluster as usize], true)).collect();
        query.bases(codes, &unsure, &mut self.asked);
        unsure.iter().zip(&self.asked).for_each(|(cluster, base)| self.of[*cluster as usize] = *base);
    }
}

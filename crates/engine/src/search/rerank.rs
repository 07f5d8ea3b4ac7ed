//! Exact scores for the best estimates: one batched read in each segment.
//!
//! What the first of them score tells how far estimates are off for this query; when that is so much that others may yet be among the
//! best, these are read too. So a query that the codes serve badly, because all that matches is far away or lies close together, costs
//! more, and no other does.

use std::sync::Arc;

use pinyon_model::Result;

use super::{
    Found, Run, Source,
    coded::{self, Estimate},
    top_k::{ByRow, Candidate, TopK},
};
use crate::segment::SegmentReader;

/// Vectors that are read and scored together.
const AT_ONCE: usize = 512;
/// How many times their deviation estimates may be too low without being given up.
const DEVIATIONS: f64 = 2.0;
/// Times that more may be read.
const ROUNDS: usize = 3;

/// What was scored of one search.
struct Scored {
    /// Ranks, best first, and where they are.
    ranks: Vec<(f32, usize, u32)>,
    /// The sum of the squares of what estimates were off.
    off_squared: f64,
}

impl Scored {
    /// Down to which estimate a vector may be among the best `k`.
    fn least(&self, k: usize, estimate: impl Fn(f32) -> f32) -> f32 {
        let Some((kth, ..)) = k.checked_sub(1).and_then(|at| self.ranks.get(at)) else { return f32::NEG_INFINITY };
        let deviation = (self.off_squared / self.ranks.len() as f64).sqrt();
        (f64::from(estimate(*kth)) - DEVIATIONS * deviation) as f32
    }
}

impl Run {
    /// The best rows of each source: of those that gave estimates, the ones that are best by estimate over all of them, scored exactly.
    pub(super) async fn exact(&self, sources: &[Source], found: Vec<Found>) -> Result<Vec<Vec<Candidate>>> {
        let mut best: Vec<Vec<Candidate>> = Vec::with_capacity(sources.len());
        let mut estimates: Vec<(usize, Estimate)> = Vec::new();
        for (source, found) in found.into_iter().enumerate() {
            best.push(match found {
                Found::Exact(candidates) => candidates,
                Found::Estimated(some) => {
                    estimates.extend(some.into_iter().map(|estimate| (source, estimate)));
                    Vec::new()
                }
            });
        }
        estimates.sort_unstable_by(|a, b| coded::better(&a.1, &b.1).then(a.0.cmp(&b.0)));
        let mut scored = Scored { ranks: Vec::new(), off_squared: 0.0 };
        let mut rest = &mut estimates[..];
        let mut next = coded::reread(self.search.top_k);
        for _ in 0..=ROUNDS {
            let (now, later) = rest.split_at_mut(next.min(rest.len()));
            now.sort_unstable_by_key(|(source, estimate)| (*source, estimate.ordinal));
            for one in now.chunk_by(|a, b| a.0 == b.0) {
                if let Source::Segment { reader, .. } = &sources[one[0].0] {
                    let began = self.now_us();
                    self.score(reader, one, &mut scored).await?;
                    let ended = self.now_us();
                    self.note(one[0].0, |source| {
                        source.exact_rows += one.len() as u64;
                        source.exact_us += ended - began;
                    });
                }
            }
            scored.ranks.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
            let least = scored.least(self.search.top_k, |rank| self.search.query.estimate_of(rank));
            rest = later;
            next = rest.partition_point(|(_, estimate)| estimate.estimate >= least);
            if next == 0 {
                break;
            }
        }
        let mut found: Vec<Vec<Candidate>> = sources.iter().map(|_| Vec::new()).collect();
        scored.ranks.into_iter().for_each(|(rank, source, row)| found[source].push(Candidate { rank, row }));
        for (best, found) in best.iter_mut().zip(found).filter(|(_, found)| !found.is_empty()) {
            let mut top = TopK::new(self.search.top_k, ByRow, &self.floor);
            found.into_iter().for_each(|candidate| top.push(candidate.rank, candidate.row));
            *best = top.finish();
        }
        Ok(best)
    }

    /// Scores these vectors of one segment, which ascend.
    async fn score(&self, reader: &Arc<SegmentReader>, estimates: &[(usize, Estimate)], scored: &mut Scored) -> Result<()> {
        let query = &*self.search.query;
        for estimates in estimates.chunks(AT_ONCE) {
            let ordinals: Vec<u32> = estimates.iter().map(|(_, estimate)| estimate.ordinal).collect();
            let score = |at: usize, values: &[f32], norm: f64| {
                let (source, estimate) = &estimates[at];
                let Some(score) = query.score_row(values, || norm) else { return };
                let rank = query.rank(score);
                scored.off_squared += f64::from(query.estimate_of(rank) - estimate.estimate).powi(2);
                scored.ranks.push((rank, *source, reader.dense().row(estimate.ordinal)));
            };
            reader.single_vectors(query.kernels(), &ordinals, score).await?;
        }
        Ok(())
    }
}

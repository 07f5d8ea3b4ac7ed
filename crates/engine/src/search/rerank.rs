//! Exact scores for the best estimates: one batched read in each segment.

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
        let reread = coded::reread(self.search.top_k);
        if estimates.len() > reread {
            let order = |a: &(usize, Estimate), b: &(usize, Estimate)| coded::better(&a.1, &b.1).then(a.0.cmp(&b.0));
            estimates.select_nth_unstable_by(reread - 1, order);
            estimates.truncate(reread);
        }
        estimates.sort_unstable_by_key(|(source, estimate)| (*source, estimate.ordinal));
        for one in estimates.chunk_by(|a, b| a.0 == b.0) {
            if let Source::Segment { reader, .. } = &sources[one[0].0] {
                let ordinals: Vec<u32> = one.iter().map(|(_, estimate)| estimate.ordinal).collect();
                let began = self.now_us();
                best[one[0].0] = self.score(reader, &ordinals).await?;
                let ended = self.now_us();
                self.note(one[0].0, |source| (source.exact_rows, source.exact_us) = (ordinals.len() as u64, ended - began));
            }
        }
        Ok(best)
    }

    /// The best of these vectors, which ascend, by exact score.
    async fn score(&self, reader: &Arc<SegmentReader>, ordinals: &[u32]) -> Result<Vec<Candidate>> {
        let mut top = TopK::new(self.search.top_k, ByRow, &self.floor);
        let mut scores = Vec::new();
        for ordinals in ordinals.chunks(AT_ONCE) {
            for stretch in reader.vectors(ordinals).await? {
                self.search.query.score_dense(&stretch.values(), None, &mut scores);
                for (ordinal, score) in (stretch.first..).zip(&scores) {
                    top.push(self.search.query.rank(*score), reader.dense().row(ordinal));
                }
            }
        }
        Ok(top.finish())
    }
}

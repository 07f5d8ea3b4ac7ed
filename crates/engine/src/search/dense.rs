//! Dense and hybrid search of a segment: score every vector that counts.
//!
//! Blocks in which many rows count are scored whole, straight from the cache; of the others only the rows that count are
//! read and scored.

use std::sync::Arc;

use pinyon_model::Result;

use super::{
    Allowed, Run, Search,
    steps::Steps,
    top_k::{ByRow, Candidate, Floor, TopK},
};
use crate::segment::{DenseBlock, Fetched, SegmentReader, Stretch, rows_per_block};

/// Blocks that one step scores: about 4 MiB, half a millisecond.
const BLOCKS_PER_STEP: usize = 4;
/// Bytes of vectors that a step of a replay reads and scores: it may take its time, and must not take memory from live queries.
const EXACT_STEP_BYTES: usize = 256 << 10;
/// A block is scored whole when at least one in this many of its rows counts.
const WHOLE_FROM_ONE_IN: u32 = 8;

/// What steps over one segment have in common.
struct Scan {
    reader: Arc<SegmentReader>,
    allowed: Allowed,
    search: Search,
    floor: Arc<Floor>,
    /// The sparse part of each row's score, in a hybrid search.
    sparse: Option<Vec<f64>>,
}

impl Run {
    pub(super) async fn dense(&self, reader: &Arc<SegmentReader>, allowed: Allowed) -> Result<Vec<Candidate>> {
        let (whole, single) = if self.search.effort.exact { (Vec::new(), all(reader, &allowed)) } else { plan(reader, &allowed) };
        let sparse = match self.search.query.sparse() {
            Some(_) if reader.groups() > 0 => Some(self.sparse_scores(reader).await?),
            _ => None,
        };
        let (reader, floor) = (Arc::clone(reader), Arc::clone(&self.floor));
        let scan = Arc::new(Scan { reader, allowed, search: self.search.clone(), floor, sparse });
        let mut steps = Steps::new(self);
        for blocks in whole.chunks(BLOCKS_PER_STEP) {
            let fetched = scan.reader.fetch::<DenseBlock>(blocks).await?;
            let heavy = fetched.iter().any(Fetched::is_stored);
            let (scan, blocks) = (Arc::clone(&scan), blocks.to_vec());
            steps.begin(self, heavy, move || scan.score_blocks(&blocks, fetched)).await?;
        }
        let each = match self.search.effort.exact {
            true => EXACT_STEP_BYTES / (scan.reader.dense().vector_len() as usize).max(1),
            false => rows_per_block(scan.reader.dense().dimension) as usize * BLOCKS_PER_STEP,
        };
        for ordinals in single.chunks(each.max(1)) {
            let stretches = scan.reader.vectors(ordinals).await?;
            let scan = Arc::clone(&scan);
            steps.begin(self, true, move || Ok(scan.score_stretches(&stretches))).await?;
        }
        let found = steps.finish().await?;
        self.best_rows(found).await
    }
}

/// Every vector that counts: read alone, so that the cache keeps what live queries need.
fn all(reader: &SegmentReader, allowed: &Allowed) -> Vec<u32> {
    let layout = reader.dense();
    match allowed {
        Allowed::Except(dead) => (0..layout.count).filter(|ordinal| !dead.contains(layout.row(*ordinal))).collect(),
        Allowed::Only(rows) => layout.ordinals(rows),
    }
}

/// Which blocks to score whole, and which vectors of other blocks to score.
fn plan(reader: &SegmentReader, allowed: &Allowed) -> (Vec<u32>, Vec<u32>) {
    let layout = reader.dense();
    let each = rows_per_block(layout.dimension);
    let Allowed::Only(rows) = allowed else { return ((0..layout.count.div_ceil(each)).collect(), Vec::new()) };
    let (mut whole, mut single) = (Vec::new(), Vec::new());
    for ordinals in layout.ordinals(rows).chunk_by(|a, b| a / each == b / each) {
        let block = ordinals[0] / each;
        let (_, count) = layout.block(block);
        if ordinals.len() as u32 >= count.div_ceil(WHOLE_FROM_ONE_IN) {
            whole.push(block);
        } else {
            single.extend_from_slice(ordinals);
        }
    }
    (whole, single)
}

impl Scan {
    fn score_blocks(&self, blocks: &[u32], fetched: Vec<Fetched<DenseBlock>>) -> Result<Vec<Candidate>> {
        let mut top = TopK::new(self.search.top_k, ByRow, &self.floor);
        let mut scores = Vec::new();
        for (block, fetched) in blocks.iter().zip(fetched) {
            let decoded = self.reader.decode(fetched)?;
            let (first, _) = self.reader.dense().block(*block);
            self.search.query.score_dense(&decoded.values, Some(&decoded.norms), &mut scores);
            self.collect(first, &scores, &mut top);
        }
        Ok(top.finish())
    }

    fn score_stretches(&self, stretches: &[Stretch]) -> Vec<Candidate> {
        let mut top = TopK::new(self.search.top_k, ByRow, &self.floor);
        let mut scores = Vec::new();
        for stretch in stretches {
            self.search.query.score_dense(&stretch.values(), None, &mut scores);
            self.collect(stretch.first, &scores, &mut top);
        }
        top.finish()
    }

    /// Takes the scores of consecutive vectors, the first being `first`, into account.
    fn collect(&self, first: u32, scores: &[f64], top: &mut TopK<'_, ByRow>) {
        let layout = self.reader.dense();
        for (ordinal, score) in (first..).zip(scores) {
            let row = layout.row(ordinal);
            let sparse = self.sparse.as_ref().and_then(|s| s.get(row as usize)).copied().unwrap_or(0.0);
            let rank = self.search.query.rank(score + sparse);
            if rank >= top.least() && self.allowed.contains(row) {
                top.push(rank, row);
            }
        }
    }
}

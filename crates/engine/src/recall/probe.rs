//! The recall of one segment without live queries: vectors of its own, moved by noise, serve as queries, as does one of the two kinds
//! that it is calibrated by.

use std::sync::Arc;

use pinyon_model::{DenseVector, Dimension, Metric, RecordId, Result, VectorShape};
use roaring::RoaringBitmap;

use super::replay::both_ways;
use crate::{
    search::{Effort, PreparedQuery, Search, Source},
    segment::{Chance, SegmentReader},
    shared::Shared,
};

/// Queries that are tried in each segment.
const PROBES: usize = 8;
/// How many neighbours are looked for.
const TOP_K: usize = 10;
/// So that the same segment is asked the same every time.
const SEED: u64 = 0x7069_6e79_6f6e_0002;

/// The recall@10 of each probe; none in a segment without codes.
pub(crate) async fn probe(shared: &Shared, reader: &Arc<SegmentReader>, dead: &Arc<RoaringBitmap>) -> Result<Vec<f64>> {
    let Some(codes) = reader.codes().await? else { return Ok(Vec::new()) };
    let metric = codes.head().metric;
    let shape = VectorShape { dense: Some((Dimension::new(reader.dense().dimension as u32)?, metric)), sparse: false };
    let mut chance = Chance::new(SEED);
    let mut recalls = Vec::new();
    for (own, vector) in queries(reader, dead, metric, &mut chance).await? {
        let query = Arc::new(PreparedQuery::new(shared.kernels, &shape, Some(vector), None)?);
        let effort = Effort { factor: shared.settings.search_effort, ..Effort::default() };
        // One more, as the vector that the query was made from is no answer.
        let search = Search { query: Arc::clone(&query), filter: None, top_k: TOP_K + 1, effort };
        let source = Source::Segment { reader: Arc::clone(reader), dead: Arc::clone(dead) };
        if let Some(mut both) = both_ways(&shared.pool, &shared.clock, search, vec![source]).await? {
            [&mut both.found, &mut both.exact].into_iter().for_each(|hits| {
                hits.retain(|hit| hit.id != own);
                hits.truncate(TOP_K);
            });
            recalls.extend(both.recall(&query));
        }
    }
    Ok(recalls)
}

/// Live vectors with noise about as long as they are far from their mean, each with the id it was made from.
async fn queries(
    reader: &SegmentReader,
    dead: &RoaringBitmap,
    metric: Metric,
    chance: &mut Chance,
) -> Result<Vec<(RecordId, DenseVector)>> {
    let layout = reader.dense();
    let wanted = chance.sample(2 * PROBES, layout.count as usize);
    let mut vectors = Vec::new();
    for stretch in reader.vectors(&wanted).await? {
        for (ordinal, values) in (stretch.first..).zip(stretch.values().chunks_exact(layout.dimension)) {
            let row = layout.row(ordinal);
            if let Some(id) = reader.id(row).filter(|_| !dead.contains(row)) {
                vectors.push((id, scaled(values, metric)));
            }
        }
    }
    let mut queries = Vec::new();
    for (own, other) in vectors.iter().zip(vectors.iter().skip(1)).take(PROBES) {
        // Two vectors lie about √2 times as far from each other as from the mean.
        let apart = own.1.iter().zip(&other.1).map(|(a, b)| (a - b) * (a - b)).sum::<f32>() / 2.0;
        let noise = (apart / own.1.len() as f32).sqrt();
        let moved: Vec<f32> = own.1.iter().map(|value| value + noise * chance.normal()).collect();
        // One that is too large to be a query is none.
        if let Ok(vector) = DenseVector::new(moved) {
            queries.push((own.0.clone(), vector));
        }
    }
    Ok(queries)
}

/// The vector as its metric sees it.
fn scaled(values: &[f32], metric: Metric) -> Vec<f32> {
    let norm = values.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>().sqrt() as f32;
    match metric {
        Metric::Cosine if norm > 0.0 => values.iter().map(|value| value / norm).collect(),
        _ => values.to_vec(),
    }
}

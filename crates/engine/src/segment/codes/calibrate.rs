//! How many clusters to visit, and how many of their best by scan code to keep, for the recall aimed at.
//!
//! Vectors of the segment serve as queries, with noise: without it their neighbours are easier to find than those of true queries are.
//! Noise as long as 1.2 times the vector's distance from the mean asked for the effort that true queries did (RFC 0002).

use std::sync::{Mutex, PoisonError};

use pinyon_model::Metric;

use super::{chance::Chance, head::Calibrated, parallel, query::CodeQuery, resident::Codes, vectors::Vectors};

/// Queries that are tried.
const QUERIES: usize = 256;
/// The same in a segment of one cluster, where the pool alone is to be known.
const QUERIES_OF_ONE: usize = 64;
/// Queries that a thread takes at a time.
const AT_ONCE: usize = 32;
/// Length of the noise, in lengths of the vector.
const NOISE: f32 = 1.0;
/// The k that are measured, as far as the segment has four times as many vectors: what lies beyond is guessed, and less well.
const KS: [u32; 4] = [1, 10, 100, 1_000];
/// Share of the best k that the visited clusters must hold, and that the pool must keep of those.
const IN_CLUSTERS: f64 = 0.985;
const IN_POOL: f64 = 0.998;
/// For each k, as many queries at most as give this many neighbours: a thousandth is measured well enough then.
const NEIGHBOURS: usize = 64_000;
/// Vectors that are scored together.
const TILE: u32 = 64;

/// A query and its true neighbours, best first.
struct Probe {
    query: Vec<f32>,
    /// The vector that the query was made from: no neighbour of it.
    own: u32,
    neighbours: Vec<u32>,
}

/// Measures the effort that each k takes.
pub(crate) fn calibrate(vectors: &Vectors, codes: &Codes, seed: u64) -> Vec<Calibrated> {
    let ks: Vec<u32> = KS.into_iter().filter(|k| *k == 1 || k * 4 <= codes.vectors()).collect();
    let most = ks.last().copied().unwrap_or(1) as usize;
    let probes = Mutex::new(probes(vectors, codes.clusters() > 1, seed));
    let ranks: Mutex<Vec<(Vec<u32>, Vec<u32>)>> = Mutex::new(ks.iter().map(|_| Default::default()).collect());
    let mut all = probes.into_inner().unwrap_or_else(PoisonError::into_inner);
    parallel::for_each(all.chunks_mut(AT_ONCE), |probes| neighbours(vectors, most, probes));
    let all = all;
    let place = |k: u32| ks.iter().position(|other| *other == k).unwrap_or(0);
    let some = |k: u32| all.iter().take((NEIGHBOURS / k as usize).max(8));
    parallel::for_each(ks.iter().flat_map(|k| some(*k).map(move |probe| (*k, probe))), |(k, probe)| {
        let seen = cluster_ranks(vectors, codes, probe, k as usize);
        ranks.lock().unwrap_or_else(PoisonError::into_inner)[place(k)].0.extend(seen);
    });
    let mut measured = ranks.into_inner().unwrap_or_else(PoisonError::into_inner);
    let clusters: Vec<u32> = measured.iter_mut().map(|(ranks, _)| quantile(ranks, IN_CLUSTERS) + 1).collect();
    let ranks = Mutex::new(measured);
    parallel::for_each(ks.iter().flat_map(|k| some(*k).map(move |probe| (*k, probe))), |(k, probe)| {
        let seen = pool_ranks(vectors, codes, probe, k as usize, clusters[place(k)]);
        ranks.lock().unwrap_or_else(PoisonError::into_inner)[place(k)].1.extend(seen);
    });
    let measured = ranks.into_inner().unwrap_or_else(PoisonError::into_inner);
    let points = ks.iter().zip(clusters).zip(measured);
    points
        .map(|((k, clusters), (_, mut pool))| Calibrated {
            k: *k,
            clusters,
            pool: (quantile(&mut pool, IN_POOL) + 1).max(*k).min(codes.vectors()),
        })
        .collect()
}

/// The number below or at which this share of the numbers lies.
fn quantile(numbers: &mut [u32], share: f64) -> u32 {
    if numbers.is_empty() {
        return 0;
    }
    let at = ((numbers.len() as f64 * share).ceil() as usize).clamp(1, numbers.len()) - 1;
    *numbers.select_nth_unstable(at).1
}

fn probes(vectors: &Vectors, clustered: bool, seed: u64) -> Vec<Probe> {
    let mut chance = Chance::new(seed);
    let probe = |own: u32| {
        let mut query = vec![0.0; vectors.padded()];
        vectors.read(own, &mut query);
        let length = query.iter().map(|v| v * v).sum::<f32>().sqrt();
        let noise = NOISE * length / (query.len() as f32).sqrt();
        query.iter_mut().for_each(|value| *value += noise * chance.normal());
        // Distances do not see the mean; dot products do.
        if vectors.metric() != Metric::Euclidean {
            query.iter_mut().zip(vectors.mean()).for_each(|(value, mean)| *value += mean);
        }
        Probe { query, own, neighbours: Vec::new() }
    };
    let chosen = Chance::new(seed ^ 1).sample(if clustered { QUERIES } else { QUERIES_OF_ONE }, vectors.len());
    let mut probes: Vec<Probe> = chosen.into_iter().map(probe).collect();
    // Any first few are then spread over the segment too.
    let len = probes.len();
    (1..len).rev().for_each(|n| probes.swap(n, chance.below(n + 1)));
    probes
}

/// Finds the true neighbours: the best `most` among all vectors.
fn neighbours(vectors: &Vectors, most: usize, probes: &mut [Probe]) {
    let padded = vectors.padded();
    let queries: Vec<f32> = probes.iter().flat_map(|probe| &probe.query).copied().collect();
    let mut best: Vec<Vec<(f32, u32)>> = probes.iter().map(|_| Vec::new()).collect();
    let mut least = vec![f32::NEG_INFINITY; probes.len()];
    let mut scores = vec![0.0; TILE as usize * probes.len()];
    let order = |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
    let count = vectors.len() as u32;
    for first in (0..count).step_by(TILE as usize) {
        let rows = vectors.gather(&(first..count.min(first + TILE)).collect::<Vec<_>>());
        let tile = rows.len() / padded;
        vectors.kernels().dots_f32(padded, &rows, &queries, &mut scores[..tile * probes.len()]);
        for ((number, row), scores) in (first..).zip(rows.chunks_exact(padded)).zip(scores.chunks_exact(probes.len())) {
            let half = if vectors.metric() == Metric::Euclidean { row.iter().map(|v| v * v).sum::<f32>() / 2.0 } else { 0.0 };
            for (n, score) in scores.iter().enumerate() {
                let score = score - half;
                if score >= least[n] && probes[n].own != number {
                    best[n].push((score, number));
                    if best[n].len() >= 2 * most + 16 {
                        best[n].select_nth_unstable_by(most - 1, order);
                        best[n].truncate(most);
                        least[n] = best[n][most - 1].0;
                    }
                }
            }
        }
    }
    for (probe, mut best) in probes.iter_mut().zip(best) {
        best.sort_unstable_by(order);
        best.truncate(most);
        probe.neighbours = best.into_iter().map(|(_, number)| number).collect();
    }
}

/// The clusters by nearness to a query.
fn nearest_clusters(query: &CodeQuery, codes: &Codes) -> (Vec<u32>, Vec<f32>) {
    let mut bases = Vec::new();
    query.bases(codes, codes.all_centers(), &mut bases);
    let mut order: Vec<u32> = codes.all_centers().to_vec();
    order.sort_unstable_by(|a, b| bases[*b as usize].total_cmp(&bases[*a as usize]).then(a.cmp(b)));
    (order, bases)
}

fn code_query(vectors: &Vectors, codes: &Codes, probe: &Probe) -> CodeQuery {
    // A query of distances comes in with the mean still to be subtracted.
    let mut rotated = probe.query.clone();
    if vectors.metric() == Metric::Euclidean {
        rotated.iter_mut().zip(vectors.mean()).for_each(|(value, mean)| *value += mean);
    }
    CodeQuery::new(vectors.kernels(), codes, &rotated)
}

/// For each of the best `k` the how-manyeth nearest cluster it is in.
fn cluster_ranks(vectors: &Vectors, codes: &Codes, probe: &Probe, k: usize) -> Vec<u32> {
    let (order, _) = nearest_clusters(&code_query(vectors, codes, probe), codes);
    let mut rank = vec![0u32; order.len()];
    (0..).zip(&order).for_each(|(at, cluster)| rank[*cluster as usize] = at);
    let nearest = |number: &u32| codes.places_of(*number).map(|place| rank[codes.cluster_at(place) as usize]).min();
    probe.neighbours.iter().take(k).filter_map(nearest).collect()
}

/// For each of the best `k` that lie in the nearest `clusters`, how many of the vectors there have a better estimate by scan code.
fn pool_ranks(vectors: &Vectors, codes: &Codes, probe: &Probe, k: usize, clusters: u32) -> Vec<u32> {
    let query = code_query(vectors, codes, probe);
    let (order, bases) = nearest_clusters(&query, codes);
    let mut scanned = Vec::new();
    for cluster in order.iter().take(clusters as usize) {
        let before = scanned.len();
        query.scan(codes, *cluster, bases[*cluster as usize], f32::NEG_INFINITY, &mut scanned);
        scanned[before..].iter_mut().for_each(|(place, _)| *place = codes.slot_at(*cluster, *place));
    }
    let mut wanted: Vec<u32> = probe.neighbours.iter().take(k).map(|number| codes.slot_of()[*number as usize]).collect();
    wanted.sort_unstable();
    let own = codes.slot_of()[probe.own as usize];
    // What lies in two clusters is found where its estimate is the better one.
    let mut best = vec![f32::NEG_INFINITY; wanted.len()];
    for (slot, estimate) in &scanned {
        if let Ok(at) = wanted.binary_search(slot) {
            best[at] = best[at].max(*estimate);
        }
    }
    let mut found: Vec<f32> = best.into_iter().filter(|estimate| *estimate > f32::NEG_INFINITY).collect();
    found.sort_unstable_by(f32::total_cmp);
    // better[n]: how many estimates lie between the nth and the next of those that are looked for.
    let mut better = vec![0u32; found.len() + 1];
    for (slot, estimate) in &scanned {
        if *slot != own {
            better[found.partition_point(|f| f < estimate)] += 1;
        }
    }
    let mut above: u32 = better.iter().sum();
    let rank = |(_, not_better): (&f32, u32)| {
        above -= not_better;
        above
    };
    found.iter().zip(better).map(rank).collect()
}

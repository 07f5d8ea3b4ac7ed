//! How many clusters to visit, and how many of their best by scan code to keep, for the recall aimed at.
//!
//! Nothing is known of the queries to come. Vectors of the segment stand in for them, but a query is nobody's copy: each is mixed with
//! another vector, and copies of the first are no answers. Where groups are so small that they pass for copies, noise alone asks for
//! enough; so both are tried, and the harder counts. RFC 0002 has what these and other kinds asked for beside true queries, on the sets
//! by which they were chosen.

use std::sync::{Mutex, PoisonError};

use pinyon_model::Metric;

use super::{chance::Chance, head::Calibrated, parallel, query::CodeQuery, resident::Codes, vectors::Vectors};

/// Queries of each kind that are tried.
const QUERIES: usize = 256;
/// The same in a segment of one cluster, where the pool alone is to be known, and noise asks for the larger one.
const QUERIES_OF_ONE: usize = 64;
/// Queries that a thread takes at a time.
const AT_ONCE: usize = 32;
/// The share of another vector in a query.
const OTHER_SHARE: f32 = 0.4;
/// Length of the noise, in lengths of the vector.
const NOISE: f32 = 1.0;
/// Of a vector's nearest, up to so many are copies of it: those before the last that is farther away than the one before it by this factor.
/// As a ratio it asks for no scale, and where vectors fill space it is met by the first few alone.
const COPIES_MAX: usize = 32;
const GAP: f32 = 1.2;
/// The k that are measured, as far as the segment has four times as many vectors: what lies beyond is guessed, and less well.
const KS: [u32; 4] = [1, 10, 100, 1_000];
/// Share of the best k that the visited clusters must hold, and that the pool must keep of those.
const IN_CLUSTERS: f64 = 0.985;
const IN_POOL: f64 = 0.999;
/// For each k, as many queries at most as give this many neighbours: a thousandth is measured well enough then.
const NEIGHBOURS: usize = 64_000;
/// Vectors that are scored together.
const TILE: u32 = 64;

/// A query and its true neighbours, best first.
struct Probe {
    query: Vec<f32>,
    /// The vector that the query was made from: no neighbour of it.
    own: u32,
    /// The one that was mixed into it: no neighbour either, and then neither are copies of the first.
    other: Option<u32>,
    neighbours: Vec<u32>,
}

/// What stands in for queries.
#[derive(Clone, Copy)]
enum StandIn {
    /// Vectors with some of another, whose copies are no answers.
    Mixed,
    /// Vectors with noise.
    Moved,
}

/// Measures the effort that each k takes.
pub(crate) fn calibrate(vectors: &Vectors, codes: &Codes, seed: u64) -> Vec<Calibrated> {
    let ks: Vec<u32> = KS.into_iter().filter(|k| *k == 1 || k * 4 <= codes.vectors()).collect();
    let kinds: &[(StandIn, usize)] = match codes.clusters() {
        1 => &[(StandIn::Moved, QUERIES_OF_ONE)],
        _ => &[(StandIn::Mixed, QUERIES), (StandIn::Moved, QUERIES)],
    };
    let tried: Vec<Vec<Probe>> = kinds.iter().map(|(kind, count)| answered(vectors, *kind, *count, &ks, seed)).collect();
    let clusters = harder(tried.iter().map(|probes| {
        let ranks = of_each(&ks, probes, |_, k, probe| cluster_ranks(vectors, codes, probe, k));
        ranks.into_iter().map(|mut ranks| quantile(&mut ranks, IN_CLUSTERS) + 1).collect()
    }));
    let pools = harder(tried.iter().map(|probes| {
        let ranks = of_each(&ks, probes, |at, k, probe| pool_ranks(vectors, codes, probe, k, clusters[at]));
        ranks.into_iter().map(|mut ranks| quantile(&mut ranks, IN_POOL) + 1).collect()
    }));
    let points = ks.iter().zip(clusters.iter().zip(pools));
    points.map(|(k, (clusters, pool))| Calibrated { k: *k, clusters: *clusters, pool: pool.max(*k).min(codes.vectors()) }).collect()
}

/// The greatest that any kind asks for, for each k.
fn harder(asked: impl Iterator<Item = Vec<u32>>) -> Vec<u32> {
    asked.reduce(|a, b| a.into_iter().zip(b).map(|(a, b)| a.max(b)).collect()).unwrap_or_default()
}

/// What is seen of each k by as many probes as that takes.
fn of_each(ks: &[u32], probes: &[Probe], see: impl Fn(usize, usize, &Probe) -> Vec<u32> + Sync) -> Vec<Vec<u32>> {
    let seen: Mutex<Vec<Vec<u32>>> = Mutex::new(vec![Vec::new(); ks.len()]);
    let enough = |k: u32| (NEIGHBOURS / k as usize).max(8);
    let jobs = ks.iter().enumerate().flat_map(|(at, k)| probes.iter().take(enough(*k)).map(move |probe| (at, *k as usize, probe)));
    parallel::for_each(jobs, |(at, k, probe)| {
        let ranks = see(at, k, probe);
        seen.lock().unwrap_or_else(PoisonError::into_inner)[at].extend(ranks);
    });
    seen.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Probes with their neighbours.
fn answered(vectors: &Vectors, kind: StandIn, count: usize, ks: &[u32], seed: u64) -> Vec<Probe> {
    let most = ks.last().copied().unwrap_or(1) as usize;
    let mut probes = probes(vectors, kind, count, seed);
    parallel::for_each(probes.chunks_mut(AT_ONCE), |probes| neighbours(vectors, most, probes));
    probes
}

/// The number below or at which this share of the numbers lies.
fn quantile(numbers: &mut [u32], share: f64) -> u32 {
    if numbers.is_empty() {
        return 0;
    }
    let at = ((numbers.len() as f64 * share).ceil() as usize).clamp(1, numbers.len()) - 1;
    *numbers.select_nth_unstable(at).1
}

fn probes(vectors: &Vectors, kind: StandIn, count: usize, seed: u64) -> Vec<Probe> {
    let mut chance = Chance::new(seed);
    let probe = |own: u32| {
        let (mut query, other) = match kind {
            StandIn::Mixed => mixed(vectors, own, &mut chance),
            StandIn::Moved => (moved(vectors, own, &mut chance), None),
        };
        // Distances do not see the mean; dot products do.
        if vectors.metric() != Metric::Euclidean {
            query.iter_mut().zip(vectors.mean()).for_each(|(value, mean)| *value += mean);
        }
        Probe { query, own, other, neighbours: Vec::new() }
    };
    let chosen = Chance::new(seed ^ 1).sample(count, vectors.len());
    let mut probes: Vec<Probe> = chosen.into_iter().map(probe).collect();
    // Any first few are then spread over the segment too.
    let len = probes.len();
    (1..len).rev().for_each(|n| probes.swap(n, chance.below(n + 1)));
    probes
}

fn norm(row: &[f32]) -> f32 {
    row.iter().map(|v| v * v).sum::<f32>().sqrt()
}

/// A row with noise.
fn moved(vectors: &Vectors, own: u32, chance: &mut Chance) -> Vec<f32> {
    let mut query = vectors.gather(&[own]);
    let noise = NOISE * norm(&query) / (query.len() as f32).sqrt();
    query.iter_mut().for_each(|value| *value += noise * chance.normal());
    query
}

/// A row with some of another, both as long as the row: if they have nothing in common, so is the whole.
fn mixed(vectors: &Vectors, own: u32, chance: &mut Chance) -> (Vec<f32>, Option<u32>) {
    let other = (own + 1 + chance.below(vectors.len().max(2) - 1) as u32) % vectors.len() as u32;
    let (row, other_row) = (vectors.gather(&[own]), vectors.gather(&[other]));
    let by = 1.0 / OTHER_SHARE.hypot(1.0 - OTHER_SHARE);
    let (own_by, other_by) = (by * (1.0 - OTHER_SHARE), by * OTHER_SHARE * norm(&row) / norm(&other_row).max(f32::MIN_POSITIVE));
    (row.iter().zip(&other_row).map(|(row, other)| own_by * row + other_by * other).collect(), Some(other))
}

/// Finds the true neighbours: the best `most` among all vectors but those that the query was made from, and copies.
fn neighbours(vectors: &Vectors, most: usize, probes: &mut [Probe]) {
    let padded = vectors.padded();
    let listed = most + 2 * COPIES_MAX;
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
                if score >= least[n] {
                    best[n].push((score, number));
                    if best[n].len() >= 2 * listed {
                        best[n].select_nth_unstable_by(listed - 1, order);
                        best[n].truncate(listed);
                        least[n] = best[n][listed - 1].0;
                    }
                }
            }
        }
    }
    for (probe, mut best) in probes.iter_mut().zip(best) {
        best.sort_unstable_by(order);
        best.truncate(listed);
        probe.neighbours = best.into_iter().map(|(_, number)| number).collect();
        let copies = if probe.other.is_some() { copies(vectors, probe) } else { Vec::new() };
        probe.neighbours.retain(|number| *number != probe.own && Some(*number) != probe.other && !copies.contains(number));
        probe.neighbours.truncate(most);
    }
}

/// Those of the vectors nearest to a query that are copies of the one that it was made from.
fn copies(vectors: &Vectors, probe: &Probe) -> Vec<u32> {
    let near: Vec<u32> = probe.neighbours.iter().copied().filter(|n| *n != probe.own).take(4 * COPIES_MAX).collect();
    let own = vectors.gather(&[probe.own]);
    let rows = vectors.gather(&near);
    let squared = |row: &[f32]| row.iter().zip(&own).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
    let mut near: Vec<(f32, u32)> = rows.chunks_exact(vectors.padded()).map(squared).zip(near).collect();
    near.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let is_gap = |at: &usize| near[*at].0 > GAP * GAP * near[*at - 1].0;
    let end = (1..near.len().min(COPIES_MAX + 1)).rev().find(is_gap).unwrap_or(0);
    near[..end].iter().map(|(_, number)| *number).collect()
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

#[cfg(test)]
mod tests {
    use pinyon_kernels::Kernels;

    use super::{
        super::{
            builder::{CodesBuilder, CodesFrom},
            head::SEED,
        },
        *,
    };

    const DIMENSION: usize = 64;

    /// `kinds` vectors at random, and of each so many that lie this far aside.
    fn copied(kinds: usize, each: usize, aside: f32) -> Vec<Vec<f32>> {
        let mut chance = Chance::new(8);
        let mut normal = |by: f32| -> Vec<f32> { (0..DIMENSION).map(|_| by * chance.normal()).collect() };
        let of = |original: Vec<f32>, normal: &mut dyn FnMut(f32) -> Vec<f32>| -> Vec<Vec<f32>> {
            (0..each).map(|_| original.iter().zip(normal(aside)).map(|(a, b)| a + b).collect()).collect()
        };
        (0..kinds).map(|_| normal(1.0)).collect::<Vec<_>>().into_iter().flat_map(|original| of(original, &mut normal)).collect()
    }

    fn kept(rows: &[Vec<f32>]) -> Vectors {
        let mut vectors = Vectors::new(Kernels::detect(), Metric::Euclidean, DIMENSION, SEED);
        rows.iter().for_each(|row| vectors.push(row));
        vectors.complete();
        vectors
    }

    #[test]
    fn copies_of_the_vector_that_a_query_was_made_from_are_no_neighbours_and_all_else_is() {
        const EACH: usize = 9;
        let vectors = kept(&copied(300, EACH, 0.2));
        let mut probes = probes(&vectors, StandIn::Mixed, QUERIES, 3);
        neighbours(&vectors, 20, &mut probes);
        for probe in &probes {
            let kind = |number: u32| number as usize / EACH;
            let score = |number: u32| -> f32 {
                let row = vectors.gather(&[number]);
                -row.iter().zip(&probe.query).map(|(a, b)| (a - b) * (a - b)).sum::<f32>()
            };
            let mut wanted: Vec<u32> =
                (0..vectors.len() as u32).filter(|n| kind(*n) != kind(probe.own) && Some(*n) != probe.other).collect();
            wanted.sort_by(|a, b| score(*b).total_cmp(&score(*a)));
            let (found, wanted) = (probe.neighbours.iter().map(|n| score(*n)), wanted.iter().map(|n| score(*n)));
            assert!(found.zip(wanted.take(20)).all(|(a, b)| (a - b).abs() < 0.01), "{}", probe.own);
            assert!(probe.neighbours.len() == 20 && probe.neighbours.iter().all(|n| kind(*n) != kind(probe.own)));
        }
    }

    #[test]
    fn where_nothing_is_a_copy_next_to_nothing_is_left_out() {
        let vectors = kept(&copied(2_000, 1, 0.0));
        let mut probes = probes(&vectors, StandIn::Mixed, QUERIES, 3);
        for probe in &mut probes {
            probe.neighbours = (0..2_000).collect();
            assert!(copies(&vectors, probe).len() <= 1, "{}", probe.own);
        }
    }

    #[test]
    fn all_alike_can_be_calibrated() {
        let mut builder = CodesBuilder::new(Kernels::detect(), Metric::Cosine, DIMENSION, CodesFrom { coded: 1, clustered: 1 });
        (0..2_000).for_each(|_| builder.push(&[1.0; DIMENSION]));
        let plan = builder.plan().unwrap();
        let encoded: Vec<_> = (0..plan.batches()).map(|batch| plan.encode(batch)).collect();
        let scan: Vec<u8> = encoded.iter().flat_map(|encoded| encoded.scan.clone()).collect();
        let rows = encoded.iter().flat_map(|encoded| encoded.rows.clone()).collect();
        let head = plan.calibrate((&scan[..]).into(), rows).unwrap();
        assert!(head.calibration.iter().all(|point| point.clusters >= 1 && point.pool >= point.k));
    }
}

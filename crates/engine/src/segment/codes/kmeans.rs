//! Balanced clusters: a two-level k-means, the bound on sizes, and who belongs where.
//!
//! The upper level cuts the vectors into about √k parts, each of which is cut by a k-means over its own members alone; then every vector
//! goes to the nearest centre among the parts nearest to it. So the work grows with n·√k, and only one part's vectors are ever
//! in memory in full. Distances are Euclidean, over the vectors as [`Vectors`] makes them ready for the metric.

use std::sync::{Mutex, PoisonError};

use pinyon_kernels::Kernels;
use pinyon_model::Metric;

use super::{assign::nearest_centers, chance::Chance, parallel, vectors::Vectors};

/// Rounds of a k-means.
const ROUNDS: usize = 8;
/// Vectors that a k-means learns from, for each centre.
const SAMPLE_EACH: usize = 192;
/// Parts of the upper level among whose centres a vector's nearest is looked for.
const PARTS_EACH: usize = 8;
/// Vectors whose distances are computed together.
pub(super) const TILE: usize = 64;
/// Vectors that a thread takes at a time.
pub(super) const CHUNK: usize = 4_096;
/// A cluster of more than this many times the mean size is split.
const SIZE_MAX_FACTOR: usize = 4;

/// Centres, row-major, and what is needed to find the nearest.
pub(super) struct Centers {
    pub(super) padded: usize,
    pub(super) values: Vec<f32>,
    /// Half of each squared norm: the nearest centre has the greatest `<v, c> - |c|²/2`.
    pub(super) halves: Vec<f32>,
}

impl Centers {
    pub(super) fn new(padded: usize, values: Vec<f32>) -> Self {
        let halves = values.chunks_exact(padded).map(|c| c.iter().map(|v| v * v).sum::<f32>() / 2.0).collect();
        Self { padded, values, halves }
    }

    pub(super) fn len(&self) -> usize {
        self.halves.len()
    }

    /// For each of `rows` (row-major) calls `take` with its place and what it scores at each centre, greatest nearest.
    pub(super) fn score(&self, kernels: Kernels, rows: &[f32], mut take: impl FnMut(usize, &[f32])) {
        let mut dots = vec![0.0; TILE * self.len()];
        for (tile, rows) in rows.chunks(TILE * self.padded).enumerate() {
            let count = rows.len() / self.padded;
            let dots = &mut dots[..count * self.len()];
            kernels.dots_f32(self.padded, rows, &self.values, dots);
            for (row, scores) in dots.chunks_exact_mut(self.len()).enumerate() {
                scores.iter_mut().zip(&self.halves).for_each(|(score, half)| *score -= half);
                take(tile * TILE + row, scores);
            }
        }
    }
}

pub(super) fn greatest(scores: &[f32]) -> (usize, f32) {
    scores.iter().enumerate().fold((0, f32::NEG_INFINITY), |best, (n, s)| if *s > best.1 { (n, *s) } else { best })
}

/// A k-means over `rows` (row-major): at most `k` centres.
fn train(kernels: Kernels, padded: usize, rows: &[f32], k: usize, chance: &mut Chance) -> Centers {
    let count = rows.len() / padded;
    let row = |n: usize| &rows[n * padded..(n + 1) * padded];
    let first = chance.sample(k.max(1), count);
    let mut centers = Centers::new(padded, first.iter().flat_map(|n| row(*n as usize)).copied().collect());
    if centers.len() < 2 {
        return Centers::new(padded, mean(padded, rows));
    }
    for _ in 0..ROUNDS {
        let mut sums = vec![0f32; centers.values.len()];
        let mut sizes = vec![0u32; centers.len()];
        let mut last = vec![0usize; centers.len()];
        centers.score(kernels, rows, |n, scores| {
            let (nearest, _) = greatest(scores);
            sizes[nearest] += 1;
            last[nearest] = n;
            sums[nearest * padded..(nearest + 1) * padded].iter_mut().zip(row(n)).for_each(|(sum, value)| *sum += value);
        });
        for (sum, size) in sums.chunks_exact_mut(padded).zip(&sizes) {
            sum.iter_mut().for_each(|sum| *sum /= size.max(&1).to_owned() as f32);
        }
        // A centre that nobody is nearest to takes a member of the largest cluster.
        for empty in (0..sizes.len()).filter(|n| sizes[*n] == 0) {
            let largest = (0..sizes.len()).max_by_key(|n| sizes[*n]).unwrap_or(0);
            sums[empty * padded..(empty + 1) * padded].copy_from_slice(row(last[largest]));
            last[largest] = chance.below(count);
        }
        centers = Centers::new(padded, sums);
    }
    centers
}

fn mean(padded: usize, rows: &[f32]) -> Vec<f32> {
    let mut sums = vec![0f64; padded];
    rows.chunks_exact(padded).for_each(|row| sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value)));
    let count = (rows.len() / padded).max(1) as f64;
    sums.into_iter().map(|sum| (sum / count) as f32).collect()
}

/// A vector whose squared distance from its center is so many times the mean has no cluster of its like: it would be looked for only where
/// nobody expects it.
const OUTLYING: f64 = 4.0;
/// Outlying vectors in a cluster of their own, on average.
const OUTLYING_EACH: usize = 8;
/// If more than one in so many are outlying, none is.
const OUTLYING_ONE_IN: usize = 10;

/// One cluster.
pub(crate) struct Cluster {
    /// Of [`Vectors::padded`] values.
    pub(crate) center: Vec<f32>,
    /// Its vectors, ascending; at least one.
    pub(crate) members: Vec<u32>,
    /// Vectors of other clusters that are to be found here too, ascending.
    pub(crate) spilled: Vec<u32>,
}

impl Cluster {
    fn distance(&self, row: &[f32]) -> f32 {
        row.iter().zip(&self.center).map(|(a, b)| (a - b) * (a - b)).sum()
    }
}

/// Cuts the vectors into about `k` clusters, none of which has more than a few times the mean size.
pub(crate) fn clusters(vectors: &Vectors, k: usize, seed: u64) -> Vec<Cluster> {
    let everything: Vec<u32> = (0..vectors.len() as u32).collect();
    let mut clusters = if k < 2 { vec![of(vectors, everything)] } else { two_levels(vectors, &everything, k, seed) };
    // By dot product the longest vectors are the best of many queries: they stay where their direction is.
    if k >= 2 && vectors.metric() != Metric::Dotproduct {
        clusters = apart(vectors, clusters, seed);
    }
    let most = (vectors.len().div_ceil(k.max(1)) * SIZE_MAX_FACTOR).max(TILE);
    if clusters.iter().any(|cluster| cluster.members.len() > most) {
        clusters = clusters.into_iter().flat_map(|cluster| split(vectors, cluster, most, seed)).collect();
    }
    clusters.iter_mut().filter(|cluster| cluster.spilled.len() > most).for_each(|cluster| keep_nearest(vectors, cluster, most));
    clusters
}

/// Leaves the nearest `most` of what was spilled into a cluster.
fn keep_nearest(vectors: &Vectors, cluster: &mut Cluster, most: usize) {
    let mut row = vec![0f32; vectors.padded()];
    let mut spilled: Vec<(f32, u32)> = Vec::with_capacity(cluster.spilled.len());
    for number in &cluster.spilled {
        vectors.read(*number, &mut row);
        spilled.push((cluster.distance(&row), *number));
    }
    spilled.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    cluster.spilled = spilled.into_iter().take(most).map(|(_, number)| number).collect();
    cluster.spilled.sort_unstable();
}

/// Puts vectors that lie far from every center into clusters among themselves.
fn apart(vectors: &Vectors, clusters: Vec<Cluster>, seed: u64) -> Vec<Cluster> {
    let places: Vec<Mutex<Vec<f64>>> = clusters.iter().map(|_| Mutex::default()).collect();
    parallel::for_each(clusters.iter().zip(&places), |(cluster, place)| {
        let mut row = vec![0f32; vectors.padded()];
        let mut distance = |member: &u32| -> f64 {
            vectors.read(*member, &mut row);
            f64::from(cluster.distance(&row))
        };
        *place.lock().unwrap_or_else(PoisonError::into_inner) = cluster.members.iter().map(&mut distance).collect();
    });
    let distances: Vec<Vec<f64>> = places.into_iter().map(|place| place.into_inner().unwrap_or_else(PoisonError::into_inner)).collect();
    let mean = distances.iter().flatten().sum::<f64>() / vectors.len() as f64;
    let outlying = distances.iter().flatten().filter(|distance| **distance > OUTLYING * mean).count();
    if outlying == 0 || outlying * OUTLYING_ONE_IN > vectors.len() {
        return clusters;
    }
    let (mut left, mut out) = (Vec::with_capacity(clusters.len()), Vec::with_capacity(outlying));
    for (cluster, distances) in clusters.into_iter().zip(distances) {
        let before = cluster.members.len();
        let (kept, far): (Vec<_>, Vec<_>) = cluster.members.iter().zip(distances).partition(|(_, distance)| *distance <= OUTLYING * mean);
        out.extend(far.into_iter().map(|(member, _)| *member));
        match kept.len() {
            0 => {}
            len if len == before => left.push(cluster),
            _ => left.push(Cluster { spilled: cluster.spilled, ..of(vectors, kept.into_iter().map(|(member, _)| *member).collect()) }),
        }
    }
    out.sort_unstable();
    left.extend(parted(vectors, &out, out.len().div_ceil(OUTLYING_EACH), seed ^ out.len() as u64));
    left
}

fn two_levels(vectors: &Vectors, everything: &[u32], k: usize, seed: u64) -> Vec<Cluster> {
    let (kernels, padded) = (vectors.kernels(), vectors.padded());
    let mut chance = Chance::new(seed);
    let parts = (k as f64).sqrt().round().max(1.0) as usize;
    let sample = chance.sample(parts * SAMPLE_EACH, everything.len());
    let upper = train(kernels, padded, &vectors.gather(&sample), parts, &mut chance);
    let nearest_parts = nearest_parts(vectors, &upper);
    let mut members: Vec<Vec<u32>> = vec![Vec::new(); upper.len()];
    nearest_parts.iter().enumerate().for_each(|(n, parts)| members[usize::from(parts[0])].push(n as u32));
    let lower: Vec<Mutex<Centers>> = (0..upper.len()).map(|_| Mutex::new(Centers::new(padded, Vec::new()))).collect();
    parallel::for_each(members.iter().zip(&lower).enumerate(), |(part, (members, place))| {
        let mut chance = Chance::new(seed ^ (part as u64 + 1));
        let k = (members.len() * k).div_ceil(everything.len());
        let sample: Vec<u32> = chance.sample(k * SAMPLE_EACH, members.len()).iter().map(|n| members[*n as usize]).collect();
        if !sample.is_empty() {
            *place.lock().unwrap_or_else(PoisonError::into_inner) = train(kernels, padded, &vectors.gather(&sample), k, &mut chance);
        }
    });
    let lower: Vec<Centers> = lower.into_iter().map(|place| place.into_inner().unwrap_or_else(PoisonError::into_inner)).collect();
    let mut members: Vec<(Vec<u32>, Vec<u32>)> = vec![Default::default(); lower.iter().map(Centers::len).sum()];
    for (n, nearest) in (0..).zip(nearest_centers(vectors, &nearest_parts, &lower)) {
        members[nearest.first as usize].0.push(n);
        if let Some(second) = nearest.second {
            members[second as usize].1.push(n);
        }
    }
    members.retain(|(members, _)| !members.is_empty());
    let clusters: Vec<Mutex<Option<Cluster>>> = members.iter().map(|_| Mutex::new(None)).collect();
    parallel::for_each(members.into_iter().zip(&clusters), |((members, spilled), place)| {
        *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(Cluster { spilled, ..of(vectors, members) });
    });
    clusters.into_iter().filter_map(|place| place.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
}

fn of(vectors: &Vectors, members: Vec<u32>) -> Cluster {
    let mut sums = vec![0f64; vectors.padded()];
    let mut row = vec![0f32; vectors.padded()];
    for member in &members {
        vectors.read(*member, &mut row);
        sums.iter_mut().zip(&row).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    let count = members.len().max(1) as f64;
    Cluster { center: sums.into_iter().map(|sum| (sum / count) as f32).collect(), members, spilled: Vec::new() }
}

pub(super) type Parts = [u16; PARTS_EACH];
/// No part.
pub(super) const NONE: u16 = u16::MAX;

/// For each vector the nearest parts, nearest first.
fn nearest_parts(vectors: &Vectors, upper: &Centers) -> Vec<Parts> {
    let mut all = vec![[NONE; PARTS_EACH]; vectors.len()];
    parallel::for_each(all.chunks_mut(TILE).enumerate(), |(chunk, places)| {
        let first = (chunk * TILE) as u32;
        let rows = vectors.gather(&(first..first + places.len() as u32).collect::<Vec<_>>());
        let mut ranked: Vec<(f32, u16)> = Vec::with_capacity(upper.len());
        upper.score(vectors.kernels(), &rows, |n, scores| {
            ranked.clear();
            ranked.extend(scores.iter().zip(0..).map(|(score, part)| (*score, part)));
            let order = |a: &(f32, u16), b: &(f32, u16)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
            if ranked.len() > PARTS_EACH {
                ranked.select_nth_unstable_by(PARTS_EACH, order);
                ranked.truncate(PARTS_EACH);
            }
            ranked.sort_unstable_by(order);
            places[n].iter_mut().zip(&ranked).for_each(|(place, (_, part))| *place = *part);
        });
    });
    all
}

/// Cuts a cluster of more than `most` members by a k-means of its own; where that does not help, because they are all alike, by
/// their order, around one centre.
fn split(vectors: &Vectors, cluster: Cluster, most: usize, seed: u64) -> Vec<Cluster> {
    if cluster.members.len() <= most {
        return vec![cluster];
    }
    let k = cluster.members.len().div_ceil(most / 2);
    let parts = parted(vectors, &cluster.members, k, seed ^ cluster.members.len() as u64);
    let mut parts: Vec<Cluster> =
        parts.into_iter().flat_map(|part| if part.members.len() > most { cut(part, most) } else { vec![part] }).collect();
    let mut row = vec![0f32; vectors.padded()];
    for number in cluster.spilled {
        vectors.read(number, &mut row);
        let nearest = parts.iter_mut().min_by(|a, b| a.distance(&row).total_cmp(&b.distance(&row)));
        nearest.into_iter().for_each(|part| part.spilled.push(number));
    }
    parts
}

/// Cuts these vectors into at most `k` clusters by one k-means.
fn parted(vectors: &Vectors, members: &[u32], k: usize, seed: u64) -> Vec<Cluster> {
    let (kernels, padded) = (vectors.kernels(), vectors.padded());
    let mut chance = Chance::new(seed);
    let sample: Vec<u32> = chance.sample(k * SAMPLE_EACH, members.len()).iter().map(|n| members[*n as usize]).collect();
    let centers = train(kernels, padded, &vectors.gather(&sample), k, &mut chance);
    let mut parts: Vec<Vec<u32>> = vec![Vec::new(); centers.len()];
    for members in members.chunks(CHUNK) {
        centers.score(kernels, &vectors.gather(members), |n, scores| parts[greatest(scores).0].push(members[n]));
    }
    parts.into_iter().filter(|members| !members.is_empty()).map(|members| of(vectors, members)).collect()
}

fn cut(cluster: Cluster, most: usize) -> Vec<Cluster> {
    let piece = |members: &[u32]| Cluster { center: cluster.center.clone(), members: members.to_vec(), spilled: Vec::new() };
    cluster.members.chunks(most).map(piece).collect()
}

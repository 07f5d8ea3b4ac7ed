//! From clusters to stored codes: centres, rows, scan blocks, second codes.
//!
//! RaBitQ (arXiv 2405.12497) and its extension to more bits (2409.09913): a residual `r = o - c` is kept as grid points `u` and the
//! factor `f = |r|² / <u, r>`, so that `<r, q - c> ≈ f <u, q - c>` without bias. Both `f <u, c>` and what the metric adds are constants of
//! the vector, so an estimate is `base + addend + factor · <u, q>` for every metric, see RFC 0002.

use pinyon_kernels::{CodeBits, SCAN_BLOCK_LANES, pack_scan_block, scan_block_bytes};
use pinyon_model::Metric;

use super::{kmeans::Cluster, vectors::Vectors};

/// Codes of a run of clusters.
pub(crate) struct Encoded {
    /// Whole scan blocks; a cluster begins with a block of its own.
    pub(crate) scan: Vec<u8>,
    /// One row a vector.
    pub(crate) second: Vec<u8>,
    /// The vectors' numbers.
    pub(crate) rows: Vec<u8>,
}

/// Addend and factor of one vector's code.
#[derive(Clone, Copy)]
struct Factors {
    addend: f32,
    factor: f32,
}

/// What a vector's codes have in common.
struct Residual<'a> {
    metric: Metric,
    center: &'a [f32],
    values: Vec<f32>,
    /// `|r|²` and `<r, c>`.
    norm_squared: f64,
    along_center: f64,
}

impl Residual<'_> {
    fn set(&mut self) {
        self.values.iter_mut().zip(self.center).for_each(|(value, center)| *value -= center);
        self.norm_squared = dot(&self.values, &self.values);
        self.along_center = dot(&self.values, self.center);
    }

    /// The factors for grid points `u`, given `<u, r>` and `<u, c>`.
    fn factors(&self, with_residual: f64, with_center: f64) -> Factors {
        let factor = if with_residual > 0.0 { self.norm_squared / with_residual } else { 0.0 };
        let own = match self.metric {
            Metric::Cosine | Metric::Dotproduct => self.along_center,
            Metric::Euclidean => -self.norm_squared / 2.0,
        };
        Factors { addend: (own - factor * with_center) as f32, factor: factor as f32 }
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0f32; LANES];
    for (a, b) in a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<LANES>().0) {
        (0..LANES).for_each(|lane| sums[lane] += a[lane] * b[lane]);
    }
    sums.iter().map(|sum| f64::from(*sum)).sum()
}

/// `<u, v>` for the grid points `u` of a second code.
fn grid_dot(bits: CodeBits, code: &[u8], vector: &[f32]) -> f64 {
    let total: f64 = vector.iter().map(|v| f64::from(*v)).sum();
    match bits {
        CodeBits::Four => {
            let (low, high) = vector.split_at(code.len());
            let lows: f32 = code.iter().zip(low).map(|(byte, v)| f32::from(byte & 15) * v).sum();
            let highs: f32 = code.iter().zip(high).map(|(byte, v)| f32::from(byte >> 4) * v).sum();
            f64::from(lows) + f64::from(highs) - 7.5 * total
        }
        CodeBits::Eight => f64::from(code.iter().zip(vector).map(|(byte, v)| f32::from(*byte) * v).sum::<f32>()) - 127.5 * total,
    }
}

fn put(out: &mut Vec<u8>, factors: Factors) {
    out.extend_from_slice(&factors.addend.to_le_bytes());
    out.extend_from_slice(&factors.factor.to_le_bytes());
}

/// The codes of these clusters.
pub(crate) fn encode(vectors: &Vectors, bits: CodeBits, clusters: &[Cluster]) -> Encoded {
    let padded = vectors.padded();
    let count: usize = clusters.iter().map(|cluster| cluster.members.len()).sum();
    let mut out = Encoded {
        scan: Vec::new(),
        second: Vec::with_capacity(count * (bits.code_bytes(padded) + 8)),
        rows: Vec::with_capacity(count * 4),
    };
    let mut code = vec![0; bits.code_bytes(padded)];
    for cluster in clusters {
        let mut residual =
            Residual { metric: vectors.metric(), center: &cluster.center, values: vec![0.0; padded], norm_squared: 0.0, along_center: 0.0 };
        let entries: Vec<u32> = cluster.members.iter().chain(&cluster.spilled).copied().collect();
        let mut members = cluster.members.len();
        for entries in entries.chunks(SCAN_BLOCK_LANES) {
            let mut signs = vec![0u8; entries.len() * padded / 8];
            let mut factors = [NO_VECTOR; SCAN_BLOCK_LANES];
            for ((entry, signs), factors) in entries.iter().zip(signs.chunks_exact_mut(padded / 8)).zip(&mut factors) {
                vectors.read(*entry, &mut residual.values);
                residual.set();
                *factors = scan_code(&residual, signs);
                if members == 0 {
                    continue;
                }
                members -= 1;
                let quantized = vectors.kernels().quantize(bits, &residual.values, &mut code);
                let second = residual.factors(f64::from(quantized.norm_dot), grid_dot(bits, &code, &cluster.center));
                out.second.extend_from_slice(&code);
                put(&mut out.second, second);
                out.rows.extend_from_slice(&entry.to_le_bytes());
            }
            put_block(&mut out.scan, padded, &signs, &factors);
        }
    }
    out
}

/// Of a lane that no vector is in.
const NO_VECTOR: Factors = Factors { addend: f32::NEG_INFINITY, factor: 0.0 };

/// Appends a scan block of as many vectors as there are signs for.
fn put_block(out: &mut Vec<u8>, padded: usize, signs: &[u8], factors: &[Factors; SCAN_BLOCK_LANES]) {
    let start = out.len();
    out.resize(start + 4 * padded, 0);
    pack_scan_block(&signs.chunks_exact(padded / 8).collect::<Vec<_>>(), padded, &mut out[start..]);
    factors.iter().for_each(|f| out.extend_from_slice(&f.addend.to_le_bytes()));
    factors.iter().for_each(|f| out.extend_from_slice(&f.factor.to_le_bytes()));
    debug_assert_eq!(out.len() - start, scan_block_bytes(padded));
}

/// The scan codes of centres in this order, made of their rows of 8-bit codes: enough to tell which of many may be among the nearest.
pub(super) fn scan_centers(padded: usize, rows: &[u8], order: &[u32]) -> Vec<u8> {
    let mut out = Vec::with_capacity(order.len().div_ceil(SCAN_BLOCK_LANES) * scan_block_bytes(padded));
    let each = |center: &u32| &rows[*center as usize * (padded + 8)..][..padded + 8];
    for rows in order.chunks(SCAN_BLOCK_LANES).map(|order| order.iter().map(each).collect::<Vec<_>>()) {
        let mut signs = vec![0u8; rows.len() * padded / 8];
        let mut factors = [NO_VECTOR; SCAN_BLOCK_LANES];
        for ((row, signs), factors) in rows.iter().zip(signs.chunks_exact_mut(padded / 8)).zip(&mut factors) {
            let (code, constants) = row.split_at(padded);
            let constant = |at| constants.get(at..).and_then(|b| b.first_chunk()).map_or(0.0, |b| f32::from_le_bytes(*b));
            let (addend, factor): (f32, f32) = (constant(0), constant(4));
            let (mut squares, mut lengths) = (0f32, 0f32);
            for (byte, code) in signs.iter_mut().zip(code.as_chunks::<8>().0) {
                for (at, value) in code.iter().enumerate() {
                    let point = f32::from(*value) - 127.5;
                    *byte |= u8::from(point > 0.0) << at;
                    squares += point * point;
                    lengths += point.abs();
                }
            }
            // No point is 0, so there is a length.
            *factors = Factors { addend, factor: factor * squares / lengths };
        }
        put_block(&mut out, padded, &signs, &factors);
    }
    out
}

/// Signs of a residual, and what `u = ±1` by them comes to.
fn scan_code(residual: &Residual<'_>, signs: &mut [u8]) -> Factors {
    let (mut with_residual, mut with_center) = (0f32, 0f32);
    let values = residual.values.as_chunks::<8>().0;
    let centers = residual.center.as_chunks::<8>().0;
    for ((byte, values), centers) in signs.iter_mut().zip(values).zip(centers) {
        for at in 0..8 {
            let positive = values[at] >= 0.0;
            *byte |= u8::from(positive) << at;
            with_residual += values[at].abs();
            with_center += if positive { centers[at] } else { -centers[at] };
        }
    }
    residual.factors(f64::from(with_residual), f64::from(with_center))
}

/// The centres as rows of 8-bit codes, whose estimates are the bases of their clusters.
pub(crate) fn encode_centers(vectors: &Vectors, clusters: &[Cluster]) -> Vec<u8> {
    let padded = vectors.padded();
    let mut out = Vec::with_capacity(clusters.len() * (padded + 8));
    let mut code = vec![0; padded];
    for Cluster { center, .. } in clusters {
        let quantized = vectors.kernels().quantize(CodeBits::Eight, center, &mut code);
        let norm_squared = dot(center, center);
        let with_center = f64::from(quantized.norm_dot);
        let addend = match vectors.metric() {
            Metric::Cosine | Metric::Dotproduct => 0.0,
            Metric::Euclidean => -norm_squared / 2.0,
        };
        let factor = if with_center > 0.0 { norm_squared / with_center } else { 0.0 };
        out.extend_from_slice(&code);
        put(&mut out, Factors { addend: addend as f32, factor: factor as f32 });
    }
    out
}

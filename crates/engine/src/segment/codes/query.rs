//! A query as the codes of one segment are asked with it.

use pinyon_kernels::{CodeBits, Kernels, SCAN_BLOCK_LANES, ScanQuery, SecondQuery, scan_block_bytes};
use pinyon_model::Metric;

use super::resident::Codes;

/// Centers that tell what share of all comes to how much.
const SAMPLED: usize = 256;
/// So many deviations more of them than the share wanted are taken, so that it seldom is too few.
const SPARE: f64 = 2.0;

/// The query, moved as the segment's vectors are, quantized for both kinds of code.
pub(crate) struct CodeQuery {
    kernels: Kernels,
    pub(crate) scan: ScanQuery,
    second: SecondQuery,
    centers: SecondQuery,
    /// What every estimate of the segment lacks: with it, estimates of several segments compare.
    constant: f32,
    /// What an estimate of 1 stands for.
    unit: f32,
}

impl CodeQuery {
    /// `rotated` is the query (for cosine: divided by its norm) after the rotation of the segment's seed.
    pub(crate) fn new(kernels: Kernels, codes: &Codes, rotated: &[f32]) -> Self {
        let head = codes.head();
        let mean = codes.mean();
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let of = |values: &[f32], constant: f64, unit: f64| Self {
            kernels,
            scan: ScanQuery::new(values),
            second: SecondQuery::new(values, head.bits),
            centers: SecondQuery::new(values, CodeBits::Eight),
            constant: constant as f32,
            unit: unit as f32,
        };
        match head.metric {
            Metric::Cosine => of(rotated, dot(mean, rotated), 1.0),
            Metric::Dotproduct => {
                // Dot products rank alike for a query of any length, but estimates are off by the distance of query and center: they are
                // best for a query that is about as long as centers are.
                let norm = dot(rotated, rotated).sqrt();
                let by = codes.center_norm() / norm;
                let by = if by.is_finite() && by > 0.0 { by } else { 1.0 };
                let scaled: Vec<f32> = rotated.iter().map(|value| (f64::from(*value) * by) as f32).collect();
                of(&scaled, dot(mean, &scaled), 1.0 / by)
            }
            Metric::Euclidean => {
                let moved: Vec<f32> = rotated.iter().zip(mean).map(|(query, mean)| query - mean).collect();
                of(&moved, -dot(&moved, &moved) / 2.0, 1.0)
            }
        }
    }

    /// What an estimate is to be multiplied by, so that it compares with those of other segments.
    pub(crate) fn unit(&self) -> f32 {
        self.unit
    }

    /// The bases of these clusters: the estimate of a member is its cluster's base and what its own codes add. Greater is nearer.
    pub(crate) fn bases(&self, codes: &Codes, clusters: &[u32], bases: &mut Vec<f32>) {
        bases.clear();
        bases.resize(clusters.len(), self.constant);
        estimate_rows(self.kernels, CodeBits::Eight, &self.centers, codes.centers(), clusters, bases);
    }

    /// About what the bases of the nearest `count` clusters are, and of some others: tells which of many are worth asking [`Self::bases`] for.
    pub(crate) fn rough_bases(&self, codes: &Codes, count: usize) -> Vec<(u32, f32)> {
        let (scan, order) = codes.center_scan();
        let ask = |blocks: &[u8], first: usize, floor, rough: &mut Vec<_>| {
            self.kernels.scan_codes(&self.scan, blocks, first as u32, self.constant, floor, rough);
        };
        let mut rough = Vec::with_capacity(4 * count.max(SAMPLED));
        // What a few of them come to tells where the wanted share of all begins, or a little below.
        let sampled = SAMPLED / SCAN_BLOCK_LANES * scan_block_bytes(self.scan.padded());
        let wanted = SAMPLED as f64 * count as f64 / order.len() as f64;
        let wanted = (wanted + SPARE * wanted.sqrt()) as usize;
        if sampled < scan.len() && wanted < SAMPLED {
            ask(&scan[..sampled], 0, f32::MIN, &mut rough);
            if let Some(last) = rough.len().checked_sub(1) {
                let (_, (_, floor), _) = rough.select_nth_unstable_by(wanted.min(last), |a, b| b.1.total_cmp(&a.1));
                let floor = *floor;
                rough.retain(|(_, base)| *base >= floor);
                ask(&scan[sampled..], SAMPLED, floor, &mut rough);
            }
        }
        if rough.len() < count {
            rough.clear();
            ask(scan, 0, f32::MIN, &mut rough);
        }
        rough.iter_mut().for_each(|(place, _)| *place = order[*place as usize]);
        rough
    }

    /// Adds to `estimates`, which hold the bases, what the second codes of `slots` say.
    pub(crate) fn second(&self, codes: &Codes, slots: &[u32], estimates: &mut [f32]) {
        estimate_rows(self.kernels, codes.head().bits, &self.second, codes.second(), slots, estimates);
    }

    /// Scans the codes of a cluster, and appends the places, with their estimates, that are not below `floor`.
    pub(crate) fn scan(&self, codes: &Codes, cluster: u32, base: f32, floor: f32, out: &mut Vec<(u32, f32)>) {
        self.scan_before(None, codes, cluster, base, floor, out);
    }

    /// The same, while the codes of the cluster that will be scanned next are asked for.
    pub(crate) fn scan_before(&self, next: Option<u32>, codes: &Codes, cluster: u32, base: f32, floor: f32, out: &mut Vec<(u32, f32)>) {
        let (before, places) = (out.len(), codes.places(cluster));
        let next = next.map_or(&[][..], |next| {
            self.kernels.prefetch(codes.spilled(next));
            codes.scan(next)
        });
        self.kernels.scan_codes_before(next, &self.scan, codes.scan(cluster), places.start, base, floor, out);
        // They come in order; last is what a damaged block may say that there is more.
        let end = before + out[before..].partition_point(|(place, _)| *place < places.end);
        out.truncate(end);
    }
}

/// Rows are a code, an addend and a factor.
fn estimate_rows(kernels: Kernels, bits: CodeBits, query: &SecondQuery, rows: &[u8], numbers: &[u32], estimates: &mut [f32]) {
    const AT_ONCE: usize = 256;
    let code = bits.code_bytes(query.values.len());
    let stride = code + 8;
    let mut sums = [0i32; AT_ONCE];
    for (numbers, estimates) in numbers.chunks(AT_ONCE).zip(estimates.chunks_mut(AT_ONCE)) {
        let sums = &mut sums[..numbers.len()];
        kernels.code_sums(bits, &query.values, rows, stride, numbers, sums);
        for ((number, sum), estimate) in numbers.iter().zip(sums).zip(estimates) {
            let at = *number as usize * stride + code;
            let Some((addend, factor)) = rows.get(at..at + 8).and_then(|b| Some((b.first_chunk::<4>()?, b.last_chunk::<4>()?))) else {
                continue;
            };
            let (addend, factor) = (f32::from_le_bytes(*addend), f32::from_le_bytes(*factor));
            *estimate += addend + factor * (query.scale * *sum as f32 + query.offset);
        }
    }
}

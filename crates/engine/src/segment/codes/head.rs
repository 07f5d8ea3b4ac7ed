//! What a segment says of its codes: how they were made, and what effort reaches the recall aimed at.

use pinyon_kernels::CodeBits;
use pinyon_model::Metric;

use crate::segment::codec::{Decoder, Encode, Malformed};

/// The seed of the rotation. One for all segments, so that a query is rotated once; a segment keeps its own all the same.
pub(crate) const SEED: u64 = 0x7069_6e79_6f6e_0001;
/// Below this dimension second codes have 8 bits: few dimensions average out less.
const EIGHT_BITS_BELOW: usize = 64;
/// No vector has more dimensions than this, padding included.
const PADDED_MAX: u32 = 1 << 16;

/// The effort that found the best k: measured when the segment was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Calibrated {
    pub(crate) k: u32,
    /// Clusters to visit, nearest first.
    pub(crate) clusters: u32,
    /// How many of the best by scan code go on to the second codes.
    pub(crate) pool: u32,
}

/// The head of a segment's codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) seed: u64,
    pub(crate) metric: Metric,
    pub(crate) bits: CodeBits,
    /// Values of a rotated vector.
    pub(crate) padded: u32,
    /// Vectors that have codes: all of the segment.
    pub(crate) vectors: u32,
    pub(crate) clusters: u32,
    /// By ascending k; at least one.
    pub(crate) calibration: Vec<Calibrated>,
}

/// How many bits the second codes of vectors of this dimension have.
pub(crate) fn bits(dimension: usize) -> CodeBits {
    if dimension < EIGHT_BITS_BELOW { CodeBits::Eight } else { CodeBits::Four }
}

impl Head {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u64(self.seed);
        out.push(match self.metric {
            Metric::Cosine => 0,
            Metric::Dotproduct => 1,
            Metric::Euclidean => 2,
        });
        out.push(match self.bits {
            CodeBits::Four => 4,
            CodeBits::Eight => 8,
        });
        [self.padded, self.vectors, self.clusters, self.calibration.len() as u32].iter().for_each(|n| out.put_u32(*n));
        for point in &self.calibration {
            [point.k, point.clusters, point.pool].iter().for_each(|n| out.put_u32(*n));
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut from = Decoder::new(bytes);
        let seed = from.u64()?;
        let metric = match from.u8()? {
            0 => Metric::Cosine,
            1 => Metric::Dotproduct,
            2 => Metric::Euclidean,
            _ => return Err(Malformed("its metric is not known")),
        };
        let bits = match from.u8()? {
            4 => CodeBits::Four,
            8 => CodeBits::Eight,
            _ => return Err(Malformed("its number of bits is not known")),
        };
        let (padded, vectors, clusters, points) = (from.u32()?, from.u32()?, from.u32()?, from.u32()?);
        let mut calibration = Vec::new();
        for _ in 0..points {
            calibration.push(Calibrated { k: from.u32()?, clusters: from.u32()?, pool: from.u32()? });
        }
        from.finish()?;
        let rising = calibration.windows(2).all(|pair| pair[0].k < pair[1].k) && calibration.iter().all(|point| point.k > 0);
        if !rising || calibration.is_empty() {
            return Err(Malformed("its calibration is not in order"));
        }
        if !padded.is_multiple_of(64) || !(64..=PADDED_MAX).contains(&padded) || clusters == 0 || clusters > vectors {
            return Err(Malformed("its counts contradict each other"));
        }
        // An effort beyond all there is was never measured, and room is made for as many as it says.
        if calibration.iter().any(|point| point.clusters > clusters || point.pool > vectors) {
            return Err(Malformed("its calibration asks for more than there is"));
        }
        Ok(Self { seed, metric, bits, padded, vectors, clusters, calibration })
    }

    /// Bytes of a row of second codes or of centres: the code, the addend, the factor.
    pub(crate) fn row_bytes(&self, bits: CodeBits) -> usize {
        bits.code_bytes(self.padded as usize) + 8
    }

    /// Clusters and pool for the best `k`, which need not be whole: with a filter it stands for more.
    pub(crate) fn effort(&self, k: f64) -> (f64, f64) {
        let points = &self.calibration;
        let after = points.partition_point(|point| f64::from(point.k) < k);
        // Beyond the ends the nearest two points give the direction.
        let low = after.clamp(1, points.len().max(2) - 1) - 1;
        let (Some(a), Some(b)) = (points.get(low), points.get(low + 1)) else {
            let only = points[0];
            let by = (k / f64::from(only.k)).max(1.0).powf(0.6);
            return (f64::from(only.clusters) * by, f64::from(only.pool) * by);
        };
        let share = ((k / f64::from(a.k)).ln() / (f64::from(b.k) / f64::from(a.k)).ln()).max(0.0);
        let between = |a: u32, b: u32| {
            let (a, b) = (f64::from(a.max(1)), f64::from(b.max(1)).max(f64::from(a.max(1))));
            a * (b / a).powf(share)
        };
        (between(a.clusters, b.clusters), between(a.pool, b.pool))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(points: &[(u32, u32, u32)]) -> Head {
        let calibration = points.iter().map(|(k, clusters, pool)| Calibrated { k: *k, clusters: *clusters, pool: *pool }).collect();
        Head { seed: SEED, metric: Metric::Cosine, bits: CodeBits::Four, padded: 384, vectors: 5_000, clusters: 70, calibration }
    }

    #[test]
    fn reads_back_and_nothing_shorter() {
        let head = head(&[(1, 5, 20), (10, 9, 100)]);
        let bytes = head.encode();
        assert_eq!(Head::decode(&bytes).ok(), Some(head));
        for len in 0..bytes.len() {
            assert!(Head::decode(&bytes[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn effort_meets_its_points_and_never_falls() {
        let head = head(&[(1, 5, 20), (10, 9, 100), (100, 30, 400)]);
        for point in &head.calibration {
            let (clusters, pool) = head.effort(f64::from(point.k));
            assert!((clusters - f64::from(point.clusters)).abs() < 1e-6 && (pool - f64::from(point.pool)).abs() < 1e-6);
        }
        let mut before = (0.0, 0.0);
        for k in 1..3_000 {
            let now = head.effort(f64::from(k));
            assert!(now.0 >= before.0 && now.1 >= before.1, "{k}: {before:?} {now:?}");
            before = now;
        }
        assert!(before.0 > 60.0);
    }
}

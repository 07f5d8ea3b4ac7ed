//! The dense vectors of a segment that is being written, kept small until its clusters and codes are made.
//!
//! Each is made ready for its metric (cosine: divided by its norm), moved by a common mean, rotated, and kept as 8 bits a
//! dimension with a scale of its own. That loses some 0.8 % of a vector's length in a random direction, a tenth of what the
//! codes lose that are made from it, and takes a quarter of the memory. Vectors of few dimensions lie so close together that this would
//! be too much, and are kept as they are.

use pinyon_kernels::Kernels;
use pinyon_model::Metric;

use super::rotation::{Rotation, padded};

/// Vectors that the mean is taken of. Any mean is right; one near the middle keeps numbers small.
const MEAN_OF: usize = 1_024;
/// Norms that factors can be computed of in `f32` without overflow or loss.
const NORMS: std::ops::RangeInclusive<f64> = 1e-15..=1e15;

/// Nine in ten vectors have norms within so many doublings of each other: estimates are off in proportion to the longer ones, and
/// would not tell the shorter ones apart.
const DOUBLINGS_MAX: usize = 10;
/// Norms are counted by their doublings from this power of two on.
const LEAST_DOUBLING: i32 = -64;
/// A vector this much shorter than the mean would lose what tells it apart if the mean were subtracted from it.
const SHORT: f64 = 0.25;
/// The mean is subtracted if no more than one in so many vectors is short.
const SHORT_ONE_IN: usize = 20;
/// Below this dimension vectors are kept whole.
const WHOLE_BELOW: usize = 64;

/// The vectors, in the order they came.
pub(crate) struct Vectors {
    kernels: Kernels,
    metric: Metric,
    dimension: usize,
    rotation: Rotation,
    /// Subtracted from every vector; rotated. Empty until it is known.
    mean: Vec<f32>,
    /// Rotated vectors that wait for the mean, row-major.
    waiting: Vec<f32>,
    kept: Kept,
    /// The greatest norm, as it counts for this metric.
    norm_max: f64,
    /// How many vectors have a norm of each doubling; zero vectors are like any other to all of them.
    doublings: [u32; 128],
}

/// Rotated vectors, moved by the mean; row-major.
enum Kept {
    /// Values in steps of the vector's scale.
    Bytes {
        values: Vec<i8>,
        scales: Vec<f32>,
    },
    Whole {
        values: Vec<f32>,
    },
}

impl Vectors {
    pub(crate) fn new(kernels: Kernels, metric: Metric, dimension: usize, seed: u64) -> Self {
        let rotation = Rotation::new(padded(dimension), seed);
        Self {
            kernels,
            metric,
            dimension,
            rotation,
            mean: Vec::new(),
            waiting: Vec::new(),
            kept: match dimension < WHOLE_BELOW {
                true => Kept::Whole { values: Vec::new() },
                false => Kept::Bytes { values: Vec::new(), scales: Vec::new() },
            },
            norm_max: 0.0,
            doublings: [0; 128],
        }
    }

    /// Values of each vector, padding included.
    pub(crate) fn padded(&self) -> usize {
        padded(self.dimension)
    }
    pub(crate) fn dimension(&self) -> usize {
        self.dimension
    }
    pub(crate) fn metric(&self) -> Metric {
        self.metric
    }
    pub(crate) fn kernels(&self) -> Kernels {
        self.kernels
    }
    /// The mean that was subtracted; of [`Self::padded`] values after [`Self::complete`].
    pub(crate) fn mean(&self) -> &[f32] {
        &self.mean
    }
    pub(crate) fn len(&self) -> usize {
        let kept = match &self.kept {
            Kept::Bytes { scales, .. } => scales.len(),
            Kept::Whole { values } => values.len() / self.padded(),
        };
        kept + self.waiting.len() / self.padded()
    }
    /// Whether codes of these vectors can be trusted.
    pub(crate) fn can_be_coded(&self) -> bool {
        NORMS.contains(&self.norm_max) && self.spread() <= DOUBLINGS_MAX
    }

    /// Doublings between the norms that one in twenty is below, and above.
    fn spread(&self) -> usize {
        let total: u32 = self.doublings.iter().sum();
        let at = |share: u32| {
            let mut left = u64::from(total) * u64::from(share) / 20;
            self.doublings.iter().position(|count| {
                let here = left < u64::from(*count);
                left = left.saturating_sub(u64::from(*count));
                here
            })
        };
        at(19).unwrap_or(0).saturating_sub(at(1).unwrap_or(0))
    }

    pub(crate) fn push(&mut self, vector: &[f32]) {
        let norm = self.kernels.norm_squared(vector).sqrt();
        let factor = match self.metric {
            Metric::Cosine if norm > 0.0 => 1.0 / norm,
            _ => 1.0,
        };
        let norm = norm * factor;
        self.norm_max = self.norm_max.max(norm);
        if norm > 0.0 {
            let doubling = norm.log2().floor() as i32 - LEAST_DOUBLING;
            self.doublings[doubling.clamp(0, self.doublings.len() as i32 - 1) as usize] += 1;
        }
        let mut rotated = self.rotation.rotated(self.kernels, vector, factor);
        if self.mean.is_empty() {
            self.waiting.append(&mut rotated);
            if self.waiting.len() >= MEAN_OF * self.padded() {
                self.complete();
            }
        } else {
            self.keep(&mut rotated);
        }
    }

    /// Takes in what still waits for the mean. Call it before reading.
    pub(crate) fn complete(&mut self) {
        let padded = self.padded();
        let waiting = std::mem::take(&mut self.waiting);
        if self.mean.is_empty() {
            let mut sums = vec![0f64; padded];
            for vector in waiting.chunks_exact(padded) {
                sums.iter_mut().zip(vector).for_each(|(sum, value)| *sum += f64::from(*value));
            }
            let count = (waiting.len() / padded).max(1) as f64;
            self.mean = sums.into_iter().map(|sum| (sum / count) as f32).collect();
            let norm = |vector: &[f32]| self.kernels.norm_squared(vector).sqrt();
            let shortest = SHORT * norm(&self.mean);
            let short = waiting.chunks_exact(padded).filter(|vector| norm(vector) < shortest).count();
            if short * SHORT_ONE_IN > waiting.len() / padded {
                self.mean.fill(0.0);
            }
        }
        let mut waiting = waiting;
        waiting.chunks_exact_mut(padded).for_each(|vector| self.keep(vector));
    }

    fn keep(&mut self, vector: &mut [f32]) {
        vector.iter_mut().zip(&self.mean).for_each(|(value, mean)| *value -= mean);
        let (values, scales) = match &mut self.kept {
            Kept::Bytes { values, scales } => (values, scales),
            Kept::Whole { values } => return values.extend_from_slice(vector),
        };
        let most = vector.iter().fold(0f32, |most, value| most.max(value.abs()));
        let scale = if most > 0.0 { most / 127.0 } else { 0.0 };
        let by = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        values.extend(vector.iter().map(|value| (value * by).round() as i8));
        scales.push(scale);
    }

    /// Writes vector `number` into `out`, which has [`Self::padded`] places.
    pub(crate) fn read(&self, number: u32, out: &mut [f32]) {
        let at = number as usize * out.len()..(number as usize + 1) * out.len();
        match &self.kept {
            Kept::Bytes { values, scales } => {
                let scale = scales[number as usize];
                out.iter_mut().zip(&values[at]).for_each(|(out, value)| *out = f32::from(*value) * scale);
            }
            Kept::Whole { values } => out.copy_from_slice(&values[at]),
        }
    }

    /// These vectors, row-major.
    pub(crate) fn gather(&self, numbers: &[u32]) -> Vec<f32> {
        let padded = self.padded();
        let mut out = vec![0.0; numbers.len() * padded];
        for (number, out) in numbers.iter().zip(out.chunks_exact_mut(padded)) {
            self.read(*number, out);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::super::chance::Chance;
    use super::*;

    #[test]
    fn keeps_vectors_to_a_percent() {
        for metric in [Metric::Cosine, Metric::Dotproduct, Metric::Euclidean] {
            let mut chance = Chance::new(1);
            let all: Vec<Vec<f32>> = (0..1_500).map(|_| (0..70).map(|_| 3.0 + chance.normal()).collect()).collect();
            let mut vectors = Vectors::new(Kernels::detect(), metric, 70, 5);
            all.iter().for_each(|vector| vectors.push(vector));
            vectors.complete();
            assert_eq!(vectors.len(), 1_500);
            let rotation = Rotation::new(128, 5);
            for (number, vector) in all.iter().enumerate() {
                let norm = vector.iter().map(|v| f64::from(v * v)).sum::<f64>().sqrt();
                let factor = if metric == Metric::Cosine { 1.0 / norm } else { 1.0 };
                let exact = rotation.rotated(Kernels::detect(), vector, factor);
                let mut kept = vec![0.0; 128];
                vectors.read(number as u32, &mut kept);
                let (mut off, mut length) = (0.0, 0.0);
                for ((kept, mean), exact) in kept.iter().zip(vectors.mean()).zip(&exact) {
                    off += (kept + mean - exact).powi(2);
                    length += kept.powi(2);
                }
                assert!(off < 2e-4 * length, "{metric:?} {off} {length}");
            }
        }
    }

    #[test]
    fn norms_far_apart_are_noticed() {
        for (orders, longest, fine) in [(2, 1.0, true), (2, 1e6, true), (8, 1.0, false), (0, 1.0, true)] {
            let mut vectors = Vectors::new(Kernels::detect(), Metric::Dotproduct, 1, 5);
            (0..1_000).for_each(|n| vectors.push(&[10f32.powf(orders as f32 * n as f32 / 1_000.0)]));
            (0..10).for_each(|_| vectors.push(&[longest]));
            (0..100).for_each(|_| vectors.push(&[0.0]));
            assert_eq!(vectors.can_be_coded(), fine, "{orders} {longest}");
        }
    }

    #[test]
    fn norms_past_the_bounds_are_noticed() {
        for (value, metric, fine) in [
            (1e14, Metric::Euclidean, true),
            (1e16, Metric::Euclidean, false),
            (1e-16, Metric::Dotproduct, false),
            (1e30, Metric::Cosine, true),
            (0.0, Metric::Cosine, false),
        ] {
            let mut vectors = Vectors::new(Kernels::detect(), metric, 1, 5);
            vectors.push(&[value]);
            assert_eq!(vectors.can_be_coded(), fine, "{value} {metric:?}");
        }
    }
}

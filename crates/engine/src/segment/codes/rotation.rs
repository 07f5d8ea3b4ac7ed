//! A random rotation in `O(P log P)`: after it no coordinate of a vector is special, which is what codes of few bits rely on.
//!
//! Four rounds of random signs and a Hadamard transform, of the largest power of two that fits, at the front and at the back in
//! turn. It is orthogonal, so dot products and distances stay what they were.

use pinyon_kernels::Kernels;

use super::chance::Chance;

/// Rounds of signs and transform.
const ROUNDS: usize = 4;
/// Padded dimensions are a multiple of this, as the layouts of codes ask for.
const PADDING: usize = 64;

/// The dimension that vectors of `dimension` values are padded to with zeros.
pub(crate) fn padded(dimension: usize) -> usize {
    dimension.max(1).next_multiple_of(PADDING)
}

/// One rotation.
pub(crate) struct Rotation {
    padded: usize,
    /// For each round a factor for each dimension: a sign, and the transform's scaling where it is applied.
    factors: Vec<f32>,
}

impl Rotation {
    /// The rotation of vectors padded to `padded` values that `seed` stands for.
    pub(crate) fn new(padded: usize, seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let scale = 1.0 / (span(padded) as f32).sqrt();
        let mut factors = Vec::with_capacity(ROUNDS * padded);
        for round in 0..ROUNDS {
            let transformed = stretch(padded, round);
            for place in 0..padded {
                let sign = if chance.next() >> 63 == 0 { 1.0 } else { -1.0 };
                factors.push(if transformed.contains(&place) { sign * scale } else { sign });
            }
        }
        Self { padded, factors }
    }

    /// The vector times `factor`, padded and rotated.
    pub(crate) fn rotated(&self, kernels: Kernels, vector: &[f32], factor: f64) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.padded);
        values.extend(vector.iter().map(|value| (f64::from(*value) * factor) as f32));
        values.resize(self.padded, 0.0);
        self.apply(kernels, &mut values);
        values
    }

    /// Rotates a vector of `padded` values in place.
    fn apply(&self, kernels: Kernels, values: &mut [f32]) {
        for (round, factors) in self.factors.chunks_exact(self.padded).enumerate() {
            values.iter_mut().zip(factors).for_each(|(value, factor)| *value *= factor);
            kernels.hadamard(&mut values[stretch(self.padded, round)]);
        }
    }
}

/// The largest power of two that is not more than `padded`.
fn span(padded: usize) -> usize {
    1 << padded.ilog2()
}

/// Which values a round transforms.
fn stretch(padded: usize, round: usize) -> std::ops::Range<usize> {
    let span = span(padded);
    if round.is_multiple_of(2) { 0..span } else { padded - span..padded }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_dot_products_and_spreads_one_coordinate() {
        for dimension in [1, 2, 63, 64, 65, 384, 1_536, 3_072] {
            let padded = padded(dimension);
            let rotation = Rotation::new(padded, 7);
            let mut chance = Chance::new(3);
            let mut vector = || {
                let mut v: Vec<f32> = (0..dimension).map(|_| chance.normal()).collect();
                v.resize(padded, 0.0);
                v
            };
            let (mut a, mut b) = (vector(), vector());
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(x * y)).sum::<f64>();
            let before = (dot(&a, &b), dot(&a, &a));
            rotation.apply(Kernels::detect(), &mut a);
            rotation.apply(Kernels::detect(), &mut b);
            assert!((dot(&a, &a) - before.1).abs() < 1e-4 * before.1, "{dimension}");
            assert!((dot(&a, &b) - before.0).abs() < 1e-4 * before.1, "{dimension}");
            let mut one = vec![0.0; padded];
            one[dimension / 2] = 1.0;
            rotation.apply(Kernels::detect(), &mut one);
            let largest = one.iter().fold(0f32, |most, v| most.max(v.abs()));
            assert!(largest < 5.0 / (padded as f32).sqrt(), "{dimension}: {largest}");
        }
    }
}

//! Numbers that look random and are the same every time: a segment's codes follow from its seed and its vectors alone.

/// A stream of numbers (SplitMix64).
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is at least 1.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }

    /// About normally distributed, mean 0 and variance 1: the sum of twelve uniform numbers.
    pub(crate) fn normal(&mut self) -> f32 {
        let mut sum = -6.0;
        for _ in 0..6 {
            let bits = self.next();
            sum += (bits & 0xffff_ffff) as f32 / 4_294_967_296.0 + (bits >> 32) as f32 / 4_294_967_296.0;
        }
        sum
    }

    /// Up to `count` different numbers below `end`, ascending, spread evenly with a random offset in each stretch.
    pub(crate) fn sample(&mut self, count: usize, end: usize) -> Vec<u32> {
        if count >= end {
            return (0..end as u32).collect();
        }
        let at = |n: usize| n * end / count;
        (0..count).map(|n| (at(n) + self.below(at(n + 1) - at(n))) as u32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_different_and_in_bounds() {
        for (count, end) in [(0, 5), (3, 5), (5, 5), (9, 5), (100, 1_000)] {
            let sample = Chance::new(1).sample(count, end);
            assert_eq!(sample.len(), count.min(end));
            assert!(sample.windows(2).all(|w| w[0] < w[1]) && sample.iter().all(|n| (*n as usize) < end));
        }
    }

    #[test]
    fn normal_numbers_have_mean_0_and_variance_1() {
        let mut chance = Chance::new(9);
        let numbers: Vec<f64> = (0..20_000).map(|_| f64::from(chance.normal())).collect();
        let mean = numbers.iter().sum::<f64>() / 20_000.0;
        let variance = numbers.iter().map(|n| (n - mean) * (n - mean)).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }
}

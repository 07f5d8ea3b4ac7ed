//! Made-up numbers, the same in every run.

/// A source of values that look random and never change.
pub(crate) struct Values(u64);

impl Values {
    /// The sequence of one seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// `len` values from -1 to 1.
    pub(crate) fn take(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0).collect()
    }

    /// A whole number below `end`, which is at least 1.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        // The high bits are the good ones; 2^53 is far above any count here, so that no value is favoured noticeably.
        (self.share() * end as f64) as usize
    }

    /// A number above 0 and below 1.
    pub(crate) fn share(&mut self) -> f64 {
        ((self.next() >> 12) as f64 + 0.5) / (1u64 << 52) as f64
    }

    /// A number of the normal distribution with mean 0 and deviation 1.
    pub(crate) fn normal(&mut self) -> f64 {
        (-2.0 * self.share().ln()).sqrt() * (std::f64::consts::TAU * self.share()).cos()
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// A number that belongs to `at`, without any pattern from one to the next.
pub(crate) fn scatter(at: u64, salt: u64) -> u64 {
    let mut mixed = at.wrapping_add(salt.wrapping_mul(0xD6E8_FEB8_6659_FD93)).wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_numbers_have_their_mean_and_deviation() {
        let mut values = Values::new(3);
        let drawn: Vec<f64> = (0..20_000).map(|_| values.normal()).collect();
        let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
        let variance = drawn.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / drawn.len() as f64;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }

    #[test]
    fn whole_numbers_are_below_their_end_and_reach_it() {
        let mut values = Values::new(4);
        let mut seen = [0; 7];
        (0..7_000).for_each(|_| seen[values.below(7)] += 1);
        assert!(seen.iter().all(|count| (800..1_200).contains(count)), "{seen:?}");
    }

    #[test]
    fn scattered_numbers_fill_their_classes_evenly() {
        let mut seen = [0; 10];
        (0..10_000).for_each(|at| seen[(scatter(at, 1) % 10) as usize] += 1);
        assert!(seen.iter().all(|count| (850..1_150).contains(count)), "{seen:?}");
        assert!((0..100).any(|at| scatter(at, 1) % 10 != scatter(at, 2) % 10));
    }
}

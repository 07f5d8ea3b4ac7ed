//! Numbers ranked by what they score: how the nearest clusters and the best codes are chosen.
//!
//! A score and its number are kept as one integer, so that choosing among hundreds compares integers and nothing else.

/// An integer for a float, in the order of `f32::total_cmp`. No finite float has 0.
pub(super) fn ordered(float: f32) -> u32 {
    let bits = float.to_bits();
    if bits >> 31 == 0 { bits | 1 << 31 } else { !bits }
}

/// The float of an integer.
pub(super) fn from_ordered(integer: u32) -> f32 {
    f32::from_bits(if integer >> 31 == 1 { integer & !(1 << 31) } else { !integer })
}

/// A number and its score, as one integer: the less, the better the score, and of equal scores the lower the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ranked(u64);

impl Ranked {
    pub(super) fn new(number: u32, score: f32) -> Self {
        Self(u64::from(!ordered(score)) << 32 | u64::from(number))
    }

    pub(super) fn number(self) -> u32 {
        self.0 as u32
    }

    pub(super) fn score(self) -> f32 {
        from_ordered(!(self.0 >> 32) as u32)
    }
}

/// Leaves the best `count`, in no order; what scores less than the result is not among them. None if there were no more than that.
pub(super) fn leave_best(ranked: &mut Vec<Ranked>, count: usize) -> Option<f32> {
    if ranked.len() <= count {
        return None;
    }
    let least = match count.checked_sub(1) {
        Some(last) => ranked.select_nth_unstable(last).1.score(),
        None => f32::INFINITY,
    };
    ranked.truncate(count);
    Some(least)
}

/// Leaves of each number its best; in the order of numbers.
pub(super) fn once_each(ranked: &mut Vec<Ranked>) {
    ranked.sort_unstable_by_key(|one| (one.number(), *one));
    ranked.dedup_by_key(|one| one.number());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_as_scores_do() {
        let scores = [f32::NEG_INFINITY, f32::MIN, -2.5, -1e-40, -0.0, 0.0, 1e-40, 0.1, 7.0, f32::MAX, f32::INFINITY];
        for (n, a) in scores.iter().enumerate() {
            assert_eq!(Ranked::new(9, *a).score().to_bits(), a.to_bits());
            assert_eq!(Ranked::new(u32::MAX - 1, *a).number(), u32::MAX - 1);
            assert!(Ranked::new(3, *a) < Ranked::new(4, *a));
            assert!(scores[..n].iter().all(|b| Ranked::new(5, *a) < Ranked::new(4, *b)), "{a}");
        }
    }

    #[test]
    fn leaves_the_best_of_each() {
        let of = |pairs: &[(u32, f32)]| -> Vec<Ranked> { pairs.iter().map(|(number, score)| Ranked::new(*number, *score)).collect() };
        let mut ranked = of(&[(1, 0.5), (2, 0.25), (1, 0.75), (3, 0.0), (2, 0.25)]);
        assert_eq!(leave_best(&mut ranked, 5), None);
        once_each(&mut ranked);
        assert_eq!(ranked, of(&[(1, 0.75), (2, 0.25), (3, 0.0)]));
        assert_eq!(leave_best(&mut ranked, 2), Some(0.25));
        ranked.sort_unstable();
        assert_eq!(ranked, of(&[(1, 0.75), (2, 0.25)]));
        assert_eq!(leave_best(&mut ranked, 0), Some(f32::INFINITY));
        assert!(ranked.is_empty());
    }
}

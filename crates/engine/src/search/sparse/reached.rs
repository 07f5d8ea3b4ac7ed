//! The least that as many rows as are wanted are known to reach, while their exact scores are not known yet.

use std::{cmp::Reverse, collections::BinaryHeap};

/// The greatest `k` of what was put in.
pub(super) struct Reached {
    k: usize,
    /// Floats as integers of the same order.
    greatest: BinaryHeap<Reverse<i32>>,
}

impl Reached {
    pub(super) fn new(k: usize) -> Self {
        Self { k: k.max(1), greatest: BinaryHeap::new() }
    }

    /// Takes in a rank that a row reaches; each row at most once.
    #[inline]
    pub(super) fn push(&mut self, rank: f32) {
        let rank = ordered(rank);
        if self.greatest.len() < self.k {
            self.greatest.push(Reverse(rank));
        } else if let Some(mut least) = self.greatest.peek_mut()
            && least.0 < rank
        {
            *least = Reverse(rank);
        }
    }

    /// The rank that `k` rows reach, once there are so many.
    #[inline]
    pub(super) fn kth(&self) -> Option<f32> {
        if self.greatest.len() < self.k { None } else { self.greatest.peek().map(|least| from_ordered(least.0)) }
    }
}

/// The bits of a float so that integers compare as floats do. Its own inverse.
fn flip(bits: i32) -> i32 {
    bits ^ (bits >> 31) & i32::MAX
}

fn ordered(rank: f32) -> i32 {
    flip(rank.to_bits().cast_signed())
}

fn from_ordered(rank: i32) -> f32 {
    f32::from_bits(flip(rank).cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_greatest() {
        let mut reached = Reached::new(3);
        let ranks = [-2.0f32, 5.0, -7.5, 0.0, f32::MIN, 1e-40, -1e-40];
        let mut sorted: Vec<f32> = Vec::new();
        for rank in ranks {
            reached.push(rank);
            sorted.push(rank);
            sorted.sort_by(|a, b| b.total_cmp(a));
            assert_eq!(reached.kth(), sorted.get(2).copied());
        }
        assert_eq!(reached.kth(), Some(0.0));
    }
}

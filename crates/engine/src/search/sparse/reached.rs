//! The least that as many rows as are wanted are known to reach, while their exact scores are not known yet.

/// The greatest `k` of what was put in, and some more: they are told apart when there are enough of these.
pub(super) struct Reached {
    k: usize,
    ranks: Vec<f32>,
    kth: Option<f32>,
}

impl Reached {
    pub(super) fn new(k: usize) -> Self {
        Self { k: k.max(1), ranks: Vec::new(), kth: None }
    }

    /// Takes in a rank that a row reaches; each row at most once. Tells the rank that `k` rows reach when that is worked out anew.
    #[inline]
    pub(super) fn push(&mut self, rank: f32) -> Option<f32> {
        if self.kth.is_some_and(|kth| rank <= kth) {
            return None;
        }
        self.ranks.push(rank);
        if self.ranks.len() - self.k.min(self.ranks.len()) > self.k / 4 + 8 { self.settle() } else { None }
    }

    /// The rank that `k` rows reach, once there are so many.
    pub(super) fn settle(&mut self) -> Option<f32> {
        if self.ranks.len() >= self.k {
            let (_, kth, _) = self.ranks.select_nth_unstable_by(self.k - 1, |a, b| b.total_cmp(a));
            self.kth = Some(*kth);
            self.ranks.truncate(self.k);
        }
        self.kth
    }

    /// How many ranks are held.
    pub(super) fn len(&self) -> usize {
        self.ranks.len()
    }

    /// Takes back what was put in since there were `len`, unless enough rows are known, which stays true.
    pub(super) fn forget_after(&mut self, len: usize) {
        if self.kth.is_none() {
            self.ranks.truncate(len);
        }
    }
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
            assert_eq!(reached.settle(), sorted.get(2).copied());
        }
        assert_eq!(reached.settle(), Some(0.0));
    }

    #[test]
    fn tells_by_itself_when_it_has_grown() {
        let mut reached = Reached::new(10);
        let told: Vec<f32> = (0..100).filter_map(|n| reached.push(n as f32)).collect();
        assert!(told.len() > 5 && told.is_sorted(), "{told:?}");
        assert!(reached.len() < 24);
        assert_eq!(reached.settle(), Some(90.0));
    }

    #[test]
    fn what_was_taken_back_does_not_count() {
        let mut reached = Reached::new(2);
        reached.push(1.0);
        reached.push(3.0);
        reached.forget_after(1);
        assert_eq!((reached.len(), reached.settle()), (1, None));
        reached.push(2.0);
        assert_eq!(reached.settle(), Some(1.0));
    }
}

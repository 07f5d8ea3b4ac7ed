//! The best of many: kept in a buffer of twice as many, cut down when it is full.

use std::{
    cmp::Ordering,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use super::nearest::{from_ordered, ordered};

/// One row and its rank in the search; higher is better.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) rank: f32,
    pub(crate) row: u32,
}

/// What decides between rows of equal rank: the id's order.
pub(crate) trait Tie {
    /// Which of two rows comes first.
    fn order(&self, a: u32, b: u32) -> Ordering;
}

/// Rows of a segment: they are numbered in the order of their ids.
#[derive(Clone, Copy)]
pub(crate) struct ByRow;

impl Tie for ByRow {
    fn order(&self, a: u32, b: u32) -> Ordering {
        a.cmp(&b)
    }
}

/// A rank that is known to be reached by as many rows as are wanted. Shared by all steps of one query, so that what one has
/// found spares the others.
pub(crate) struct Floor(AtomicU32);

impl Floor {
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// The rank; negative infinity before any is known.
    pub(super) fn get(&self) -> f32 {
        match self.0.load(Relaxed) {
            0 => f32::NEG_INFINITY,
            rank => from_ordered(rank),
        }
    }

    /// Makes known that as many rows as are wanted reach `rank`, if there is one.
    pub(super) fn raise_to(&self, rank: Option<f32>) {
        if let Some(rank) = rank.filter(|rank| *rank > self.get()) {
            self.raise(rank);
        }
    }

    /// Makes known that as many rows as are wanted reach `rank`.
    pub(super) fn raise(&self, rank: f32) {
        // 0 stands for none.
        self.0.fetch_max(ordered(rank), Relaxed);
    }
}

/// Collects the best `k` rows. The result depends on what was pushed alone, not on its order nor on the floor.
pub(crate) struct TopK<'a, T> {
    k: usize,
    tie: T,
    floor: &'a Floor,
    found: Vec<Candidate>,
    least: f32,
}

impl<'a, T: Tie> TopK<'a, T> {
    pub(crate) fn new(k: usize, tie: T, floor: &'a Floor) -> Self {
        Self { k: k.max(1), tie, floor, found: Vec::new(), least: floor.get() }
    }

    /// The rank below which a row has no chance any more. Asking first saves looking up whether the row counts at all.
    #[inline]
    pub(crate) fn least(&self) -> f32 {
        self.least
    }

    /// Takes a row into account.
    #[inline]
    pub(crate) fn push(&mut self, rank: f32, row: u32) {
        if rank >= self.least {
            self.found.push(Candidate { rank, row });
            if self.found.len() >= 2 * self.k + 16 {
                self.cut();
            }
        }
    }

    fn cut(&mut self) {
        if self.found.len() > self.k {
            let tie = &self.tie;
            self.found.select_nth_unstable_by(self.k - 1, |a, b| better(tie, a, b));
            self.found.truncate(self.k);
        }
        if self.found.len() == self.k {
            let kth = self.found.iter().map(|c| c.rank).fold(f32::INFINITY, f32::min);
            self.floor.raise(kth);
            self.least = self.floor.get();
        }
    }

    /// The best, best first.
    pub(crate) fn finish(mut self) -> Vec<Candidate> {
        self.cut();
        let tie = &self.tie;
        self.found.sort_unstable_by(|a, b| better(tie, a, b));
        self.found
    }
}

fn better<T: Tie>(tie: &T, a: &Candidate, b: &Candidate) -> Ordering {
    b.rank.total_cmp(&a.rank).then_with(|| tie.order(a.row, b.row))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_the_head_of_a_sorted_list(ranks in prop::collection::vec(-6i8..6, 0..400), k in 1usize..40, cut in 0usize..400) {
            let all: Vec<Candidate> = ranks.iter().enumerate().map(|(row, r)| Candidate { rank: f32::from(*r), row: row as u32 }).collect();
            let mut expected = all.clone();
            expected.sort_by(|a, b| b.rank.partial_cmp(&a.rank).unwrap().then(a.row.cmp(&b.row)));
            expected.truncate(k);
            // Two steps of one query, the second knowing what the first found, merged as a search merges them.
            let floor = Floor::new();
            let (first, second) = all.split_at(cut.min(all.len()));
            let mut merged = TopK::new(k, ByRow, &floor);
            for part in [second, first] {
                let mut top = TopK::new(k, ByRow, &floor);
                part.iter().for_each(|c| top.push(c.rank, c.row));
                top.finish().into_iter().for_each(|c| merged.push(c.rank, c.row));
            }
            prop_assert_eq!(merged.finish(), expected);
        }
    }

    #[test]
    fn floor_keeps_the_order_of_floats() {
        let floor = Floor::new();
        assert_eq!(floor.get(), f32::NEG_INFINITY);
        for rank in [f32::MIN, -1.5, -f32::MIN_POSITIVE, 0.0, f32::MIN_POSITIVE, 2.0, f32::MAX] {
            floor.raise(rank);
            assert_eq!(floor.get(), rank);
            floor.raise(f32::MIN);
            assert_eq!(floor.get(), rank, "never falls");
        }
    }
}

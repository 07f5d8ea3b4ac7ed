//! Single dense vectors that were read to be scored exactly, in RAM and nowhere else, within a budget of bytes for the whole engine.
//!
//! A query asks for some twenty of them, from anywhere, so what a look costs is waiting for memory: vectors of one dimension lie on a
//! shelf of their own, in large pieces of memory, and a batch is looked up in steps, so that what these wait for is waited for together.
//! A clock hand stands for an order of use.

mod shelf;
mod table;

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, Weak,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use pinyon_model::ObjectId;

pub(crate) use shelf::Shelf;

/// The cache.
pub(crate) struct VectorCache(Arc<Room>);

impl VectorCache {
    /// A cache of at most `budget_bytes`.
    pub(crate) fn new(budget_bytes: u64) -> Self {
        let budget = usize::try_from(budget_bytes).unwrap_or(usize::MAX);
        Self(Arc::new(Room { budget, left: AtomicUsize::new(budget), shelves: Mutex::default() }))
    }

    /// The vectors of a dimension; they are there as long as somebody has their shelf.
    pub(crate) fn shelf(&self, dimension: usize) -> Arc<Shelf> {
        let mut shelves = self.0.lock();
        shelves.retain(|shelf| shelf.strong_count() > 0);
        let found = shelves.iter().filter_map(Weak::upgrade).find(|shelf| shelf.dimension() == dimension);
        found.unwrap_or_else(|| {
            let shelf = Arc::new(Shelf::new(dimension, Arc::clone(&self.0)));
            shelves.push(Arc::downgrade(&shelf));
            shelf
        })
    }

    /// Drops every vector of the objects that are gone.
    pub(crate) fn forget(&self, is_gone: impl Fn(ObjectId) -> bool) {
        self.0.all().iter().for_each(|shelf| shelf.forget(&is_gone));
    }
}

/// What the shelves share. One that has less than an even share takes from the one that has most.
struct Room {
    budget: usize,
    /// Bytes that nobody has.
    left: AtomicUsize,
    shelves: Mutex<Vec<Weak<Shelf>>>,
}

impl Room {
    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Shelf>>> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> Vec<Arc<Shelf>> {
        self.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Takes some bytes for a shelf. Whether there were as many.
    fn take(&self, bytes: usize, shelf: &Shelf) -> bool {
        let take = || self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(bytes)).is_ok();
        take() || self.reclaim(bytes, shelf) && take()
    }

    fn give_back(&self, bytes: usize) {
        self.left.fetch_add(bytes, Relaxed);
    }

    /// Has the greatest shelf give up room for one that has less than its share.
    fn reclaim(&self, bytes: usize, shelf: &Shelf) -> bool {
        let all = self.all();
        let share = self.budget / all.len().max(1);
        if shelf.bytes() + bytes > share {
            return false;
        }
        while self.left.load(Relaxed) < bytes {
            let greatest = all.iter().max_by_key(|shelf| shelf.bytes());
            if greatest.is_none_or(|greatest| greatest.bytes() <= share || !greatest.give_up()) {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use pinyon_kernels::Kernels;

    use super::*;

    fn object(n: u8) -> ObjectId {
        ObjectId::from_bytes([n; 16])
    }

    fn get(shelf: &Shelf, object: ObjectId, ordinal: u32) -> Option<(Vec<f32>, f64)> {
        let mut found = None;
        let missing = shelf.look(Kernels::detect(), object, &[ordinal], |_, values, norm| found = Some((values.to_vec(), norm)));
        assert_eq!(missing.is_empty(), found.is_some());
        found
    }

    #[test]
    fn gives_back_what_was_kept_and_nothing_else() {
        let cache = VectorCache::new(16 << 20);
        let shelf = cache.shelf(2);
        for n in 0..5_000u32 {
            shelf.insert(object((n % 7) as u8), n, &[n as f32, 1.0], f64::from(n));
        }
        assert_eq!(shelf.held(), 5_000);
        shelf.insert(object(1), 5_001, &[1.0], 1.0);
        let ordinals: Vec<u32> = (0..5_002).rev().collect();
        for of in 0..8 {
            let mut seen = Vec::new();
            let missing = shelf.look(Kernels::detect(), object(of), &ordinals, |at, values, norm| {
                assert_eq!((values, norm), (&[ordinals[at] as f32, 1.0][..], f64::from(ordinals[at])));
                seen.push(at);
            });
            let (there, not): (Vec<usize>, Vec<usize>) =
                (0..ordinals.len()).partition(|at| ordinals[*at] < 5_000 && ordinals[*at] % 7 == u32::from(of));
            assert_eq!((seen, missing), (there, not));
        }
        shelf.forget(|of| of == object(2));
        assert_eq!(get(&shelf, object(2), 2), None);
        assert_eq!(get(&shelf, object(3), 3), Some((vec![3.0, 1.0], 3.0)));
        assert_eq!(shelf.held(), 5_000 - 714);
        drop(shelf);
        assert_eq!(cache.0.left.load(Relaxed), 16 << 20, "all of it is free again");
        assert_eq!(cache.shelf(2).held(), 0);
    }

    #[test]
    fn stays_within_its_budget_and_keeps_what_is_asked_for() {
        let cache = VectorCache::new(1 << 20);
        let shelf = cache.shelf(100);
        for n in 0..20_000 {
            shelf.insert(object(3), n, &[n as f32; 100], 0.0);
            // One vector in two hundred is asked for all the time.
            (0..n.min(100)).for_each(|hot| drop(get(&shelf, object(3), hot)));
        }
        let held = shelf.held();
        assert!((2_100..=2_360).contains(&held), "{held} of 448 bytes");
        let hot = (0..100).filter(|n| get(&shelf, object(3), *n).is_some_and(|found| found.0 == [*n as f32; 100])).count();
        assert!(hot > 90, "{hot} of 100 hot ones are there");
    }

    /// Asks for each of these, keeping those that are not there, and returns how many were.
    fn ask(shelf: &Shelf, ordinals: std::ops::Range<u32>) -> usize {
        let there = |n: &u32| {
            let there = get(shelf, object(3), *n).is_some();
            if !there {
                shelf.insert(object(3), *n, &[0.0; 100], 0.0);
            }
            there
        };
        ordinals.filter(there).count()
    }

    #[test]
    fn what_is_asked_for_now_takes_the_place_of_what_was() {
        let shelf = VectorCache::new(600 << 10).shelf(100);
        for _ in 0..4 {
            ask(&shelf, 0..1_000);
        }
        for _ in 0..20 {
            ask(&shelf, 5_000..6_000);
        }
        let there = ask(&shelf, 5_000..6_000);
        assert!(there > 900, "{there} of 1,000 are there");
    }

    #[test]
    fn asking_for_more_than_fits_in_turn_finds_much_of_it() {
        let shelf = VectorCache::new(600 << 10).shelf(100);
        for _ in 0..10 {
            ask(&shelf, 0..1_900);
        }
        // About 1,300 fit; the least recently used of them would always be the one asked for next.
        let there = ask(&shelf, 0..1_900);
        assert!(there > 800, "{there} of 1,900 are there");
    }

    #[test]
    fn another_dimension_gets_its_share() {
        let cache = VectorCache::new(4 << 20);
        let (few, many) = (cache.shelf(10), cache.shelf(1_000));
        for n in 0..2_000 {
            many.insert(object(1), n, &[1.0; 1_000], 0.0);
        }
        let alone = many.held();
        assert!(alone > 900, "{alone}");
        for n in 0..100_000 {
            few.insert(object(1), n, &[2.0; 10], 0.0);
        }
        assert!((alone / 2 - 32..=alone / 2 + 32).contains(&many.held()), "{} of {alone}", many.held());
        assert!(few.held() > 20_000, "{}", few.held());
        assert!(few.bytes() + many.bytes() <= 4 << 20);
        many.forget(|of| of == object(1));
        for n in 0..100_000 {
            few.insert(object(1), n, &[2.0; 10], 0.0);
        }
        assert!(few.held() > 40_000, "{}: what the other had is free", few.held());
    }

    #[test]
    fn without_a_budget_nothing_is_kept() {
        let shelf = VectorCache::new(0).shelf(3);
        shelf.insert(object(1), 1, &[1.0; 3], 0.0);
        assert_eq!((get(&shelf, object(1), 1), shelf.held()), (None, 0));
    }
}

//! Single dense vectors that were read to be scored exactly, in RAM and nowhere else, within a budget of bytes for the whole engine.
//!
//! A query asks for some twenty of them, so a look must cost little: a few dozen maps, each behind a lock that is held for a
//! moment, and a clock hand instead of an order of use.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use pinyon_model::ObjectId;

/// Locks. More than threads, so that two seldom meet.
const SHARDS: usize = 64;
/// One new vector in so many is kept in the place of one that was there before; the others take the place of the one before them, unless
/// that was asked for again at once. So what is asked for now gets in, and a run through more than fits leaves most of what is there.
const ADMIT_ONE_IN: usize = 4;
/// Bytes that a vector costs beside its values.
const OVERHEAD_BYTES: usize = 96;

/// Names a vector: an object's ids are random, so what is left of one tells objects apart, and a clash is noticed by the whole.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    object: ObjectId,
    ordinal: u32,
}

impl Key {
    /// The same for the same key, without any pattern: object ids come from the operating system's random source.
    fn mixed(&self) -> u64 {
        let [a, b] = self.object.as_bytes().as_chunks::<8>().0 else { return 0 };
        let id = u64::from_le_bytes(*a).wrapping_mul(0x94d0_49bb_1331_11eb) ^ u64::from_le_bytes(*b);
        let mixed = (id ^ u64::from(self.ordinal).wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 29)
    }
}

/// Hashes a key by the number it was mixed to.
#[derive(Default)]
struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }
    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

struct Slot {
    key: Key,
    vector: Arc<[f32]>,
    /// Asked for since the hand last passed.
    used: bool,
}

#[derive(Default)]
struct Shard {
    /// By [`Key::mixed`]. Of two keys that mix to one number the later stays.
    places: HashMap<u64, usize, BuildHasherDefault<Mixed>>,
    slots: Vec<Slot>,
    hand: usize,
    evicted: usize,
    bytes: usize,
}

/// The cache.
pub(crate) struct VectorCache {
    shards: Vec<Mutex<Shard>>,
    shard_bytes: usize,
}

fn weight(vector: &[f32]) -> usize {
    size_of_val(vector) + OVERHEAD_BYTES
}

impl VectorCache {
    /// A cache of at most `budget_bytes`.
    pub(crate) fn new(budget_bytes: u64) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, shard_bytes: usize::try_from(budget_bytes).unwrap_or(usize::MAX) / SHARDS }
    }

    fn shard(&self, mixed: u64) -> MutexGuard<'_, Shard> {
        self.shards[(mixed >> 58) as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The vector, if it is there.
    pub(crate) fn get(&self, object: ObjectId, ordinal: u32) -> Option<Arc<[f32]>> {
        let key = Key { object, ordinal };
        let mut shard = self.shard(key.mixed());
        let place = *shard.places.get(&key.mixed())?;
        let slot = shard.slots.get_mut(place).filter(|slot| slot.key == key)?;
        slot.used = true;
        Some(Arc::clone(&slot.vector))
    }

    /// Keeps a vector, in the place of some that were not asked for of late.
    pub(crate) fn insert(&self, object: ObjectId, ordinal: u32, vector: Arc<[f32]>) {
        let key = Key { object, ordinal };
        let mut shard = self.shard(key.mixed());
        if weight(&vector) > self.shard_bytes {
            return;
        }
        if let Some(place) = shard.places.get(&key.mixed()).copied() {
            shard.remove(place);
        }
        shard.bytes += weight(&vector);
        while shard.bytes > self.shard_bytes && !shard.slots.is_empty() {
            shard.evict();
        }
        let place = shard.slots.len();
        shard.places.insert(key.mixed(), place);
        shard.slots.push(Slot { key, vector, used: false });
    }

    /// Drops a vector.
    pub(crate) fn remove(&self, object: ObjectId, ordinal: u32) {
        let key = Key { object, ordinal };
        let mut shard = self.shard(key.mixed());
        if let Some(place) = shard.places.get(&key.mixed()).copied()
            && shard.slots[place].key == key
        {
            shard.remove(place);
        }
    }

    /// Drops every vector of `object`.
    pub(crate) fn forget(&self, object: ObjectId) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            while let Some(place) = shard.slots.iter().position(|slot| slot.key.object == object) {
                shard.remove(place);
            }
        }
    }
}

impl Shard {
    /// Takes out the next that was not asked for since the hand last passed it.
    fn evict(&mut self) {
        loop {
            self.hand = if self.hand < self.slots.len() { self.hand } else { 0 };
            match self.slots.get_mut(self.hand) {
                Some(slot) if slot.used => {
                    slot.used = false;
                    self.hand += 1;
                }
                _ => {
                    // The newest comes into its place, at the hand: the next to go, unless the hand moves on.
                    self.remove(self.hand);
                    self.evicted += 1;
                    self.hand += usize::from(self.evicted.is_multiple_of(ADMIT_ONE_IN));
                    return;
                }
            }
        }
    }

    fn remove(&mut self, place: usize) {
        let gone = self.slots.swap_remove(place);
        self.bytes -= weight(&gone.vector);
        self.places.remove(&gone.key.mixed());
        if let Some(moved) = self.slots.get(place) {
            self.places.insert(moved.key.mixed(), place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(n: u8) -> ObjectId {
        ObjectId::from_bytes([n; 16])
    }

    #[test]
    fn gives_back_what_was_kept_and_nothing_else() {
        let cache = VectorCache::new(1 << 20);
        cache.insert(object(1), 5, Arc::from([1.0, 2.0]));
        cache.insert(object(2), 5, Arc::from([3.0]));
        assert_eq!(cache.get(object(1), 5).as_deref(), Some(&[1.0, 2.0][..]));
        assert_eq!(cache.get(object(2), 5).as_deref(), Some(&[3.0][..]));
        assert_eq!(cache.get(object(1), 6), None);
        cache.insert(object(1), 5, Arc::from([4.0]));
        assert_eq!(cache.get(object(1), 5).as_deref(), Some(&[4.0][..]));
        cache.remove(object(1), 5);
        assert_eq!(cache.get(object(1), 5), None);
        cache.forget(object(2));
        assert_eq!(cache.get(object(2), 5), None);
    }

    #[test]
    fn stays_within_its_budget_and_keeps_what_is_asked_for() {
        let cache = VectorCache::new(SHARDS as u64 * 10 * (400 + OVERHEAD_BYTES as u64));
        for n in 0..20_000 {
            cache.insert(object(3), n, Arc::from([n as f32; 100]));
            // One vector in ten is asked for all the time.
            (0..n.min(100)).for_each(|hot| drop(cache.get(object(3), hot)));
        }
        let held: usize = cache.shards.iter().map(|s| s.lock().unwrap().slots.len()).sum();
        assert!((SHARDS * 8..=SHARDS * 10).contains(&held), "{held}");
        for shard in &cache.shards {
            let shard = shard.lock().unwrap();
            assert_eq!(shard.places.len(), shard.slots.len());
            assert_eq!(shard.bytes, shard.slots.iter().map(|slot| weight(&slot.vector)).sum::<usize>());
            assert!(shard.slots.iter().enumerate().all(|(place, slot)| shard.places[&slot.key.mixed()] == place));
        }
        let hot = (0..100).filter(|n| cache.get(object(3), *n).is_some()).count();
        assert!(hot > 90, "{hot} of 100 hot ones are there");
    }

    /// Asks for each of these, keeping those that are not there, and returns how many were.
    fn ask(cache: &VectorCache, ordinals: std::ops::Range<u32>) -> usize {
        let there = |n: &u32| {
            let there = cache.get(object(3), *n).is_some();
            if !there {
                cache.insert(object(3), *n, Arc::from([0.0; 100]));
            }
            there
        };
        ordinals.filter(there).count()
    }

    #[test]
    fn what_is_asked_for_now_takes_the_place_of_what_was() {
        let cache = VectorCache::new(SHARDS as u64 * 20 * (400 + OVERHEAD_BYTES as u64));
        for _ in 0..4 {
            ask(&cache, 0..1_000);
        }
        for _ in 0..20 {
            ask(&cache, 5_000..6_000);
        }
        let there = ask(&cache, 5_000..6_000);
        assert!(there > 900, "{there} of 1,000 are there");
    }

    #[test]
    fn asking_for_more_than_fits_in_turn_finds_much_of_it() {
        let cache = VectorCache::new(SHARDS as u64 * 20 * (400 + OVERHEAD_BYTES as u64));
        for _ in 0..10 {
            ask(&cache, 0..1_900);
        }
        // About 1,280 fit; the least recently used of them would always be the one asked for next.
        let there = ask(&cache, 0..1_900);
        assert!(there > 800, "{there} of 1,900 are there");
    }
}

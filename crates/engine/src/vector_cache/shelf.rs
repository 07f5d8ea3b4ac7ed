//! The vectors of one dimension.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, TryLockError,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use pinyon_kernels::Kernels;
use pinyon_model::ObjectId;

use super::{Room, table::Table};

/// Locks. Each is held for a tenth of a microsecond, so that threads seldom meet.
const SHARDS: usize = 16;
/// About how much room is taken at a time, in bytes.
const CHUNK_BYTES: usize = 32 << 10;
/// One new vector in so many is kept in the place of one that was there before; the others take the place of the one before them, unless
/// that was asked for again at once. So what is asked for now gets in, and a run through more than fits leaves most of what is there.
const ADMIT_ONE_IN: usize = 4;
/// Vectors that are on their way from memory at a time.
const AT_ONCE: usize = 16;
/// How much of a vector is asked for ahead, in bytes; the rest is read in a row.
const AHEAD_BYTES: usize = 4 << 10;

/// Names a vector: an object's ids are random, so what is left of one tells objects apart, and a clash is noticed by the whole.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    object: ObjectId,
    ordinal: u32,
}

impl Key {
    /// The same for the same key, without any pattern: object ids come from the operating system's random source.
    fn mixed(&self) -> Mixed {
        let [a, b] = self.object.as_bytes().as_chunks::<8>().0 else { return Mixed { shard: 0, hash: 0 } };
        let id = u64::from_le_bytes(*a).wrapping_mul(0x94d0_49bb_1331_11eb) ^ u64::from_le_bytes(*b);
        let mixed = (id ^ u64::from(self.ordinal).wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = mixed ^ (mixed >> 29);
        Mixed { shard: mixed as usize % SHARDS, hash: (mixed >> 32) as u32 }
    }
}

/// What a key mixes to: its shard, and its hash there.
#[derive(Clone, Copy)]
struct Mixed {
    shard: usize,
    hash: u32,
}

struct Slot {
    key: Key,
    /// Asked for since the hand last passed.
    used: bool,
    norm: f64,
}

/// A share of the vectors.
#[derive(Default)]
struct Shard {
    table: Table,
    slots: Vec<Slot>,
    /// Their values: as many vectors in each as fit, so that nothing is lost between them.
    chunks: Vec<Box<[f32]>>,
    hand: usize,
    evicted: usize,
}

/// Vectors of one dimension, by object and ordinal.
pub(crate) struct Shelf {
    dimension: usize,
    /// Vectors of a chunk.
    each: usize,
    shards: [Mutex<Shard>; SHARDS],
    /// Bytes of all chunks.
    bytes: AtomicUsize,
    /// Whose turn it is to give room up.
    giving: AtomicUsize,
    room: Arc<Room>,
}

impl Shelf {
    pub(super) fn new(dimension: usize, room: Arc<Room>) -> Self {
        let each = (CHUNK_BYTES / (dimension * size_of::<f32>()).max(1)).max(1);
        let (bytes, giving) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { dimension, each, shards: std::array::from_fn(|_| Mutex::default()), bytes, giving, room }
    }

    pub(super) fn dimension(&self) -> usize {
        self.dimension
    }

    /// Bytes of all that is there.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// Bytes that a chunk takes, with what is kept of each vector beside its values.
    fn chunk_bytes(&self) -> usize {
        // A slot, and two entries of a table of which half is used.
        self.each * (self.dimension * size_of::<f32>() + size_of::<Slot>() + 2 * size_of::<u64>())
    }

    fn shard(&self, shard: usize) -> MutexGuard<'_, Shard> {
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows those of these vectors that are there, each with its place in `ordinals`, its values and its norm, and returns the places of
    /// the others. `see` must not take long.
    pub(crate) fn look(&self, kernels: Kernels, object: ObjectId, ordinals: &[u32], mut see: impl FnMut(usize, &[f32], f64)) -> Vec<usize> {
        let mut missing = Vec::new();
        let mut keys = [(Key { object, ordinal: 0 }, Mixed { shard: 0, hash: 0 }); AT_ONCE];
        for (batch, ordinals) in ordinals.chunks(AT_ONCE).enumerate() {
            // What each step needs is on its way for all of them before the first is waited for.
            for ((key, mixed), ordinal) in keys.iter_mut().zip(ordinals) {
                key.ordinal = *ordinal;
                *mixed = key.mixed();
                self.shard(mixed.shard).table.prefetch(kernels, mixed.hash);
            }
            let keys = &keys[..ordinals.len()];
            for (_, mixed) in keys {
                let shard = self.shard(mixed.shard);
                if let Some(place) = shard.table.places(mixed.hash).next()
                    && let (Some(slot), Some(values)) = (shard.slots.get(place), self.values(&shard, place))
                {
                    kernels.prefetch_at(std::ptr::from_ref(slot));
                    kernels.prefetch(&values[..values.len().min(AHEAD_BYTES / size_of::<f32>())]);
                }
            }
            for (at, (key, mixed)) in (batch * AT_ONCE..).zip(keys) {
                let mut shard = self.shard(mixed.shard);
                let Some(place) = shard.place(key, mixed.hash) else {
                    missing.push(at);
                    continue;
                };
                shard.slots[place].used = true;
                if let Some(values) = self.values(&shard, place) {
                    see(at, values, shard.slots[place].norm);
                }
            }
        }
        missing
    }

    fn values<'a>(&self, shard: &'a Shard, place: usize) -> Option<&'a [f32]> {
        let start = place % self.each * self.dimension;
        shard.chunks.get(place / self.each)?.get(start..start + self.dimension)
    }

    /// Keeps a vector, if there is room, or in the place of one that was not asked for of late.
    pub(crate) fn insert(&self, object: ObjectId, ordinal: u32, values: &[f32], norm: f64) {
        if values.len() != self.dimension {
            return;
        }
        let key = Key { object, ordinal };
        let mixed = key.mixed();
        let mut shard = self.shard(mixed.shard);
        if shard.place(&key, mixed.hash).is_some() {
            return;
        }
        if shard.slots.len() == shard.chunks.len() * self.each && self.take_room() {
            shard.chunks.push(vec![0.0; self.each * self.dimension].into());
            // As many as there is room for: what grows by itself takes up to twice as much.
            shard.slots.reserve_exact(self.each);
        }
        let slot = Slot { key, used: false, norm };
        let place = if shard.slots.len() < shard.chunks.len() * self.each {
            shard.slots.push(slot);
            shard.slots.len() - 1
        } else if let Some(place) = shard.evict() {
            shard.slots[place] = slot;
            place
        } else {
            return;
        };
        shard.table.add(mixed.hash, place);
        let start = place % self.each * self.dimension;
        shard.chunks[place / self.each][start..start + self.dimension].copy_from_slice(values);
    }

    fn take_room(&self) -> bool {
        let taken = self.room.take(self.chunk_bytes(), self);
        self.bytes.fetch_add(if taken { self.chunk_bytes() } else { 0 }, Relaxed);
        taken
    }

    /// Drops a chunk with what is in it, for others. Whether there was one; not one of a shard that is in use.
    pub(super) fn give_up(&self) -> bool {
        for _ in 0..SHARDS {
            let mut shard = match self.shards[self.giving.fetch_add(1, Relaxed) % SHARDS].try_lock() {
                Ok(shard) => shard,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => continue,
            };
            if let Some(left) = shard.chunks.len().checked_sub(1) {
                while shard.slots.len() > left * self.each {
                    self.remove(&mut shard, left * self.each);
                }
                self.trim(&mut shard, left);
                return true;
            }
        }
        false
    }

    /// Drops every vector of the objects that are gone.
    pub(crate) fn forget(&self, is_gone: impl Fn(ObjectId) -> bool) {
        for shard in 0..SHARDS {
            let mut shard = self.shard(shard);
            // From the end: what takes the place of one that is removed was looked at before.
            for place in (0..shard.slots.len()).rev() {
                if is_gone(shard.slots[place].key.object) {
                    self.remove(&mut shard, place);
                }
            }
            let needed = shard.slots.len().div_ceil(self.each);
            self.trim(&mut shard, needed);
        }
    }

    /// Removes the vector at a place, which the last one takes.
    fn remove(&self, shard: &mut Shard, place: usize) {
        let last = shard.slots.len() - 1;
        let gone = shard.slots.swap_remove(place).key;
        shard.table.remove(gone.mixed().hash, place);
        if place == last {
            return;
        }
        let moved = shard.slots[place].key.mixed();
        shard.table.moved(moved.hash, last, place);
        let at = |place: usize| (place / self.each, place % self.each * self.dimension);
        let ((from, start), (to, into)) = (at(last), at(place));
        if from == to {
            shard.chunks[to].copy_within(start..start + self.dimension, into);
        } else if let Ok([from, to]) = shard.chunks.get_disjoint_mut([from, to]) {
            to[into..into + self.dimension].copy_from_slice(&from[start..start + self.dimension]);
        }
    }

    /// Gives all but so many chunks of a shard back.
    fn trim(&self, shard: &mut Shard, chunks: usize) {
        let gone = shard.chunks.len().saturating_sub(chunks) * self.chunk_bytes();
        shard.chunks.truncate(chunks);
        self.bytes.fetch_sub(gone, Relaxed);
        self.room.give_back(gone);
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.room.give_back(*self.bytes.get_mut());
    }
}

impl Shard {
    fn place(&self, key: &Key, hash: u32) -> Option<usize> {
        self.table.places(hash).find(|place| self.slots.get(*place).is_some_and(|slot| slot.key == *key))
    }

    /// Frees the next place that was not asked for since the hand last passed it; none if there are no places.
    fn evict(&mut self) -> Option<usize> {
        loop {
            self.hand = if self.hand < self.slots.len() { self.hand } else { 0 };
            let slot = self.slots.get_mut(self.hand)?;
            if std::mem::take(&mut slot.used) {
                self.hand += 1;
                continue;
            }
            let (place, hash) = (self.hand, slot.key.mixed().hash);
            self.table.remove(hash, place);
            // The newcomer is the next to go, unless the hand moves on.
            self.evicted += 1;
            self.hand += usize::from(self.evicted.is_multiple_of(ADMIT_ONE_IN));
            return Some(place);
        }
    }
}

#[cfg(test)]
impl Shelf {
    /// How many vectors there are; all that must hold of them is checked.
    pub(super) fn held(&self) -> usize {
        let mut held = 0;
        let mut bytes = 0;
        for number in 0..SHARDS {
            let shard = self.shard(number);
            held += shard.slots.len();
            bytes += shard.chunks.len() * self.chunk_bytes();
            assert!(shard.slots.len() <= shard.chunks.len() * self.each);
            for (place, slot) in shard.slots.iter().enumerate() {
                let mixed = slot.key.mixed();
                assert_eq!((mixed.shard, shard.place(&slot.key, mixed.hash)), (number, Some(place)));
            }
        }
        assert_eq!(bytes, self.bytes());
        held
    }
}

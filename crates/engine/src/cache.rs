//! Plaintext of stored blocks, in RAM and nowhere else, within one budget of bytes for the whole engine.
//!
//! A block is cached decoded, under the object it lies in, its section and its number; single vectors, which searches with codes score
//! exactly, have a budget of their own, and so has what filters select. Objects never change, so an entry is never stale; [`BlockCache::forget`] drops what
//! belongs to an object that is being deleted.

use std::{any::Any, collections::HashSet, sync::Arc};

use moka::sync::Cache;
use pinyon_model::ObjectId;

use crate::{
    filter::{Selection, SelectionKey},
    vector_cache::VectorCache,
};

/// Names one decoded block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct BlockKey {
    /// The object it lies in.
    pub(crate) object: ObjectId,
    /// The kind of block, as the object's format numbers its sections.
    pub(crate) section: u16,
    /// Which block of that kind.
    pub(crate) block: u64,
}

/// Bytes that an entry costs beside its content: the key, the map's node, the policy's counters.
const ENTRY_OVERHEAD_BYTES: usize = 160;

#[derive(Clone)]
struct Entry {
    weight: u32,
    block: Arc<dyn Any + Send + Sync>,
}

#[derive(Clone)]
struct Selected {
    weight: u32,
    selection: Arc<Selection>,
}

/// Bytes of memory that the cache may take, by what it holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CacheBudgets {
    /// Decoded blocks.
    pub(crate) blocks: u64,
    /// Single vectors.
    pub(crate) vectors: u64,
    /// What filters select.
    pub(crate) selections: u64,
}

/// The cache. Cheap to share: hold it in an `Arc`.
pub(crate) struct BlockCache {
    entries: Cache<BlockKey, Entry>,
    vectors: VectorCache,
    selections: Cache<SelectionKey, Selected>,
}

impl BlockCache {
    /// A cache of at most about these budgets.
    pub(crate) fn new(budgets: CacheBudgets) -> Self {
        let entries =
            Cache::builder().max_capacity(budgets.blocks).weigher(|_, entry: &Entry| entry.weight).support_invalidation_closures().build();
        let selections = Cache::builder().max_capacity(budgets.selections).weigher(|_, entry: &Selected| entry.weight).build();
        Self { entries, vectors: VectorCache::new(budgets.vectors), selections }
    }

    /// The single vectors.
    pub(crate) fn vectors(&self) -> &VectorCache {
        &self.vectors
    }

    /// The block, if it is there as a `T`.
    pub(crate) fn get<T: Send + Sync + 'static>(&self, key: &BlockKey) -> Option<Arc<T>> {
        self.entries.get(key)?.block.downcast().ok()
    }

    /// Keeps `block`, which occupies about `weight_bytes`.
    pub(crate) fn insert<T: Send + Sync + 'static>(&self, key: BlockKey, block: Arc<T>, weight_bytes: usize) {
        self.entries.insert(key, Entry { weight: weight(weight_bytes), block });
    }

    /// What a filter selects of an object, if it is there.
    pub(crate) fn selection(&self, key: &SelectionKey) -> Option<Arc<Selection>> {
        Some(self.selections.get(key)?.selection)
    }

    /// Keeps what a filter selects, which may come to occupy about `weight_bytes` beside its key.
    pub(crate) fn insert_selection(&self, key: SelectionKey, selection: Arc<Selection>, weight_bytes: usize) {
        let weight = weight(weight_bytes.saturating_add(key.weight_bytes()));
        self.selections.insert(key, Selected { weight, selection });
    }

    /// Drops what filters select of `object`.
    pub(crate) fn forget_selections(&self, object: ObjectId) {
        // Within so small a budget there are some thousands at most.
        for (key, _) in self.selections.iter().filter(|(key, _)| key.object == object) {
            self.selections.invalidate(&*key);
        }
    }

    /// Does at once what is put off: what gave way is dropped.
    #[cfg(test)]
    pub(crate) fn settle(&self) {
        self.entries.run_pending_tasks();
    }

    /// Drops one block.
    pub(crate) fn remove(&self, key: &BlockKey) {
        self.entries.invalidate(key);
    }

    /// Drops every block of `object`: it is about to be deleted.
    pub(crate) fn forget(&self, object: ObjectId) {
        // Refused only without `support_invalidation_closures`, which `new` asks for.
        let _ = self.entries.invalidate_entries_if(move |key, _| key.object == object);
        self.vectors.forget(|of| of == object);
        self.forget_selections(object);
    }

    /// Drops all that is known of these objects, and frees it now: it must not be in memory any more. Looks at the whole cache once.
    pub(crate) fn forget_now(&self, objects: &HashSet<ObjectId>) {
        for (key, _) in self.entries.iter().filter(|(key, _)| objects.contains(&key.object)) {
            self.entries.invalidate(&*key);
        }
        for (key, _) in self.selections.iter().filter(|(key, _)| objects.contains(&key.object)) {
            self.selections.invalidate(&*key);
        }
        self.entries.run_pending_tasks();
        self.selections.run_pending_tasks();
        self.vectors.forget(|object| objects.contains(&object));
    }
}

fn weight(bytes: usize) -> u32 {
    u32::try_from(bytes.saturating_add(ENTRY_OVERHEAD_BYTES)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use pinyon_model::{Condition, Filter, Scalar};
    use roaring::RoaringBitmap;

    use super::*;

    fn key(object: u8, block: u64) -> BlockKey {
        BlockKey { object: ObjectId::from_bytes([object; 16]), section: 1, block }
    }

    #[test]
    fn stays_within_its_budget() {
        let cache = BlockCache::new(CacheBudgets { blocks: 100_000, vectors: 0, selections: 0 });
        for i in 0..1_000 {
            cache.insert(key(1, i), Arc::new(vec![0u8; 1_000]), 1_000);
        }
        cache.settle();
        let used = cache.entries.weighted_size();
        assert!((50_000..=100_000).contains(&used), "{used}");
    }

    fn asks(object: u8, n: u32) -> SelectionKey {
        let filter = Filter::Field("n".to_owned(), Condition::Eq(Scalar::Number(f64::from(n))));
        SelectionKey { object: ObjectId::from_bytes([object; 16]), filter: Arc::new(filter) }
    }

    #[test]
    fn selections_stay_within_their_own_budget_and_go_with_their_object() {
        let cache = BlockCache::new(CacheBudgets { blocks: 0, vectors: 0, selections: 100_000 });
        let rows = |n: u32| RoaringBitmap::from([n]);
        for n in 0..2_000 {
            cache.insert_selection(asks(1 + (n % 2) as u8, n), Arc::new(Selection::new(rows(n))), 500);
            cache.selections.run_pending_tasks();
            assert!(cache.selections.weighted_size() <= 100_000);
            for before in (0..=n).rev().step_by(97) {
                if let Some(selection) = cache.selection(&asks(1 + (before % 2) as u8, before)) {
                    assert_eq!(**selection.rows(), rows(before));
                }
            }
        }
        let held = |object: u8| (0..2_000).filter(|n| cache.selection(&asks(object, *n)).is_some()).count();
        let other = held(2);
        assert!(held(1) > 20 && other > 20, "{} and {other} are held", held(1));
        cache.forget(ObjectId::from_bytes([1; 16]));
        assert_eq!((held(1), held(2)), (0, other));
    }

    #[test]
    fn what_is_forgotten_now_is_freed_now() {
        let cache = BlockCache::new(CacheBudgets { blocks: 1 << 20, vectors: 0, selections: 0 });
        let block = Arc::new(1u32);
        cache.insert(key(1, 0), Arc::clone(&block), 4);
        cache.insert(key(2, 0), Arc::new(2u32), 4);
        cache.forget_now(&HashSet::from([ObjectId::from_bytes([1; 16])]));
        assert_eq!(Arc::strong_count(&block), 1, "the cache holds it no longer");
        assert_eq!((cache.get::<u32>(&key(1, 0)), cache.get::<u32>(&key(2, 0)).as_deref()), (None, Some(&2)));
    }

    #[test]
    fn forgets_an_object_and_keeps_the_others() {
        let cache = BlockCache::new(CacheBudgets { blocks: 1 << 20, vectors: 0, selections: 0 });
        cache.insert(key(1, 0), Arc::new(1u32), 4);
        cache.insert(key(2, 0), Arc::new(2u32), 4);
        cache.forget(ObjectId::from_bytes([1; 16]));
        assert_eq!(cache.get::<u32>(&key(1, 0)), None);
        assert_eq!(cache.get::<u32>(&key(2, 0)).as_deref(), Some(&2));
        assert_eq!(cache.get::<u64>(&key(2, 0)), None, "another type is a miss");
    }
}

//! Plaintext of stored blocks, in RAM and nowhere else, within one budget of bytes for the whole engine.
//!
//! A block is cached decoded, under the object it lies in, its section and its number; single vectors, which searches with codes score
//! exactly, have a budget of their own. Objects never change, so an entry is never stale; [`BlockCache::forget`] drops what
//! belongs to an object that is being deleted.

use std::{any::Any, sync::Arc};

use moka::sync::Cache;
use pinyon_model::ObjectId;

use crate::vector_cache::VectorCache;

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

/// The cache. Cheap to share: hold it in an `Arc`.
pub(crate) struct BlockCache {
    entries: Cache<BlockKey, Entry>,
    vectors: VectorCache,
}

impl BlockCache {
    /// A cache of at most about `budget_bytes` of blocks and `vector_bytes` of single vectors.
    pub(crate) fn new(budget_bytes: u64, vector_bytes: u64) -> Self {
        let entries =
            Cache::builder().max_capacity(budget_bytes).weigher(|_, entry: &Entry| entry.weight).support_invalidation_closures().build();
        Self { entries, vectors: VectorCache::new(vector_bytes) }
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
        let weight = u32::try_from(weight_bytes.saturating_add(ENTRY_OVERHEAD_BYTES)).unwrap_or(u32::MAX);
        self.entries.insert(key, Entry { weight, block });
    }

    /// Drops one block.
    pub(crate) fn remove(&self, key: &BlockKey) {
        self.entries.invalidate(key);
    }

    /// Drops every block of `object`: it is about to be deleted.
    pub(crate) fn forget(&self, object: ObjectId) {
        // Refused only without `support_invalidation_closures`, which `new` asks for.
        let _ = self.entries.invalidate_entries_if(move |key, _| key.object == object);
        self.vectors.forget(object);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(object: u8, block: u64) -> BlockKey {
        BlockKey { object: ObjectId::from_bytes([object; 16]), section: 1, block }
    }

    #[test]
    fn stays_within_its_budget() {
        let cache = BlockCache::new(100_000, 0);
        for i in 0..1_000 {
            cache.insert(key(1, i), Arc::new(vec![0u8; 1_000]), 1_000);
        }
        cache.entries.run_pending_tasks();
        let used = cache.entries.weighted_size();
        assert!((50_000..=100_000).contains(&used), "{used}");
    }

    #[test]
    fn forgets_an_object_and_keeps_the_others() {
        let cache = BlockCache::new(1 << 20, 0);
        cache.insert(key(1, 0), Arc::new(1u32), 4);
        cache.insert(key(2, 0), Arc::new(2u32), 4);
        cache.forget(ObjectId::from_bytes([1; 16]));
        assert_eq!(cache.get::<u32>(&key(1, 0)), None);
        assert_eq!(cache.get::<u32>(&key(2, 0)).as_deref(), Some(&2));
        assert_eq!(cache.get::<u64>(&key(2, 0)), None, "another type is a miss");
    }
}

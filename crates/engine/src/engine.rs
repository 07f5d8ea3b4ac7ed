//! The engine: every index of one data directory, and what they share.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::future::join_all;
use pinyon_kernels::Kernels;
use pinyon_model::{IndexId, MetadataSchema, ObjectId, Result, VectorShape};
use pinyon_storage::{BlobStore, KeyStore, SealedStore};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    CheckReport, Clock, EngineSettings, IndexHandle,
    cache::{BlockCache, CacheBudgets},
    check,
    error::stored,
    namespace::{Removals, remove_superseded},
    open_set::OpenSet,
    pool::Pool,
    recall::{self, Sampler},
    shared::Shared,
};

/// What an index's records look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexOptions {
    /// Which vectors a record has.
    pub shape: VectorShape,
    /// The only metadata fields that can be filtered on; none: all can. A namespace's own schema goes before it.
    pub metadata_schema: Option<MetadataSchema>,
}

/// Every index of one data directory. It has nothing open at first.
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
    indexes: Mutex<HashMap<IndexId, Arc<IndexHandle>>>,
}

impl Engine {
    /// The engine over `store`, whose names are paths below `root`, where the logs lie. Needs a Tokio runtime.
    pub async fn open(
        store: Arc<dyn BlobStore>,
        root: PathBuf,
        keys: Arc<KeyStore>,
        clock: Arc<dyn Clock>,
        settings: EngineSettings,
    ) -> Result<Self> {
        let threads = match settings.query_threads {
            0 => std::thread::available_parallelism().map_or(1, |n| n.get()),
            n => n,
        };
        let (removals, removal_requests) = Removals::new();
        let sealed = SealedStore::new(Arc::clone(&store));
        let cache = Arc::new(BlockCache::new(CacheBudgets {
            blocks: settings.cache_bytes,
            vectors: settings.vector_cache_bytes,
            selections: settings.selection_cache_bytes,
        }));
        let jobs = settings.jobs.max(1);
        let shared = Arc::new(Shared {
            sealed: sealed.clone(),
            store,
            root,
            keys,
            sampler: Sampler::new(Arc::clone(&clock), &settings),
            clock,
            kernels: Kernels::detect(),
            cache: Arc::clone(&cache),
            pool: Pool::new(threads)?.on_caller(settings.query_on_caller),
            flushes: Semaphore::new(jobs),
            compactions: Semaphore::new(jobs),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            removals,
            open: OpenSet::new(settings.open_namespaces),
            settings,
        });
        let (closing, keys) = (shared.closing.clone(), Arc::clone(&shared.keys));
        shared.tasks.spawn(async move {
            tokio::select! {
                () = closing.cancelled() => {}
                () = remove_superseded(removal_requests, sealed, cache, keys) => {}
            }
        });
        shared.tasks.spawn(close_idle(Arc::clone(&shared)));
        shared.tasks.spawn(recall::replay_when_quiet(Arc::clone(&shared)));
        Ok(Self { shared, indexes: Mutex::default() })
    }

    /// The folder of an index, as names of the store begin: its descriptor lies there beside what is the engine's.
    pub fn index_folder(id: IndexId) -> String {
        format!("indexes/{}", id.hex())
    }

    /// Makes a new index: its key is durable when this returns. Making it again does nothing.
    pub async fn create_index(&self, id: IndexId, options: &IndexOptions) -> Result<()> {
        self.shared.check_running()?;
        self.shared.keys.create_index_key(id).await.map_err(stored)?;
        self.index(id, options.clone());
        Ok(())
    }

    /// The index to work with. Reads nothing: whether it can be opened, its first operation tells. An index that is in use
    /// keeps the options that it was first given.
    pub fn index(&self, id: IndexId, options: IndexOptions) -> Arc<IndexHandle> {
        let handle = || Arc::new(IndexHandle::new(Arc::clone(&self.shared), id, options));
        Arc::clone(self.handles().entry(id).or_insert_with(handle))
    }

    /// Deletes an index with all that is in it. Ends what a deletion that was cut short left behind, so it may be called again.
    pub async fn delete_index(&self, id: IndexId) -> Result<()> {
        let handle = self.handles().remove(&id);
        let shared = Arc::clone(&self.shared);
        let delete = async move {
            if let Some(handle) = handle {
                handle.delete_all().await;
            }
            shared.keys.destroy_index_keys(id).await.map_err(stored)?;
            shared.store.delete_dir(&Self::index_folder(id)).await.map_err(stored)?;
            // A destroyed key leaves the key file too: an older copy of the data finds it nowhere.
            shared.keys.compact().await.map_err(stored)
        };
        self.shared.finish(delete).await
    }

    /// Closes an index and forgets what is cached of it: its keys leave memory with their last user. It opens again at its next use, if its
    /// key can be had.
    pub async fn evict_index(&self, id: IndexId) {
        let handle = self.handles().get(&id).cloned();
        if let Some(handle) = handle {
            handle.evict().await;
        }
        let objects = self.shared.store.list(&format!("{}/namespaces/", Self::index_folder(id))).await.unwrap_or_else(|error| {
            tracing::error!(index = %id, "what is cached of an index that is closed may stay: {error}");
            Vec::new()
        });
        let ids = objects.iter().filter_map(|object| ObjectId::parse(object.name.rsplit('/').next()?).ok());
        let (objects, cache) = (ids.collect(), Arc::clone(&self.shared.cache));
        // A look at the whole cache is nothing for a thread that answers.
        let _ = tokio::task::spawn_blocking(move || cache.forget_now(&objects)).await;
    }

    /// Reads and verifies every stored byte of every index. Writes that go on meanwhile are not disturbed, and may or may
    /// not be part of what is verified.
    pub async fn check(&self) -> Result<CheckReport> {
        let handles = self.handles().clone();
        check::check(&self.shared, &handles).await
    }

    /// Stores everything that is in the memory of a namespace: for tests and for whoever wants short logs.
    pub async fn flush_all(&self) -> Result<()> {
        for (slot, list) in self.shared.open.all() {
            match slot.open(&list).await {
                Ok(namespace) => namespace.flush_now().await?,
                Err(error) if error.code == pinyon_model::ErrorCode::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// How many namespaces are open at present.
    pub fn open_namespaces(&self) -> usize {
        self.shared.open.all().len()
    }

    /// Ends all background work and closes every namespace. Flushes nothing: the logs have it. Later operations are refused.
    pub async fn close(&self) {
        self.shared.closing.cancel();
        self.shared.tasks.close();
        // Closing keeps each namespace's counts in its list, which takes a task of its own, so it comes before the last wait.
        self.shared.tasks.wait().await;
        join_all(self.shared.open.all().iter().map(|(slot, list)| slot.close(list))).await;
        self.shared.tasks.wait().await;
    }

    fn handles(&self) -> MutexGuard<'_, HashMap<IndexId, Arc<IndexHandle>>> {
        self.indexes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Background work holds what it needs; it ends early instead of going on without an engine.
        self.shared.closing.cancel();
    }
}

/// Closes namespaces that nobody has used for a while, and the least recently used ones past the cap; the others are tidied up where
/// nothing is written.
async fn close_idle(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = shared.closing.cancelled() => return,
            () = shared.clock.wait_ms(shared.settings.idle_check_ms) => {}
            // A client that goes through thousands of namespaces opens them faster than that.
            () = shared.open.crowded() => {}
        }
        let idle_before = shared.clock.now_ms().saturating_sub(shared.settings.idle_close_ms);
        let idle = shared.open.to_close(idle_before);
        join_all(idle.iter().map(|(slot, list)| slot.close(list))).await;
        shared.open.looked();
        shared.open.all().iter().filter_map(|(slot, _)| slot.namespace()).for_each(|namespace| namespace.settle_if_quiet());
    }
}

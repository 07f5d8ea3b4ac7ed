//! What every namespace of one engine shares: the store, the keys, the threads, the cache, and who waits for whom at the end.

use std::{path::PathBuf, sync::Arc};

use pinyon_kernels::Kernels;
use pinyon_model::{Error, Result};
use pinyon_storage::{BlobStore, KeyStore, SealedStore};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{Clock, EngineSettings, cache::BlockCache, namespace::Removals, open_set::OpenSet, pool::Pool, recall::Sampler};

/// The parts of an engine that its indexes and namespaces use.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn BlobStore>,
    pub(crate) sealed: SealedStore,
    /// Where the store's names are paths, and logs lie.
    pub(crate) root: PathBuf,
    pub(crate) keys: Arc<KeyStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: EngineSettings,
    pub(crate) kernels: Kernels,
    pub(crate) cache: Arc<BlockCache>,
    pub(crate) pool: Pool,
    /// Live queries that wait to be replayed.
    pub(crate) sampler: Sampler,
    /// Permits for flushes, which must not wait for a long compaction.
    pub(crate) flushes: Semaphore,
    /// Permits for compactions.
    pub(crate) compactions: Semaphore,
    /// Everything that runs in the background; awaited by `close`.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the engine closes.
    pub(crate) closing: CancellationToken,
    pub(crate) removals: Removals,
    /// The namespaces that are open.
    pub(crate) open: OpenSet,
}

impl Shared {
    /// Refuses work once the engine is closing.
    pub(crate) fn check_running(&self) -> Result<()> {
        if self.closing.is_cancelled() { Err(Error::unavailable("The server is stopping")) } else { Ok(()) }
    }

    /// Runs `work` to its end even if the caller goes away in the middle: for what takes several steps.
    pub(crate) async fn finish<T: Send + 'static>(&self, work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        match self.tasks.spawn(work).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::internal("An operation ended unexpectedly")),
        }
    }
}

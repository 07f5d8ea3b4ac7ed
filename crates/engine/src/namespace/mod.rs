//! One namespace: a log, a memtable, segments, and the version that readers pin.
//!
//! - Writes go through one writer at a time (`writer`), which logs a group with one fsync, applies it and publishes the next
//!   version. What is acknowledged is on disk; what is refused was never visible.
//! - A flush stores the memtable as a segment (`flush`), a compaction merges segments (`compact`); both end in a manifest put
//!   under the next number (`stored`). Neither makes a reader or, but for a moment, the writer wait.
//! - A reader holds an `Arc` of a version (`version`) and waits for nobody.
//!
//! Locks are taken in this order: `stored`, then `core`. `core` is held over a group's fsync; `stored` over a flush, and over
//! the end of a compaction.

mod compact;
mod draft;
mod effect;
mod flush;
mod manifest;
mod memtable;
mod open;
mod plan;
mod read;
mod removal;
mod rotate;
mod snapshot;
mod stored;
mod verify;
mod version;
mod writer;

use std::sync::{
    Arc, Mutex, OnceLock, PoisonError, RwLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use pinyon_model::{Error, Filter, IndexId, MetadataSchema, NamespaceId, Result, excerpt};
use pinyon_storage::{DataKey, KeyRing, Log, StorageError};
use tokio::sync::{Mutex as AsyncMutex, Notify, oneshot};

pub use self::rotate::Removed;
pub(crate) use self::{
    manifest::{Manifest, Source, StoredSegment},
    open::log_blocking,
    removal::{Removals, remove_superseded},
    rotate::may_be_shed,
    verify::{Place, Verified},
    version::{SegmentView, Version},
    writer::{Operation, Outcome},
};
use self::{removal::Superseded, stored::Stored, version::Unsaved, writer::Queue};
use crate::{
    IndexOptions,
    error::{no_namespace, stored_below},
    filter,
    recall::Measured,
    shared::Shared,
    slot::Counts,
};

/// An open namespace.
pub(crate) struct Namespace {
    shared: Arc<Shared>,
    id: NamespaceId,
    index: IndexId,
    /// The recall of its searches.
    measured: Arc<Measured>,
    folder: String,
    /// Its keys; which is the current one changes while a rotation goes on.
    keys: RwLock<Arc<KeyRing>>,
    options: Arc<IndexOptions>,
    /// The fields that can be filtered on: its own schema, or the index's.
    schema: Option<MetadataSchema>,
    version: RwLock<Arc<Version>>,
    queue: Mutex<Queue>,
    core: AsyncMutex<Core>,
    stored: AsyncMutex<Stored>,
    superseded: Superseded,
    failure: OnceLock<Error>,
    deleted: AtomicBool,
    flushing: AtomicBool,
    /// Held by the one compaction or rotation that goes on.
    compacting: Arc<AsyncMutex<()>>,
    /// The last write when somebody last looked whether the namespace is quiet.
    lsn_seen: AtomicU64,
    /// Why the last flush failed, if it did.
    flush_error: Mutex<Option<Error>>,
    flush_ended: Notify,
    /// Dropped with the namespace: tells whoever deletes it that its last user has let go.
    gone: Mutex<Option<oneshot::Sender<()>>>,
}

/// What the writer, and for a moment at their end a flush or a compaction, may change.
struct Core {
    log: Log,
    /// Bytes that were appended since the memtable was last frozen. The log itself shrinks only by whole files.
    log_grown: u64,
    unsaved: Unsaved,
    /// Segments that a `Clear` took out of the version, for as long as a manifest must name them.
    cleared: Vec<Cleared>,
    /// The last write in the frozen memtable, when there is one.
    frozen: Option<pinyon_model::Lsn>,
}

/// A segment as it was when a `Clear` took it away.
struct Cleared {
    view: SegmentView,
    at: pinyon_model::Lsn,
}

impl Namespace {
    /// What readers see at present.
    pub(crate) fn version(&self) -> Arc<Version> {
        Arc::clone(&self.version.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn publish(&self, version: Version) {
        let mut current = self.version.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *current, Arc::new(version));
        drop(current);
        // If nobody else holds the old version, what it alone held goes here, outside of the lock.
        drop(old);
    }

    /// Its keys at present.
    pub(crate) fn keys(&self) -> Arc<KeyRing> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The key that everything new is sealed under.
    fn key(&self) -> Arc<DataKey> {
        Arc::clone(self.keys().current())
    }

    /// Live records, their bytes, and the last write.
    pub(crate) fn counts(&self) -> Counts {
        self.version().counts()
    }

    /// Why it can no longer be used, if so: someone else took it over, or its state is not known.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.failure.get().cloned()
    }

    /// From now on every request is told of this error.
    fn fail(&self, error: Error) {
        tracing::error!(namespace = %self.id, "{error}");
        let _ = self.failure.set(error);
    }

    /// What storage met while something was being made durable. Being fenced off is for good.
    fn write_error(&self, error: StorageError) -> Error {
        let fenced = matches!(error, StorageError::Fenced { .. });
        let error = stored_below(&self.shared.root, error);
        if fenced {
            self.fail(error.clone());
        }
        error
    }

    fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    /// Whether background work should end early.
    fn is_ending(&self) -> bool {
        self.is_deleted() || self.shared.closing.is_cancelled() || self.failure.get().is_some()
    }

    /// Why it takes no more writes, if so.
    fn refusal(&self) -> Option<Error> {
        if self.is_deleted() { Some(no_namespace()) } else { self.failure() }
    }

    /// Refuses further writes and ends background work; the receiver resolves when its last user has let go.
    pub(crate) fn delete(&self) -> oneshot::Receiver<()> {
        let (sender, gone) = oneshot::channel();
        self.deleted.store(true, Ordering::Release);
        *self.gone.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        gone
    }

    /// Answers this error from now on and ends background work; the receiver resolves when its last user has let go.
    pub(crate) fn shut(&self, error: Error) -> oneshot::Receiver<()> {
        let (sender, gone) = oneshot::channel();
        let _ = self.failure.set(error);
        *self.gone.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        gone
    }

    /// Its folder, as names of the store begin.
    pub(crate) fn folder(&self) -> &str {
        &self.folder
    }

    /// Refuses a filter on a field that the schema leaves out.
    pub(crate) fn check_filter(&self, filter: &Filter) -> Result<()> {
        let Some(schema) = &self.schema else { return Ok(()) };
        match filter::fields(filter).into_iter().find(|field| !schema.contains(field)) {
            None => Ok(()),
            Some(field) => Err(Error::invalid(format!(
                "Metadata field '{}' cannot be filtered on; the schema names {}",
                excerpt(field),
                schema.fields().iter().map(|f| format!("'{f}'")).collect::<Vec<_>>().join(", ")
            ))),
        }
    }
}

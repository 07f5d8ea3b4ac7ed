//! One name in the namespace list, and the namespace behind it while it is open.

use std::sync::{
    Arc, Mutex, OnceLock, PoisonError, RwLock,
    atomic::{AtomicU64, Ordering},
};

use pinyon_model::{Error, ErrorCode, IndexId, MetadataSchema, NamespaceId, NamespaceName, Result};

use crate::{
    error::{damaged, no_namespace},
    namespace::{self, Namespace, Place, Removed, Verified},
    namespace_list::{NamespaceList, namespace_folder},
    recall::Measured,
    shared::Shared,
};

/// What is known of a namespace without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// Live records.
    pub(crate) records: u64,
    /// Their counted bytes.
    pub(crate) bytes: u64,
    /// The last write.
    pub(crate) lsn: u64,
}

/// One namespace of the list. Costs a few hundred bytes while closed.
pub(crate) struct Slot {
    pub(crate) id: NamespaceId,
    pub(crate) name: NamespaceName,
    pub(crate) schema: Option<MetadataSchema>,
    state: RwLock<State>,
    /// Held while the namespace is opened or closed, so that first users share one opening.
    changing: tokio::sync::Mutex<()>,
    /// The counts that the list holds on disk; none once the namespace was written to after them.
    listed: Mutex<Option<Counts>>,
    last_used_ms: AtomicU64,
    /// The recall of its searches; made when it is first opened.
    measured: OnceLock<Arc<Measured>>,
}

enum State {
    /// Not open; its counts, when they are known.
    Closed(Option<Counts>),
    Open(Arc<Namespace>),
    /// Damaged, or taken over by a newer process: every request is told.
    Failed(Error),
    Deleted,
}

impl Slot {
    pub(crate) fn new(id: NamespaceId, name: NamespaceName, schema: Option<MetadataSchema>, counts: Option<Counts>) -> Arc<Self> {
        Arc::new(Self {
            id,
            name,
            schema,
            state: RwLock::new(State::Closed(counts)),
            changing: tokio::sync::Mutex::default(),
            listed: Mutex::new(counts),
            last_used_ms: AtomicU64::new(0),
            measured: OnceLock::new(),
        })
    }

    /// The counts that the list holds on disk.
    pub(crate) fn listed(&self) -> Option<Counts> {
        *self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// The list holds these counts on disk now. For the list's writer alone.
    pub(crate) fn set_listed(&self, counts: Option<Counts>) {
        *self.listed.lock().unwrap_or_else(PoisonError::into_inner) = counts;
    }
    pub(crate) fn last_used_ms(&self) -> u64 {
        self.last_used_ms.load(Ordering::Relaxed)
    }

    /// The recall of its searches, if it was ever open.
    pub(crate) fn measured(&self) -> Option<&Measured> {
        self.measured.get().map(Arc::as_ref)
    }

    /// Counts, without opening anything: of a closed namespace the last known ones.
    pub(crate) fn counts(&self) -> Option<Counts> {
        match &*self.read() {
            State::Closed(counts) => *counts,
            State::Open(namespace) => Some(namespace.counts()),
            State::Failed(_) | State::Deleted => None,
        }
    }

    /// The open namespace, if it is open and well.
    fn ready(&self, shared: &Shared) -> Option<Result<Arc<Namespace>>> {
        let outcome = match &*self.read() {
            State::Closed(_) => return None,
            State::Open(namespace) => match namespace.failure() {
                Some(error) => Err(error),
                None => Ok(Arc::clone(namespace)),
            },
            State::Failed(error) => Err(error.clone()),
            State::Deleted => Err(no_namespace()),
        };
        self.last_used_ms.store(shared.clock.now_ms(), Ordering::Relaxed);
        Some(outcome)
    }

    /// The namespace, if it is open; asking is no use of it.
    pub(crate) fn namespace(&self) -> Option<Arc<Namespace>> {
        match &*self.read() {
            State::Open(namespace) => Some(Arc::clone(namespace)),
            _ => None,
        }
    }

    /// The namespace, opened if need be. Damage is remembered: a damaged namespace is not opened again.
    pub(crate) async fn open(self: &Arc<Self>, list: &Arc<NamespaceList>) -> Result<Arc<Namespace>> {
        let shared = &list.shared;
        if let Some(outcome) = self.ready(shared) {
            return outcome;
        }
        shared.check_running()?;
        let changing = self.changing.lock().await;
        if let Some(outcome) = self.ready(shared) {
            return outcome;
        }
        let opened = Namespace::open(list, self.id, self.schema.clone(), Arc::clone(self.measured.get_or_init(Arc::default))).await;
        let opened = opened.and_then(|namespace| self.check_whole(list.index, namespace.counts()).map(|()| namespace));
        match opened {
            Ok(namespace) => {
                *self.write() = State::Open(Arc::clone(&namespace));
                self.last_used_ms.store(shared.clock.now_ms(), Ordering::Relaxed);
                drop(changing);
                tokio::select! {
                    () = shared.open.add(self, list) => {}
                    () = shared.closing.cancelled() => {}
                }
                Ok(namespace)
            }
            Err(error) => {
                if error.code == ErrorCode::DataLoss {
                    tracing::error!(namespace = %self.id, "{error}");
                    *self.write() = State::Failed(error.clone());
                }
                Err(error)
            }
        }
    }

    /// Whether what was read is all that there was when the list last took count, which shows a log that ends too early.
    fn check_whole(&self, index: IndexId, found: Counts) -> Result<()> {
        match self.listed() {
            Some(listed) if found.lsn < listed.lsn || found.lsn == listed.lsn && found != listed => {
                let what = format!(
                    "it holds {} records up to write {}, and there were {} up to write {}",
                    found.records, found.lsn, listed.records, listed.lsn
                );
                Err(damaged(&namespace_folder(index, self.id), &what))
            }
            _ => Ok(()),
        }
    }

    /// Closes the namespace if nobody is using it, and keeps its counts in the list before anyone can open it again.
    pub(crate) async fn close(self: &Arc<Self>, list: &Arc<NamespaceList>) {
        let Ok(_changing) = self.changing.try_lock() else { return };
        let counts = {
            let mut state = self.write();
            let State::Open(namespace) = &*state else { return };
            // Nobody can take another reference while the state is locked, so a count of one stays one.
            if Arc::strong_count(namespace) > 1 || namespace.failure().is_some() {
                return;
            }
            let counts = namespace.counts();
            *state = State::Closed(Some(counts));
            counts
        };
        list.shared.open.remove(self.id);
        if self.listed() != Some(counts)
            && let Err(error) = list.count(self, counts).await
        {
            // Without its counts on disk, the namespace is opened once more after the next start to be counted.
            tracing::debug!(namespace = %self.id, "counts not kept: {error}");
        }
    }

    /// Does something while the namespace is closed and nobody can open it; none if it is open.
    pub(crate) async fn while_closed<T>(&self, work: impl Future<Output = Result<Option<T>>>) -> Result<Option<T>> {
        let _changing = self.changing.lock().await;
        let refused = match &*self.read() {
            State::Closed(_) => None,
            State::Open(_) => return Ok(None),
            State::Failed(error) => Some(error.clone()),
            State::Deleted => Some(no_namespace()),
        };
        match refused {
            Some(error) => Err(error),
            None => work.await,
        }
    }

    /// Reads every stored byte of the namespace, and measures its recall if live queries have not.
    pub(crate) async fn verify(&self, index: IndexId, place: Place<'_>) -> Result<Verified> {
        let probe = self.measured().is_none_or(|measured| measured.recall().is_none());
        let changing = self.changing.lock().await;
        let open = match &*self.read() {
            State::Open(namespace) => Some(Arc::clone(namespace)),
            State::Closed(_) | State::Failed(_) => None,
            State::Deleted => return Err(no_namespace()),
        };
        match open {
            Some(namespace) => {
                drop(changing);
                place.verify_open(&namespace, probe).await
            }
            None => {
                let (counts, probes) = place.verify_closed(probe).await?;
                self.check_whole(index, counts)?;
                Ok(Verified { records: counts.records, probes })
            }
        }
    }

    /// Sees to it that nothing is left of records that were deleted or overwritten before. Opens the namespace only if there may be any.
    pub(crate) async fn purge_records(self: &Arc<Self>, list: &Arc<NamespaceList>) -> Result<Option<Removed>> {
        if self.namespace().is_none() && !namespace::may_be_shed(&list.shared, list.index, self.id).await? {
            return Ok(None);
        }
        self.open(list).await?.purge_records().await
    }

    /// From now on there is no such namespace. Returns it if it was open, for the caller to wait until its last user lets go.
    pub(crate) async fn delete(&self, shared: &Shared) -> Option<Arc<Namespace>> {
        let _changing = self.changing.lock().await;
        shared.open.remove(self.id);
        match std::mem::replace(&mut *self.write(), State::Deleted) {
            State::Open(namespace) => Some(namespace),
            _ => None,
        }
    }

    /// From now on every request is told of this error. Returns the namespace if it was open, as [`Slot::delete`] does.
    pub(crate) async fn shut(&self, shared: &Shared, error: Error) -> Option<Arc<Namespace>> {
        let _changing = self.changing.lock().await;
        shared.open.remove(self.id);
        match std::mem::replace(&mut *self.write(), State::Failed(error)) {
            State::Open(namespace) => Some(namespace),
            _ => None,
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
    fn write(&self) -> std::sync::RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

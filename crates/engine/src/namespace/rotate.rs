//! Rotation: a new current key, all that is stored sealed anew under it, and the keys before it destroyed.
//!
//! What a namespace held and holds no more lies on in segments, as dead rows, and in its log; and copies of both may lie elsewhere. After a
//! rotation neither does anything for anybody: what is alive was copied, and the rest has lost its key.

use std::sync::{Arc, PoisonError};

use pinyon_model::{Error, IndexId, NamespaceId, ObjectId, Result};
use pinyon_storage::{KeyId, KeyRing, LOG_HEADER_BYTES};

use super::{
    Namespace,
    manifest::{Manifest, Source},
    version::Segment,
};
use crate::{error::stored, namespace_list::namespace_folder, shared::Shared};

/// What was removed for good.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// The names of the files, and their bytes.
    pub objects: Vec<(String, u64)>,
    /// The ids of the keys that were destroyed.
    pub keys: Vec<KeyId>,
}

/// Whether a closed namespace may hold bytes of what was deleted or overwritten: told from its manifest, keys and log files' sizes.
pub(crate) async fn may_be_shed(shared: &Shared, index: IndexId, namespace: NamespaceId) -> Result<bool> {
    let keys = shared.keys.namespace_keys(index, namespace).map_err(stored)?;
    let folder = namespace_folder(index, namespace);
    let (_, manifest) = Source { sealed: &shared.sealed, folder: &folder, namespace, keys: &keys }.read_newest().await?;
    if manifest.is_shed() || !keys.older().is_empty() {
        return Ok(true);
    }
    let logs = shared.store.list(&format!("{folder}/log-")).await.map_err(stored)?;
    Ok(logs.iter().any(|file| file.size > LOG_HEADER_BYTES))
}

impl Manifest {
    /// Whether it names dead rows, or its namespace dropped some before.
    fn is_shed(&self) -> bool {
        self.shed || self.segments.iter().any(|segment| segment.deletes.is_some())
    }
}

impl Namespace {
    /// Whether bytes of what was deleted or overwritten may lie anywhere: on disk, or in a copy that the keys of today open.
    async fn is_shed(&self) -> bool {
        !self.keys().older().is_empty() || self.stored.lock().await.manifest.is_shed()
    }

    /// Makes a new current key, seals everything anew under it and destroys the keys before it. Reads and writes go on meanwhile. Cut short by
    /// an error or a crash, it leaves a namespace of several keys, and is done by calling it again.
    pub(crate) async fn rotate(self: &Arc<Self>) -> Result<Removed> {
        let _one = self.compacting.lock().await;
        let _permit = self.shared.compactions.acquire().await.map_err(|_| Error::unavailable("The server is stopping"))?;
        let before = self.shared.store.list(&format!("{}/", self.folder)).await.map_err(stored)?;
        self.flush().await?;
        self.name_in_manifest().await?;
        let ring = self.shared.keys.rotate_namespace_key(self.index, self.id).await.map_err(stored)?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&ring);
        self.begin_anew(&ring).await?;
        self.rewrite_segments(ring.current().id()).await?;
        let keys = self.destroy_older_keys(&ring).await?;
        let manifest = self.stored.lock().await.manifest.clone();
        let gone = |name: &str| {
            let file = name.rsplit('/').next().unwrap_or_default();
            file.starts_with("log-") || ObjectId::parse(file).is_ok_and(|id| !manifest.names(id))
        };
        let objects = before.into_iter().filter(|object| gone(&object.name)).map(|object| (object.name, object.size)).collect();
        Ok(Removed { objects, keys })
    }

    /// Sees to it that nothing is left, on disk or in a copy that the keys of today open, of records that were deleted or overwritten before
    /// the call. None if there was nothing.
    pub(crate) async fn purge_records(self: &Arc<Self>) -> Result<Option<Removed>> {
        self.flush().await?;
        if self.is_shed().await {
            return self.rotate().await.map(Some);
        }
        let held = self.stored.lock().await;
        let mut core = self.core.lock().await;
        if core.log.bytes() > LOG_HEADER_BYTES * core.log.files() as u64 {
            core.log.rekey((*self.keys()).clone()).await.map_err(|error| self.write_error(error))?;
            core.log.trim(held.manifest.flushed).await.map_err(|error| self.write_error(error))?;
        }
        Ok(None)
    }

    /// A manifest of several keys must say whose it is, which those of format 1 did not.
    async fn name_in_manifest(&self) -> Result<()> {
        let mut stored = self.stored.lock().await;
        if stored.manifest.namespace.is_some() {
            return Ok(());
        }
        let next = Manifest { namespace: Some(self.id), ..stored.manifest.clone() };
        stored.swap(self, next).await
    }

    /// Begins log and memtable anew at one write: all before it is stored under the new key or gone, and all after it is sealed under the
    /// new key from the first.
    async fn begin_anew(&self, ring: &KeyRing) -> Result<()> {
        let mut stored = self.stored.lock().await;
        let (frozen, upto) = {
            let mut core = self.core.lock().await;
            if core.frozen.is_some() {
                return Err(Error::unavailable("The namespace could not be stored; try again"));
            }
            core.log.rekey(ring.clone()).await.map_err(|error| self.write_error(error))?;
            let frozen = self.freeze(&mut core, stored.manifest.flushed);
            (frozen, self.version().lsn)
        };
        if let Some((frozen, upto)) = frozen {
            self.store_frozen(&mut stored, &frozen, upto, false).await?;
        }
        // What is dead now lies in segments of the keys before, and is not copied from them.
        let next = Manifest { namespace: Some(self.id), shed: false, ..stored.manifest.clone() };
        stored.swap(self, next).await?;
        // A failure to trim was only a warning in the flush, and is more than that here: the old files' key is to be destroyed.
        let mut core = self.core.lock().await;
        core.log.trim(upto).await.map_err(|error| self.write_error(error))
    }

    /// Copies the segments of other keys, together where they fit one, until there is none.
    async fn rewrite_segments(&self, key: KeyId) -> Result<()> {
        loop {
            if self.is_ending() {
                return Err(self.refusal().unwrap_or_else(|| Error::unavailable("The server is stopping")));
            }
            let old: Vec<Arc<Segment>> = {
                let core = self.core.lock().await;
                let version = self.version();
                let cleared = core.cleared.iter().map(|cleared| &cleared.view);
                let of_old_keys = |view: &&super::SegmentView| view.segment.stored.key != *key.as_bytes();
                version.segments.iter().chain(cleared).filter(of_old_keys).map(|view| Arc::clone(&view.segment)).collect()
            };
            let Some(first) = old.first().cloned() else { return Ok(()) };
            let total: u64 = old.iter().map(|segment| segment.stored.counted_bytes).sum();
            let chosen = if total <= self.shared.settings.segment_bytes { old } else { vec![first] };
            if !self.compact(chosen, true).await? {
                // One of them was cleared, or flushed away, in between: what is left is looked at afresh once that is stored.
                self.flush().await?;
            }
        }
    }

    /// Destroys the keys that nothing is sealed under any more.
    async fn destroy_older_keys(&self, ring: &KeyRing) -> Result<Vec<KeyId>> {
        let held = self.stored.lock().await;
        let current = ring.current().id();
        if held.manifest.segments.iter().any(|segment| segment.key != *current.as_bytes()) {
            return Err(Error::internal("A segment is still sealed under an older key"));
        }
        let mut destroyed = Vec::new();
        for key in ring.older() {
            self.shared.keys.destroy_older_namespace_key(self.index, self.id, key.id()).await.map_err(stored)?;
            destroyed.push(key.id());
        }
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) =
            self.shared.keys.namespace_keys(self.index, self.id).map_err(stored)?;
        Ok(destroyed)
    }
}

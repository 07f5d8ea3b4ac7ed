//! Taking a backup: what every namespace is at present is pinned, then stored.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use pinyon_model::{BackupId, Error, ErrorCode, Result};
use pinyon_storage::{DataKey, KeyId, KeyRing};

use super::{
    BackupSummary,
    manifest::{BackupManifest, BackupNamespace},
    object_name, summary,
};
use crate::{
    Engine, IndexHandle, Progress,
    error::stored,
    namespace::{Namespace, Source, StoredSegment, Version},
    namespace_list::{NamespaceList, namespace_folder},
    shared::Shared,
    slot::Slot,
};

/// Namespaces captured at a time.
const AT_ONCE: usize = 8;
/// Open namespaces that are pinned rather than stored at once: what is pinned costs memory until it is stored.
const PINNED_MAX: usize = 256;

/// An index at one moment, pinned in memory and not yet stored. Dropped, it leaves objects in the backup's folder that are no backup.
pub struct Capture {
    shared: Arc<Shared>,
    backup: BackupId,
    key: Arc<DataKey>,
    stored: Vec<StoredNamespace>,
    pinned: Vec<Pinned>,
}

/// A namespace whose objects have names in the backup's folder.
struct StoredNamespace {
    namespace: BackupNamespace,
    keys: Vec<Arc<DataKey>>,
}

/// A namespace as a reader would see it.
struct Pinned {
    slot: Arc<Slot>,
    namespace: Arc<Namespace>,
    version: Arc<Version>,
    /// Its keys before and after the version was taken: a rotation may have come in between.
    rings: [Arc<KeyRing>; 2],
}

impl Pinned {
    fn new(slot: &Arc<Slot>, namespace: Arc<Namespace>) -> Self {
        let before = namespace.keys();
        let version = namespace.version();
        Self { slot: Arc::clone(slot), rings: [before, namespace.keys()], version, namespace }
    }
}

impl Engine {
    /// Pins what every namespace of an index holds at present: all writes that were acknowledged before the call, and none that is made after
    /// it returns. Writers go on. The backup's key must have been made.
    pub async fn capture(&self, index: &Arc<IndexHandle>, backup: BackupId) -> Result<Capture> {
        let shared = Arc::clone(&self.shared);
        let key = shared.keys.backup_key(backup).map_err(stored)?;
        let list = index.namespaces().await?;
        let folder = Self::backup_folder(backup);
        let mut capture = Capture { shared, backup, key, stored: Vec::new(), pinned: Vec::new() };
        let slots = list.starting_with("");
        let all: Vec<_> = slots.iter().map(|slot| capture_one(&list, slot, &folder)).collect();
        let mut captured = stream::iter(all).buffer_unordered(AT_ONCE);
        while let Some(one) = captured.try_next().await? {
            match one {
                Some(Captured::Stored(stored)) => capture.stored.push(stored),
                Some(Captured::Pinned(pinned)) if capture.pinned.len() < PINNED_MAX => capture.pinned.push(pinned),
                Some(Captured::Pinned(pinned)) => capture.stored.push(store(&list.shared, &folder, pinned).await?),
                None => {}
            }
        }
        drop(captured);
        Ok(capture)
    }
}

enum Captured {
    Stored(StoredNamespace),
    Pinned(Pinned),
}

/// None if the namespace is deleted meanwhile.
async fn capture_one(list: &Arc<NamespaceList>, slot: &Arc<Slot>, folder: &str) -> Result<Option<Captured>> {
    let outcome = match slot.while_closed(link_closed(list, slot, folder)).await {
        Ok(Some(stored)) => Ok(Captured::Stored(stored)),
        Ok(None) => slot.open(list).await.map(|namespace| Captured::Pinned(Pinned::new(slot, namespace))),
        Err(error) => Err(error),
    };
    match outcome {
        Ok(captured) => Ok(Some(captured)),
        Err(error) if error.code == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A closed namespace of which all is in segments; none if its log may hold more.
async fn link_closed(list: &NamespaceList, slot: &Slot, folder: &str) -> Result<Option<StoredNamespace>> {
    let shared = &list.shared;
    let Some(counts) = slot.listed() else { return Ok(None) };
    let keys = shared.keys.namespace_keys(list.index, slot.id).map_err(stored)?;
    let from = namespace_folder(list.index, slot.id);
    let (_, manifest) = Source { sealed: &shared.sealed, folder: &from, namespace: slot.id, keys: &keys }.read_newest().await?;
    if manifest.flushed.0 != counts.lsn {
        return Ok(None);
    }
    for object in manifest.objects() {
        shared.store.link(&object_name(&from, object), &object_name(folder, object)).await.map_err(stored)?;
    }
    let keys: Vec<_> = keys.older().iter().chain([keys.current()]).cloned().collect();
    let namespace = BackupNamespace {
        id: slot.id,
        name: slot.name.clone(),
        schema: slot.schema.clone(),
        lsn: manifest.flushed,
        records: counts.records,
        bytes: counts.bytes,
        keys: keys.iter().map(|key| key.id()).collect(),
        segments: manifest.segments,
    };
    Ok(Some(StoredNamespace { namespace, keys }))
}

/// Gives the backup's folder what a version consists of: its segments by a second name, its dead rows and its memtables as new objects.
async fn store(shared: &Shared, folder: &str, pinned: Pinned) -> Result<StoredNamespace> {
    let Pinned { slot, namespace, version, rings } = pinned;
    let current = Arc::clone(rings[1].current());
    let mut segments = Vec::with_capacity(version.segments.len() + 1);
    let mut keys = vec![Arc::clone(&current)];
    for view in &version.segments {
        let from = object_name(namespace.folder(), view.id());
        shared.store.link(&from, &object_name(folder, view.id())).await.map_err(stored)?;
        let sealed_under = KeyId::from_bytes(view.segment.stored.key);
        if keys.iter().all(|key| key.id() != sealed_under) {
            let found = rings.iter().flat_map(|ring| ring.older().iter().chain([ring.current()])).find(|key| key.id() == sealed_under);
            keys.push(Arc::clone(found.ok_or_else(|| Error::unavailable("The namespace's keys were changed meanwhile; try again"))?));
        }
        let deletes = namespace.store_dead(folder, &current, view).await?;
        segments.push(StoredSegment { deletes, ..view.segment.stored });
    }
    segments.extend(namespace.store_memtables(folder, &current, &version).await?);
    let namespace = BackupNamespace {
        id: slot.id,
        name: slot.name.clone(),
        schema: slot.schema.clone(),
        lsn: version.lsn,
        records: version.records,
        bytes: version.bytes,
        keys: keys.iter().map(|key| key.id()).collect(),
        segments,
    };
    Ok(StoredNamespace { namespace, keys })
}

impl Capture {
    /// How many namespaces it is of.
    pub fn namespaces(&self) -> usize {
        self.stored.len() + self.pinned.len()
    }

    /// Stores what was captured; the backup is there, and durable, when this returns.
    pub async fn store(self, progress: &Progress) -> Result<BackupSummary> {
        let Self { shared, backup, key, stored: mut done, pinned } = self;
        let folder = Engine::backup_folder(backup);
        progress.begin((done.len() + pinned.len()) as u64);
        done.iter().for_each(|_| progress.step());
        for one in pinned {
            shared.check_running()?;
            done.push(store(&shared, &folder, one).await?);
            progress.step();
        }
        let mut manifest = BackupManifest::default();
        for StoredNamespace { namespace, keys } in done {
            manifest.keys.extend(keys.into_iter().map(|key| (key.id(), key)));
            manifest.namespaces.push(namespace);
        }
        if !manifest.namespaces.iter().all(|n| n.segments.is_empty()) {
            shared.store.sync(&folder).await.map_err(stored)?;
        }
        manifest.write(&shared, backup, &key).await?;
        summary(&shared, backup, &manifest).await
    }
}

//! Removal of stored objects that nothing names any more, in three phases: whoever supersedes an object identifies it; the
//! newest manifest, read afresh, is asked whether it names it after all; only then it is deleted.

use std::{collections::HashMap, sync::Arc};

use pinyon_model::{IndexId, NamespaceId, ObjectId, Result};
use pinyon_storage::{KeyRing, KeyStore, SealedStore};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::manifest::Source;
use crate::{cache::BlockCache, error::stored};

/// Where superseded objects are handed in, from the whole engine.
#[derive(Clone)]
pub(crate) struct Removals(UnboundedSender<Removal>);

pub(crate) struct Removal {
    folder: String,
    owner: (IndexId, NamespaceId),
    object: ObjectId,
}

impl Removals {
    /// Both ends.
    pub(crate) fn new() -> (Self, UnboundedReceiver<Removal>) {
        let (sender, receiver) = unbounded_channel();
        (Self(sender), receiver)
    }
}

/// Where the superseded objects of one namespace are handed in.
#[derive(Clone)]
pub(crate) struct Superseded {
    removals: Removals,
    folder: String,
    owner: (IndexId, NamespaceId),
}

impl Superseded {
    pub(super) fn new(removals: Removals, folder: String, index: IndexId, namespace: NamespaceId) -> Self {
        Self { removals, folder, owner: (index, namespace) }
    }

    /// This object is not needed any more. When the engine is closing it is left for the next opening to sweep.
    pub(super) fn request(&self, object: ObjectId) {
        let _ = self.removals.0.send(Removal { folder: self.folder.clone(), owner: self.owner, object });
    }
}

/// Removes what is handed in, until `receiver` is closed.
pub(crate) async fn remove_superseded(
    mut receiver: UnboundedReceiver<Removal>,
    sealed: SealedStore,
    cache: Arc<BlockCache>,
    keys: Arc<KeyStore>,
) {
    while let Some(first) = receiver.recv().await {
        let mut folders: HashMap<String, ((IndexId, NamespaceId), Vec<ObjectId>)> = HashMap::new();
        let mut next = Some(first);
        while let Some(Removal { folder, owner, object }) = next {
            folders.entry(folder).or_insert_with(|| (owner, Vec::new())).1.push(object);
            next = receiver.try_recv().ok();
        }
        for (folder, ((index, namespace), objects)) in folders {
            objects.iter().for_each(|object| cache.forget(*object));
            // Asked for now: what is handed in may have waited through a rotation. Without a key the namespace is deleted, or locked.
            let Ok(ring) = keys.namespace_keys(index, namespace) else { continue };
            if let Err(error) = remove(&sealed, &folder, namespace, &ring, &objects).await {
                // They are found again when the namespace is opened the next time.
                tracing::warn!(folder, "superseded objects stay for now: {error}");
            }
        }
    }
}

async fn remove(sealed: &SealedStore, folder: &str, namespace: NamespaceId, keys: &KeyRing, objects: &[ObjectId]) -> Result<()> {
    let (number, manifest) = Source { sealed, folder, namespace, keys }.read_newest().await?;
    if number == 0 {
        // Without a manifest there is nothing to verify against. A deleted namespace's folder goes as a whole.
        return Ok(());
    }
    for object in objects {
        if !manifest.names(*object) {
            sealed.blobs().delete(&format!("{folder}/{}", object.hex())).await.map_err(stored)?;
        }
    }
    Ok(())
}

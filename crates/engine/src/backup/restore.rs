//! A new index out of a backup: no bytes are copied, its namespaces get second names of the backup's objects and new keys.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use pinyon_model::{BackupId, Error, IndexId, NamespaceId, Result};
use pinyon_storage::{Log, LogKind, LogOptions};

use super::{BackupManifest, BackupNamespace, object_name};
use crate::{
    Engine, IndexOptions, Progress,
    error::{stored, stored_below},
    namespace::{Manifest, Source, log_blocking},
    namespace_list::{NamespaceList, namespace_folder},
    shared::Shared,
    slot::{Counts, Slot},
};

/// Namespaces restored at a time.
const AT_ONCE: usize = 8;

impl Engine {
    /// Makes the namespaces of a backup in an index that was made and holds none. Cut short by an error or a crash it leaves some of them:
    /// delete the index then, and begin again.
    pub async fn restore(&self, backup: BackupId, into: IndexId, options: &IndexOptions, progress: &Progress) -> Result<()> {
        let manifest = BackupManifest::read(&self.shared, backup).await?;
        let list = self.index(into, options.clone()).namespaces().await?;
        if !list.starting_with("").is_empty() {
            return Err(Error::internal("A backup is restored into an index that holds something"));
        }
        progress.begin(manifest.namespaces.len() as u64);
        let (folder, shared) = (Self::backup_folder(backup), &self.shared);
        let all: Vec<_> = manifest.namespaces.iter().map(|namespace| restore_one(shared, &list, &folder, &manifest, namespace)).collect();
        let mut restored = stream::iter(all).buffer_unordered(AT_ONCE);
        while restored.try_next().await?.is_some() {
            progress.step();
        }
        Ok(())
    }
}

async fn restore_one(
    shared: &Shared,
    list: &Arc<NamespaceList>,
    backup_folder: &str,
    manifest: &BackupManifest,
    backed_up: &BackupNamespace,
) -> Result<()> {
    shared.check_running()?;
    let id = NamespaceId::from_random(pinyon_storage::random_bytes());
    let own = backed_up.keys.iter().filter_map(|id| manifest.keys.get(id).cloned()).collect();
    let keys = shared.keys.adopt_namespace_keys(list.index, id, own).await.map_err(stored)?;
    let folder = namespace_folder(list.index, id);
    for object in backed_up.segments.iter().flat_map(|segment| segment.objects()) {
        shared.store.link(&object_name(backup_folder, object), &object_name(&folder, object)).await.map_err(stored)?;
    }
    let restored = Manifest { namespace: Some(id), shed: false, flushed: backed_up.lsn, segments: backed_up.segments.clone() };
    // The folder's sync makes the links durable with it.
    Source { sealed: &shared.sealed, folder: &folder, namespace: id, keys: &keys }.write_first(&restored).await?;
    let options = LogOptions {
        kind: LogKind::NAMESPACE,
        owner: *id.as_bytes(),
        keys: (*keys).clone(),
        after: backed_up.lsn,
        space: shared.store.space(),
    };
    let (mut log, _) = log_blocking(shared, &folder, move |dir| Log::open(dir.to_owned(), options)).await?;
    log.rekey((*keys).clone()).await.map_err(|error| stored_below(&shared.root, error))?;
    let counts = Counts { records: backed_up.records, bytes: backed_up.bytes, lsn: backed_up.lsn.0 };
    list.enter(Slot::new(id, backed_up.name.clone(), backed_up.schema.clone(), Some(counts))).await
}

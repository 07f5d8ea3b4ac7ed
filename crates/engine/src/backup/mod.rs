//! Backups: an index as it was at one moment, standing on its own.
//!
//! ```text
//! backups/BACKUP/
//!   OBJECT      a segment or deletes, a second name of a namespace's object or made for the backup, under a key of that namespace
//!   manifest    sealed object of kind 6, under the backup's key: see `manifest`
//! ```
//! A backup is there once its manifest is. Its key is made before and destroyed with it by whoever asks for it; see RFC 0009.

mod capture;
mod manifest;
mod restore;

use pinyon_model::{BackupId, Lsn, NamespaceName, ObjectId, Result};

pub use capture::Capture;
use manifest::{BackupManifest, BackupNamespace};

use crate::{
    Engine, Removed,
    error::{damaged, stored},
    segment::{SegmentReader, deletes},
    shared::Shared,
};

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupSummary {
    /// Namespaces.
    pub namespaces: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of its objects as they are stored; most of them are other owners' too.
    pub bytes: u64,
    /// The last write of each namespace that is in it, in the order of names.
    pub lsns: Vec<(NamespaceName, Lsn)>,
}

impl Engine {
    /// The folder of a backup, as names of the store begin.
    pub fn backup_folder(id: BackupId) -> String {
        format!("backups/{}", id.hex())
    }

    /// The backups that have a folder, whole or not.
    pub async fn backups(&self) -> Result<Vec<BackupId>> {
        all(&self.shared).await
    }

    /// What a backup holds, by its manifest. `DataLoss` if that is missing or damaged.
    pub async fn describe_backup(&self, id: BackupId) -> Result<BackupSummary> {
        let manifest = BackupManifest::read(&self.shared, id).await?;
        summary(&self.shared, id, &manifest).await
    }

    /// Reads and verifies every stored byte of a backup. `DataLoss`, naming the file, at the first that is not what was written.
    pub async fn check_backup(&self, id: BackupId) -> Result<BackupSummary> {
        let missing = || damaged(&BackupManifest::name(id), "it is missing");
        check(&self.shared, id).await?.ok_or_else(missing)
    }

    /// Destroys a backup's key, then removes its folder. May be called again.
    pub async fn delete_backup(&self, id: BackupId) -> Result<Removed> {
        let folder = Self::backup_folder(id);
        let shared = std::sync::Arc::clone(&self.shared);
        let delete = async move {
            let files = shared.store.list(&format!("{folder}/")).await.map_err(stored)?;
            let keys = shared.keys.backup_key_id(id).into_iter().collect();
            shared.keys.destroy_backup_key(id).await.map_err(stored)?;
            shared.store.delete_dir(&folder).await.map_err(stored)?;
            shared.keys.compact().await.map_err(stored)?;
            let objects = files.into_iter().map(|file| (file.name, file.size)).collect();
            Ok(Removed { objects, keys })
        };
        self.shared.finish(delete).await
    }
}

/// The backups that have a folder.
pub(crate) async fn all(shared: &Shared) -> Result<Vec<BackupId>> {
    let root = "backups/";
    let objects = shared.store.list(root).await.map_err(stored)?;
    let id = |name: &str| BackupId::parse(name.strip_prefix(root)?.split('/').next()?).ok();
    let mut ids: Vec<BackupId> = objects.iter().filter_map(|object| id(&object.name)).collect();
    ids.dedup();
    Ok(ids)
}

/// Reads every stored byte of a backup; none if it has no manifest.
pub(crate) async fn check(shared: &Shared, id: BackupId) -> Result<Option<BackupSummary>> {
    if shared.store.head(&BackupManifest::name(id)).await.is_err_and(|e| e.is_not_found()) {
        return Ok(None);
    }
    let manifest = BackupManifest::read(shared, id).await?;
    for namespace in &manifest.namespaces {
        check_namespace(shared, id, &manifest, namespace).await?;
    }
    summary(shared, id, &manifest).await.map(Some)
}

async fn summary(shared: &Shared, id: BackupId, manifest: &BackupManifest) -> Result<BackupSummary> {
    let files = shared.store.list(&format!("{}/", Engine::backup_folder(id))).await.map_err(stored)?;
    let mut lsns: Vec<_> = manifest.namespaces.iter().map(|n| (n.name.clone(), n.lsn)).collect();
    lsns.sort();
    Ok(BackupSummary {
        namespaces: manifest.namespaces.len() as u64,
        records: manifest.namespaces.iter().map(|n| n.records).sum(),
        bytes: files.iter().map(|file| file.size).sum(),
        lsns,
    })
}

async fn check_namespace(shared: &Shared, id: BackupId, manifest: &BackupManifest, namespace: &BackupNamespace) -> Result<()> {
    let folder = Engine::backup_folder(id);
    let (mut records, mut bytes) = (0, 0);
    for segment in &namespace.segments {
        let cache = std::sync::Arc::clone(&shared.cache);
        let reader = SegmentReader::open(&shared.sealed, &folder, manifest, segment.id, cache).await?;
        reader.verify().await?;
        if reader.rows() != segment.rows {
            return Err(damaged(reader.name(), "it is not the segment that the backup names"));
        }
        (records, bytes) = (records + u64::from(segment.rows), bytes + segment.counted_bytes);
        if let Some(dead) = segment.deletes {
            let rows = deletes::read(&shared.sealed, &folder, manifest, dead.id, segment.id, segment.rows).await?;
            if rows.len() != u64::from(dead.rows) {
                return Err(damaged(&object_name(&folder, dead.id), "it is not what the backup names"));
            }
            (records, bytes) = (records - rows.len(), bytes.saturating_sub(dead.counted_bytes));
        }
        shared.cache.forget(segment.id);
    }
    if (records, bytes) != (namespace.records, namespace.bytes) {
        let what = format!("namespace {} holds {records} records, and {} were put there", namespace.id, namespace.records);
        return Err(damaged(&BackupManifest::name(id), &what));
    }
    Ok(())
}

fn object_name(folder: &str, id: ObjectId) -> String {
    format!("{folder}/{}", id.hex())
}

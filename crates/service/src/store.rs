//! The data directory, opened: its lock, its objects, its keys.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use pinyon_model::{Error, Result};
use pinyon_storage::{BlobStore, DataDir, DataDirOptions, KeyStore, LocalStore, RootKey, SealedStore, Space, StorageError};

/// The key store's folder, when it lies in the data directory.
const KEYS: &str = "keys";

/// What everything else reads and writes through. Cheap to clone; the directory stays locked while any clone lives.
#[derive(Clone)]
pub(crate) struct Store(Arc<Inner>);

struct Inner {
    dir: DataDir,
    keys: Arc<KeyStore>,
    sealed: SealedStore,
}

impl Store {
    /// Locks the directory, then opens its objects and its keys.
    pub(crate) async fn open(data_dir: PathBuf, key_dir: Option<PathBuf>, reserve_bytes: Option<u64>, root: RootKey) -> Result<Self> {
        blocking(move || {
            let dir = DataDir::open(&data_dir, DataDirOptions { reserve_bytes })?;
            let blobs: Arc<dyn BlobStore> = Arc::new(LocalStore::open(dir.path(), dir.space())?);
            let keys_dir = key_dir.unwrap_or_else(|| dir.path().join(KEYS));
            let keys = Arc::new(KeyStore::open_in(&keys_dir, root, dir.space())?);
            Ok(Self(Arc::new(Inner { dir, keys, sealed: SealedStore::new(blobs) })))
        })
        .await
    }
    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.0.dir.path()
    }
    /// Its room.
    pub(crate) fn space(&self) -> Space {
        self.0.dir.space()
    }
    /// Its keys.
    pub(crate) fn keys(&self) -> &Arc<KeyStore> {
        &self.0.keys
    }
    /// Its sealed objects.
    pub(crate) fn sealed(&self) -> &SealedStore {
        &self.0.sealed
    }
    /// Its objects as they lie there.
    pub(crate) fn blobs(&self) -> &Arc<dyn BlobStore> {
        self.0.sealed.blobs()
    }
}

/// Runs what waits for the disk apart from the async workers.
pub(crate) async fn blocking<T: Send + 'static>(run: impl FnOnce() -> Result<T, StorageError> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(run).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(Error::internal("A task that reads the disk ended unexpectedly")),
    }
}

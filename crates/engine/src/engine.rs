//! The engine: every index of one data directory, and what they share.

use std::{path::PathBuf, sync::Arc};

use pinyon_model::{Error, IndexId, MetadataSchema, Result, VectorShape};
use pinyon_storage::{BlobStore, KeyStore};

use crate::{CheckReport, Clock, EngineSettings, IndexHandle};

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
    _store: Arc<dyn BlobStore>,
}

impl Engine {
    /// The engine over `store`, whose names are paths below `root`, where the logs lie.
    pub async fn open(
        store: Arc<dyn BlobStore>,
        root: PathBuf,
        keys: Arc<KeyStore>,
        clock: Arc<dyn Clock>,
        settings: EngineSettings,
    ) -> Result<Self> {
        let _ = (root, keys, clock, settings);
        Ok(Self { _store: store })
    }

    /// The folder of an index, as names of the store begin: its descriptor lies there beside what is the engine's.
    pub fn index_folder(id: IndexId) -> String {
        format!("indexes/{}", id.hex())
    }

    /// Makes a new index: its key is durable when this returns.
    pub async fn create_index(&self, id: IndexId, options: &IndexOptions) -> Result<()> {
        let _ = (id, options);
        Err(Error::unimplemented("Not there yet"))
    }

    /// The index to work with. Reads nothing: whether it can be opened, its first operation tells.
    pub fn index(&self, id: IndexId, options: IndexOptions) -> Arc<IndexHandle> {
        let _ = id;
        Arc::new(IndexHandle { _options: options })
    }

    /// Deletes an index with all that is in it. Ends what a deletion that was cut short left behind, so it may be called again.
    pub async fn delete_index(&self, id: IndexId) -> Result<()> {
        let _ = id;
        Err(Error::unimplemented("Not there yet"))
    }

    /// Reads and verifies every stored byte of every index.
    pub async fn check(&self) -> Result<CheckReport> {
        Err(Error::unimplemented("Not there yet"))
    }

    /// Ends all background work and closes every namespace. Flushes nothing: the logs have it.
    pub async fn close(&self) {}
}

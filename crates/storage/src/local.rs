use std::ops::Range;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{BlobMeta, BlobStore, BlobWriter, Purpose, PutMode, Result, Space, StorageError, Version};

/// Objects as files below one folder.
#[derive(Debug)]
pub struct LocalStore {
    _root: PathBuf,
    space: Space,
}

fn pending<T>() -> Result<T> {
    Err(StorageError::invalid("not built yet"))
}

impl LocalStore {
    /// Opens the store in a folder, making it if it is not there, and removes what a crash left half written. Blocking.
    pub fn open(root: &Path, space: Space) -> Result<Self> {
        Ok(Self { _root: root.to_owned(), space })
    }
}

#[async_trait]
impl BlobStore for LocalStore {
    async fn put(&self, _name: &str, _bytes: Bytes, _mode: PutMode, _purpose: Purpose) -> Result<Version> {
        pending()
    }
    async fn create(&self, _name: &str, _purpose: Purpose) -> Result<Box<dyn BlobWriter>> {
        pending()
    }
    async fn get(&self, _name: &str) -> Result<(Bytes, Version)> {
        pending()
    }
    async fn get_ranges(&self, _name: &str, _ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        pending()
    }
    async fn head(&self, _name: &str) -> Result<BlobMeta> {
        pending()
    }
    async fn list(&self, _prefix: &str) -> Result<Vec<BlobMeta>> {
        pending()
    }
    async fn delete(&self, _name: &str) -> Result<()> {
        pending()
    }
    async fn delete_dir(&self, _prefix: &str) -> Result<()> {
        pending()
    }
    fn space(&self) -> Space {
        self.space.clone()
    }
}

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use pinyon_model::ObjectId;

use crate::{BlobStore, DataKey, Purpose, PutMode, Result, StorageError, Version};

/// What an object is; part of what it is sealed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ObjectKind(pub u16);

impl ObjectKind {
    /// A segment of a namespace.
    pub const SEGMENT: Self = Self(1);
    /// Rows deleted from a segment.
    pub const DELETES: Self = Self(2);
    /// A namespace's manifest.
    pub const MANIFEST: Self = Self(3);
    /// What an index is.
    pub const INDEX_DESCRIPTOR: Self = Self(4);
}

/// Bytes of plaintext in a chunk: a power of two from 4 KiB to 16 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkSize(u8);

impl ChunkSize {
    /// For rows that are read at random.
    pub const KIB_4: Self = Self(12);
    /// For rows that are read at random, larger.
    pub const KIB_16: Self = Self(14);
    /// For streams.
    pub const KIB_64: Self = Self(16);
    /// The size in bytes.
    pub fn bytes(self) -> usize {
        1 << self.0
    }
}

/// An object that was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedObject {
    /// Its random id.
    pub id: ObjectId,
    /// Its name in the store.
    pub name: String,
    /// Bytes of plaintext.
    pub plain_len: u64,
}

/// A small object read whole.
#[derive(Debug, Clone)]
pub struct NamedObject {
    /// The plaintext.
    pub plain: Bytes,
    /// The format its writer gave.
    pub format: u16,
    /// Its version, for compare-and-swap.
    pub version: Version,
}

fn pending<T>() -> Result<T> {
    Err(StorageError::invalid("not built yet"))
}

/// A blob store whose objects are sealed.
#[derive(Debug, Clone)]
pub struct SealedStore(Arc<dyn BlobStore>);

impl SealedStore {
    /// Seals what goes into `store`.
    pub fn new(store: Arc<dyn BlobStore>) -> Self {
        Self(store)
    }
    /// The store below.
    pub fn blobs(&self) -> &Arc<dyn BlobStore> {
        &self.0
    }
    /// Begins an object named by its random id in folder `dir`.
    pub async fn writer(
        &self,
        _dir: &str,
        _kind: ObjectKind,
        _format: u16,
        _key: &DataKey,
        _chunk: ChunkSize,
        _purpose: Purpose,
    ) -> Result<SealedWriter> {
        pending()
    }
    /// Stores a small object under a fixed name.
    #[allow(clippy::too_many_arguments)]
    pub async fn put_named(
        &self,
        _name: &str,
        _kind: ObjectKind,
        _format: u16,
        _key: &DataKey,
        _plain: &[u8],
        _mode: PutMode,
        _purpose: Purpose,
    ) -> Result<Version> {
        pending()
    }
    /// Reads a small object whole.
    pub async fn get_named(&self, _name: &str, _kind: ObjectKind, _key: &DataKey) -> Result<NamedObject> {
        pending()
    }
    /// Opens an object for reading.
    pub async fn open(&self, _name: &str, _kind: ObjectKind, _key: &DataKey) -> Result<SealedReader> {
        pending()
    }
}

/// An object being written.
#[derive(Debug)]
pub struct SealedWriter(());

impl SealedWriter {
    /// Appends plaintext.
    pub async fn write(&mut self, _plain: &[u8]) -> Result<()> {
        pending()
    }
    /// Makes the object durable and visible.
    pub async fn finish(self) -> Result<SealedObject> {
        pending()
    }
}

/// An open object. Cheap to share.
#[derive(Debug)]
pub struct SealedReader(());

impl SealedReader {
    /// Bytes of plaintext.
    pub fn plain_len(&self) -> u64 {
        0
    }
    /// The format its writer gave.
    pub fn format(&self) -> u16 {
        0
    }
    /// These ranges of plaintext, in the order asked, with one batched read.
    pub async fn read_ranges(&self, _ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        pending()
    }
    /// All of the plaintext.
    pub async fn read_all(&self) -> Result<Bytes> {
        pending()
    }
    /// Reads and authenticates every byte.
    pub async fn verify(&self) -> Result<()> {
        pending()
    }
}

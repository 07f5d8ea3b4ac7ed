use std::sync::Arc;

use bytes::Bytes;

use super::format::{Chunks, HEADER, Header, Layout};
use super::reader::{self, SealedReader};
use super::writer::SealedWriter;
use super::{ChunkSize, NamedObject, ObjectKind};
use crate::{BlobStore, DataKey, Opens, Purpose, PutMode, Result, StorageError, Version};

/// A blob store whose objects are sealed. Cheap to clone.
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

    /// Begins an object in folder `dir`, named there by its random id. `format` is the content's, for its reader.
    pub async fn writer(
        &self,
        dir: &str,
        kind: ObjectKind,
        format: u16,
        key: &DataKey,
        chunk: ChunkSize,
        purpose: Purpose,
    ) -> Result<SealedWriter> {
        let header = Header::fresh(kind, format, key, chunk);
        let name = format!("{dir}/{}", header.id.hex());
        let blob = self.0.create(&name, purpose).await?;
        let chunks = Chunks::new(&header, key);
        Ok(SealedWriter::new(blob, header, chunks, name))
    }

    /// Stores a small object under a fixed name: a manifest, a descriptor. A create-only put whose answer was lost is recognised as its
    /// own by reading back.
    #[expect(clippy::too_many_arguments, reason = "each is a different thing, and a struct of them would be named once")]
    pub async fn put_named(
        &self,
        name: &str,
        kind: ObjectKind,
        format: u16,
        key: &DataKey,
        plain: &[u8],
        mode: PutMode,
        purpose: Purpose,
    ) -> Result<Version> {
        let header = Header::fresh(kind, format, key, ChunkSize::KIB_64);
        let chunks = Chunks::new(&header, key);
        let mut out = header.encode().to_vec();
        let count = plain.len().div_ceil(header.chunk.bytes()).max(1);
        for number in 0..count {
            let (start, from) = (number * header.chunk.bytes(), out.len());
            out.extend_from_slice(&plain[start..plain.len().min(start + header.chunk.bytes())]);
            chunks.seal(number as u64, number + 1 == count, &mut out, from);
        }
        let sealed = Bytes::from(out);
        match self.0.put(name, sealed.clone(), mode, purpose).await {
            Err(e @ StorageError::AlreadyExists { .. }) if mode == PutMode::CreateOnly => match self.0.get(name).await {
                // No two objects are sealed alike, so these bytes are ours.
                Ok((there, version)) if there == sealed => Ok(version),
                _ => Err(e),
            },
            done => done,
        }
    }

    /// Reads a small object whole.
    pub async fn get_named(&self, name: &str, kind: ObjectKind, keys: &(impl Opens + ?Sized)) -> Result<NamedObject> {
        let (stored, version) = self.0.get(name).await?;
        let header = Header::decode(&stored, name)?;
        let key = header.key(kind, keys, name)?;
        let layout = Layout::of(&header, stored.len() as u64, name)?;
        let plain = Chunks::new(&header, key).open_all(&layout, 0, &stored[HEADER..], name)?;
        Ok(NamedObject { plain, format: header.format, version })
    }

    /// Opens an object for reading. `Damaged` if it is of another kind, or sealed under none of these keys.
    pub async fn open(&self, name: &str, kind: ObjectKind, keys: &(impl Opens + ?Sized)) -> Result<SealedReader> {
        SealedReader::open(self.0.clone(), name, kind, keys).await
    }

    /// Checks header and checksums of an object without any key; the number of its bytes. For scrubbing.
    pub async fn scrub(&self, name: &str) -> Result<u64> {
        reader::scrub(&*self.0, name).await
    }
}

//! Sealed objects: a plain header, then chunks, each encrypted and authenticated for its place.
//!
//! Numbers are little-endian.
//!
//! ```text
//! header, 96 bytes                                    chunk i (i = 0, 1, ...; an object has at least one)
//!   0   8  magic "PinySeal"                              0  c  ciphertext, of `chunk size` bytes; the last one of what is left
//!   8   2  format, 1                                     +  16 tag
//!  10   2  object kind                                   +  4  crc32c of ciphertext and tag
//!  12   2  format of the content, the kind's own
//!  14   1  cipher, 1 = AES-256-GCM
//!  15   1  log2 of the chunk size, 12 to 24
//!  16  16  object id, random
//!  32  16  id of the key it is sealed under
//!  48  32  salt, random                                object key = HKDF-SHA-256(key, salt, "pinyon object 1")
//!  80  12  zero                                        nonce = chunk number (8) ‖ zeros (3) ‖ 1 for the last chunk, else 0
//!  92   4  crc32c of bytes 0..92                       AAD   = header ‖ chunk number (8)
//! ```
//!
//! The header holds kind, format and object id, so the AAD binds each chunk to them, to its place and to the end of the object, and
//! never to a path: objects can be moved. The plaintext's length follows from the object's size.

mod format;
mod reader;
mod store;
mod writer;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use pinyon_model::ObjectId;

use crate::{DataKey, Result, StorageError, Version};

pub use reader::SealedReader;
pub use store::SealedStore;
pub use writer::SealedWriter;

/// Reads bytes that nobody vouches for as an object; with `resum` its header's checksum is made to fit first.
pub(crate) fn parse_object(bytes: &[u8], key: &DataKey, resum: bool) -> Result<Bytes> {
    let mut bytes = bytes.to_vec();
    if resum {
        format::fit_checksum(&mut bytes);
    }
    let header = format::Header::decode(&bytes, "fuzz")?;
    let layout = format::Layout::of(&header, bytes.len() as u64, "fuzz")?;
    format::Chunks::new(&header, key).open_all(&layout, 0, &bytes[format::HEADER..], "fuzz")
}

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
    /// A backup's manifest.
    pub const BACKUP: Self = Self(6);
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

    /// The chunk size of `bytes`: a power of two from 4 KiB to 16 MiB.
    pub fn from_bytes(bytes: usize) -> Result<Self> {
        let log2 = bytes.is_power_of_two().then(|| bytes.trailing_zeros() as u8);
        log2.and_then(Self::from_log2)
            .ok_or_else(|| StorageError::invalid(format!("a chunk of {bytes} bytes (a power of two from 4 KiB to 16 MiB is allowed)")))
    }

    fn from_log2(log2: u8) -> Option<Self> {
        (12..=24).contains(&log2).then_some(Self(log2))
    }

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
    /// Its name in the store: the folder, and the id in hexadecimal.
    pub name: String,
    /// Bytes of plaintext.
    pub plain_len: u64,
    /// Bytes in the store.
    pub stored_len: u64,
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

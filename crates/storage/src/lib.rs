//! Every byte of Pinyon's data on disk: sealing, checksums, the local directory, the append log, the keys.
//!
//! Promises: what is acknowledged was synced, file and folder; no plaintext is written, and no (key, nonce) is used twice; bytes that
//! are not what was written are found, and the file is named. `docs/formats.md` draws every stored byte.

mod archive;
mod blob;
mod crypto;
mod data_dir;
mod data_key;
mod error;
mod export_key;
#[cfg(any(test, feature = "faults"))]
pub mod faults;
mod frame;
pub mod fs;
#[doc(hidden)]
pub mod fuzz;
mod key_ring;
mod key_store;
mod local;
mod log;
mod memory;
mod root_key;
mod sealed;
#[cfg(feature = "unsealed")]
pub mod unsealed;

pub use archive::{ARCHIVE_PIECE, ArchiveReader, ArchiveWriter};
pub use blob::{BlobMeta, BlobStore, BlobWriter, PutMode, Version};
pub use crypto::random_bytes;
pub use data_dir::{DataDir, DataDirOptions, Purpose, Space};
pub use data_key::{DataKey, KeyId, Mac, NotAuthentic, SEALED_KEY};
pub use error::{Result, StorageError};
pub use export_key::ExportKey;
pub use key_ring::{KeyRing, Opens};
pub use key_store::{KeyAbove, KeyStore, KeysUnder, ProjectKey};
pub use local::LocalStore;
pub use log::{LOG_HEADER_BYTES, Log, LogCheck, LogKind, LogOptions, LogPart, LogReader};
pub use memory::{BlobFault, BlobOp, MemoryStore};
pub use root_key::RootKey;
pub use sealed::{ChunkSize, NamedObject, ObjectKind, SealedObject, SealedReader, SealedStore, SealedWriter};

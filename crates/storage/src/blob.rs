//! Objects by name, wherever they lie. A name is `a/b/c`: parts of letters, digits, `.`, `_` and `-`, none starting with a dot.
//!
//! Every store keeps the same promises, held to them by one suite of tests: what `put` or `finish` acknowledged is durable;
//! a reader sees an object whole or not at all; create-only and compare-and-swap have exactly one winner.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Purpose, Result, Space, StorageError};

/// The version of an object's content, for compare-and-swap. Equal versions mean equal bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version(pub(crate) [u8; 16]);

/// When a put may take place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutMode {
    /// Only if the name is free; else `AlreadyExists`. After a put whose outcome is unknown, read back and compare: it may have
    /// been the first attempt.
    CreateOnly,
    /// In any case.
    Overwrite,
    /// Only if the object is still this version; else `Conflict`.
    IfVersion(Version),
}

/// An object's name and size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobMeta {
    /// Its whole name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
}

/// A store of objects.
#[async_trait]
pub trait BlobStore: Send + Sync + std::fmt::Debug {
    /// Stores one object; durable when it returns. A retry must send the same bytes.
    async fn put(&self, name: &str, bytes: Bytes, mode: PutMode, purpose: Purpose) -> Result<Version>;
    /// Starts an object that is written piece by piece, create-only; nobody sees it before `finish`.
    async fn create(&self, name: &str, purpose: Purpose) -> Result<Box<dyn BlobWriter>>;
    /// The whole object.
    async fn get(&self, name: &str) -> Result<(Bytes, Version)>;
    /// These byte ranges, in the order asked. A range that goes past the end is `Damaged`: whoever asks knows the size.
    async fn get_ranges(&self, name: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>>;
    /// One byte range.
    async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes> {
        let mut got = self.get_ranges(name, std::slice::from_ref(&range)).await?;
        got.pop().ok_or_else(|| StorageError::damaged(name, "one range was asked for, and none came"))
    }
    /// Name and size.
    async fn head(&self, name: &str) -> Result<BlobMeta>;
    /// Every object whose name starts with `prefix`, ordered by name.
    async fn list(&self, prefix: &str) -> Result<Vec<BlobMeta>>;
    /// Removes an object; durable when it returns. Removing what is not there is no error.
    async fn delete(&self, name: &str) -> Result<()>;
    /// Removes the folder `prefix` and all below it; nothing of it is seen any more once this returns.
    async fn delete_dir(&self, prefix: &str) -> Result<()>;
    /// Gives an object a second name, create-only; each name then stands for itself. Durable once [`BlobStore::sync`] of the new name's
    /// folder returns.
    async fn link(&self, from: &str, to: &str) -> Result<()>;
    /// Makes the names in folder `prefix` durable.
    async fn sync(&self, prefix: &str) -> Result<()>;
    /// The room that local files beside this store (logs) must ask for.
    fn space(&self) -> Space {
        Space::unlimited()
    }
}

/// An object being written. Dropped before `finish`, it leaves nothing.
#[async_trait]
pub trait BlobWriter: Send {
    /// Appends bytes.
    async fn write(&mut self, bytes: Bytes) -> Result<()>;
    /// Makes the object durable and visible; returns its size in bytes.
    async fn finish(self: Box<Self>) -> Result<u64>;
}

/// Longest name, in bytes.
const MAX_NAME: usize = 512;

/// Checks a name before it comes near a path.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let part_ok = |part: &str| {
        !part.is_empty() && !part.starts_with('.') && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    if name.len() <= MAX_NAME && name.split('/').all(part_ok) {
        return Ok(());
    }
    Err(StorageError::invalid(format!(
        "'{}' is no object name (parts of letters, digits, '.', '_', '-' joined by '/', at most {MAX_NAME} bytes)",
        name.escape_debug()
    )))
}

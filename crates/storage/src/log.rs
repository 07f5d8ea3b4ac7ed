use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use pinyon_model::Lsn;

use crate::{DataKey, Purpose, Result, Space, StorageError};

/// What a log holds; part of what its frames are sealed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LogKind(pub u16);

impl LogKind {
    /// The writes of one namespace.
    pub const NAMESPACE: Self = Self(1);
    /// The namespaces of one index.
    pub const NAMESPACE_LIST: Self = Self(2);
    /// The audit log.
    pub const AUDIT: Self = Self(3);
}

/// Whose log it is.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// What it holds.
    pub kind: LogKind,
    /// Who owns it: a namespace's or an index's id.
    pub owner: [u8; 16],
    /// What its files are sealed under.
    pub key: Arc<DataKey>,
    /// The last LSN that is safe elsewhere; only newer frames are replayed.
    pub after: Lsn,
    /// The room it must ask for.
    pub space: Space,
}

/// One owner's append log.
#[derive(Debug)]
pub struct Log(Lsn);

impl Log {
    /// Reads the log in `dir` and returns the frames newer than `options.after`. Writes nothing; blocking. A folder that is not
    /// there is an empty log.
    pub fn open(_dir: PathBuf, options: LogOptions) -> Result<(Self, Vec<(Lsn, Bytes)>)> {
        Ok((Self(options.after), Vec::new()))
    }
    /// Appends frames with one write and one fsync; returns the last one's LSN. Durable when it returns; after any error none of
    /// them counts, and the next append begins a new file.
    pub async fn append(&mut self, _frames: Vec<Bytes>, _purpose: Purpose) -> Result<Lsn> {
        Err(StorageError::invalid("not built yet"))
    }
    /// Deletes files whose frames are all at or below `upto`.
    pub async fn trim(&mut self, _upto: Lsn) -> Result<()> {
        Ok(())
    }
    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        0
    }
    /// Number of files.
    pub fn files(&self) -> usize {
        0
    }
    /// The last LSN that counts.
    pub fn last_lsn(&self) -> Lsn {
        self.0
    }
}

//! Objects in memory: for tests, with faults that can be set.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use crate::blob::check_name;
use crate::{BlobMeta, BlobStore, BlobWriter, Purpose, PutMode, Result, StorageError, Version};

/// What is asked of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlobOp {
    /// `put`.
    Put,
    /// `finish` of a streamed object.
    Finish,
    /// `get`, `get_ranges`, `head`.
    Get,
    /// `list`.
    List,
    /// `delete`, `delete_dir`.
    Delete,
}

/// How a [`MemoryStore`] fails an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobFault {
    /// It is not done, and fails.
    Refused,
    /// It is done, and the answer is lost: it fails all the same.
    AnswerLost,
    /// There is no room.
    Full,
    /// A read answers with its last byte flipped.
    Flipped,
}

type Decide = Box<dyn FnMut(BlobOp, &str) -> Option<BlobFault> + Send>;

/// A store in memory. Clones share their content.
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    objects: BTreeMap<String, (Bytes, Version)>,
    next_version: u64,
    decide: Option<Decide>,
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryStore({} objects)", self.lock().objects.len())
    }
}

fn fault(name: &str) -> StorageError {
    StorageError::Io { op: "reach", file: name.to_owned(), source: std::io::Error::other("fault set by a test") }
}

fn not_found(name: &str) -> StorageError {
    StorageError::NotFound { name: name.to_owned() }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on `decide` says, for each operation and name, whether and how it fails.
    pub fn set_faults(&self, decide: impl FnMut(BlobOp, &str) -> Option<BlobFault> + Send + 'static) {
        self.lock().decide = Some(Box::new(decide));
    }

    /// No faults from now on.
    pub fn clear_faults(&self) {
        self.lock().decide = None;
    }

    /// Changes an object's bytes behind everyone's back.
    pub fn tamper(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        if let Some((bytes, _)) = self.lock().objects.get_mut(name) {
            let mut changed = bytes.to_vec();
            change(&mut changed);
            *bytes = changed.into();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Runs an operation that changes something, as far as the faults let it.
    fn change<T>(&mut self, op: BlobOp, name: &str, run: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        match self.decide.as_mut().and_then(|d| d(op, name)) {
            None | Some(BlobFault::Flipped) => run(self),
            Some(BlobFault::Full) => Err(StorageError::Full { free: 0, reserve: 0 }),
            Some(BlobFault::Refused) => Err(fault(name)),
            Some(BlobFault::AnswerLost) => run(self).and(Err(fault(name))),
        }
    }

    fn read(&mut self, op: BlobOp, name: &str) -> Result<(Bytes, Version)> {
        let found = self.objects.get(name).cloned();
        match self.decide.as_mut().and_then(|d| d(op, name)) {
            None => found.ok_or_else(|| not_found(name)),
            Some(BlobFault::Flipped) => {
                let (bytes, version) = found.ok_or_else(|| not_found(name))?;
                let mut bytes = bytes.to_vec();
                if let Some(last) = bytes.last_mut() {
                    *last ^= 1;
                }
                Ok((bytes.into(), version))
            }
            Some(_) => Err(fault(name)),
        }
    }

    fn put(&mut self, name: &str, bytes: Bytes, mode: PutMode) -> Result<Version> {
        let now = self.objects.get(name).map(|(_, version)| *version);
        match mode {
            PutMode::CreateOnly if now.is_some() => return Err(StorageError::AlreadyExists { name: name.to_owned() }),
            PutMode::IfVersion(wanted) if now != Some(wanted) => return Err(StorageError::Conflict { name: name.to_owned() }),
            _ => {}
        }
        self.next_version += 1;
        let mut version = [0; 16];
        version[..8].copy_from_slice(&self.next_version.to_le_bytes());
        self.objects.insert(name.to_owned(), (bytes, Version(version)));
        Ok(Version(version))
    }
}

#[async_trait]
impl BlobStore for MemoryStore {
    async fn put(&self, name: &str, bytes: Bytes, mode: PutMode, _purpose: Purpose) -> Result<Version> {
        check_name(name)?;
        self.lock().change(BlobOp::Put, name, |state| state.put(name, bytes, mode))
    }

    async fn create(&self, name: &str, _purpose: Purpose) -> Result<Box<dyn BlobWriter>> {
        check_name(name)?;
        Ok(Box::new(MemoryWriter { store: self.clone(), name: name.to_owned(), bytes: BytesMut::new() }))
    }

    async fn get(&self, name: &str) -> Result<(Bytes, Version)> {
        check_name(name)?;
        self.lock().read(BlobOp::Get, name)
    }

    async fn get_ranges(&self, name: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        check_name(name)?;
        let (bytes, _) = self.lock().read(BlobOp::Get, name)?;
        let past_end = |r: &Range<u64>| StorageError::damaged(name, format!("it ends before byte {}", r.end));
        let cut = |r: &Range<u64>| {
            if r.start > r.end || r.end > bytes.len() as u64 { Err(past_end(r)) } else { Ok(bytes.slice(r.start as usize..r.end as usize)) }
        };
        ranges.iter().map(cut).collect()
    }

    async fn head(&self, name: &str) -> Result<BlobMeta> {
        check_name(name)?;
        let (bytes, _) = self.lock().read(BlobOp::Get, name)?;
        Ok(BlobMeta { name: name.to_owned(), size: bytes.len() as u64 })
    }

    async fn list(&self, prefix: &str) -> Result<Vec<BlobMeta>> {
        let mut state = self.lock();
        state.change(BlobOp::List, prefix, |state| {
            let from = state.objects.range(prefix.to_owned()..).take_while(|(name, _)| name.starts_with(prefix));
            Ok(from.map(|(name, (bytes, _))| BlobMeta { name: name.clone(), size: bytes.len() as u64 }).collect())
        })
    }

    async fn delete(&self, name: &str) -> Result<()> {
        check_name(name)?;
        self.lock().change(BlobOp::Delete, name, |state| {
            state.objects.remove(name);
            Ok(())
        })
    }

    async fn link(&self, from: &str, to: &str) -> Result<()> {
        check_name(to)?;
        self.lock().change(BlobOp::Put, to, |state| {
            let object = state.objects.get(from).cloned().ok_or_else(|| not_found(from))?;
            if state.objects.contains_key(to) {
                return Err(StorageError::AlreadyExists { name: to.to_owned() });
            }
            state.objects.insert(to.to_owned(), object);
            Ok(())
        })
    }

    async fn sync(&self, prefix: &str) -> Result<()> {
        check_name(prefix)
    }

    async fn delete_dir(&self, prefix: &str) -> Result<()> {
        check_name(prefix)?;
        let below = format!("{prefix}/");
        self.lock().change(BlobOp::Delete, prefix, |state| {
            state.objects.retain(|name, _| !name.starts_with(&below));
            Ok(())
        })
    }
}

struct MemoryWriter {
    store: MemoryStore,
    name: String,
    bytes: BytesMut,
}

#[async_trait]
impl BlobWriter for MemoryWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<u64> {
        let Self { store, name, bytes } = *self;
        let size = bytes.len() as u64;
        store.lock().change(BlobOp::Finish, &name, |state| state.put(&name, bytes.freeze(), PutMode::CreateOnly))?;
        Ok(size)
    }
}

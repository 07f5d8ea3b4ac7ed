//! One process owns a data directory, and the last of its disk is kept for what makes room.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Result, StorageError, fs};

/// What a write is for, which decides whether it may use the reserve of disk space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// New data: refused with `Full` when only the reserve is left.
    Data,
    /// Log entries of deletions, catalog, audit, compaction: what a full disk needs to be emptied.
    Essential,
}

/// Settings of a data directory.
#[derive(Debug, Clone, Copy, Default)]
pub struct DataDirOptions {
    /// Bytes kept for essential writes; 64 MiB + 1 % of the file system when not given.
    pub reserve_bytes: Option<u64>,
}

/// An exclusively locked data directory. The lock lasts as long as the value, and ends with the process however it ends.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    space: Space,
    _lock: File,
}

impl DataDir {
    /// Creates the directory if it is not there (mode 0700) and locks it; `Locked` names the owner if there is one.
    pub fn open(path: impl AsRef<Path>, options: DataDirOptions) -> Result<Self> {
        let path = path.as_ref();
        fs::create_dir_all(fs::Site::DataDirCreate, fs::Site::DataDirParentSync, path)?;
        let path = path.canonicalize().map_err(|e| fs::io_error("find", path, e))?;
        let lock = fs::lock(fs::Site::LockWrite, &path)?;
        let space = Space::of(&path, options.reserve_bytes)?;
        Ok(Self { path, space, _lock: lock })
    }
    /// Where it is, with symbolic links resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// The room in it; every writer of data files asks here first.
    pub fn space(&self) -> Space {
        self.space.clone()
    }
}

/// Room on one file system. Cheap to clone; clones share their count.
#[derive(Debug, Clone)]
pub struct Space(Option<Arc<Room>>);

#[derive(Debug)]
struct Room {
    path: PathBuf,
    reserve: u64,
    /// Free bytes when last asked, less what was taken since.
    free: AtomicU64,
    /// Bytes taken since the file system was last asked.
    taken: AtomicU64,
}

/// After this many bytes the file system is asked again: others write to it too.
const ASK_AGAIN: u64 = 8 << 20;

impl Space {
    /// Never refuses; for stores without a local disk, and for tests.
    pub fn unlimited() -> Self {
        Self(None)
    }

    /// The room on the file system of `path`. The reserve is 64 MiB + 1 % of it unless given.
    pub fn of(path: &Path, reserve: Option<u64>) -> Result<Self> {
        let (free, total) = fs::free_and_total(path)?;
        let reserve = reserve.unwrap_or((64 << 20) + total / 100);
        Ok(Self(Some(Arc::new(Room { path: path.to_owned(), reserve, free: AtomicU64::new(free), taken: AtomicU64::new(0) }))))
    }

    /// Asks for room for `bytes` more. `Full` refuses a [`Purpose::Data`] write that would go into the reserve; nothing was
    /// written then. Whoever is essential is let through and meets the file system itself.
    pub fn take(&self, bytes: u64, purpose: Purpose) -> Result<()> {
        let Some(room) = &self.0 else { return Ok(()) };
        let need = room.reserve.saturating_add(bytes);
        // Near the limit every write asks afresh, so that data is taken again as soon as there is room.
        if room.taken.fetch_add(bytes, Ordering::Relaxed) >= ASK_AGAIN || room.free.load(Ordering::Relaxed) < need.saturating_add(ASK_AGAIN)
        {
            let (free, _) = fs::free_and_total(&room.path)?;
            room.free.store(free, Ordering::Relaxed);
            room.taken.store(0, Ordering::Relaxed);
        }
        let free = room.free.load(Ordering::Relaxed);
        if purpose == Purpose::Data && free < need {
            return Err(StorageError::Full { free, reserve: room.reserve });
        }
        // A lost race here costs precision until the next question, nothing else.
        room.free.store(free.saturating_sub(bytes), Ordering::Relaxed);
        Ok(())
    }

    /// Free bytes as last known and the reserve, or `None` for unlimited space.
    pub fn free_and_reserve(&self) -> Option<(u64, u64)> {
        self.0.as_ref().map(|room| (room.free.load(Ordering::Relaxed), room.reserve))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_owner_is_refused_and_told_who_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::open(dir.path(), DataDirOptions::default()).unwrap();
        let refused = DataDir::open(dir.path(), DataDirOptions::default()).unwrap_err();
        assert!(matches!(refused, StorageError::Locked { pid: Some(pid), .. } if pid == std::process::id()), "{refused}");
        drop(first);
        DataDir::open(dir.path(), DataDirOptions::default()).unwrap();
    }

    #[test]
    fn the_reserve_is_for_essential_writes_only() {
        let dir = tempfile::tempdir().unwrap();
        let all = DataDir::open(dir.path(), DataDirOptions { reserve_bytes: Some(u64::MAX / 2) }).unwrap().space();
        assert!(matches!(all.take(1, Purpose::Data), Err(StorageError::Full { .. })));
        all.take(1, Purpose::Essential).unwrap();
        let none = Space::of(dir.path(), Some(0)).unwrap();
        none.take(1, Purpose::Data).unwrap();
        let (free, _) = none.free_and_reserve().unwrap();
        assert!(matches!(none.take(free * 2, Purpose::Data), Err(StorageError::Full { .. })), "more than there is");
        none.take(1, Purpose::Data).unwrap();
    }
}

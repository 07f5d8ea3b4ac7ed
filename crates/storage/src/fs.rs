//! The only place that creates, writes, renames, syncs, truncates, links or unlinks a data file. Each act names its [`Site`], so
//! that a test can make every one of them fail.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

#[cfg(any(test, feature = "faults"))]
use crate::faults;
use crate::{Result, StorageError};

macro_rules! sites {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Every place where data files are changed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Site { $($(#[$doc])* $name,)* }
        impl Site {
            /// All of them.
            pub const ALL: &'static [Site] = &[$(Site::$name),*];
            /// The site's name, as fault settings spell it.
            pub fn name(self) -> &'static str {
                match self { $(Site::$name => stringify!($name),)* }
            }
        }
    };
}

sites! {
    /// The data directory is made.
    DataDirCreate,
    /// Its parent is synced.
    DataDirParentSync,
    /// The lock file is opened and the owner's process id written.
    LockWrite,
    /// A root key file is made.
    RootKeyCreate,
    /// Its text is written.
    RootKeyWrite,
    /// It is synced.
    RootKeySync,
    /// It gets its name.
    RootKeyRename,
    /// Its folder is synced.
    RootKeyDirSync,
    /// The key store's folder is made.
    KeysDirCreate,
    /// Its parent is synced.
    KeysDirParentSync,
    /// A key file is made, under a temporary name.
    KeysCreate,
    /// Its content is written.
    KeysWrite,
    /// It is synced.
    KeysSync,
    /// It takes the place of the one before.
    KeysRename,
    /// The key store's folder is synced.
    KeysDirSync,
    /// Keys are appended.
    KeysAppend,
    /// The appended keys are synced.
    KeysAppendSync,
    /// A key file that a crash left under its temporary name is removed.
    KeysUnlink,
    /// A log's folder is made.
    LogDirCreate,
    /// Its parent is synced.
    LogDirParentSync,
    /// A log file is made.
    LogCreate,
    /// The header and the first frames of a log file are written.
    LogWriteFirst,
    /// Frames are appended.
    LogWrite,
    /// Frames are synced.
    LogSync,
    /// The log's folder is synced after a file was made.
    LogDirSync,
    /// A log file is removed.
    LogUnlink,
    /// The log's folder is synced after files were removed.
    LogTrimSync,
    /// A folder for objects is made.
    BlobDirCreate,
    /// Its parent is synced.
    BlobDirParentSync,
    /// An object is begun under a temporary name.
    BlobCreate,
    /// Its bytes are written.
    BlobWrite,
    /// It is synced.
    BlobSync,
    /// It gets its name, which must be free.
    BlobLink,
    /// It takes the place of an object.
    BlobRename,
    /// Its folder is synced.
    BlobDirSync,
    /// A temporary name is removed.
    BlobTempUnlink,
    /// An object is removed.
    BlobUnlink,
    /// The folder is synced after an object was removed.
    BlobUnlinkSync,
    /// A folder is moved out of sight before it is removed.
    BlobDirRename,
    /// Its parent is synced.
    BlobDirRenameSync,
    /// What was moved out of sight, or left by a crash, is removed.
    BlobSweep,
}

/// An open file that knows its name, for errors and for faults.
#[derive(Debug)]
pub(crate) struct Handle {
    file: File,
    path: PathBuf,
}

pub(crate) fn io_error(op: &'static str, path: &Path, source: io::Error) -> StorageError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StorageError::Full { free: 0, reserve: 0 },
        io::ErrorKind::NotFound => StorageError::NotFound { name: path.display().to_string() },
        _ => StorageError::Io { op, file: path.display().to_string(), source },
    }
}

/// Runs one act at a site, or the fault set there.
fn act<T>(site: Site, op: &'static str, path: &Path, run: impl FnOnce() -> io::Result<T>) -> Result<T> {
    #[cfg(any(test, feature = "faults"))]
    let after = faults::visit(site, path).map_err(|e| io_error(op, path, e))?;
    #[cfg(not(any(test, feature = "faults")))]
    let _ = site;
    let done = run().map_err(|e| io_error(op, path, e));
    #[cfg(any(test, feature = "faults"))]
    after.run();
    done
}

/// Makes a file that must not exist yet, readable by its owner alone.
pub(crate) fn create_new(site: Site, path: &Path) -> Result<Handle> {
    act(site, "create", path, || OpenOptions::new().write(true).read(true).create_new(true).mode(0o600).open(path))
        .map(|file| Handle { file, path: path.to_owned() })
}

/// Writes all of `bytes` at `offset`. After an error nothing is known about the file from there on.
pub(crate) fn write_all_at(site: Site, handle: &Handle, bytes: &[u8], offset: u64) -> Result<()> {
    #[cfg(any(test, feature = "faults"))]
    let after = match faults::partial(site, &handle.path, bytes) {
        Ok(after) => after,
        Err(part) => {
            let _ = handle.file.write_all_at(part.bytes, offset);
            return Err(io_error("write", &handle.path, part.end()));
        }
    };
    #[cfg(not(any(test, feature = "faults")))]
    let _ = site;
    let done = handle.file.write_all_at(bytes, offset).map_err(|e| io_error("write", &handle.path, e));
    #[cfg(any(test, feature = "faults"))]
    after.run();
    done
}

/// Makes a file's bytes durable. After an error the file must not be written or synced again.
pub(crate) fn sync(site: Site, handle: &Handle) -> Result<()> {
    act(site, "sync", &handle.path, || handle.file.sync_data())
}

/// Makes the names in a folder durable.
pub(crate) fn sync_dir(site: Site, path: &Path) -> Result<()> {
    act(site, "sync folder", path, || File::open(path)?.sync_all())
}

/// Gives a file a new name, in place of what had it.
pub(crate) fn rename(site: Site, from: &Path, to: &Path) -> Result<()> {
    act(site, "rename to", to, || fs::rename(from, to))
}

/// Gives a file a further name, which must be free.
pub(crate) fn link(site: Site, from: &Path, to: &Path) -> Result<()> {
    act(site, "link", to, || fs::hard_link(from, to))
}

/// Removes a file; whether it was there.
pub(crate) fn unlink(site: Site, path: &Path) -> Result<bool> {
    match act(site, "remove", path, || fs::remove_file(path)) {
        Ok(()) => Ok(true),
        Err(StorageError::NotFound { .. }) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Removes a file, or a folder with all below it.
pub(crate) fn remove_all(site: Site, path: &Path) -> Result<()> {
    let is_dir = fs::symlink_metadata(path).is_ok_and(|m| m.is_dir());
    act(site, "remove", path, || if is_dir { fs::remove_dir_all(path) } else { fs::remove_file(path) })
}

/// Makes a folder and those above it that are missing (mode 0700), each durable in its parent.
pub(crate) fn create_dir_all(make: Site, sync: Site, path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    if let Some(parent) = parent {
        create_dir_all(make, sync, parent)?;
    }
    act(make, "create folder", path, || match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        other => other,
    })?;
    sync_dir(sync, parent.unwrap_or(Path::new(".")))
}

/// Locks a folder for this process through its file `LOCK`, which names the owner for people to read.
pub(crate) fn lock(site: Site, dir: &Path) -> Result<File> {
    let path = dir.join("LOCK");
    let mut file =
        act(site, "lock", &path, || OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            let mut text = String::new();
            let _ = file.read_to_string(&mut text);
            return Err(StorageError::Locked { path: dir.display().to_string(), pid: text.trim().parse().ok() });
        }
        Err(fs::TryLockError::Error(e)) => return Err(io_error("lock", &path, e)),
    }
    // The lock is the operating system's; the text only helps people, so a full disk may spoil it.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}

/// Free bytes for this user and the size of the file system.
pub(crate) fn free_and_total(path: &Path) -> Result<(u64, u64)> {
    let s = rustix::fs::statvfs(path).map_err(|e| io_error("measure", path, e.into()))?;
    let total = s.f_blocks.saturating_mul(s.f_frsize);
    #[cfg(any(test, feature = "faults"))]
    if let Some(free) = faults::pretended_free() {
        return Ok((free, total));
    }
    Ok((s.f_bavail.saturating_mul(s.f_frsize), total))
}

/// Reads `len` bytes at `offset`. `path` names the file in errors.
pub(crate) fn read_exact_at(file: &File, path: impl FnOnce() -> PathBuf, offset: u64, len: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    match file.read_exact_at(&mut bytes, offset) {
        Ok(()) => Ok(bytes),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
            Err(StorageError::damaged(path().display().to_string(), format!("it ends before byte {}", offset + len as u64)))
        }
        Err(e) => Err(io_error("read", &path(), e)),
    }
}

/// The first bytes of a file, at most `len`.
pub(crate) fn read_prefix(path: &Path, len: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(len);
    let read = File::open(path).and_then(|file| file.take(len as u64).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|e| io_error("read", path, e))
}

/// The whole file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|e| io_error("read", path, e))
}

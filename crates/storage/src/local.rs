//! Objects as files below one folder, an object's name being its path there.
//!
//! An object is written and synced under a temporary name in `.tmp`, then linked (create-only) or renamed (overwrite) to its own, and its
//! folder is synced: readers see it whole or not at all, and so does a crash. A folder that is deleted is first moved into `.tmp`, at
//! once. What lies in `.tmp` when the store is opened was never acknowledged, or was deleted; it is removed.

mod open_files;
#[cfg(test)]
mod tests;

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use self::open_files::OpenFiles;
use crate::blob::check_name;
use crate::fs::{self, Handle, Site};
use crate::{BlobMeta, BlobStore, BlobWriter, Purpose, PutMode, Result, Space, StorageError, Version, random_bytes};

/// Reads of at most this many bytes are done where they are asked for: handing them to another thread costs more.
const INLINE_BYTES: u64 = 1 << 20;
const TEMP: &str = ".tmp";

/// Objects as files below one folder. Clones are one store.
#[derive(Debug, Clone)]
pub struct LocalStore(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    space: Space,
    /// Puts under one name are compared and swapped one at a time.
    names: [Mutex<()>; 64],
    open: OpenFiles,
}

impl LocalStore {
    /// Opens the store in a folder, making it if it is not there, and removes what a crash left half written. Blocking. Only one process
    /// may have it open: the folder belongs to a locked [`crate::DataDir`].
    pub fn open(root: &Path, space: Space) -> Result<Self> {
        let temp = root.join(TEMP);
        fs::create_dir_all(Site::BlobDirCreate, Site::BlobDirParentSync, &temp)?;
        for entry in std::fs::read_dir(&temp).map_err(|e| fs::io_error("list", &temp, e))? {
            let entry = entry.map_err(|e| fs::io_error("list", &temp, e))?;
            // Half written or deleted already, so it must not stop the start; it costs room and is tried again next time.
            if let Err(e) = fs::remove_all(Site::BlobSweep, &entry.path()) {
                tracing::warn!(error = %e, "a temporary file could not be removed");
            }
        }
        let names = std::array::from_fn(|_| Mutex::new(()));
        Ok(Self(Arc::new(Shared { root: root.to_owned(), space, names, open: OpenFiles::default() })))
    }

    async fn blocking<T: Send + 'static>(&self, act: impl FnOnce(&Shared) -> Result<T> + Send + 'static) -> Result<T> {
        let shared = self.0.clone();
        tokio::task::spawn_blocking(move || act(&shared)).await.unwrap_or_else(|e| Err(stopped(&self.0.root, e)))
    }
}

fn stopped(path: &Path, error: tokio::task::JoinError) -> StorageError {
    fs::io_error("finish work on", path, io::Error::other(error))
}

/// Content as a version: the first 16 bytes of its SHA-256.
fn version_of(bytes: &[u8]) -> Version {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut version = [0; 16];
    version.copy_from_slice(&hash.as_ref()[..16]);
    Version(version)
}

fn with_name(error: StorageError, name: &str) -> StorageError {
    match error {
        StorageError::NotFound { .. } => StorageError::NotFound { name: name.to_owned() },
        StorageError::Io { source, .. } if source.kind() == io::ErrorKind::AlreadyExists => {
            StorageError::AlreadyExists { name: name.to_owned() }
        }
        other => other,
    }
}

impl Shared {
    fn path(&self, name: &str) -> Result<PathBuf> {
        check_name(name)?;
        Ok(self.root.join(name))
    }

    fn temp(&self) -> PathBuf {
        self.root.join(TEMP).join(format!("{:032x}", u128::from_le_bytes(random_bytes())))
    }

    /// Gives a synced temporary file its name, and makes the name durable. The temporary name is gone afterwards, whatever happens.
    fn publish(&self, temp: &Path, path: &Path, name: &str, replace: bool) -> Result<()> {
        let give = || match replace {
            true => fs::rename(Site::BlobRename, temp, path),
            false => fs::link(Site::BlobLink, temp, path),
        };
        let folder = path.parent().unwrap_or(&self.root);
        let mut named = give();
        if matches!(named, Err(StorageError::NotFound { .. })) {
            named = fs::create_dir_all(Site::BlobDirCreate, Site::BlobDirParentSync, folder).and_then(|()| give());
        }
        if named.is_err() || !replace {
            drop_temp(temp);
        }
        self.open.forget(name);
        named.map_err(|e| with_name(e, name))?;
        fs::sync_dir(Site::BlobDirSync, folder)
    }

    fn link(&self, from: &str, to: &str) -> Result<()> {
        let (source, target) = (self.path(from)?, self.path(to)?);
        if !source.try_exists().map_err(|e| fs::io_error("look for", &source, e))? {
            return Err(StorageError::NotFound { name: from.to_owned() });
        }
        let mut linked = fs::link(Site::BlobLink, &source, &target);
        if matches!(linked, Err(StorageError::NotFound { .. })) {
            let folder = target.parent().unwrap_or(&self.root);
            linked = fs::create_dir_all(Site::BlobDirCreate, Site::BlobDirParentSync, folder)
                .and_then(|()| fs::link(Site::BlobLink, &source, &target));
        }
        self.open.forget(to);
        linked.map_err(|e| with_name(e, to))
    }

    fn put(&self, name: &str, bytes: &[u8], mode: PutMode, purpose: Purpose) -> Result<Version> {
        let path = self.path(name)?;
        let mut hash = DefaultHasher::new();
        name.hash(&mut hash);
        let _one_at_a_time = self.names[hash.finish() as usize % self.names.len()].lock().unwrap_or_else(PoisonError::into_inner);
        if let PutMode::IfVersion(wanted) = mode {
            let conflict = || StorageError::Conflict { name: name.to_owned() };
            let now = fs::read(&path).map_err(|e| if e.is_not_found() { conflict() } else { e })?;
            if version_of(&now) != wanted {
                return Err(conflict());
            }
        }
        self.space.take(bytes.len() as u64, purpose)?;
        let temp = self.temp();
        let handle = fs::create_new(Site::BlobCreate, &temp)?;
        let written = fs::write_all_at(Site::BlobWrite, &handle, bytes, 0).and_then(|()| fs::sync(Site::BlobSync, &handle));
        if let Err(e) = written {
            drop_temp(&temp);
            return Err(e);
        }
        self.publish(&temp, &path, name, mode != PutMode::CreateOnly)?;
        Ok(version_of(bytes))
    }

    fn read_ranges(&self, name: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        // A wrong length must not become an allocation: the file says how long it is.
        let (file, size) = self.open.get(name, || self.path(name))?;
        let read = |r: &Range<u64>| {
            let len = r.end.checked_sub(r.start).ok_or_else(|| StorageError::invalid("a range ends before it starts"))?;
            if r.end > size {
                return Err(StorageError::damaged(name, format!("it has {size} bytes and ends before byte {}", r.end)));
            }
            fs::read_exact_at(&file, || self.root.join(name), r.start, len as usize).map(Bytes::from)
        };
        ranges.iter().map(read).collect()
    }

    fn list(&self, prefix: &str) -> Result<Vec<BlobMeta>> {
        // All names with this prefix lie below the folder that it names up to its last slash.
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        if !folder.is_empty() {
            check_name(folder)?;
        }
        let mut found = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            let path = if folder.is_empty() { self.root.clone() } else { self.root.join(&folder) };
            let entries = match std::fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => continue,
                Err(e) => return Err(fs::io_error("list", &path, e)),
            };
            for entry in entries {
                let entry = entry.map_err(|e| fs::io_error("list", &path, e))?;
                let Some(part) = entry.file_name().to_str().map(str::to_owned) else { continue };
                let name = if folder.is_empty() { part } else { format!("{folder}/{part}") };
                if check_name(&name).is_err() || !(name.starts_with(prefix) || prefix.starts_with(&format!("{name}/"))) {
                    continue;
                }
                match entry.metadata() {
                    Ok(meta) if meta.is_dir() => folders.push(name),
                    Ok(meta) if name.starts_with(prefix) => found.push(BlobMeta { name, size: meta.len() }),
                    Ok(_) => {}
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    Err(e) => return Err(fs::io_error("measure", &entry.path(), e)),
                }
            }
        }
        found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    fn delete(&self, name: &str) -> Result<()> {
        let path = self.path(name)?;
        let unlinked = fs::unlink(Site::BlobUnlink, &path);
        self.open.forget(name);
        unlinked?;
        // Also when it was gone: the attempt before may have removed it and failed to make that durable.
        match fs::sync_dir(Site::BlobUnlinkSync, path.parent().unwrap_or(&self.root)) {
            Err(StorageError::NotFound { .. }) => Ok(()),
            done => done,
        }
    }

    fn delete_dir(&self, prefix: &str) -> Result<()> {
        let (path, away) = (self.path(prefix)?, self.temp());
        let parent = path.parent().unwrap_or(&self.root);
        let moved = fs::rename(Site::BlobDirRename, &path, &away);
        self.open.forget_below(prefix);
        match moved {
            Ok(()) => fs::sync_dir(Site::BlobDirRenameSync, parent)?,
            Err(_) if !path.exists() => {
                return match fs::sync_dir(Site::BlobDirRenameSync, parent) {
                    Err(StorageError::NotFound { .. }) => Ok(()),
                    done => done,
                };
            }
            Err(e) => return Err(e),
        }
        fs::remove_all(Site::BlobSweep, &away)
    }
}

/// Removes a temporary file as well as it can be done; what stays is removed at the next open.
fn drop_temp(temp: &Path) {
    if let Err(e) = fs::unlink(Site::BlobTempUnlink, temp) {
        tracing::warn!(error = %e, "a temporary file could not be removed");
    }
}

#[async_trait]
impl BlobStore for LocalStore {
    async fn put(&self, name: &str, bytes: Bytes, mode: PutMode, purpose: Purpose) -> Result<Version> {
        let name = name.to_owned();
        self.blocking(move |s| s.put(&name, &bytes, mode, purpose)).await
    }

    async fn create(&self, name: &str, purpose: Purpose) -> Result<Box<dyn BlobWriter>> {
        check_name(name)?;
        let temp = self.0.temp();
        let handle = {
            let temp = temp.clone();
            self.blocking(move |_| fs::create_new(Site::BlobCreate, &temp)).await?
        };
        let writer =
            LocalWriter { store: self.clone(), name: name.to_owned(), purpose, temp, handle: Arc::new(handle), size: 0, sound: true };
        Ok(Box::new(writer))
    }

    async fn get(&self, name: &str) -> Result<(Bytes, Version)> {
        let name = name.to_owned();
        self.blocking(move |s| {
            let bytes = fs::read(&s.path(&name)?).map_err(|e| with_name(e, &name))?;
            let version = version_of(&bytes);
            Ok((bytes.into(), version))
        })
        .await
    }

    async fn get_ranges(&self, name: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        if ranges.iter().map(|r| r.end.saturating_sub(r.start)).sum::<u64>() <= INLINE_BYTES {
            return self.0.read_ranges(name, ranges);
        }
        let (name, ranges) = (name.to_owned(), ranges.to_vec());
        self.blocking(move |s| s.read_ranges(&name, &ranges)).await
    }

    async fn head(&self, name: &str) -> Result<BlobMeta> {
        let path = self.0.path(name)?;
        let meta = std::fs::metadata(&path).map_err(|e| with_name(fs::io_error("measure", &path, e), name))?;
        if !meta.is_file() {
            return Err(StorageError::NotFound { name: name.to_owned() });
        }
        Ok(BlobMeta { name: name.to_owned(), size: meta.len() })
    }

    async fn list(&self, prefix: &str) -> Result<Vec<BlobMeta>> {
        let prefix = prefix.to_owned();
        self.blocking(move |s| s.list(&prefix)).await
    }

    async fn delete(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.blocking(move |s| s.delete(&name)).await
    }

    async fn delete_dir(&self, prefix: &str) -> Result<()> {
        let prefix = prefix.to_owned();
        self.blocking(move |s| s.delete_dir(&prefix)).await
    }

    async fn link(&self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (from.to_owned(), to.to_owned());
        self.blocking(move |s| s.link(&from, &to)).await
    }

    async fn sync(&self, prefix: &str) -> Result<()> {
        let path = self.0.path(prefix)?;
        self.blocking(move |_| fs::sync_dir(Site::BlobDirSync, &path)).await
    }

    fn space(&self) -> Space {
        self.0.space.clone()
    }
}

struct LocalWriter {
    store: LocalStore,
    name: String,
    purpose: Purpose,
    temp: PathBuf,
    handle: Arc<Handle>,
    size: u64,
    /// False once a write failed or was given up half way.
    sound: bool,
}

impl Drop for LocalWriter {
    fn drop(&mut self) {
        drop_temp(&self.temp);
    }
}

impl LocalWriter {
    fn refuse_broken(&self) -> Result<()> {
        if self.sound {
            return Ok(());
        }
        Err(fs::io_error("write", &self.temp, io::Error::other("an earlier write of this object failed")))
    }
}

#[async_trait]
impl BlobWriter for LocalWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.refuse_broken()?;
        let (handle, at, purpose, len) = (self.handle.clone(), self.size, self.purpose, bytes.len() as u64);
        self.sound = false;
        let wrote = self.store.blocking(move |s| {
            s.space.take(bytes.len() as u64, purpose)?;
            fs::write_all_at(Site::BlobWrite, &handle, &bytes, at)
        });
        wrote.await?;
        self.size += len;
        self.sound = true;
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<u64> {
        self.refuse_broken()?;
        let size = self.size;
        let store = self.store.clone();
        // The writer goes along, so that its temporary file is dropped after the work, not during it.
        store
            .blocking(move |s| {
                let path = s.path(&self.name)?;
                fs::sync(Site::BlobSync, &self.handle)?;
                s.publish(&self.temp, &path, &self.name, false)
            })
            .await?;
        Ok(size)
    }
}

//! The key store's file: read whole at open, appended to, written anew. Everything here blocks.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use zeroize::Zeroizing;

use super::entry::{self, Entry};
use super::table::Entries;
use crate::crypto::Sealer;
use crate::frame::{self, FileHeader, Head, Previous};
use crate::fs::{self, Handle, Site};
use crate::log::LogKind;
use crate::{Result, RootKey, StorageError};

/// Plaintext of a frame when the file is written anew, in bytes.
const FRAME_BYTES: usize = 1 << 20;
/// Below this many entries a file is written anew as soon as anything in it is dead; it costs next to nothing.
const SMALL_ENTRIES: usize = 1024;

pub(super) struct KeyFile {
    dir: PathBuf,
    /// The file to append to; none after a failed write, and before the first.
    current: Option<Current>,
    /// The file that counts now, if there is one.
    previous: Option<Previous>,
    /// Entries in the file, dead ones included.
    written: usize,
}

struct Current {
    handle: Handle,
    header: FileHeader,
    sealer: Sealer,
    frames: u64,
    end: u64,
}

impl KeyFile {
    /// Entries in the file, dead ones included.
    #[cfg(test)]
    pub(super) fn written(&self) -> usize {
        self.written
    }

    fn path(&self) -> PathBuf {
        self.dir.join("keys")
    }

    /// Reads the file. One that lacks a torn tail is written anew at the next change.
    pub(super) fn open(dir: &Path, root: &RootKey) -> Result<(Self, Entries)> {
        let mut file = Self { dir: dir.to_owned(), current: None, previous: None, written: 0 };
        let mut entries = Entries::default();
        fs::unlink(Site::KeysUnlink, &dir.join("keys.new"))?;
        let path = file.path();
        let mut bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(StorageError::NotFound { .. }) => return Ok((file, entries)),
            Err(e) => return Err(e),
        };
        let name = path.display().to_string();
        let damaged = |what: &str| StorageError::damaged(&name, what);
        // The file gets its name when it is whole, so a torn header is damage here.
        let Head::Whole(header) = FileHeader::decode(&bytes, &name)? else { return Err(damaged("its header is gone")) };
        if header.kind != LogKind::KEYS.0 {
            return Err(damaged("it is no key file"));
        }
        if header.key_id != root.fingerprint() {
            let (expected, given) = (header.key_id.to_string(), root.fingerprint().to_string());
            return Err(StorageError::WrongRootKey { file: name, expected, given });
        }
        let sealer = header.sealer(root.bytes());
        header.authenticate(&bytes, &sealer, &name)?;
        let walk = frame::walk(&bytes, None, &name)?;
        if (walk.frames.len() as u64) < header.base {
            return Err(damaged("its end is gone"));
        }
        for placed in &walk.frames {
            let range = frame::open_frame(&header, &sealer, &mut bytes, placed, &name)?;
            let read = entry::parse(&bytes[range]).ok_or_else(|| damaged("it holds an entry that this version does not know"))?;
            file.written += read.len();
            read.into_iter().for_each(|e| entries.apply(e));
        }
        file.previous = Some(Previous { file_id: header.file_id, frames: walk.frames.len() as u64 });
        Ok((file, entries))
    }

    /// Makes changes durable. Any doubt about the file, and it is written anew: `now` gives what is durable without the changes.
    pub(super) fn append(&mut self, root: &RootKey, added: &[Entry], now: impl FnOnce() -> Entries) -> Result<()> {
        if let Some(current) = self.current.take() {
            // On failure the file stays without `current`: the next change writes another.
            self.current = Some(append_to(current, added)?);
            self.written += added.len();
            return Ok(());
        }
        let mut entries = now();
        added.iter().cloned().for_each(|e| entries.apply(e));
        self.rewrite(root, &entries)
    }

    /// Writes the file anew in the place of the one there is.
    pub(super) fn rewrite(&mut self, root: &RootKey, entries: &Entries) -> Result<()> {
        self.current = None;
        let frames: Vec<Bytes> = entries.encode(FRAME_BYTES).into_iter().map(Bytes::from).collect();
        let count = frames.len() as u64;
        // Here the header's base says how many frames the file had when it got its name: so many can never be torn.
        let header = FileHeader::fresh(LogKind::KEYS.0, [0; 16], root.fingerprint(), self.previous, count);
        let sealer = header.sealer(root.bytes());
        let mut bytes = header.encode(&sealer).to_vec();
        frame::encode_group(&header, &sealer, 1, &frames, &mut bytes);
        let (new, path) = (self.dir.join("keys.new"), self.path());
        fs::unlink(Site::KeysUnlink, &new)?;
        let handle = fs::create_new(Site::KeysCreate, &new)?;
        fs::write_all_at(Site::KeysWrite, &handle, &bytes, 0)?;
        fs::sync(Site::KeysSync, &handle)?;
        fs::rename(Site::KeysRename, &new, &path)?;
        self.previous = Some(Previous { file_id: header.file_id, frames: count });
        fs::sync_dir(Site::KeysDirSync, &self.dir)?;
        self.written = entries.len();
        self.current = Some(Current { handle, header, sealer, frames: count, end: bytes.len() as u64 });
        Ok(())
    }

    /// Drops what is dead from the file when that is much, or cheap. It may fail: all of it is in the file already.
    pub(super) fn compact_if_mostly_dead(&mut self, root: &RootKey, live: &Entries) {
        let dead = self.written.saturating_sub(live.len());
        let due = dead > 0 && (self.written <= SMALL_ENTRIES || dead * 4 > self.written);
        if due && let Err(e) = self.rewrite(root, live) {
            tracing::warn!(error = %e, "the key store could not be compacted; the next change tries again");
        }
    }

    /// What is told to those whose change shared a failed write.
    pub(super) fn unwritten(&self) -> StorageError {
        fs::io_error("write", &self.path(), std::io::Error::other("the write it shared with other keys failed"))
    }
}

fn append_to(current: Current, added: &[Entry]) -> Result<Current> {
    let mut plain = Zeroizing::new(Vec::new());
    added.iter().for_each(|e| e.push(&mut plain));
    let mut bytes = Vec::new();
    let number = current.frames + 1;
    frame::encode_group(&current.header, &current.sealer, number, &[Bytes::copy_from_slice(&plain)], &mut bytes);
    fs::write_all_at(Site::KeysAppend, &current.handle, &bytes, current.end)?;
    fs::sync(Site::KeysAppendSync, &current.handle)?;
    Ok(Current { frames: number, end: current.end + bytes.len() as u64, ..current })
}

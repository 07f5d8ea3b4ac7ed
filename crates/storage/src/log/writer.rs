//! Writing a log. Everything here blocks; [`super::Log`] runs it off the async workers.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use pinyon_model::Lsn;

use super::scan::{Held, LogFile};
use super::{LogOptions, file_name, list};
use crate::crypto::Sealer;
use crate::frame::{self, FileHeader, MAX_FRAME, Previous};
use crate::fs::{self, Handle, Site};
use crate::{KeyRing, Purpose, Result, StorageError};

/// A file of this many bytes is followed by a new one, so that trimming has whole files to delete.
const ROLL_BYTES: u64 = 64 << 20;
/// A dead newest file of more bytes than this is replaced by an empty one at trim: replaying it would cost more than making one.
const REPLACE_BYTES: u64 = 1 << 20;

pub(super) struct Writer {
    dir: PathBuf,
    options: LogOptions,
    /// All files in the folder that this log knows of, oldest first.
    files: Vec<LogFile>,
    last: Lsn,
    /// The epoch this open has taken, and the sequence of its next file.
    epoch: Option<u64>,
    next_sequence: u64,
    /// Whether all else in the folder was as it was read, seen after the epoch was taken.
    alone: bool,
    current: Option<Current>,
    /// Own file before the current one, until the current one has passed the fence.
    before: Option<PathBuf>,
    fenced: bool,
}

/// The file being written.
struct Current {
    handle: Handle,
    path: PathBuf,
    header: FileHeader,
    sealer: Sealer,
    /// Where the next group goes.
    end: u64,
    /// Its place in `files`.
    at: usize,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Writer({}, epoch {:?}, last {})", self.dir.display(), self.epoch, self.last)
    }
}

impl Writer {
    pub(super) fn new(dir: PathBuf, options: LogOptions, files: Vec<LogFile>, last: Lsn) -> Self {
        Self { dir, options, files, last, epoch: None, next_sequence: 0, alone: false, current: None, before: None, fenced: false }
    }

    pub(super) fn last(&self) -> Lsn {
        self.last
    }

    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|f| f.bytes).sum()
    }

    pub(super) fn files(&self) -> usize {
        self.files.len()
    }

    pub(super) fn append(&mut self, frames: &[Bytes], purpose: Purpose) -> Result<Lsn> {
        self.refuse_fenced()?;
        if frames.is_empty() || frames.iter().any(|f| f.len() > MAX_FRAME) {
            return Err(StorageError::invalid(format!("an append takes at least one frame, each of at most {MAX_FRAME} bytes")));
        }
        let bytes = frames.iter().map(|f| frame::framed_len(f.len()) as u64).sum::<u64>() + frame::HEADER as u64;
        self.options.space.take(bytes, purpose)?;
        if self.current.as_ref().is_some_and(|c| c.end >= ROLL_BYTES) {
            self.roll();
        }
        if let Err(error) = self.write(frames) {
            self.close_refused();
            return Err(error);
        }
        Ok(self.last)
    }

    pub(super) fn roll(&mut self) {
        self.before = self.current.take().map(|c| c.path).or(self.before.take());
    }

    pub(super) fn rekey(&mut self, keys: KeyRing) -> Result<()> {
        self.refuse_fenced()?;
        self.options.space.take(frame::HEADER as u64, Purpose::Essential)?;
        self.options.keys = keys;
        self.roll();
        self.write(&[])
    }

    /// Begins a file whose header says that what was just refused does not count: its bytes may all be there, and a restart would
    /// replay them. If that fails too, the next append does it, and until then the outcome is open.
    fn close_refused(&mut self) {
        if !self.fenced {
            // The caller is told of the first error; this one changes nothing for him.
            let _ = self.write(&[]);
        }
    }

    fn refuse_fenced(&self) -> Result<()> {
        if self.fenced { Err(self.fence_error(&self.dir)) } else { Ok(()) }
    }

    /// Writes one group, and keeps the file only if all went well.
    fn write(&mut self, frames: &[Bytes]) -> Result<()> {
        let wrote = match self.current.take() {
            Some(current) => self.write_more(current, frames),
            None => self.write_first(frames),
        };
        if let Err(StorageError::Fenced { .. }) = wrote {
            self.fenced = true;
        }
        self.current = Some(wrote?);
        self.before = None;
        Ok(())
    }

    fn write_more(&mut self, current: Current, frames: &[Bytes]) -> Result<Current> {
        let mut group = Vec::new();
        let first = self.last.0 - current.header.base + 1;
        frame::encode_group(&current.header, &current.sealer, first, frames, &mut group);
        // Whatever becomes of it, the bytes may be there: they are the file's from now on.
        self.files[current.at].bytes = current.end + group.len() as u64;
        let done = fs::write_all_at(Site::LogWrite, &current.handle, &group, current.end)
            .and_then(|()| fs::sync(Site::LogSync, &current.handle))
            .and_then(|()| self.check_fence(&current.path));
        if let Err(e) = done {
            self.before = Some(current.path);
            return Err(e);
        }
        let end = current.end + group.len() as u64;
        self.count(current.at, &current.header, frames.len() as u64);
        Ok(Current { end, ..current })
    }

    /// Begins a file with its header and a group in one write. Without frames it only closes the one before.
    fn write_first(&mut self, frames: &[Bytes]) -> Result<Current> {
        let (path, handle, sequence) = self.create()?;
        let epoch = self.epoch.unwrap_or(0);
        let previous = self.files.iter().rev().find_map(|f| f.held).map(|h| Previous { file_id: h.file_id, frames: h.frames });
        let fresh = FileHeader::fresh(self.options.kind.0, self.options.owner, self.options.keys.current().id(), previous, self.last.0);
        let header = FileHeader { epoch, sequence, ..fresh };
        let sealer = header.sealer(self.options.keys.current().bytes());
        let mut bytes = header.encode(&sealer).to_vec();
        frame::encode_group(&header, &sealer, 1, frames, &mut bytes);
        let at = self.files.len() - 1;
        self.files[at].bytes = bytes.len() as u64;
        let done = fs::write_all_at(Site::LogWriteFirst, &handle, &bytes, 0)
            .and_then(|()| fs::sync(Site::LogSync, &handle))
            .and_then(|()| fs::sync_dir(Site::LogDirSync, &self.dir))
            .and_then(|()| self.check_fence(&path));
        if let Err(e) = done {
            self.drop_failed(&path, sequence);
            return Err(e);
        }
        self.count(at, &header, frames.len() as u64);
        Ok(Current { handle, path, header, sealer, end: bytes.len() as u64, at })
    }

    /// Creates the next file of this open's epoch, taking the epoch first if it has none.
    fn create(&mut self) -> Result<(PathBuf, Handle, u64)> {
        fs::create_dir_all(Site::LogDirCreate, Site::LogDirParentSync, &self.dir)?;
        let epoch = self.epoch.unwrap_or_else(|| self.files.last().map_or(1, |f| f.epoch + 1));
        let sequence = self.next_sequence;
        let path = self.dir.join(file_name(epoch, sequence));
        let handle = fs::create_new(Site::LogCreate, &path).map_err(|e| match e {
            StorageError::Io { source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists => self.fence_error(&path),
            other => other,
        })?;
        self.epoch = Some(epoch);
        self.next_sequence += 1;
        self.files.push(LogFile { epoch, sequence, bytes: 0, held: None });
        if !self.alone {
            self.check_alone()?;
            self.alone = true;
        }
        Ok((path, handle, sequence))
    }

    /// Looks whether the folder is as it was read. Only now that the epoch is taken does the answer stay true: an owner of an
    /// older epoch that synced before could acknowledge, and shows here; one that syncs later meets the fence.
    fn check_alone(&self) -> Result<()> {
        let known: Vec<_> = self.files.iter().map(|f| (f.epoch, f.sequence, f.bytes)).collect();
        let own = |f: &(u64, u64, u64)| Some(f.0) == self.epoch;
        let others = |files: Vec<(u64, u64, u64)>| files.into_iter().filter(|f| !own(f)).collect::<Vec<_>>();
        let found = list(&self.dir)?;
        let stranger = found.iter().any(|f| own(f) && !known.iter().any(|k| (k.0, k.1) == (f.0, f.1)));
        if stranger || others(found) != others(known) {
            return Err(self.fence_error(&self.dir));
        }
        Ok(())
    }

    /// Whether this open still is the newest. Its own files are asked for last: a newer owner deletes them, in their order, before it
    /// deletes the first file of its own epoch.
    fn check_fence(&self, current: &Path) -> Result<()> {
        let next = self.epoch.unwrap_or(0) + 1;
        if exists(&self.dir.join(file_name(next, 0)))? || !exists(current)? {
            return Err(self.fence_error(current));
        }
        match &self.before {
            Some(before) if !exists(before)? => Err(self.fence_error(before)),
            _ => Ok(()),
        }
    }

    fn fence_error(&self, path: &Path) -> StorageError {
        StorageError::Fenced { file: path.display().to_string() }
    }

    /// Removes a file that failed before anything in it counted, so that a full disk is not littered. The first of an epoch stays: its
    /// name is the fence.
    fn drop_failed(&mut self, path: &Path, sequence: u64) {
        if sequence > 0 && matches!(fs::unlink(Site::LogUnlink, path), Ok(true)) {
            self.files.pop();
        }
    }

    fn count(&mut self, at: usize, header: &FileHeader, frames: u64) {
        self.last = Lsn(self.last.0 + frames);
        let frames = self.last.0 - header.base;
        self.files[at].held = Some(Held { file_id: header.file_id, frames, last: self.last });
    }

    pub(super) fn trim(&mut self, upto: Lsn) -> Result<()> {
        self.refuse_fenced()?;
        let dead = |file: &LogFile| file.held.is_none_or(|h| h.last <= upto);
        if self.files.last().is_some_and(|f| f.bytes > REPLACE_BYTES && f.held.is_some() && dead(f)) && self.last <= upto {
            self.roll();
            self.write(&[])?;
        }
        let newest = self.files.iter().rposition(|f| f.held.is_some()).unwrap_or(0);
        let count = self.files[..newest].iter().take_while(|f| dead(f)).count();
        let mut removed = 0;
        let mut done = Ok(());
        for file in &self.files[..count] {
            done = fs::unlink(Site::LogUnlink, &self.dir.join(file_name(file.epoch, file.sequence))).map(drop);
            if done.is_err() {
                break;
            }
            removed += 1;
        }
        self.files.drain(..removed);
        if let Some(current) = &mut self.current {
            current.at -= removed;
        }
        if removed > 0 {
            done = done.and(fs::sync_dir(Site::LogTrimSync, &self.dir));
        }
        done
    }
}

fn exists(path: &Path) -> Result<bool> {
    path.try_exists().map_err(|e| fs::io_error("look for", path, e))
}

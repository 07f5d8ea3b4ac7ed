//! One owner's append log of frames: many small files in the owner's folder, read at open, written by one open only.
//!
//! **Files** are `log-EPOCH-SEQUENCE` (see `frame` for their bytes). A log takes no epoch before its first append. Then it creates
//! `log-(highest seen + 1)-0`, which only one can, and looks whether all else in the folder is as it was when it was read; from there
//! on it writes alone. After every sync and before it answers, it looks whether a newer epoch was begun, and if so the append counts for
//! nothing.
//!
//! **A failed write or sync** ends a file for ever: the next append begins a new one, whose header says how many frames of the one
//! before count. So a refused frame is never replayed, a lost tail is noticed, and no frame number is used twice under one key.
//!
//! **Chain.** The newest file with a header names the one before it, and so on back to the first that is left. Files off that chain
//! hold nothing that was acknowledged.

mod reader;
mod scan;
mod writer;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use pinyon_model::Lsn;

use crate::{KeyRing, Purpose, Result, Space, StorageError, fs};
pub use reader::{LogPart, LogReader};
use writer::Writer;

/// Bytes of a log file that holds no frame.
pub const LOG_HEADER_BYTES: u64 = crate::frame::HEADER as u64;

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
    /// The key store's file, which is no log but is made of the same frames.
    pub(crate) const KEYS: Self = Self(4);
}

/// Whose log it is.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// What it holds.
    pub kind: LogKind,
    /// Who owns it: a namespace's or an index's id.
    pub owner: [u8; 16],
    /// What its files are sealed under, new ones under the current key.
    pub keys: KeyRing,
    /// The last LSN that is safe elsewhere; only newer frames are replayed.
    pub after: Lsn,
    /// The room it must ask for.
    pub space: Space,
}

/// What [`Log::check`] found sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogCheck {
    /// Files.
    pub files: usize,
    /// Frames, each decrypted.
    pub frames: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// The last LSN that counts.
    pub last_lsn: Lsn,
}

/// One owner's append log. Only one append or trim runs at a time, hence `&mut`.
#[derive(Debug)]
pub struct Log {
    dir: PathBuf,
    /// Absent while an append or trim is under way, and for ever if its caller went away before it ended.
    writer: Option<Box<Writer>>,
    last: Lsn,
    bytes: u64,
    files: usize,
}

impl Log {
    /// Reads the log in `dir` and returns the frames newer than `options.after`, oldest first. Writes nothing; blocking. A folder
    /// that is not there is an empty log. `Damaged` names the file that is not what was written.
    pub fn open(dir: PathBuf, options: LogOptions) -> Result<(Self, Vec<(Lsn, Bytes)>)> {
        let scan = scan::scan(&dir, &options, options.after)?;
        let writer = Writer::new(dir.clone(), options, scan.files, scan.last);
        let mut log = Self { dir, writer: None, last: scan.last, bytes: 0, files: 0 };
        log.put_back(Box::new(writer));
        Ok((log, scan.frames))
    }

    /// Decrypts every frame of the log in `dir`, those that are safe elsewhere too. Writes nothing; blocking.
    pub fn check(dir: &Path, options: &LogOptions) -> Result<LogCheck> {
        let scan = scan::scan(dir, options, Lsn(0))?;
        Ok(LogCheck {
            files: scan.files.len(),
            frames: scan.frames.len() as u64,
            bytes: scan.files.iter().map(|f| f.bytes).sum(),
            last_lsn: scan.last,
        })
    }

    /// Appends frames, at least one and each at most 256 MiB, with one write and one fsync; returns the last one's LSN. LSNs are
    /// consecutive, one a frame. Durable when it returns. After any error none of the frames counts for this log; `Full` and `Invalid`
    /// are answered before anything is written, and after `Fenced` the log must be opened again. Before another error is answered, a
    /// new file is begun that says where the last one ended, so that a restart does not replay what was refused; only if that
    /// fails too, or the process dies first, a restart may find the refused frames, all or the first of them.
    pub async fn append(&mut self, frames: Vec<Bytes>, purpose: Purpose) -> Result<Lsn> {
        self.run(move |writer| writer.append(&frames, purpose)).await
    }

    /// Deletes files whose frames are all at or below `upto`, oldest first. The newest file stays, as the witness of its epoch; if it
    /// is large and all of it is dead, an empty one takes its place.
    pub async fn trim(&mut self, upto: Lsn) -> Result<()> {
        self.run(move |writer| writer.trim(upto)).await
    }

    /// Ends the newest file: the next append begins another, so that trimming has whole files to delete.
    pub async fn roll(&mut self) -> Result<()> {
        self.run(|writer| {
            writer.roll();
            Ok(())
        })
        .await
    }

    /// From now on files are sealed under the current key of this ring, beginning with an empty one; older files stay as they are.
    /// Durable when it returns.
    pub async fn rekey(&mut self, keys: KeyRing) -> Result<()> {
        self.run(move |writer| writer.rekey(keys)).await
    }

    async fn run<T: Send + 'static>(&mut self, act: impl FnOnce(&mut Writer) -> Result<T> + Send + 'static) -> Result<T> {
        let mut writer = self.writer.take().ok_or_else(|| self.lost("its last append was given up half way; open the log again"))?;
        let task = tokio::task::spawn_blocking(move || {
            let done = act(&mut writer);
            (writer, done)
        });
        let (writer, done) = task.await.map_err(|_| self.lost("its last append did not end; open the log again"))?;
        self.put_back(writer);
        done
    }

    fn lost(&self, why: &'static str) -> StorageError {
        fs::io_error("append to", &self.dir, std::io::Error::other(why))
    }

    fn put_back(&mut self, writer: Box<Writer>) {
        self.last = writer.last();
        self.bytes = writer.bytes();
        self.files = writer.files();
        self.writer = Some(writer);
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Number of files.
    pub fn files(&self) -> usize {
        self.files
    }

    /// The last LSN that counts.
    pub fn last_lsn(&self) -> Lsn {
        self.last
    }
}

/// The name of a log file.
fn file_name(epoch: u64, sequence: u64) -> String {
    format!("log-{epoch:08}-{sequence:08}")
}

/// Reads what [`file_name`] wrote, and only that.
fn parse_name(name: &str) -> Option<(u64, u64)> {
    let (epoch, sequence) = name.strip_prefix("log-")?.split_once('-')?;
    let (epoch, sequence) = (epoch.parse().ok()?, sequence.parse().ok()?);
    (file_name(epoch, sequence) == name).then_some((epoch, sequence))
}

/// The log files in a folder, oldest first, with their sizes; none if there is no folder.
fn list(dir: &Path) -> Result<Vec<(u64, u64, u64)>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(fs::io_error("list", dir, e)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| fs::io_error("list", dir, e))?;
        if let Some((epoch, sequence)) = entry.file_name().to_str().and_then(parse_name) {
            let size = entry.metadata().map_err(|e| fs::io_error("measure", &entry.path(), e))?.len();
            files.push((epoch, sequence, size));
        }
    }
    files.sort_unstable();
    Ok(files)
}

//! Reading a log: which files are on the chain, which frames of them count.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use pinyon_model::Lsn;

use super::{LogOptions, file_name, list};
use crate::crypto::Sealer;
use crate::frame::{self, FileHeader, Head};
use crate::{Result, StorageError, fs};

/// A log file as it was read or written.
#[derive(Debug, Clone)]
pub(super) struct LogFile {
    pub(super) epoch: u64,
    pub(super) sequence: u64,
    /// Its size on disk.
    pub(super) bytes: u64,
    /// What it holds, if it is on the chain.
    pub(super) held: Option<Held>,
}

/// What a file on the chain holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) file_id: [u8; 16],
    /// Frames that count.
    pub(super) frames: u64,
    /// LSN of the last of them.
    pub(super) last: Lsn,
}

pub(super) struct Scan {
    /// All files, oldest first.
    pub(super) files: Vec<LogFile>,
    /// Frames newer than asked.
    pub(super) frames: Vec<(Lsn, Bytes)>,
    /// The last LSN that counts, at least `options.after`.
    pub(super) last: Lsn,
}

/// A file on the chain, of which the header was read.
pub(super) struct Headed {
    at: usize,
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) header: FileHeader,
    /// Opens its frames; the header was authentic.
    pub(super) sealer: Sealer,
    /// How many frames of it count, as the file after it says; none for the newest.
    pub(super) counting: Option<u64>,
}

/// Reads the log in `dir`; decrypts the frames newer than `newer_than`. Of files without such, all but the newest are not read beyond
/// their headers; one file is in memory at a time.
pub(super) fn scan(dir: &Path, options: &LogOptions, newer_than: Lsn) -> Result<Scan> {
    let (mut files, chain) = heads(dir, options)?;
    let (mut frames, mut last) = (Vec::new(), options.after);
    // From the newest back, since each says how much of the one before counts.
    for file in chain {
        let base = file.header.base;
        let count = match file.counting {
            Some(count) if base.saturating_add(count) <= newer_than.0 => count,
            _ => {
                let read = read_frames(&file, newer_than)?;
                files[file.at].bytes = read.bytes;
                frames.extend(read.frames.into_iter().rev());
                read.count
            }
        };
        last = last.max(Lsn(base + count));
        files[file.at].held = Some(Held { file_id: file.header.file_id, frames: count, last: Lsn(base + count) });
    }
    frames.reverse();
    check_continuous(dir, &files, options.after)?;
    Ok(Scan { files, frames, last })
}

/// Reads every header: all files, oldest first, and those on the chain, newest first.
pub(super) fn heads(dir: &Path, options: &LogOptions) -> Result<(Vec<LogFile>, Vec<Headed>)> {
    let files: Vec<LogFile> =
        list(dir)?.into_iter().map(|(epoch, sequence, bytes)| LogFile { epoch, sequence, bytes, held: None }).collect();
    let mut found = HashMap::new();
    let mut tip = None;
    for (at, file) in files.iter().enumerate() {
        let path = dir.join(file_name(file.epoch, file.sequence));
        let name = path.display().to_string();
        let prefix = fs::read_prefix(&path, frame::SECTOR)?;
        // Whether a header that is not whole was torn by a crash shows in what follows it.
        let decoded = match FileHeader::decode(&prefix, &name) {
            Ok(Head::Whole(header)) => Head::Whole(header),
            _ => FileHeader::decode(&fs::read(&path)?, &name)?,
        };
        let Head::Whole(header) = decoded else { continue };
        check_place(&header, file, options, &name)?;
        tip = Some(header.file_id);
        if let Some(twin) = found.insert(header.file_id, Found { at, path, name, prefix, header }) {
            return Err(StorageError::damaged(twin.name, "another file has its id: it is a copy"));
        }
    }
    Ok((files, chain(tip, &mut found, options)?))
}

/// A file with a header, which nobody vouches for yet.
struct Found {
    at: usize,
    path: PathBuf,
    name: String,
    prefix: Vec<u8>,
    header: FileHeader,
}

/// What one file holds.
pub(super) struct ReadFrames {
    /// Its size.
    bytes: u64,
    /// How many frames count.
    count: u64,
    /// Those newer than asked, oldest first.
    pub(super) frames: Vec<(Lsn, Bytes)>,
}

/// Reads one file to its end; decrypts the frames newer than `newer_than`, checks the others by checksum.
pub(super) fn read_frames(file: &Headed, newer_than: Lsn) -> Result<ReadFrames> {
    let mut bytes = fs::read(&file.path)?;
    let size = bytes.len() as u64;
    let walk = frame::walk(&bytes, file.counting, &file.name)?;
    let base = file.header.base;
    let count = walk.frames.len() as u64;
    let mut opened = Vec::new();
    for placed in walk.frames.iter().filter(|f| base + f.number > newer_than.0) {
        let range = frame::open_frame(&file.header, &file.sealer, &mut bytes, placed, &file.name)?;
        opened.push((Lsn(base + placed.number), range));
    }
    let bytes = Bytes::from(bytes);
    let frames = opened.into_iter().map(|(lsn, range)| (lsn, bytes.slice(range))).collect();
    Ok(ReadFrames { bytes: size, count, frames })
}

/// That a file is this owner's, and is called what it was called when it was written.
fn check_place(header: &FileHeader, file: &LogFile, options: &LogOptions, name: &str) -> Result<()> {
    if header.kind != options.kind.0 || header.owner != options.owner {
        return Err(StorageError::damaged(name, "it belongs to another log"));
    }
    if (header.epoch, header.sequence) != (file.epoch, file.sequence) {
        return Err(StorageError::damaged(name, format!("it was written as {}", file_name(header.epoch, header.sequence))));
    }
    if header.base.checked_add(u64::from(u32::MAX)).is_none() {
        return Err(StorageError::damaged(name, "its LSNs are out of range"));
    }
    Ok(())
}

/// The files that count, newest first, each with how much of it does.
fn chain(tip: Option<[u8; 16]>, found: &mut HashMap<[u8; 16], Found>, options: &LogOptions) -> Result<Vec<Headed>> {
    let after = options.after;
    let mut chain: Vec<Headed> = Vec::new();
    let (mut next, mut counting) = (tip, None);
    while let Some(Found { at, path, name, prefix, header }) = next.and_then(|id| found.remove(&id)) {
        let sealer = header.open(&prefix, &options.keys, &name)?;
        next = header.previous.map(|p| p.file_id);
        let previous = header.previous.map(|p| p.frames);
        chain.push(Headed { at, path, name, header, sealer, counting });
        counting = previous;
    }
    if let Some(oldest) = chain.last()
        && oldest.header.base > after.0
    {
        let what = format!("the file before it is gone, and with it the frames {} to {}", after.0 + 1, oldest.header.base);
        return Err(StorageError::damaged(&oldest.name, what));
    }
    Ok(chain)
}

/// That no LSN newer than `after` is missing between two files.
fn check_continuous(dir: &Path, files: &[LogFile], after: Lsn) -> Result<()> {
    let mut before: Option<Lsn> = None;
    for file in files {
        let Some(held) = file.held else { continue };
        let base = Lsn(held.last.0 - held.frames);
        if let Some(before) = before
            && (base < before || (base > before && base > after))
        {
            let name = dir.join(file_name(file.epoch, file.sequence)).display().to_string();
            return Err(StorageError::damaged(name, format!("it begins after LSN {base}, and the file before it ends at LSN {before}")));
        }
        before = Some(held.last);
    }
    Ok(())
}

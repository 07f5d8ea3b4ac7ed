//! Reading a log: which files are on the chain, which frames of them count.

use std::collections::HashMap;
use std::path::Path;

use bytes::Bytes;
use pinyon_model::Lsn;

use super::{LogOptions, file_name, list};
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

/// A file's bytes with its header.
struct Loaded {
    at: usize,
    name: String,
    bytes: Vec<u8>,
    header: FileHeader,
}

/// Reads the log in `dir`; decrypts the frames newer than `newer_than`, checks the others by checksum.
pub(super) fn scan(dir: &Path, options: &LogOptions, newer_than: Lsn) -> Result<Scan> {
    let mut files: Vec<LogFile> =
        list(dir)?.into_iter().map(|(epoch, sequence, bytes)| LogFile { epoch, sequence, bytes, held: None }).collect();
    let mut loaded = HashMap::new();
    let mut tip = None;
    for (at, file) in files.iter_mut().enumerate() {
        let path = dir.join(file_name(file.epoch, file.sequence));
        let (name, bytes) = (path.display().to_string(), fs::read(&path)?);
        file.bytes = bytes.len() as u64;
        if let Head::Whole(header) = FileHeader::decode(&bytes, &name)? {
            check_place(&header, file, options, &name)?;
            tip = Some(header.file_id);
            if let Some(twin) = loaded.insert(header.file_id, Loaded { at, name, bytes, header }) {
                return Err(StorageError::damaged(twin.name, "another file has its id: it is a copy"));
            }
        }
    }
    let chain = chain(tip, &mut loaded, options.after)?;
    let (mut frames, mut last, mut counting) = (Vec::new(), options.after, None);
    // From the newest back, since each says how much of the one before counts.
    for mut file in chain {
        let sealer = file.header.open(&file.bytes, &options.key, &file.name)?;
        let walk = frame::walk(&file.bytes, counting, &file.name)?;
        let base = file.header.base;
        let count = walk.frames.len() as u64;
        let mut opened = Vec::new();
        for placed in walk.frames.iter().filter(|f| base + f.number > newer_than.0) {
            let range = frame::open_frame(&file.header, &sealer, &mut file.bytes, placed, &file.name)?;
            opened.push((Lsn(base + placed.number), range));
        }
        let bytes = Bytes::from(file.bytes);
        frames.extend(opened.into_iter().rev().map(|(lsn, range)| (lsn, bytes.slice(range))));
        last = last.max(Lsn(base + count));
        files[file.at].held = Some(Held { file_id: file.header.file_id, frames: count, last: Lsn(base + count) });
        counting = file.header.previous.map(|p| p.frames);
    }
    frames.reverse();
    check_continuous(dir, &files, options.after)?;
    Ok(Scan { files, frames, last })
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

/// The files that count, newest first.
fn chain(tip: Option<[u8; 16]>, loaded: &mut HashMap<[u8; 16], Loaded>, after: Lsn) -> Result<Vec<Loaded>> {
    let mut chain: Vec<Loaded> = Vec::new();
    let mut next = tip;
    while let Some(id) = next {
        match loaded.remove(&id) {
            Some(file) => {
                next = file.header.previous.map(|p| p.file_id);
                chain.push(file);
            }
            None => break,
        }
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

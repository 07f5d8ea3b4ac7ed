//! Reading a log that may be long, also while it is written: file by file, oldest first, up to a frame that is known to be durable.

use std::collections::VecDeque;
use std::path::Path;

use bytes::Bytes;
use pinyon_model::Lsn;

use super::LogOptions;
use super::scan::{Headed, heads, read_frames};
use crate::{Result, StorageError};

/// The frames of a log between two LSNs. One file is in memory at a time.
pub struct LogReader {
    files: VecDeque<Headed>,
    after: Lsn,
    upto: Lsn,
    /// The last LSN that was read; `after` at first.
    at: Lsn,
}

/// What one file of a log holds.
#[derive(Debug)]
pub struct LogPart {
    /// The file's path, for errors and for people.
    pub file: String,
    /// Its frames between the two LSNs, oldest first; may be none.
    pub frames: Vec<(Lsn, Bytes)>,
}

impl std::fmt::Debug for LogReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogReader({} files, {} to {})", self.files.len(), self.at, self.upto)
    }
}

impl LogReader {
    /// Reads the headers of the log in `dir`, of which frames up to `upto` are durable, so that those newer than `options.after` can be
    /// read. Nothing may be appended or trimmed while this runs; while the rest is read, appends may. Blocking. `Damaged` names the file.
    pub fn open(dir: &Path, options: &LogOptions, upto: Lsn) -> Result<Self> {
        let (_, chain) = heads(dir, options)?;
        let mut files = VecDeque::new();
        for mut file in chain {
            let base = file.header.base;
            match file.counting {
                // The newest may grow while it is read.
                None if base >= upto.0 || upto <= options.after => continue,
                None => file.counting = Some(upto.0 - base),
                Some(count) => {
                    // A file whose frames are all older is not asked for, and one newer than `upto` cannot be.
                    if base.saturating_add(count) <= options.after.0 {
                        break;
                    }
                    file.counting = Some(count.min(upto.0.saturating_sub(base)));
                }
            }
            files.push_front(file);
        }
        Ok(Self { files, after: options.after, upto, at: options.after })
    }

    /// The next file's frames; none after the last. Blocking. `Damaged` names the file that is not what was written.
    pub fn next_part(&mut self) -> Result<Option<LogPart>> {
        let Some(file) = self.files.pop_front() else {
            return if self.at < self.upto { Err(self.missing("the log")) } else { Ok(None) };
        };
        if file.header.base > self.at.0 {
            return Err(self.missing(&file.name));
        }
        let frames = read_frames(&file, self.after)?.frames;
        self.at = frames.last().map_or(self.at, |f| f.0);
        Ok(Some(LogPart { file: file.name, frames }))
    }

    fn missing(&self, file: &str) -> StorageError {
        StorageError::damaged(file, format!("the frames after {} are gone; {} was the last", self.at, self.upto))
    }
}

//! Reading the log: file by file, following the chain, up to the entry that was the last when the reading began.

use std::sync::Arc;

use bytes::Bytes;
use pinyon_model::{AuditEvent, Error, Lsn, Result};
use pinyon_storage::{LogPart, LogReader};
use tokio::sync::OwnedRwLockReadGuard;

use super::{Audit, Head, damaged, log_place, retention::read_anchor};

/// Where a reading begins.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Start {
    /// With the first entry that is kept.
    Oldest,
    /// After this number: what follows is held together, but not with what went before.
    After(u64),
    /// After the entry with this number and hash.
    AfterHead(u64, [u8; 32]),
}

/// An entry, and where the chain stands after it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) head: Head,
    pub(crate) event: AuditEvent,
}

/// A reading under way. While it lives, no file is dropped.
pub(crate) struct Entries {
    reader: Option<LogReader>,
    /// Where the chain stands; before the first entry of a reading that begins somewhere, only its number is known.
    head: Head,
    joined: bool,
    last: Head,
    _files: OwnedRwLockReadGuard<()>,
}

impl Audit {
    /// Begins to read. Entries that were dropped are passed over.
    pub(crate) async fn entries(&self, start: Start) -> Result<Entries> {
        let files = Arc::clone(&self.0.files).read_owned().await;
        let chain = self.0.chain.lock().await;
        let last = chain.as_ref().map_err(Clone::clone)?.head;
        let anchor = read_anchor(&self.0.store, &self.0.key).await?.unwrap_or_default();
        let known = |seq: u64| (seq <= anchor.seq).then_some(anchor);
        let (head, joined) = match start {
            Start::Oldest => (anchor, true),
            Start::After(seq) => known(seq).map_or((Head { seq, ..anchor }, false), |a| (a, true)),
            Start::AfterHead(seq, hash) => (known(seq).unwrap_or(Head { seq, hash, ..anchor }), true),
        };
        let (dir, options) = log_place(&self.0.store, &self.0.key, Lsn(head.seq));
        let reader = if head.seq < last.seq {
            Some(crate::store::blocking(move || LogReader::open(&dir, &options, Lsn(last.seq))).await?)
        } else {
            None
        };
        drop(chain);
        Ok(Entries { reader, head, joined, last, _files: files })
    }
}

impl Entries {
    /// Where the chain stands: the entry before the next one.
    pub(crate) fn head(&self) -> Head {
        self.head
    }

    /// The last entry of this reading.
    pub(crate) fn last(&self) -> Head {
        self.last
    }

    /// The entries of the next file that has any; none after the last.
    pub(crate) async fn next_part(&mut self) -> Result<Option<Vec<Entry>>> {
        while let Some(mut reader) = self.reader.take() {
            let (reader, part) = crate::store::blocking(move || {
                let part = reader.next_part()?;
                Ok((reader, part))
            })
            .await?;
            let Some(LogPart { file, frames }) = part else { return Ok(None) };
            self.reader = Some(reader);
            if !frames.is_empty() {
                return self.follow(&file, &frames).map(Some);
            }
        }
        Ok(None)
    }

    fn follow(&mut self, file: &str, frames: &[(Lsn, Bytes)]) -> Result<Vec<Entry>> {
        let mut entries = Vec::with_capacity(frames.len());
        for (lsn, frame) in frames {
            if !self.joined {
                self.head.hash = Head::hash_before(frame)?;
                self.joined = true;
            }
            let (event, head) = self.head.follow(frame).map_err(|e| Error { message: format!("{file}: {}", e.message), ..e })?;
            if head.seq != lsn.0 {
                return Err(damaged(format!("entry {} lies where entry {lsn} belongs", head.seq)));
            }
            self.head = head;
            entries.push(Entry { head, event });
        }
        Ok(entries)
    }
}

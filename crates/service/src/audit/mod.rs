//! The audit log: who did what, in a hash-chained log of its own. An entry is durable when [`Audit::record`] returns.
//!
//! Folder `audit/` of the data directory: the log's files, and `audit/head`, a sealed note of where the chain ended when it was
//! last closed. The note saves reading the whole log at every start, and shows when the log's end is gone.

mod chain;
mod event;
mod fold;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex as StdMutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use pinyon_engine::Clock;
use pinyon_model::{AuditEvent, Error, ErrorCode, Lsn, Result};
use pinyon_storage::{DataKey, Log, LogKind, LogOptions, ObjectKind, Purpose, PutMode, StorageError, random_bytes};
use tokio::sync::Mutex;

pub(crate) use chain::Head;
pub(crate) use event::{actor, failure, open as open_event, read as read_event, write as write_event};
use fold::Folds;

use crate::{
    DamagedFile,
    codec::{Reader, Writer},
    store::Store,
};

/// The folder's name.
pub(crate) const FOLDER: &str = "audit";
const HEAD: &str = "audit/head";
const HEAD_KIND: ObjectKind = ObjectKind(0x0101);
const HEAD_FORMAT: u16 = 1;
/// The name of the system key that the log is sealed under.
const KEY: &str = "audit";
/// The log's owner: there is one audit log.
const OWNER: [u8; 16] = *b"pinyon audit log";
/// Entries after which the note of the head is written anew.
const HEAD_EVERY: u64 = 1_024;

/// The audit log, open.
pub(crate) struct Audit {
    /// The chain, or why it cannot be continued.
    chain: Mutex<Result<Chain>>,
    folds: StdMutex<Folds>,
    abandoned: StdMutex<Vec<AuditEvent>>,
    failing: AtomicBool,
    clock: Arc<dyn Clock>,
    key: Arc<DataKey>,
    store: Store,
}

struct Chain {
    log: Log,
    head: Head,
    /// Entries since the note of the head was written.
    unnoted: u64,
}

impl Audit {
    /// Opens the log, reads what came after the note of its head and holds the chain together. A damaged log opens too: it takes no
    /// entry, so that nothing is done that needs one, and the data goes on being served.
    pub(crate) async fn open(store: Store, clock: Arc<dyn Clock>) -> Result<Self> {
        let key = store.keys().system_key(KEY).await?;
        let chain = open_chain(&store, &key).await;
        match &chain {
            Err(error) if error.code != ErrorCode::DataLoss => return Err(error.clone()),
            Err(error) => tracing::error!(%error, "the audit log is damaged: nothing that needs an entry in it will be done"),
            Ok(_) => {}
        }
        Ok(Self {
            failing: AtomicBool::new(chain.is_err()),
            chain: Mutex::new(chain),
            folds: StdMutex::default(),
            abandoned: StdMutex::default(),
            clock,
            key,
            store,
        })
    }

    /// Whether the log was damaged when it was opened, so that it takes no entry.
    pub(crate) async fn is_damaged(&self) -> bool {
        self.chain.lock().await.is_err()
    }

    /// Takes no entry from now on, for this reason.
    pub(crate) async fn mark_damaged(&self, error: Error) {
        tracing::error!(%error, "the audit log is damaged: nothing that needs an entry in it will be done");
        *self.chain.lock().await = Err(error);
        self.failing.store(true, Ordering::SeqCst);
    }

    /// Where the chain ends.
    pub(crate) async fn head(&self) -> Result<Head> {
        self.chain.lock().await.as_ref().map(|c| c.head).map_err(Clone::clone)
    }

    /// Writes an entry; durable when it returns.
    pub(crate) async fn record(&self, event: AuditEvent) -> Result<()> {
        self.write(vec![event]).await
    }

    /// Writes entries; durable when it returns.
    pub(crate) async fn record_all(&self, events: Vec<AuditEvent>) -> Result<()> {
        self.write(events).await
    }

    /// Records a refusal or a failure: the first of its kind in a minute is written, its repeats are counted.
    pub(crate) async fn refuse(&self, event: AuditEvent) -> Result<()> {
        let now_ms = self.clock.now_ms();
        let first = lock(&self.folds).refused(event, now_ms);
        match first {
            None => Ok(()),
            Some(event) => self.write(vec![event]).await,
        }
    }

    /// Counts a key that nobody knows.
    pub(crate) fn unknown_key(&self, source: &str) {
        lock(&self.folds).unknown_key(source, self.clock.now_ms());
    }

    /// Takes the record of an operation that nobody closed; it is written with the next entry or at the next tick.
    pub(crate) fn abandoned(&self, event: AuditEvent) {
        lock(&self.abandoned).push(event);
    }

    /// Fails while entries cannot be written, so that nothing is done that would go unrecorded.
    pub(crate) async fn check_writable(&self) -> Result<()> {
        if self.failing.load(Ordering::SeqCst) { self.tick().await } else { Ok(()) }
    }

    /// Whether the last entry could be written.
    pub(crate) fn is_writable(&self) -> bool {
        !self.failing.load(Ordering::SeqCst)
    }

    /// Writes the counts whose minute is over and the records that nobody closed.
    pub(crate) async fn tick(&self) -> Result<()> {
        self.collect(false).await
    }

    /// Writes everything that is still counted, and the note of the head.
    pub(crate) async fn close(&self) {
        if let Err(error) = self.collect(true).await {
            tracing::error!(%error, "the audit log's last counts could not be written");
        }
        if let Ok(chain) = &mut *self.chain.lock().await
            && chain.unnoted > 0
        {
            self.note_head(chain).await;
        }
    }

    async fn collect(&self, all: bool) -> Result<()> {
        let now_ms = self.clock.now_ms();
        let due = lock(&self.folds).due(now_ms, all, random_bytes);
        let nothing_to_write = due.is_empty() && lock(&self.abandoned).is_empty();
        if nothing_to_write {
            return if self.is_writable() { Ok(()) } else { self.probe().await };
        }
        let written = self.write(due.clone()).await;
        if written.is_err() {
            lock(&self.folds).put_back(due, now_ms);
        }
        written
    }

    /// Writes an entry that says nothing but that writing works again.
    async fn probe(&self) -> Result<()> {
        let event = AuditEvent {
            id: random_bytes(),
            actor: event::actor(&pinyon_model::Principal::System),
            time_ms: self.clock.now_ms(),
            action: "resume".to_owned(),
            resource_type: "audit-log".to_owned(),
            count: 1,
            ..AuditEvent::default()
        };
        self.write(vec![event]).await
    }

    /// Writes entries, and before them the records that nobody closed.
    async fn write(&self, events: Vec<AuditEvent>) -> Result<()> {
        let mut chain = self.chain.lock().await;
        let chain = chain.as_mut().map_err(|e| e.clone())?;
        let abandoned = std::mem::take(&mut *lock(&self.abandoned));
        let mut head = chain.head;
        let mut frames: Vec<Bytes> = Vec::with_capacity(abandoned.len() + events.len());
        for event in abandoned.iter().chain(&events) {
            let (frame, next) = head.next(event);
            frames.push(frame);
            head = next;
        }
        let count = frames.len() as u64;
        // A log whose write failed begins a new file with the next one: one more try is worth it before anything is refused.
        let mut appended = chain.log.append(frames.clone(), Purpose::Essential).await;
        if appended.is_err() {
            appended = chain.log.append(frames, Purpose::Essential).await;
        }
        self.failing.store(appended.is_err(), Ordering::SeqCst);
        if let Err(error) = appended {
            lock(&self.abandoned).splice(0..0, abandoned);
            return Err(Error::unavailable(format!("The audit log cannot be written, so nothing is done: {error}")));
        }
        chain.head = head;
        chain.unnoted += count;
        if chain.unnoted >= HEAD_EVERY {
            self.note_head(chain).await;
        }
        Ok(())
    }

    /// The note only saves time: a failure to write it is told to nobody but the program's own log.
    async fn note_head(&self, chain: &mut Chain) {
        let mut w = Writer::default();
        w.u64(chain.log.last_lsn().0).u64(chain.head.seq).raw(&chain.head.hash).u64(chain.head.generation);
        let plain = w.finish();
        let put = self.store.sealed().put_named(HEAD, HEAD_KIND, HEAD_FORMAT, &self.key, &plain, PutMode::Overwrite, Purpose::Essential);
        match put.await {
            Ok(_) => chain.unnoted = 0,
            Err(error) => tracing::warn!(%error, "the note of the audit log's head could not be written"),
        }
    }

    /// Reads the whole chain from disk, from its first entry to the one that was written last: how many there are, and the files
    /// that are not what was written.
    pub(crate) async fn check(&self) -> (u64, Vec<DamagedFile>) {
        let chain = self.chain.lock().await;
        let mut damaged = Vec::new();
        if let Err(error) = read_head(&self.store, &self.key).await {
            damaged.push(DamagedFile { file: HEAD.to_owned(), what: error.to_string() });
        }
        let (dir, options) = log_place(&self.store, &self.key, Lsn(0));
        let below = dir.clone();
        match tokio::task::spawn_blocking(move || Log::check(&dir, &options)).await {
            Ok(Err(StorageError::Damaged { file, what })) => {
                let name = Path::new(&file).strip_prefix(below).map_or(FOLDER.to_owned(), |f| format!("{FOLDER}/{}", f.display()));
                damaged.push(DamagedFile { file: name, what });
            }
            Ok(Err(error)) => damaged.push(DamagedFile { file: FOLDER.to_owned(), what: error.to_string() }),
            Ok(Ok(_)) => {}
            Err(_) => damaged.push(DamagedFile { file: FOLDER.to_owned(), what: "it could not be read to its end".to_owned() }),
        }
        let entries = match self.check_chain(&chain).await {
            Ok(entries) => entries,
            Err(error) if damaged.is_empty() => {
                damaged.push(DamagedFile { file: FOLDER.to_owned(), what: error.to_string() });
                0
            }
            Err(_) => 0,
        };
        (entries, damaged)
    }

    async fn check_chain(&self, chain: &Result<Chain>) -> Result<u64> {
        let chain = chain.as_ref().map_err(Clone::clone)?;
        let (head, _) = read_all(&self.store, &self.key).await?;
        if head != chain.head {
            return Err(damaged(format!("it ends at entry {} and entry {} was written last", head.seq, chain.head.seq)));
        }
        Ok(head.seq)
    }

    /// Every entry, oldest first.
    pub(crate) async fn events(&self) -> Result<Vec<AuditEvent>> {
        let _still = self.chain.lock().await;
        Ok(read_all(&self.store, &self.key).await?.1)
    }
}

async fn open_chain(store: &Store, key: &Arc<DataKey>) -> Result<Chain> {
    let (after, mut head) = read_head(store, key).await?.unwrap_or_default();
    let (log, frames) = open_log(store, key, after).await?;
    if log.last_lsn() < after {
        return Err(damaged(format!("its last entries are gone: it ends at {} and once reached {after}", log.last_lsn())));
    }
    for (_, frame) in &frames {
        head = head.follow(frame)?.1;
    }
    Ok(Chain { log, head, unnoted: frames.len() as u64 })
}

async fn read_all(store: &Store, key: &Arc<DataKey>) -> Result<(Head, Vec<AuditEvent>)> {
    let (_, frames) = open_log(store, key, Lsn(0)).await?;
    let mut head = Head::default();
    let mut events = Vec::with_capacity(frames.len());
    for (_, frame) in &frames {
        let (event, next) = head.follow(frame)?;
        events.push(event);
        head = next;
    }
    if let Some((_, noted)) = read_head(store, key).await?
        && noted.seq > head.seq
    {
        return Err(damaged(format!("its last entries are gone: it ends at entry {} and once reached {}", head.seq, noted.seq)));
    }
    Ok((head, events))
}

async fn open_log(store: &Store, key: &Arc<DataKey>, after: Lsn) -> Result<(Log, Vec<(Lsn, Bytes)>)> {
    let (dir, options) = log_place(store, key, after);
    crate::store::blocking(move || Log::open(dir, options)).await
}

fn log_place(store: &Store, key: &Arc<DataKey>, after: Lsn) -> (PathBuf, LogOptions) {
    let options = LogOptions { kind: LogKind::AUDIT, owner: OWNER, key: Arc::clone(key), after, space: store.space() };
    (store.path().join(FOLDER), options)
}

async fn read_head(store: &Store, key: &DataKey) -> Result<Option<(Lsn, Head)>> {
    let object = match store.sealed().get_named(HEAD, HEAD_KIND, key).await {
        Ok(object) => object,
        Err(StorageError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut r = Reader::new("The file audit/head", &object.plain);
    if object.format != HEAD_FORMAT {
        return Err(r.malformed());
    }
    let noted = (Lsn(r.u64()?), Head { seq: r.u64()?, hash: r.array()?, generation: r.u64()? });
    r.end()?;
    Ok(Some(noted))
}

pub(crate) fn damaged(what: String) -> Error {
    Error::new(ErrorCode::DataLoss, format!("The audit log in {FOLDER}/ is damaged: {what}"))
}

/// A lock that outlives a panic of its holder: what it guards is whole between any two statements.
fn lock<T>(mutex: &StdMutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

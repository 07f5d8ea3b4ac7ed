//! The audit log: who did what, in a hash-chained log of its own. An entry is durable when [`Audit::record`] returns.
//!
//! Folder `audit/` of the data directory: the log's files; `audit/head`, a sealed note of where the chain ended when it was last
//! closed, which saves reading the whole log at every start, and shows when the log's end is gone; `audit/anchor`, where the chain begins
//! once older entries were dropped. An entry's number is the LSN of its frame.

mod chain;
mod entries;
mod event;
mod fold;
mod retention;
mod settings;

use std::{
    collections::HashMap,
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
use tokio::sync::{Mutex, RwLock, oneshot};

pub(crate) use chain::Head;
pub(crate) use entries::{Entries, Entry, Start};
pub(crate) use event::{actor, failure, open as open_event, read as read_event, write as write_event};
use fold::Folds;
use retention::{ANCHOR, ANCHOR_KIND};
pub(crate) use settings::RecordedSettings;
use settings::{SETTINGS, SETTINGS_KIND};

use crate::{
    DamagedFile,
    clock::DAY_MS,
    codec::{Reader, Writer},
    store::Store,
};

/// The folder's name.
pub(crate) const FOLDER: &str = "audit";
const HEAD: &str = "audit/head";
const HEAD_KIND: ObjectKind = ObjectKind(0x0101);
const HEAD_FORMAT: u16 = 1;
/// Up to where each organization's events are delivered.
pub(crate) const CURSORS: &str = "audit/sinks/";
pub(crate) const CURSOR_KIND: ObjectKind = ObjectKind(0x0104);
/// The name of the system key that the log is sealed under.
const KEY: &str = "audit";
/// The log's owner: there is one audit log.
const OWNER: [u8; 16] = *b"pinyon audit log";
/// Entries after which the note of the head is written anew.
const HEAD_EVERY: u64 = 1_024;
/// A file is ended when it is of this size or of another day, so that there are whole files to drop.
const FILE_BYTES: u64 = 8 << 20;

/// The audit log, open. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Audit(Arc<Inner>);

struct Inner {
    /// The chain, or why it cannot be continued.
    chain: Mutex<Result<Chain>>,
    /// What waits to be written, each with whoever waits for it.
    queue: StdMutex<Vec<Waiting>>,
    folds: StdMutex<Folds>,
    abandoned: StdMutex<Vec<AuditEvent>>,
    failing: AtomicBool,
    /// The number of the last entry of each organization that had one since the start.
    latest: StdMutex<HashMap<String, u64>>,
    /// Held for reading while files are read, for writing while some are dropped.
    files: Arc<RwLock<()>>,
    /// Held while it is looked which files may go, and while they go.
    retaining: Mutex<()>,
    clock: Arc<dyn Clock>,
    key: Arc<DataKey>,
    store: Store,
}

struct Waiting {
    events: Vec<AuditEvent>,
    done: oneshot::Sender<Result<()>>,
}

struct Chain {
    log: Log,
    head: Head,
    /// Entries since the note of the head was written.
    unnoted: u64,
    /// The day on which the newest file was begun, and its bytes.
    day: u64,
    bytes: u64,
}

/// What a reading of the whole log found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditReport {
    /// Entries, each following the one before it.
    pub entries: u64,
    /// Entries before them that were dropped when their time was over.
    pub dropped: u64,
    /// The files that are not what was written.
    pub damaged: Vec<DamagedFile>,
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
        Ok(Self(Arc::new(Inner {
            failing: AtomicBool::new(chain.is_err()),
            chain: Mutex::new(chain),
            queue: StdMutex::default(),
            folds: StdMutex::default(),
            abandoned: StdMutex::default(),
            latest: StdMutex::default(),
            files: Arc::default(),
            retaining: Mutex::default(),
            clock,
            key,
            store,
        })))
    }

    /// Whether the log was damaged when it was opened, so that it takes no entry.
    pub(crate) async fn is_damaged(&self) -> bool {
        self.0.chain.lock().await.is_err()
    }

    /// Takes no entry from now on, for this reason.
    pub(crate) async fn mark_damaged(&self, error: Error) {
        tracing::error!(%error, "the audit log is damaged: nothing that needs an entry in it will be done");
        *self.0.chain.lock().await = Err(error);
        self.0.failing.store(true, Ordering::SeqCst);
    }

    /// Where the chain ends.
    pub(crate) async fn head(&self) -> Result<Head> {
        self.0.chain.lock().await.as_ref().map(|c| c.head).map_err(Clone::clone)
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
        let now_ms = self.0.clock.now_ms();
        let first = lock(&self.0.folds).refused(event, now_ms);
        match first {
            None => Ok(()),
            Some(event) => self.write(vec![event]).await,
        }
    }

    /// Counts a key that nobody knows.
    pub(crate) fn unknown_key(&self, source: &str) {
        lock(&self.0.folds).unknown_key(source, self.0.clock.now_ms());
    }

    /// Takes the record of an operation that nobody closed; it is written with the next entry or at the next tick.
    pub(crate) fn abandoned(&self, event: AuditEvent) {
        lock(&self.0.abandoned).push(event);
    }

    /// Fails while entries cannot be written, so that nothing is done that would go unrecorded.
    pub(crate) async fn check_writable(&self) -> Result<()> {
        if self.0.failing.load(Ordering::SeqCst) { self.tick().await } else { Ok(()) }
    }

    /// Whether the last entry could be written.
    pub(crate) fn is_writable(&self) -> bool {
        !self.0.failing.load(Ordering::SeqCst)
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
        if let Ok(chain) = &mut *self.0.chain.lock().await
            && chain.unnoted > 0
        {
            self.0.note_head(chain).await;
        }
    }

    async fn collect(&self, all: bool) -> Result<()> {
        let now_ms = self.0.clock.now_ms();
        let due = lock(&self.0.folds).due(now_ms, all, random_bytes);
        let nothing_to_write = due.is_empty() && lock(&self.0.abandoned).is_empty();
        if nothing_to_write {
            return if self.is_writable() { Ok(()) } else { self.probe().await };
        }
        let written = self.write(due.clone()).await;
        if written.is_err() {
            lock(&self.0.folds).put_back(due, now_ms);
        }
        written
    }

    /// Writes an entry that says nothing but that writing works again.
    async fn probe(&self) -> Result<()> {
        let event = AuditEvent {
            id: random_bytes(),
            actor: event::actor(&pinyon_model::Principal::System),
            time_ms: self.0.clock.now_ms(),
            action: "resume".to_owned(),
            resource_type: "audit-log".to_owned(),
            count: 1,
            ..AuditEvent::default()
        };
        self.write(vec![event]).await
    }

    /// Writes entries; durable when it returns. Entries that wait while others are written go out together. They are written even
    /// if the caller goes away meanwhile.
    async fn write(&self, events: Vec<AuditEvent>) -> Result<()> {
        let (done, told) = oneshot::channel();
        lock(&self.0.queue).push(Waiting { events, done });
        let inner = Arc::clone(&self.0);
        tokio::spawn(async move { inner.write_queued().await });
        told.await.unwrap_or_else(|_| Err(Error::unavailable("The audit log was closed before the entry was written")))
    }

    /// Reads the whole chain from disk, from the first entry that is kept to the one that was written last.
    pub(crate) async fn check(&self) -> AuditReport {
        let mut report = AuditReport::default();
        self.check_objects(&mut report).await;
        let checked = self.check_chain(&mut report).await;
        if let Err((file, error)) = checked
            && !report.damaged.iter().any(|d| d.file == file)
        {
            report.damaged.push(DamagedFile { file, what: error.message });
        }
        report
    }

    /// What lies beside the log must open.
    async fn check_objects(&self, report: &mut AuditReport) {
        let mut objects = vec![(HEAD.to_owned(), HEAD_KIND), (ANCHOR.to_owned(), ANCHOR_KIND), (SETTINGS.to_owned(), SETTINGS_KIND)];
        match self.0.store.blobs().list(CURSORS).await {
            Ok(cursors) => objects.extend(cursors.into_iter().map(|blob| (blob.name, CURSOR_KIND))),
            Err(error) => report.damaged.push(DamagedFile { file: FOLDER.to_owned(), what: error.to_string() }),
        }
        for (file, kind) in objects {
            match self.0.store.sealed().get_named(&file, kind, &self.0.key).await {
                Ok(_) | Err(StorageError::NotFound { .. }) => {}
                Err(error) => report.damaged.push(DamagedFile { file, what: error.to_string() }),
            }
        }
    }

    async fn check_chain(&self, report: &mut AuditReport) -> Result<(), (String, Error)> {
        let folder = |error| (FOLDER.to_owned(), error);
        if let Err(why) = &*self.0.chain.lock().await {
            return Err(self.name_damage(why).await);
        }
        let noted = read_head(&self.0.store, &self.0.key).await.ok().flatten().map(|(_, head)| head);
        let mut entries = self.entries(Start::Oldest).await.map_err(|error| (named(&error), error))?;
        report.dropped = entries.head().seq;
        let mut seen = entries.head();
        while let Some(part) = entries.next_part().await.map_err(|error| (named(&error), error))? {
            for entry in part {
                seen = entry.head;
                if noted.is_some_and(|n| n.seq == seen.seq && n != seen) {
                    return Err(folder(damaged(format!("entry {} is another than the note of the head says", seen.seq))));
                }
            }
            report.entries = seen.seq - report.dropped;
        }
        let last = entries.last();
        if seen != last || noted.is_some_and(|n| n.seq > seen.seq) {
            return Err(folder(damaged(format!("it ends at entry {} and entry {} was written last", seen.seq, last.seq))));
        }
        Ok(())
    }

    /// Which file it is that keeps the log from being opened.
    async fn name_damage(&self, why: &Error) -> (String, Error) {
        let (dir, options) = log_place(&self.0.store, &self.0.key, Lsn(0));
        let anchor = retention::read_anchor(&self.0.store, &self.0.key).await.ok().flatten();
        let options = LogOptions { after: anchor.map_or(Lsn(0), |a| Lsn(a.seq)), ..options };
        match tokio::task::spawn_blocking(move || Log::check(&dir, &options)).await {
            Ok(Err(StorageError::Damaged { file, what })) => (below(&file), Error::new(ErrorCode::DataLoss, what)),
            _ => (FOLDER.to_owned(), why.clone()),
        }
    }

    /// Every entry, oldest first, for those who need few of them.
    pub(crate) async fn for_each(&self, mut look: impl FnMut(&AuditEvent)) -> Result<()> {
        let mut entries = self.entries(Start::Oldest).await?;
        while let Some(part) = entries.next_part().await? {
            part.iter().for_each(|entry| look(&entry.event));
        }
        Ok(())
    }

    /// What the log, and what lies beside it, is sealed under.
    pub(crate) fn key(&self) -> &DataKey {
        &self.0.key
    }

    /// The number of the organization's last entry since the start; none when it had none.
    pub(crate) fn latest_of(&self, organization: &str) -> Option<u64> {
        lock(&self.0.latest).get(organization).copied()
    }
}

impl Inner {
    /// Writes whatever waits, in one append.
    async fn write_queued(&self) {
        let mut chain = self.chain.lock().await;
        let waiting = std::mem::take(&mut *lock(&self.queue));
        if waiting.is_empty() {
            return;
        }
        let written = match chain.as_mut() {
            Ok(chain) => self.append(chain, &waiting).await,
            Err(error) => Err(error.clone()),
        };
        for w in waiting {
            // Whoever went away does not hear it.
            let _ = w.done.send(written.clone());
        }
    }

    /// Appends entries, and before them the records that nobody closed.
    async fn append(&self, chain: &mut Chain, waiting: &[Waiting]) -> Result<()> {
        let abandoned = std::mem::take(&mut *lock(&self.abandoned));
        let mut head = chain.head;
        let mut frames: Vec<Bytes> = Vec::new();
        let mut latest: HashMap<String, u64> = HashMap::new();
        for event in abandoned.iter().chain(waiting.iter().flat_map(|w| &w.events)) {
            let (frame, next) = head.next(event);
            frames.push(frame);
            head = next;
            latest.insert(event.organization_id.clone(), head.seq);
        }
        let (count, bytes) = (frames.len() as u64, frames.iter().map(|f| f.len() as u64).sum::<u64>());
        let appended = self.append_frames(chain, frames).await;
        self.failing.store(appended.is_err(), Ordering::SeqCst);
        if let Err(error) = appended {
            lock(&self.abandoned).splice(0..0, abandoned);
            return Err(Error::unavailable(format!("The audit log cannot be written, so nothing is done: {error}")));
        }
        chain.head = head;
        chain.bytes += bytes;
        chain.unnoted += count;
        lock(&self.latest).extend(latest);
        if chain.unnoted >= HEAD_EVERY {
            self.note_head(chain).await;
        }
        Ok(())
    }

    /// Into the newest file, or a new one when its day is over or it is full.
    async fn append_frames(&self, chain: &mut Chain, frames: Vec<Bytes>) -> Result<(), StorageError> {
        let today = self.clock.now_ms() / DAY_MS;
        if chain.bytes >= FILE_BYTES || (chain.bytes > 0 && chain.day != today) {
            chain.log.roll().await?;
            chain.bytes = 0;
        }
        chain.day = today;
        // A log whose write failed begins a new file with the next one: one more try is worth it before anything is refused.
        match chain.log.append(frames.clone(), Purpose::Essential).await {
            Ok(_) => Ok(()),
            Err(_) => chain.log.append(frames, Purpose::Essential).await.map(drop),
        }
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
}

async fn open_chain(store: &Store, key: &Arc<DataKey>) -> Result<Chain> {
    let noted = read_head(store, key).await?.map(|(_, head)| head);
    let anchor = retention::read_anchor(store, key).await?;
    // An anchor that is newer than the note was written by a process that was killed.
    let from = noted.into_iter().chain(anchor).max_by_key(|head| head.seq).unwrap_or_default();
    let (log, frames) = open_log(store, key, Lsn(from.seq)).await?;
    let mut head = from;
    for (_, frame) in &frames {
        head = head.follow(frame)?.1;
    }
    Ok(Chain { log, head, unnoted: frames.len() as u64, day: 0, bytes: 0 })
}

async fn open_log(store: &Store, key: &Arc<DataKey>, after: Lsn) -> Result<(Log, Vec<(Lsn, Bytes)>)> {
    let (dir, options) = log_place(store, key, after);
    crate::store::blocking(move || Log::open(dir, options)).await
}

fn log_place(store: &Store, key: &Arc<DataKey>, after: Lsn) -> (PathBuf, LogOptions) {
    let options = LogOptions { kind: LogKind::AUDIT, owner: OWNER, keys: Arc::clone(key).into(), after, space: store.space() };
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

/// The file that an error of the log names, as a path below the data directory.
fn named(error: &Error) -> String {
    match error.message.find("/log-") {
        None => FOLDER.to_owned(),
        Some(at) => {
            let name: String = error.message[at + 1..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
            format!("{FOLDER}/{name}")
        }
    }
}

/// A log file's path below the data directory.
fn below(file: &str) -> String {
    Path::new(file).file_name().map_or(FOLDER.to_owned(), |name| format!("{FOLDER}/{}", name.to_string_lossy()))
}

pub(crate) fn damaged(what: String) -> Error {
    Error::new(ErrorCode::DataLoss, format!("The audit log in {FOLDER}/ is damaged: {what}"))
}

/// A lock that outlives a panic of its holder: what it guards is whole between any two statements.
fn lock<T>(mutex: &StdMutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

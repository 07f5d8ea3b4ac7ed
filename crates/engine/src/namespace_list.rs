//! The namespaces of one index: which there are, durable before anything of them is.
//!
//! A log under the index's key holds what happened to the list; now and then the whole list is stored as one sealed object,
//! `namespaces-N`, and the log is trimmed. Many changes at once share one fsync, so that ten thousand namespaces can be made
//! by as many callers. A namespace is deleted once its `Deleted` entry is durable; its key and folder go afterwards, and what
//! a crash left of them goes when the list is read again.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use bytes::Bytes;
use pinyon_model::{Error, ErrorCode, IndexId, IndexRecall, Lsn, MetadataSchema, NamespaceId, NamespaceName, NamespaceRecall, Result};
use pinyon_storage::{DataKey, Log, LogKind, LogOptions, Purpose, PutMode};
use tokio::sync::{Mutex as AsyncMutex, oneshot};

use self::{
    deleted::KeptSlot,
    entry::{Entry, Snapshot},
};
use crate::{
    Engine, IndexOptions,
    error::{damaged, no_index, no_namespace, stored, stored_below},
    namespace::log_blocking,
    shared::Shared,
    slot::{Counts, Slot},
};

mod deleted;
mod entry;
mod snapshot;

pub use deleted::{DeletedNamespace, Kept};

/// Log entries beyond those that are still needed, after which the list is stored whole.
const STALE_ENTRIES_MAX: u64 = 1_024;
/// Log files after which the list is stored whole.
const LOG_FILES_MAX: usize = 8;

/// The namespaces of one index.
pub(crate) struct NamespaceList {
    pub(crate) shared: Arc<Shared>,
    pub(crate) index: IndexId,
    pub(crate) options: Arc<IndexOptions>,
    key: Arc<DataKey>,
    names: RwLock<BTreeMap<NamespaceName, Arc<Slot>>>,
    queue: Mutex<Queue>,
    writer: AsyncMutex<Writer>,
    /// Those that were deleted and can be brought back.
    kept: RwLock<BTreeMap<NamespaceId, KeptSlot>>,
    /// Deleted namespaces of which something may be left.
    remains: Mutex<Vec<NamespaceId>>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    running: bool,
}

struct Waiting {
    change: Change,
    purpose: Purpose,
    done: oneshot::Sender<Result<Arc<Slot>>>,
}

struct Writer {
    log: Log,
    /// The number of the last whole list.
    number: u64,
    /// Entries in the log.
    logged: u64,
    /// Why nothing is written any more, when the index is being deleted or closed.
    closed: Option<Error>,
}

/// What can happen to the list.
enum Change {
    /// Put this one in, if there are fewer than so many; if the name is taken, give that one back.
    Create(Arc<Slot>, u32),
    Delete(NamespaceName, Kept),
    /// Bring a deleted one back.
    Restore(NamespaceId),
    /// No longer keep a deleted one.
    Purge(NamespaceId),
    Count(Arc<Slot>, Counts),
    /// The counts are about to change.
    Written(Arc<Slot>),
}

impl NamespaceList {
    /// Reads the list of an index and ends the deletions that were cut short.
    pub(crate) async fn open(shared: &Arc<Shared>, index: IndexId, options: &Arc<IndexOptions>) -> Result<Arc<Self>> {
        let key = shared.keys.index_key(index).map_err(stored)?;
        let (number, snapshot) = snapshot::read_newest(shared, index, &key).await?;
        let (log, frames) = open_log(shared, index, &key, snapshot.lsn).await?;
        let logged = frames.len() as u64;
        let Replayed { names, kept, remains } = replay(index, snapshot, frames)?;
        let list = Arc::new(Self {
            shared: Arc::clone(shared),
            index,
            options: Arc::clone(options),
            key,
            names: RwLock::new(names),
            kept: RwLock::new(kept),
            queue: Mutex::default(),
            writer: AsyncMutex::new(Writer { log, number, logged, closed: None }),
            remains: Mutex::new(remains.clone()),
        });
        if !remains.is_empty() {
            let list = Arc::clone(&list);
            shared.tasks.spawn(async move {
                for id in remains {
                    list.remove_or_tell(id).await;
                }
                list.shared.keys.compact().await.unwrap_or_else(|error| tracing::warn!("the keys of what was deleted: {error}"));
            });
        }
        Ok(list)
    }

    /// Reads every stored byte of the list. Changes wait for it.
    pub(crate) async fn verify(&self) -> Result<()> {
        let _held = self.writer.lock().await;
        verify(&self.shared, self.index, &self.key).await.map(drop)
    }

    /// The namespace of this name.
    pub(crate) fn get(&self, name: &NamespaceName) -> Option<Arc<Slot>> {
        self.names.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Those whose names begin with `prefix`, in order.
    pub(crate) fn starting_with(&self, prefix: &str) -> Vec<Arc<Slot>> {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        names.values().filter(|slot| slot.name.as_str().starts_with(prefix)).cloned().collect()
    }

    /// Makes a namespace: first its key, then its entry. Tells whether it is new; else it is the one that has the name.
    pub(crate) async fn create(
        self: &Arc<Self>,
        name: NamespaceName,
        schema: Option<MetadataSchema>,
        max: u32,
    ) -> Result<(Arc<Slot>, bool)> {
        if let Some(slot) = self.get(&name) {
            return Ok((slot, false));
        }
        // Before a key is made for it; what counts is decided in turn with the others.
        check_room(self.len(), max)?;
        let list = Arc::clone(self);
        let create = async move {
            let id = NamespaceId::from_random(pinyon_storage::random_bytes());
            list.shared.keys.create_namespace_key(list.index, id).await.map_err(stored)?;
            let outcome = list.change(Change::Create(Slot::new(id, name, schema, None), max), Purpose::Data).await;
            if !matches!(&outcome, Ok(slot) if slot.id == id) {
                // Someone else was first, or it could not be entered: nothing was ever sealed under the key.
                let _ = list.shared.keys.destroy_namespace_key(list.index, id).await;
            }
            outcome.map(|slot| (slot.id == id, slot)).map(|(fresh, slot)| (slot, fresh))
        };
        self.shared.finish(create).await
    }

    /// Enters a namespace that was made whole elsewhere, with its counts.
    pub(crate) async fn enter(self: &Arc<Self>, slot: Arc<Slot>) -> Result<()> {
        let id = slot.id;
        let entered = self.change(Change::Create(slot, u32::MAX), Purpose::Data).await?;
        if entered.id == id { Ok(()) } else { Err(Error::already_exists("A namespace of this name is there")) }
    }

    fn len(&self) -> usize {
        self.names.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// What is known of the recall of its namespaces.
    pub(crate) fn recall(&self) -> IndexRecall {
        let measured = |slot: &Arc<Slot>| {
            let measured = slot.measured()?;
            Some(NamespaceRecall { namespace: slot.name.clone(), recall: measured.recall()?, effort: measured.effort() })
        };
        IndexRecall::of(self.starting_with("").iter().filter_map(measured).collect())
    }

    /// Deletes a namespace: its entry first; then, unless it is kept, its key and its files, once its last user has let go.
    pub(crate) async fn delete(self: &Arc<Self>, name: NamespaceName, kept: Kept) -> Result<()> {
        let list = Arc::clone(self);
        let delete = async move {
            let slot = list.change(Change::Delete(name, kept), Purpose::Essential).await?;
            if let Some(namespace) = slot.delete(&list.shared).await {
                let gone = namespace.delete();
                drop(namespace);
                let _ = gone.await;
            }
            if kept == Kept::NoLonger {
                list.remove_or_tell(slot.id).await;
            }
            Ok(())
        };
        self.shared.finish(delete).await
    }

    /// Closes the list and every namespace, for it to be read anew at the next use: refuses all further change, and waits until the last
    /// user of each namespace has let go.
    pub(crate) async fn close(self: &Arc<Self>) {
        let told = || Error::unavailable("The index was closed while it was used; try again");
        for slot in self.starting_with("") {
            slot.close(self).await;
        }
        self.writer.lock().await.closed = Some(told());
        // All are shut before any is waited for: one that has a long user must not keep the others open.
        let mut last_users = Vec::new();
        for slot in self.starting_with("") {
            if let Some(namespace) = slot.shut(&self.shared, told()).await {
                last_users.push(namespace.shut(told()));
            }
        }
        for gone in last_users {
            let _ = gone.await;
        }
    }

    /// Ends the list together with its index: refuses all further change, and waits until the last user of each namespace has
    /// let go.
    pub(crate) async fn end(&self) {
        self.writer.lock().await.closed = Some(no_index());
        for slot in self.starting_with("") {
            if let Some(namespace) = slot.delete(&self.shared).await {
                let gone = namespace.delete();
                drop(namespace);
                let _ = gone.await;
            }
        }
    }

    /// Keeps the counts of a namespace that is being closed.
    pub(crate) async fn count(self: &Arc<Self>, slot: &Arc<Slot>, counts: Counts) -> Result<()> {
        self.change(Change::Count(Arc::clone(slot), counts), Purpose::Data).await.map(drop)
    }

    /// To be called before a namespace is written to: the counts that the list holds are true no longer.
    pub(crate) async fn written(self: &Arc<Self>, slot: &Arc<Slot>, purpose: Purpose) -> Result<()> {
        if slot.listed().is_none() {
            return Ok(());
        }
        self.change(Change::Written(Arc::clone(slot)), purpose).await.map(drop)
    }

    /// Removes the key and the files of a namespace that nobody uses. What fails is done again when the list is opened next.
    async fn remove_remains(&self, id: NamespaceId) -> Result<()> {
        self.shared.keys.destroy_namespace_key(self.index, id).await.map_err(stored)?;
        self.shared.store.delete_dir(&namespace_folder(self.index, id)).await.map_err(stored)?;
        self.remains.lock().unwrap_or_else(PoisonError::into_inner).retain(|r| *r != id);
        Ok(())
    }

    async fn remove_or_tell(&self, id: NamespaceId) {
        if let Err(error) = self.remove_remains(id).await {
            tracing::warn!(namespace = %id, "deletion goes on after the next start: {error}");
        }
    }

    async fn change(self: &Arc<Self>, change: Change, purpose: Purpose) -> Result<Arc<Slot>> {
        let (done, outcome) = oneshot::channel();
        let start = {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.waiting.push_back(Waiting { change, purpose, done });
            !std::mem::replace(&mut queue.running, true)
        };
        if start {
            let list = Arc::clone(self);
            self.shared.tasks.spawn(async move { list.drain().await });
        }
        outcome.await.unwrap_or_else(|_| Err(Error::internal("A change of the namespace list ended unexpectedly")))
    }

    async fn drain(self: Arc<Self>) {
        loop {
            let group: Vec<Waiting> = {
                let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
                let purpose = queue.waiting.front().map(|w| w.purpose);
                let many = queue.waiting.iter().take_while(|w| Some(w.purpose) == purpose).count();
                queue.running = many > 0;
                queue.waiting.drain(..many).collect()
            };
            let Some(purpose) = group.first().map(|w| w.purpose) else { return };
            self.commit(group, purpose).await;
        }
    }

    /// Writes a group of changes with one fsync; all of them count, or none.
    async fn commit(&self, group: Vec<Waiting>, purpose: Purpose) {
        let mut writer = self.writer.lock().await;
        if let Some(error) = &writer.closed {
            group.into_iter().for_each(|waiting| drop(waiting.done.send(Err(error.clone()))));
            return;
        }
        let mut draft = Draft { list: self, names: HashMap::new(), unkept: HashSet::new(), entries: Vec::new() };
        let decided: Vec<(Waiting, Result<Arc<Slot>>)> =
            group.into_iter().map(|w| (draft.decide(&w.change), w)).map(|(o, w)| (w, o)).collect();
        let entries = std::mem::take(&mut draft.entries);
        let frames: Vec<Bytes> = entries.iter().map(|entry| Bytes::from(entry.encode())).collect();
        let count = frames.len() as u64;
        if !frames.is_empty()
            && let Err(error) = writer.log.append(frames, purpose).await
        {
            let error = stored_below(&self.shared.root, error);
            decided.into_iter().for_each(|(waiting, _)| drop(waiting.done.send(Err(error.clone()))));
            return;
        }
        writer.logged += count;
        for (waiting, outcome) in decided {
            if let Ok(slot) = &outcome {
                self.apply(&waiting.change, slot);
            }
            let _ = waiting.done.send(outcome);
        }
        self.store_whole_if_due(&mut writer).await;
    }

    fn apply(&self, change: &Change, slot: &Arc<Slot>) {
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        match change {
            Change::Create(..) => drop(names.insert(slot.name.clone(), Arc::clone(slot))),
            Change::Delete(_, Kept::NoLonger) => {
                names.remove(&slot.name);
                self.remains.lock().unwrap_or_else(PoisonError::into_inner).push(slot.id);
            }
            Change::Delete(_, Kept::Until(until_ms)) => {
                names.remove(&slot.name);
                let kept = KeptSlot::of(slot, slot.listed(), self.shared.clock.now_ms(), *until_ms);
                self.kept.write().unwrap_or_else(PoisonError::into_inner).insert(slot.id, kept);
            }
            Change::Restore(id) => {
                self.kept.write().unwrap_or_else(PoisonError::into_inner).remove(id);
                names.insert(slot.name.clone(), Arc::clone(slot));
            }
            Change::Purge(id) => {
                self.kept.write().unwrap_or_else(PoisonError::into_inner).remove(id);
                self.remains.lock().unwrap_or_else(PoisonError::into_inner).push(*id);
            }
            Change::Count(_, counts) => slot.set_listed(Some(*counts)),
            Change::Written(_) => slot.set_listed(None),
        }
    }

    /// Stores the list whole and trims the log, when the log holds more that is past than present.
    async fn store_whole_if_due(&self, writer: &mut Writer) {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner).len();
        let live = (self.len() + kept) as u64;
        if writer.logged <= 2 * live + STALE_ENTRIES_MAX && writer.log.files() <= LOG_FILES_MAX {
            return;
        }
        let entries = self.entries();
        let lsn = writer.log.last_lsn();
        let name = snapshot::name(self.index, writer.number + 1);
        let plain = Snapshot { lsn, entries }.encode();
        let stored = async {
            let sealed = &self.shared.sealed;
            sealed.put_named(&name, snapshot::KIND, snapshot::FORMAT, &self.key, &plain, PutMode::CreateOnly, Purpose::Essential).await?;
            writer.log.trim(lsn).await?;
            if writer.number > 0 {
                self.shared.store.delete(&snapshot::name(self.index, writer.number)).await?;
            }
            Ok::<(), pinyon_storage::StorageError>(())
        };
        match stored.await {
            Ok(()) => (writer.number, writer.logged) = (writer.number + 1, 0),
            Err(error) => {
                tracing::warn!(index = %self.index, "the namespace list could not be stored whole: {error}");
                // It may have been stored all the same; the next attempt takes the next number.
                if self.shared.store.head(&name).await.is_ok() {
                    writer.number += 1;
                }
            }
        }
    }

    /// The whole list as entries.
    fn entries(&self) -> Vec<Entry> {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        let mut entries = Vec::with_capacity(names.len());
        for slot in names.values() {
            entries.push(Entry::Created { id: slot.id, name: slot.name.clone(), schema: slot.schema.clone() });
            entries.extend(slot.listed().map(|counts| Entry::Counted { id: slot.id, counts }));
        }
        drop(names);
        for (id, KeptSlot { slot, at_ms, until_ms }) in &*self.kept.read().unwrap_or_else(PoisonError::into_inner) {
            entries.push(Entry::Created { id: *id, name: slot.name.clone(), schema: slot.schema.clone() });
            entries.extend(slot.listed().map(|counts| Entry::Counted { id: *id, counts }));
            entries.push(Entry::Kept { id: *id, at_ms: *at_ms, until_ms: *until_ms });
        }
        let remains = self.remains.lock().unwrap_or_else(PoisonError::into_inner);
        entries.extend(remains.iter().map(|id| Entry::Deleted { id: *id }));
        entries
    }
}

/// What a group of changes comes to, before it is durable.
struct Draft<'a> {
    list: &'a NamespaceList,
    names: HashMap<NamespaceName, Option<Arc<Slot>>>,
    /// Deleted ones that are brought back or purged.
    unkept: HashSet<NamespaceId>,
    entries: Vec<Entry>,
}

impl Draft<'_> {
    fn decide(&mut self, change: &Change) -> Result<Arc<Slot>> {
        match change {
            Change::Create(slot, max) => {
                if let Some(taken) = self.get(&slot.name) {
                    return Ok(taken);
                }
                check_room(self.len(), *max)?;
                self.names.insert(slot.name.clone(), Some(Arc::clone(slot)));
                self.entries.push(Entry::Created { id: slot.id, name: slot.name.clone(), schema: slot.schema.clone() });
                self.entries.extend(slot.listed().map(|counts| Entry::Counted { id: slot.id, counts }));
                Ok(Arc::clone(slot))
            }
            Change::Delete(name, kept) => {
                let slot = self.get(name).ok_or_else(no_namespace)?;
                self.names.insert(name.clone(), None);
                self.entries.push(match kept {
                    Kept::NoLonger => Entry::Deleted { id: slot.id },
                    Kept::Until(until_ms) => Entry::Kept { id: slot.id, at_ms: self.list.shared.clock.now_ms(), until_ms: *until_ms },
                });
                Ok(slot)
            }
            Change::Restore(id) => {
                let kept = self.kept(*id)?;
                let name = &kept.slot.name;
                if self.get(name).is_some() {
                    let told = format!("There is a namespace '{}' again; delete it before the deleted one is brought back", name.as_str());
                    return Err(Error::already_exists(told));
                }
                self.names.insert(name.clone(), Some(Arc::clone(&kept.slot)));
                self.unkept.insert(*id);
                self.entries.push(Entry::Restored { id: *id });
                Ok(kept.slot)
            }
            Change::Purge(id) => {
                let kept = self.kept(*id)?;
                self.unkept.insert(*id);
                self.entries.push(Entry::Deleted { id: *id });
                Ok(kept.slot)
            }
            Change::Count(slot, counts) => self.known(slot, Entry::Counted { id: slot.id, counts: *counts }),
            Change::Written(slot) => self.known(slot, Entry::Written { id: slot.id }),
        }
    }

    fn known(&mut self, slot: &Arc<Slot>, entry: Entry) -> Result<Arc<Slot>> {
        match self.get(&slot.name) {
            Some(known) if known.id == slot.id => {
                self.entries.push(entry);
                Ok(known)
            }
            _ => Err(no_namespace()),
        }
    }

    fn kept(&self, id: NamespaceId) -> Result<KeptSlot> {
        let kept = self.list.kept.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        kept.filter(|_| !self.unkept.contains(&id)).ok_or_else(|| Error::not_found(format!("There is no deleted namespace {id}")))
    }

    /// How many namespaces there are once these changes are made.
    fn len(&self) -> usize {
        let there = |name: &NamespaceName| usize::from(self.list.get(name).is_some());
        let (made, gone) = self.names.iter().fold((0, 0), |(made, gone), (name, slot)| match slot {
            Some(_) => (made + 1 - there(name), gone),
            None => (made, gone + there(name)),
        });
        (self.list.len() + made).saturating_sub(gone)
    }

    fn get(&self, name: &NamespaceName) -> Option<Arc<Slot>> {
        self.names.get(name).cloned().unwrap_or_else(|| self.list.get(name))
    }
}

fn check_room(there: usize, max: u32) -> Result<()> {
    if there < max as usize {
        return Ok(());
    }
    let told = format!("The index has reached its limit of {max} namespaces; delete one, or raise the limit");
    Err(Error::new(ErrorCode::QuotaExceeded, told))
}

/// The folder of a namespace, as names of the store begin.
pub(crate) fn namespace_folder(index: IndexId, id: NamespaceId) -> String {
    format!("{}/namespaces/{}", Engine::index_folder(index), id.hex())
}

/// The folder of an index's namespace list.
pub(crate) fn list_folder(index: IndexId) -> String {
    format!("{}/namespace-list", Engine::index_folder(index))
}

fn log_options(shared: &Shared, index: IndexId, key: &Arc<DataKey>, after: Lsn) -> LogOptions {
    LogOptions { kind: LogKind::NAMESPACE_LIST, owner: *index.as_bytes(), keys: Arc::clone(key).into(), after, space: shared.store.space() }
}

async fn open_log(shared: &Shared, index: IndexId, key: &Arc<DataKey>, after: Lsn) -> Result<(Log, Vec<(Lsn, Bytes)>)> {
    let options = log_options(shared, index, key, after);
    log_blocking(shared, &list_folder(index), move |dir| Log::open(dir.to_owned(), options)).await
}

/// Reads every stored byte of the list of an index that is not in use; returns its namespaces.
pub(crate) async fn verify(shared: &Shared, index: IndexId, key: &Arc<DataKey>) -> Result<Vec<Arc<Slot>>> {
    let (_, snapshot) = snapshot::read_newest(shared, index, key).await?;
    let options = log_options(shared, index, key, snapshot.lsn);
    log_blocking(shared, &list_folder(index), move |dir| Log::check(dir, &options)).await?;
    let (_, frames) = open_log(shared, index, key, snapshot.lsn).await?;
    let Replayed { names, kept, .. } = replay(index, snapshot, frames)?;
    Ok(names.into_values().chain(kept.into_values().map(|kept| kept.slot)).collect())
}

/// What a list's entries come to.
struct Replayed {
    names: BTreeMap<NamespaceName, Arc<Slot>>,
    kept: BTreeMap<NamespaceId, KeptSlot>,
    /// Deleted namespaces of which something may be left.
    remains: Vec<NamespaceId>,
}

/// One namespace while entries are replayed.
struct Replay {
    name: NamespaceName,
    schema: Option<MetadataSchema>,
    counts: Option<Counts>,
    /// When it was deleted, and until when it is kept.
    kept: Option<(u64, u64)>,
}

fn replay(index: IndexId, snapshot: Snapshot, frames: Vec<(Lsn, Bytes)>) -> Result<Replayed> {
    let mut by_id: HashMap<NamespaceId, Replay> = HashMap::new();
    let mut remains = Vec::new();
    let mut logged = Vec::with_capacity(frames.len());
    for (lsn, frame) in &frames {
        let unreadable = || damaged(&list_folder(index), &format!("entry {lsn} of the log cannot be read"));
        logged.push(Entry::decode(frame).ok_or_else(unreadable)?);
    }
    for entry in snapshot.entries.into_iter().chain(logged) {
        let change = |by_id: &mut HashMap<_, _>, id: NamespaceId, change: &dyn Fn(&mut Replay)| {
            by_id.get_mut(&id).into_iter().for_each(change);
        };
        match entry {
            Entry::Created { id, name, schema } => drop(by_id.insert(id, Replay { name, schema, counts: None, kept: None })),
            Entry::Deleted { id } => {
                by_id.remove(&id);
                remains.push(id);
            }
            Entry::Counted { id, counts } => change(&mut by_id, id, &|n| n.counts = Some(counts)),
            Entry::Written { id } => change(&mut by_id, id, &|n| n.counts = None),
            Entry::Kept { id, at_ms, until_ms } => change(&mut by_id, id, &|n| n.kept = Some((at_ms, until_ms))),
            Entry::Restored { id } => change(&mut by_id, id, &|n| n.kept = None),
        }
    }
    let mut replayed = Replayed { names: BTreeMap::new(), kept: BTreeMap::new(), remains };
    for (id, Replay { name, schema, counts, kept }) in by_id {
        let slot = Slot::new(id, name.clone(), schema, counts);
        match kept {
            Some((at_ms, until_ms)) => drop(replayed.kept.insert(id, KeptSlot { slot, at_ms, until_ms })),
            None => drop(replayed.names.insert(name, slot)),
        }
    }
    Ok(replayed)
}

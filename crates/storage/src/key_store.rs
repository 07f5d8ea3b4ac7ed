//! Index, namespace and system keys, each sealed by the one above it: root key → index key → namespace key, root key → system key.
//!
//! They lie in one frame file, `keys`, whose frames are sealed under the root key; concurrent makers share one write and one sync.
//! In memory they stay wrapped; a few are kept open. The file is written anew, whole, and takes the place of the old one at once when
//! much of it is dead, when the root key changes, and after any failed write.
//!
//! A frame's plaintext is a sequence of entries:
//!
//! ```text
//! 0  1  what: 1 index key, 2 namespace key, 3 system key, 4 namespace key destroyed, 5 keys of an index destroyed
//! 1     whose: index id (16) | index id, namespace id (32) | length (1) and name | index id, namespace id (32) | index id (16)
//! for 1, 2, 3:
//!   16  key id
//!   32  salt
//!   48  wrapped key: AES-256-GCM of the 32 bytes and the tag; nonce zero, under a key of its own:
//!       HKDF-SHA-256(key above, salt, "pinyon wrap 1"); AAD = "pinyon key" ‖ what ‖ whose ‖ key id
//! ```

mod entry;
mod file;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use moka::sync::Cache;
use pinyon_model::{IndexId, NamespaceId};
use tokio::sync::oneshot;

use crate::fs::{self, Site};
use crate::{DataKey, KeyId, Purpose, Result, RootKey, Space, StorageError};
use entry::{Entries, Entry, Owner, Wrapped};
use file::KeyFile;

/// Reads bytes that nobody vouches for as entries; how many there are.
pub(crate) fn parse_entries(bytes: &[u8]) -> Option<usize> {
    let entries = entry::parse(bytes)?;
    let mut table = Entries::default();
    entries.iter().cloned().for_each(|e| table.apply(e));
    Some(table.len())
}

/// Room asked for when a key is made, in bytes: its entry, frame and share of a file written anew.
const KEY_BYTES: u64 = 512;
/// How many keys are kept open in memory.
const OPEN_KEYS: u64 = 4096;

/// The sealed store of index, namespace and system keys. Cheap to clone; clones are one store.
#[derive(Clone)]
pub struct KeyStore(Arc<Shared>);

impl std::fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyStore({} keys)", self.len())
    }
}

struct Shared {
    root: RwLock<RootKey>,
    /// What is durable, wrapped.
    entries: RwLock<Entries>,
    open: Cache<Owner, Arc<DataKey>>,
    /// Changes waiting for the next write.
    queue: Mutex<Queue>,
    /// Held while the file is written.
    file: Mutex<KeyFile>,
    space: Space,
    _lock: File,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Request>,
    /// Whether someone is writing, and will look again before it stops.
    busy: bool,
}

struct Request {
    change: Change,
    done: oneshot::Sender<Result<()>>,
}

enum Change {
    /// Make a key for this owner unless it has one.
    Create(Owner),
    /// Destroy the owner's key, and an index's namespace keys with it.
    Destroy(Owner),
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl KeyStore {
    /// Opens the key store in a folder, making and locking it; what a crash left half written is dropped. Blocking. `WrongRootKey`
    /// when it is sealed under another root key, `Damaged` when it is not what was written.
    pub fn open(dir: &Path, root: RootKey) -> Result<Self> {
        Self::open_in(dir, root, Space::unlimited())
    }

    /// As [`KeyStore::open`]; new indexes and namespaces ask `space` for room for their keys, and are refused with `Full` when only the
    /// reserve is left. Destroying keys needs no permission.
    pub fn open_in(dir: &Path, root: RootKey, space: Space) -> Result<Self> {
        fs::create_dir_all(Site::KeysDirCreate, Site::KeysDirParentSync, dir)?;
        let lock = fs::lock(Site::LockWrite, dir)?;
        let (file, entries) = KeyFile::open(dir, &root)?;
        Ok(Self(Arc::new(Shared {
            root: RwLock::new(root),
            entries: RwLock::new(entries),
            open: Cache::new(OPEN_KEYS),
            queue: Mutex::default(),
            file: Mutex::new(file),
            space,
            _lock: lock,
        })))
    }

    /// Makes an index's key; durable when it returns. If it has one already, that one is given.
    pub async fn create_index_key(&self, index: IndexId) -> Result<Arc<DataKey>> {
        self.create(Owner::Index(index)).await
    }

    /// An index's key; `KeyMissing` if it has none.
    pub fn index_key(&self, index: IndexId) -> Result<Arc<DataKey>> {
        self.0.key(&Owner::Index(index))
    }

    /// Makes a namespace's key; durable when it returns. If it has one already, that one is given. `KeyMissing` if the index has none.
    pub async fn create_namespace_key(&self, index: IndexId, namespace: NamespaceId) -> Result<Arc<DataKey>> {
        self.create(Owner::Namespace(index, namespace)).await
    }

    /// A namespace's key; `KeyMissing` if it has none.
    pub fn namespace_key(&self, index: IndexId, namespace: NamespaceId) -> Result<Arc<DataKey>> {
        self.0.key(&Owner::Namespace(index, namespace))
    }

    /// The key of a part of the system, made when first asked for. Names are 1 to 255 bytes.
    pub async fn system_key(&self, name: &'static str) -> Result<Arc<DataKey>> {
        if name.is_empty() || name.len() > 255 {
            return Err(StorageError::invalid("the name of a system key has 1 to 255 bytes"));
        }
        self.create(Owner::System(name.into())).await
    }

    /// Destroys a namespace's key and with it every copy of its data; durable when it returns. No error if there is none.
    pub async fn destroy_namespace_key(&self, index: IndexId, namespace: NamespaceId) -> Result<()> {
        self.request(Change::Destroy(Owner::Namespace(index, namespace))).await
    }

    /// Destroys an index's key and those of its namespaces; durable when it returns. No error if there is none.
    pub async fn destroy_index_keys(&self, index: IndexId) -> Result<()> {
        self.request(Change::Destroy(Owner::Index(index))).await
    }

    /// Wraps index and system keys under a new root key; namespace keys stay as they are. The new file takes the place of the old one at
    /// once. After an error either root key may be the one that opens the store, so keep both until this has returned well.
    pub async fn rotate_root(&self, new: RootKey) -> Result<()> {
        self.blocking(move |shared| {
            let mut file = locked(&shared.file);
            let old = shared.root();
            let entries = shared.entries().rewrapped(&old, &new)?;
            file.rewrite(&new, &entries)?;
            *shared.entries.write().unwrap_or_else(PoisonError::into_inner) = entries;
            *shared.root.write().unwrap_or_else(PoisonError::into_inner) = new;
            Ok(())
        })
        .await
    }

    /// Writes the file anew, without what was destroyed: the wrapped bytes of destroyed keys are gone from it then.
    pub async fn compact(&self) -> Result<()> {
        self.blocking(|shared| {
            let mut file = locked(&shared.file);
            let entries = shared.entries();
            file.rewrite(&shared.root(), &entries)
        })
        .await
    }

    /// The fingerprint of the root key in use.
    pub fn fingerprint(&self) -> KeyId {
        self.0.root().fingerprint()
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.0.entries().len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Opens every key; the number of them. `Damaged` if one does not open. Blocking.
    pub fn check(&self) -> Result<usize> {
        let owners = self.0.entries().owners();
        owners.iter().try_for_each(|owner| self.0.unwrap(owner).map(drop))?;
        Ok(owners.len())
    }

    async fn create(&self, owner: Owner) -> Result<Arc<DataKey>> {
        if !self.0.entries().contains(&owner) {
            let purpose = if matches!(owner, Owner::System(_)) { Purpose::Essential } else { Purpose::Data };
            self.0.space.take(KEY_BYTES, purpose)?;
            self.request(Change::Create(owner.clone())).await?;
        }
        self.0.key(&owner)
    }

    /// Queues a change and waits until it is durable. The writing goes on if the caller goes away.
    async fn request(&self, change: Change) -> Result<()> {
        let (done, answer) = oneshot::channel();
        let start = {
            let mut queue = locked(&self.0.queue);
            queue.waiting.push_back(Request { change, done });
            !std::mem::replace(&mut queue.busy, true)
        };
        if start {
            let shared = self.0.clone();
            tokio::task::spawn_blocking(move || write_queue(shared));
        }
        answer.await.unwrap_or_else(|_| Err(StorageError::invalid("the key store was closed")))
    }

    async fn blocking<T: Send + 'static>(&self, act: impl FnOnce(&Shared) -> Result<T> + Send + 'static) -> Result<T> {
        let shared = self.0.clone();
        let task = tokio::task::spawn_blocking(move || act(&shared));
        task.await.unwrap_or_else(|_| Err(StorageError::invalid("the key store was closed")))
    }
}

/// Writes what is queued, group by group, until nothing is. The last answers are sent when the store is let go of: whoever drops it
/// then may open it again at once.
fn write_queue(shared: Arc<Shared>) {
    let mut next = shared.next_group();
    while let Some(group) = next {
        let answers = shared.write_group(group);
        next = shared.next_group();
        if next.is_none() {
            drop(shared);
            return send(answers);
        }
        send(answers);
    }
}

fn send(answers: Vec<(oneshot::Sender<Result<()>>, Result<()>)>) {
    for (done, answer) in answers {
        let _ = done.send(answer);
    }
}

impl Shared {
    fn root(&self) -> RootKey {
        self.root.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn entries(&self) -> std::sync::RwLockReadGuard<'_, Entries> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The owner's key, from memory or unwrapped.
    fn key(&self, owner: &Owner) -> Result<Arc<DataKey>> {
        if let Some(key) = self.open.get(owner) {
            return Ok(key);
        }
        let key = self.unwrap(owner)?;
        self.open.insert(owner.clone(), key.clone());
        // Destroyed in between? Then it must not stay.
        if !self.entries().contains(owner) {
            self.open.invalidate(owner);
            return Err(owner.missing());
        }
        Ok(key)
    }

    fn unwrap(&self, owner: &Owner) -> Result<Arc<DataKey>> {
        let wrapped = self.entries().get(owner).ok_or_else(|| owner.missing())?;
        let opened = match owner {
            Owner::Namespace(index, _) => wrapped.unwrap(owner, self.key(&Owner::Index(*index))?.bytes()),
            Owner::Index(_) | Owner::System(_) => wrapped.unwrap(owner, self.root().bytes()),
        };
        opened.map(Arc::new)
    }

    /// Takes what is queued; `None`, and nobody is writing any more, if nothing is.
    fn next_group(&self) -> Option<Vec<Request>> {
        let mut queue = locked(&self.queue);
        queue.busy = !queue.waiting.is_empty();
        queue.busy.then(|| queue.waiting.drain(..).collect())
    }

    /// Makes a group of changes durable; the answers are for the caller to send.
    fn write_group(&self, group: Vec<Request>) -> Vec<(oneshot::Sender<Result<()>>, Result<()>)> {
        let mut file = locked(&self.file);
        let (mut added, mut accepted, mut answers) = (Vec::new(), Vec::new(), Vec::new());
        for Request { change, done } in group {
            match self.entry_for(&change, &added) {
                Ok(entry) => {
                    added.extend(entry);
                    accepted.push(done);
                }
                Err(e) => answers.push((done, Err(e))),
            }
        }
        let mut wrote = Ok(());
        if !added.is_empty() {
            wrote = file.append(&self.root(), &added, || self.entries().clone());
        }
        if wrote.is_ok() {
            self.publish(&added);
            file.compact_if_mostly_dead(&self.root(), &self.entries());
        }
        let mut failure = wrote.err();
        let failed = failure.is_some();
        // The first is told the cause; an error cannot be copied, so the others are told that they shared it.
        answers.extend(accepted.into_iter().map(|done| {
            let answer = if failed { Err(failure.take().unwrap_or_else(|| file.unwritten())) } else { Ok(()) };
            (done, answer)
        }));
        answers
    }

    /// The entry that makes a change happen; none if it is so already.
    fn entry_for(&self, change: &Change, added: &[Entry]) -> Result<Option<Entry>> {
        let now = |owner: &Owner| match added.iter().rev().find_map(|e| e.says_of(owner)) {
            Some(there) => there,
            None => self.entries().contains(owner),
        };
        match change {
            Change::Destroy(owner) => Ok(now(owner).then(|| Entry::Destroyed(owner.clone()))),
            Change::Create(owner) if now(owner) => Ok(None),
            Change::Create(owner) => {
                let wrapped = match owner {
                    Owner::Namespace(index, _) => Wrapped::fresh(owner, self.key(&Owner::Index(*index))?.bytes()),
                    Owner::Index(_) | Owner::System(_) => Wrapped::fresh(owner, self.root().bytes()),
                };
                Ok(Some(Entry::Key(owner.clone(), wrapped)))
            }
        }
    }

    fn publish(&self, added: &[Entry]) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        for entry in added {
            if let Entry::Destroyed(owner) = entry {
                let index = if let Owner::Index(index) = owner { Some(*index) } else { None };
                self.open.invalidate(owner);
                for gone in index.map(|i| entries.namespaces_of(i)).unwrap_or_default() {
                    self.open.invalidate(&gone);
                }
            }
            entries.apply(entry.clone());
        }
    }
}

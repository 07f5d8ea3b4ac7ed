//! Index, namespace, backup and system keys, each sealed by the one above it: root key → index key → namespace key, root key → backup or
//! system key. A *project key*, which a provider elsewhere seals, can stand in the root key's place above index and backup keys.
//!
//! They lie in one frame file, `keys`, whose frames are sealed under the root key; concurrent makers share one write and one sync.
//! In memory they stay wrapped; a few are kept open. The file is written anew, whole, and takes the place of the old one at once when
//! much of it is dead, when the root key changes, and after any failed write.
//!
//! A frame's plaintext is a sequence of entries; later ones win:
//!
//! ```text
//! 0  1  what: 1 index key, 2 namespace key, 3 system key, 4 namespace keys destroyed, 5 keys of an index destroyed, 6 project key,
//!       7 index key under a project key, 8 one namespace key destroyed, 9 backup key, 10 backup key under a project key,
//!       11 backup key destroyed, 12 project key destroyed
//! 1     whose: index id (16) | index id, namespace id (32) | length (1) and name | backup id (16) | project key id (16)
//! for 7 and 10: project key id 16
//! for 1, 2, 3, 7, 9, 10:
//!   16  key id
//!   32  salt
//!   48  wrapped key: AES-256-GCM of the 32 bytes and the tag; nonce zero, under a key of its own:
//!       HKDF-SHA-256(key above, salt, "pinyon wrap 1"); AAD = "pinyon key" ‖ what ‖ whose ‖ project key id, if any ‖ key id
//! for 6:
//!   32  check value: HMAC of the project key's id under itself
//!       length u32 ‖ what its provider answered
//! for 8: key id 16
//! ```
//!
//! A second key of a namespace becomes its current one, and those before it go on opening what they sealed. An index key with the id of
//! the one there is takes its place: it was wrapped anew.

mod changes;
mod entry;
mod file;
mod open_keys;
mod project_key;
mod table;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use pinyon_model::{BackupId, IndexId, NamespaceId};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::fs::{self, Site};
use crate::{DataKey, KeyId, KeyRing, Purpose, Result, RootKey, Space, StorageError};
use changes::{Change, Queue, Request, write_queue};
use entry::{Owner, SEALED_MAX, SealedProjectKey};
use file::KeyFile;
use open_keys::OpenKeys;
use table::Entries;

pub use entry::KeyAbove;
pub use project_key::ProjectKey;

/// Reads bytes that nobody vouches for as entries; how many there are.
pub(crate) fn parse_entries(bytes: &[u8]) -> Option<usize> {
    let entries = entry::parse(bytes)?;
    let mut table = Entries::default();
    entries.iter().cloned().for_each(|e| table.apply(e));
    Some(table.len())
}

/// Room asked for when a key is made, in bytes: its entry, frame and share of a file written anew.
const KEY_BYTES: u64 = 512;

/// What is wrapped under one project key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeysUnder {
    /// The indexes whose keys are.
    pub indexes: Vec<IndexId>,
    /// The backups whose keys are.
    pub backups: Vec<BackupId>,
}

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
    open: OpenKeys,
    /// The project keys that their providers opened.
    unlocked: RwLock<HashMap<KeyId, Arc<DataKey>>>,
    /// Changes waiting for the next write.
    queue: Mutex<Queue>,
    /// Held while the file is written.
    file: Mutex<KeyFile>,
    space: Space,
    _lock: File,
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
            open: OpenKeys::default(),
            unlocked: RwLock::default(),
            queue: Mutex::default(),
            file: Mutex::new(file),
            space,
            _lock: lock,
        })))
    }

    /// Makes an index's key under the root key; durable when it returns. If it has one already, that one is given.
    pub async fn create_index_key(&self, index: IndexId) -> Result<Arc<DataKey>> {
        self.create_index_key_under(index, KeyAbove::Root).await
    }

    /// As [`KeyStore::create_index_key`], wrapped by the key `above`. `KeyLocked` if that is a project key that is not unlocked.
    pub async fn create_index_key_under(&self, index: IndexId, above: KeyAbove) -> Result<Arc<DataKey>> {
        self.create(Owner::Index(index), above).await
    }

    /// An index's key. `KeyMissing` if it has none; `KeyLocked` here and everywhere if it lies under a project key that is locked.
    pub fn index_key(&self, index: IndexId) -> Result<Arc<DataKey>> {
        self.0.current(&Owner::Index(index))
    }

    /// Makes a namespace's key; durable when it returns. If it has one already, that one is given. `KeyMissing` if the index has none.
    pub async fn create_namespace_key(&self, index: IndexId, namespace: NamespaceId) -> Result<Arc<DataKey>> {
        self.create(Owner::Namespace(index, namespace), KeyAbove::Root).await
    }

    /// A namespace's current key; `KeyMissing` if it has none.
    pub fn namespace_key(&self, index: IndexId, namespace: NamespaceId) -> Result<Arc<DataKey>> {
        self.0.current(&Owner::Namespace(index, namespace))
    }

    /// All keys of a namespace; `KeyMissing` if it has none.
    pub fn namespace_keys(&self, index: IndexId, namespace: NamespaceId) -> Result<Arc<KeyRing>> {
        self.0.ring(&Owner::Namespace(index, namespace))
    }

    /// Makes a further key for a namespace, its current one from now on; durable when it returns.
    pub async fn rotate_namespace_key(&self, index: IndexId, namespace: NamespaceId) -> Result<Arc<KeyRing>> {
        self.0.space.take(KEY_BYTES, Purpose::Essential)?;
        self.request(Change::Rotate(index, namespace)).await?;
        self.0.ring(&Owner::Namespace(index, namespace))
    }

    /// Gives keys that were others' to a new namespace, which open what they sealed, and a new current key; durable when it returns.
    /// `Invalid` if the namespace has keys.
    pub async fn adopt_namespace_keys(&self, index: IndexId, namespace: NamespaceId, older: Vec<Arc<DataKey>>) -> Result<Arc<KeyRing>> {
        self.0.space.take(KEY_BYTES * (1 + older.len() as u64), Purpose::Data)?;
        self.request(Change::Adopt(index, namespace, older)).await?;
        self.0.ring(&Owner::Namespace(index, namespace))
    }

    /// The key of a part of the system, made when first asked for. Names are 1 to 255 bytes.
    pub async fn system_key(&self, name: &'static str) -> Result<Arc<DataKey>> {
        if name.is_empty() || name.len() > 255 {
            return Err(StorageError::invalid("the name of a system key has 1 to 255 bytes"));
        }
        self.create(Owner::System(name.into()), KeyAbove::Root).await
    }

    /// Makes a backup's key; durable when it returns. If it has one already, that one is given.
    pub async fn create_backup_key(&self, backup: BackupId, above: KeyAbove) -> Result<Arc<DataKey>> {
        self.create(Owner::Backup(backup), above).await
    }

    /// A backup's key; `KeyMissing` if it has none.
    pub fn backup_key(&self, backup: BackupId) -> Result<Arc<DataKey>> {
        self.0.current(&Owner::Backup(backup))
    }

    /// Gives a backup a key that was made elsewhere; durable when it returns. `Invalid` if it has one.
    pub async fn import_backup_key(&self, backup: BackupId, key: Arc<DataKey>, above: KeyAbove) -> Result<()> {
        self.0.space.take(KEY_BYTES, Purpose::Data)?;
        self.request(Change::Import(Owner::Backup(backup), key, above)).await
    }

    /// Destroys a backup's key; durable when it returns. No error if there is none.
    pub async fn destroy_backup_key(&self, backup: BackupId) -> Result<()> {
        self.request(Change::Destroy(Owner::Backup(backup))).await
    }

    /// Destroys all keys of a namespace and with them every copy of its data; durable when it returns. No error if there is none.
    pub async fn destroy_namespace_key(&self, index: IndexId, namespace: NamespaceId) -> Result<()> {
        self.request(Change::Destroy(Owner::Namespace(index, namespace))).await
    }

    /// Destroys one of the older keys of a namespace; durable when it returns. `Invalid` if it is the current one.
    pub async fn destroy_older_namespace_key(&self, index: IndexId, namespace: NamespaceId, key: KeyId) -> Result<()> {
        self.request(Change::DestroyOlder(index, namespace, key)).await
    }

    /// Destroys an index's key and those of its namespaces; durable when it returns. No error if there is none.
    pub async fn destroy_index_keys(&self, index: IndexId) -> Result<()> {
        self.request(Change::Destroy(Owner::Index(index))).await
    }

    /// Wraps an index's key by another key above; what lies under it stays. Durable when it returns. Both keys above must be at hand.
    pub async fn rewrap_index_key(&self, index: IndexId, above: KeyAbove) -> Result<()> {
        self.request(Change::Rewrap(Owner::Index(index), above)).await
    }

    /// As [`KeyStore::rewrap_index_key`], of a backup's key.
    pub async fn rewrap_backup_key(&self, backup: BackupId, above: KeyAbove) -> Result<()> {
        self.request(Change::Rewrap(Owner::Backup(backup), above)).await
    }

    /// The ids of the keys of an index and of its namespaces, in ascending order, also of those that are locked; none if there is none.
    pub fn index_key_ids(&self, index: IndexId) -> Vec<KeyId> {
        let entries = self.0.entries();
        let mut ids = entries.ids(&Owner::Index(index));
        ids.extend(entries.namespaces_of(index).iter().flat_map(|namespace| entries.ids(namespace)));
        ids.sort_unstable();
        ids
    }

    /// The ids of a namespace's keys, the current one last, also when they are locked.
    pub fn namespace_key_ids(&self, index: IndexId, namespace: NamespaceId) -> Vec<KeyId> {
        self.0.entries().ids(&Owner::Namespace(index, namespace))
    }

    /// The id of a backup's key, also when it is locked.
    pub fn backup_key_id(&self, backup: BackupId) -> Option<KeyId> {
        self.0.entries().ids(&Owner::Backup(backup)).pop()
    }

    /// The backups that have a key, locked or not.
    pub fn backups(&self) -> Vec<BackupId> {
        self.0.entries().backup_ids()
    }

    /// What wraps an index's key; none if it has none.
    pub fn above_index(&self, index: IndexId) -> Option<KeyAbove> {
        self.0.entries().get(&Owner::Index(index)).last().map(|key| key.above)
    }

    /// What wraps a backup's key; none if it has none.
    pub fn above_backup(&self, backup: BackupId) -> Option<KeyAbove> {
        self.0.entries().get(&Owner::Backup(backup)).last().map(|key| key.above)
    }

    /// Keeps a new project key as its provider sealed it, in at most 16 KiB, and a value by which the right one is told from any other; the
    /// key is unlocked then. Durable when it returns.
    pub async fn put_project_key(&self, key: &ProjectKey, sealed_by_provider: &[u8]) -> Result<()> {
        if sealed_by_provider.len() > SEALED_MAX {
            return Err(StorageError::invalid(format!("a sealed project key has at most {SEALED_MAX} bytes")));
        }
        let open = key.data_key();
        let sealed = SealedProjectKey { check: project_key::check_value(&open), sealed: sealed_by_provider.into() };
        self.0.space.take(KEY_BYTES + sealed_by_provider.len() as u64, Purpose::Essential)?;
        self.request(Change::PutProject(key.id(), sealed)).await?;
        self.0.unlock(open);
        Ok(())
    }

    /// What the provider of a project key answered when it sealed it.
    pub fn sealed_project_key(&self, id: KeyId) -> Option<Vec<u8>> {
        self.0.entries().project(id).map(|key| key.sealed.to_vec())
    }

    /// Takes what the provider of a project key answered for the key itself. `Invalid` if it is another one, `KeyMissing` if there is none.
    pub fn unlock_project_key(&self, id: KeyId, bytes: Zeroizing<[u8; 32]>) -> Result<()> {
        let missing = || StorageError::KeyMissing { what: format!("project key {id}") };
        let check = self.0.entries().project(id).ok_or_else(missing)?.check;
        let key = DataKey::from_parts(id, *bytes);
        if !project_key::fits(&key, &check) {
            return Err(StorageError::invalid(format!("what was given for project key {id} is another key")));
        }
        self.0.unlock(key);
        Ok(())
    }

    /// The project keys there are, locked or not.
    pub fn project_keys(&self) -> Vec<KeyId> {
        self.0.entries().project_ids()
    }

    /// Forgets a project key and every key below it, at once; whoever still holds one of these keeps it.
    pub fn lock_project_key(&self, id: KeyId) {
        self.0.unlocked.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
        let entries = self.0.entries();
        let (indexes, backups) = entries.under(id);
        let namespaces = indexes.iter().flat_map(|index| entries.namespaces_of(*index));
        let owners = indexes.iter().map(|index| Owner::Index(*index)).chain(backups.iter().map(|backup| Owner::Backup(*backup)));
        owners.chain(namespaces).for_each(|owner| self.0.open.forget(&owner));
    }

    /// Destroys a project key, in the file too; durable when it returns. `Invalid` while the key of an index or backup is wrapped by it.
    pub async fn destroy_project_key(&self, id: KeyId) -> Result<()> {
        self.request(Change::DestroyProject(id)).await?;
        self.lock_project_key(id);
        self.compact().await
    }

    /// What is wrapped by a project key.
    pub fn under_project_key(&self, id: KeyId) -> KeysUnder {
        let (indexes, backups) = self.0.entries().under(id);
        KeysUnder { indexes, backups }
    }

    /// Wraps what the root key wraps under a new one; namespace keys, and what lies under project keys, stay as they are. The new file takes the place of the old one at
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

    /// Opens every key that is not below a locked project key; the number of owners whose keys were opened. `Damaged` if one does not open.
    /// Blocking.
    pub fn check(&self) -> Result<usize> {
        let owners = self.0.entries().owners();
        owners.iter().try_fold(0, |opened, owner| match self.0.unwrap(owner) {
            Ok(_) => Ok(opened + 1),
            Err(StorageError::KeyLocked { .. }) => Ok(opened),
            Err(error) => Err(error),
        })
    }

    async fn create(&self, owner: Owner, above: KeyAbove) -> Result<Arc<DataKey>> {
        if !self.0.entries().contains(&owner) {
            let purpose = if matches!(owner, Owner::System(_)) { Purpose::Essential } else { Purpose::Data };
            self.0.space.take(KEY_BYTES, purpose)?;
            self.request(Change::Create(owner.clone(), above)).await?;
        }
        self.0.current(&owner)
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

impl Shared {
    fn root(&self) -> RootKey {
        self.root.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn entries(&self) -> std::sync::RwLockReadGuard<'_, Entries> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn unlocked(&self) -> std::sync::RwLockReadGuard<'_, HashMap<KeyId, Arc<DataKey>>> {
        self.unlocked.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn unlock(&self, key: DataKey) {
        self.unlocked.write().unwrap_or_else(PoisonError::into_inner).insert(key.id(), Arc::new(key));
    }

    fn current(&self, owner: &Owner) -> Result<Arc<DataKey>> {
        Ok(Arc::clone(self.ring(owner)?.current()))
    }

    /// The owner's keys, from memory or unwrapped.
    fn ring(&self, owner: &Owner) -> Result<Arc<KeyRing>> {
        if let Some(ring) = self.open.get(owner) {
            return Ok(ring);
        }
        let ring = self.unwrap(owner)?;
        self.open.insert(owner.clone(), Arc::clone(&ring));
        // Destroyed, rotated or locked in between? Then it must not stay.
        let now = self.entries().get(owner);
        let ids = ring.older().iter().chain([ring.current()]).map(|key| key.id());
        if !ids.eq(now.iter().map(|key| key.key_id)) || self.is_locked(owner) {
            self.open.forget(owner);
            return self.unwrap(owner);
        }
        Ok(ring)
    }

    fn unwrap(&self, owner: &Owner) -> Result<Arc<KeyRing>> {
        let mut wrapped = self.entries().get(owner);
        let current = wrapped.pop().ok_or_else(|| owner.missing())?;
        let open = |key: &entry::Wrapped| self.with_key_above(owner, key.above, |above| key.unwrap(owner, above).map(Arc::new))?;
        let older = wrapped.iter().map(open).collect::<Result<_>>()?;
        Ok(Arc::new(KeyRing::new(open(&current)?, older)))
    }

    /// Lends the key that wraps, or is to wrap, an owner's key; of a namespace's that is always its index's.
    fn with_key_above<T>(&self, owner: &Owner, above: KeyAbove, run: impl FnOnce(&[u8; 32]) -> T) -> Result<T> {
        match (owner, above) {
            (Owner::Namespace(index, _), _) => Ok(run(self.current(&Owner::Index(*index))?.bytes())),
            (_, KeyAbove::Root) => Ok(run(self.root().bytes())),
            (_, KeyAbove::Project(id)) => {
                let key = self.unlocked().get(&id).cloned();
                Ok(run(key.ok_or_else(|| StorageError::KeyLocked { what: owner.told() })?.bytes()))
            }
        }
    }

    /// Whether an owner's key lies below a project key that is locked.
    fn is_locked(&self, owner: &Owner) -> bool {
        let outer = match owner {
            Owner::Namespace(index, _) => &Owner::Index(*index),
            owner => owner,
        };
        match self.entries().get(outer).last().map(|key| key.above) {
            Some(KeyAbove::Project(id)) => !self.unlocked().contains_key(&id),
            _ => false,
        }
    }
}

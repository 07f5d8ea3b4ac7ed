//! The table that the entries of the key store add up to.

use std::collections::{BTreeMap, HashMap};

use pinyon_model::{BackupId, IndexId, NamespaceId};

use super::entry::{Entry, KeyAbove, Owner, SealedProjectKey, Wrapped, push_key, push_project};
use crate::{KeyId, Result, RootKey};

/// The keys of one index.
#[derive(Debug, Clone)]
struct IndexKeys {
    key: Wrapped,
    namespaces: HashMap<NamespaceId, NamespaceKeys>,
}

/// The keys of one namespace.
#[derive(Debug, Clone)]
struct NamespaceKeys {
    current: Wrapped,
    /// Oldest first.
    older: Vec<Wrapped>,
}

impl NamespaceKeys {
    fn all(&self) -> impl Iterator<Item = &Wrapped> {
        self.older.iter().chain([&self.current])
    }
}

impl IndexKeys {
    fn len(&self) -> usize {
        1 + self.namespaces.values().map(|n| 1 + n.older.len()).sum::<usize>()
    }
}

/// Every key there is, wrapped: about 150 bytes each.
#[derive(Debug, Clone, Default)]
pub(super) struct Entries {
    indexes: HashMap<IndexId, IndexKeys>,
    system: BTreeMap<Box<str>, Wrapped>,
    backups: HashMap<BackupId, Wrapped>,
    projects: HashMap<KeyId, SealedProjectKey>,
    count: usize,
}

impl Entries {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The owner's keys, the current one last.
    pub(super) fn get(&self, owner: &Owner) -> Vec<Wrapped> {
        match owner {
            Owner::Index(index) => self.indexes.get(index).map(|i| i.key).into_iter().collect(),
            Owner::Namespace(index, namespace) => {
                let keys = self.indexes.get(index).and_then(|i| i.namespaces.get(namespace));
                keys.into_iter().flat_map(NamespaceKeys::all).copied().collect()
            }
            Owner::System(name) => self.system.get(name).copied().into_iter().collect(),
            Owner::Backup(backup) => self.backups.get(backup).copied().into_iter().collect(),
        }
    }

    /// The ids of the owner's keys, the current one last.
    pub(super) fn ids(&self, owner: &Owner) -> Vec<KeyId> {
        self.get(owner).iter().map(|key| key.key_id).collect()
    }

    pub(super) fn contains(&self, owner: &Owner) -> bool {
        match owner {
            Owner::Index(index) => self.indexes.contains_key(index),
            Owner::Namespace(index, namespace) => self.indexes.get(index).is_some_and(|i| i.namespaces.contains_key(namespace)),
            Owner::System(name) => self.system.contains_key(name),
            Owner::Backup(backup) => self.backups.contains_key(backup),
        }
    }

    pub(super) fn project(&self, id: KeyId) -> Option<&SealedProjectKey> {
        self.projects.get(&id)
    }

    pub(super) fn project_ids(&self) -> Vec<KeyId> {
        self.projects.keys().copied().collect()
    }

    pub(super) fn backup_ids(&self) -> Vec<BackupId> {
        self.backups.keys().copied().collect()
    }

    /// The indexes and the backups whose keys are wrapped under a project key.
    pub(super) fn under(&self, id: KeyId) -> (Vec<IndexId>, Vec<BackupId>) {
        let above = KeyAbove::Project(id);
        let indexes = self.indexes.iter().filter(|(_, keys)| keys.key.above == above).map(|(index, _)| *index).collect();
        let backups = self.backups.iter().filter(|(_, key)| key.above == above).map(|(backup, _)| *backup).collect();
        (indexes, backups)
    }

    /// Takes one change in. A namespace key of an index that has none is dropped: nothing could open it.
    pub(super) fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Key(Owner::Index(index), key) => match self.indexes.get_mut(&index) {
                // The same key, wrapped anew: what lies under it stays.
                Some(keys) if keys.key.key_id == key.key_id => keys.key = key,
                _ => {
                    let replaced = self.indexes.insert(index, IndexKeys { key, namespaces: HashMap::new() });
                    self.count = self.count + 1 - replaced.map_or(0, |i| i.len());
                }
            },
            Entry::Key(Owner::Namespace(index, namespace), key) => self.put_namespace(index, namespace, key),
            Entry::Key(Owner::System(name), key) => self.count += usize::from(self.system.insert(name, key).is_none()),
            Entry::Key(Owner::Backup(backup), key) => self.count += usize::from(self.backups.insert(backup, key).is_none()),
            Entry::Destroyed(Owner::Index(index)) => self.count -= self.indexes.remove(&index).map_or(0, |i| i.len()),
            Entry::Destroyed(Owner::Namespace(index, namespace)) => {
                let removed = self.indexes.get_mut(&index).and_then(|i| i.namespaces.remove(&namespace));
                self.count -= removed.map_or(0, |keys| 1 + keys.older.len());
            }
            Entry::Destroyed(Owner::System(name)) => self.count -= usize::from(self.system.remove(&name).is_some()),
            Entry::Destroyed(Owner::Backup(backup)) => self.count -= usize::from(self.backups.remove(&backup).is_some()),
            Entry::NamespaceKeyDestroyed(index, namespace, id) => {
                if let Some(keys) = self.indexes.get_mut(&index).and_then(|i| i.namespaces.get_mut(&namespace)) {
                    let before = keys.older.len();
                    keys.older.retain(|key| key.key_id != id);
                    self.count -= before - keys.older.len();
                }
            }
            Entry::Project(id, key) => self.count += usize::from(self.projects.insert(id, key).is_none()),
            Entry::ProjectDestroyed(id) => self.count -= usize::from(self.projects.remove(&id).is_some()),
        }
    }

    fn put_namespace(&mut self, index: IndexId, namespace: NamespaceId, key: Wrapped) {
        let Some(index) = self.indexes.get_mut(&index) else { return };
        self.count += 1;
        match index.namespaces.get_mut(&namespace) {
            Some(keys) => keys.older.push(std::mem::replace(&mut keys.current, key)),
            None => drop(index.namespaces.insert(namespace, NamespaceKeys { current: key, older: Vec::new() })),
        }
    }

    pub(super) fn namespaces_of(&self, index: IndexId) -> Vec<Owner> {
        let namespaces = self.indexes.get(&index).map(|i| i.namespaces.keys());
        namespaces.into_iter().flatten().map(|n| Owner::Namespace(index, *n)).collect()
    }

    pub(super) fn owners(&self) -> Vec<Owner> {
        let system = self.system.keys().map(|name| Owner::System(name.clone()));
        let backups = self.backups.keys().map(|backup| Owner::Backup(*backup));
        let indexes = self.indexes.keys().flat_map(|i| std::iter::once(Owner::Index(*i)).chain(self.namespaces_of(*i)));
        system.chain(backups).chain(indexes).collect()
    }

    /// The table with what the root key wraps wrapped under a new one; what lies further down stays as it is.
    pub(super) fn rewrapped(&self, old: &RootKey, new: &RootKey) -> Result<Self> {
        let again = |owner: &Owner, wrapped: &mut Wrapped| -> Result<()> {
            if wrapped.above == KeyAbove::Root {
                let key = wrapped.unwrap(owner, old.bytes())?;
                *wrapped = Wrapped::wrap(owner, key.id(), key.bytes(), KeyAbove::Root, new.bytes());
            }
            Ok(())
        };
        let mut out = self.clone();
        for (index, keys) in &mut out.indexes {
            again(&Owner::Index(*index), &mut keys.key)?;
        }
        for (backup, key) in &mut out.backups {
            again(&Owner::Backup(*backup), key)?;
        }
        for (name, key) in &mut out.system {
            again(&Owner::System(name.clone()), key)?;
        }
        Ok(out)
    }

    /// Every key as entries' bytes, cut into frames of about `frame_bytes`; an index comes before its namespaces, a namespace's older
    /// keys before its current one.
    pub(super) fn encode(&self, frame_bytes: usize) -> Vec<Vec<u8>> {
        let mut frames = Frames { frames: vec![Vec::new()], frame_bytes };
        for (id, key) in &self.projects {
            push_project(*id, key, frames.next());
        }
        for (name, key) in &self.system {
            push_key(&Owner::System(name.clone()), key, frames.next());
        }
        for (backup, key) in &self.backups {
            push_key(&Owner::Backup(*backup), key, frames.next());
        }
        for (index, keys) in &self.indexes {
            push_key(&Owner::Index(*index), &keys.key, frames.next());
            for (namespace, keys) in &keys.namespaces {
                keys.all().for_each(|key| push_key(&Owner::Namespace(*index, *namespace), key, frames.next()));
            }
        }
        frames.frames.retain(|f| !f.is_empty());
        frames.frames
    }
}

struct Frames {
    frames: Vec<Vec<u8>>,
    frame_bytes: usize,
}

impl Frames {
    /// Where the next entry goes.
    fn next(&mut self) -> &mut Vec<u8> {
        if self.frames.last().is_none_or(|f| f.len() >= self.frame_bytes) {
            self.frames.push(Vec::new());
        }
        let last = self.frames.len() - 1;
        &mut self.frames[last]
    }
}

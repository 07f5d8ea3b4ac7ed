//! Entries of the key store: their bytes, how a key is wrapped, and the table they add up to.

use std::collections::{BTreeMap, HashMap};

use pinyon_model::{IndexId, NamespaceId};
use zeroize::Zeroizing;

use crate::crypto::{self, SALT, Sealer, TAG};
use crate::{DataKey, KeyId, Result, RootKey, StorageError};

/// Whose key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Owner {
    Index(IndexId),
    Namespace(IndexId, NamespaceId),
    System(Box<str>),
}

impl Owner {
    fn what(&self) -> u8 {
        match self {
            Self::Index(_) => 1,
            Self::Namespace(..) => 2,
            Self::System(_) => 3,
        }
    }

    fn push(&self, out: &mut Vec<u8>) {
        match self {
            Self::Index(index) => out.extend_from_slice(index.as_bytes()),
            Self::Namespace(index, namespace) => {
                out.extend_from_slice(index.as_bytes());
                out.extend_from_slice(namespace.as_bytes());
            }
            Self::System(name) => {
                out.push(name.len() as u8);
                out.extend_from_slice(name.as_bytes());
            }
        }
    }

    pub(super) fn missing(&self) -> StorageError {
        let what = match self {
            Self::Index(index) => format!("index {index}"),
            Self::Namespace(index, namespace) => format!("namespace {namespace} of index {index}"),
            Self::System(name) => format!("'{name}'"),
        };
        StorageError::KeyMissing { what }
    }
}

/// A key sealed by the key above it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Wrapped {
    key_id: KeyId,
    salt: [u8; SALT],
    sealed: [u8; 32 + TAG],
}

impl std::fmt::Debug for Wrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wrapped({})", self.key_id)
    }
}

impl Wrapped {
    /// A new random key for `owner`, wrapped under the key above.
    pub(super) fn fresh(owner: &Owner, above: &[u8; 32]) -> Self {
        let key = Zeroizing::new(crypto::random_bytes::<32>());
        Self::wrap(owner, KeyId(crypto::random_bytes()), &key, above)
    }

    fn wrap(owner: &Owner, key_id: KeyId, key: &[u8; 32], above: &[u8; 32]) -> Self {
        let salt = crypto::random_bytes();
        let mut sealed = [0; 32 + TAG];
        sealed[..32].copy_from_slice(key);
        let tag = Self::sealer(&salt, above).seal([0; 12], &Self::aad(owner, key_id), &mut sealed[..32]);
        sealed[32..].copy_from_slice(&tag);
        Self { key_id, salt, sealed }
    }

    /// The key itself. Wrapped keys are always encrypted, whatever cipher data is written with.
    pub(super) fn unwrap(&self, owner: &Owner, above: &[u8; 32]) -> Result<DataKey> {
        let mut key = Zeroizing::new([0; 32]);
        Self::sealer(&self.salt, above)
            .open([0; 12], &Self::aad(owner, self.key_id), &self.sealed[..32], &self.sealed[32..], key.as_mut())
            .map_err(|_| StorageError::damaged("keys", format!("the key of {owner:?} does not open")))?;
        Ok(DataKey::from_parts(self.key_id, *key))
    }

    fn sealer(salt: &[u8; SALT], above: &[u8; 32]) -> Sealer {
        Sealer::new(crypto::CIPHER_AES_256_GCM, above, salt, &[b"pinyon wrap 1"])
    }

    fn aad(owner: &Owner, key_id: KeyId) -> Vec<u8> {
        let mut aad = b"pinyon key".to_vec();
        aad.push(owner.what());
        owner.push(&mut aad);
        aad.extend_from_slice(&key_id.0);
        aad
    }
}

/// One change of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    Key(Owner, Wrapped),
    /// Of a namespace, or of an index with all its namespaces.
    Destroyed(Owner),
}

impl Entry {
    pub(super) fn push(&self, out: &mut Vec<u8>) {
        match self {
            Self::Key(owner, wrapped) => push_key(owner, wrapped, out),
            Self::Destroyed(owner) => {
                out.push(if matches!(owner, Owner::Index(_)) { 5 } else { 4 });
                owner.push(out);
            }
        }
    }

    /// Whether, after this entry, the owner has a key; `None` if it says nothing of it.
    pub(super) fn says_of(&self, owner: &Owner) -> Option<bool> {
        match (self, owner) {
            (Self::Key(of, _), _) if of == owner => Some(true),
            (Self::Destroyed(of), _) if of == owner => Some(false),
            (Self::Destroyed(Owner::Index(of)), Owner::Namespace(index, _)) if of == index => Some(false),
            _ => None,
        }
    }
}

fn push_key(owner: &Owner, wrapped: &Wrapped, out: &mut Vec<u8>) {
    out.push(owner.what());
    owner.push(out);
    out.extend_from_slice(&wrapped.key_id.0);
    out.extend_from_slice(&wrapped.salt);
    out.extend_from_slice(&wrapped.sealed);
}

/// Reads the entries of one frame. `None` if they are not what this version writes.
pub(super) fn parse(mut bytes: &[u8]) -> Option<Vec<Entry>> {
    let mut entries = Vec::new();
    while let Some((&what, rest)) = bytes.split_first() {
        bytes = rest;
        let owner = match what {
            1 | 5 => Owner::Index(IndexId::from_bytes(take(&mut bytes)?)),
            2 | 4 => Owner::Namespace(IndexId::from_bytes(take(&mut bytes)?), NamespaceId::from_bytes(take(&mut bytes)?)),
            3 => {
                let [len] = take(&mut bytes)?;
                let (name, rest) = bytes.split_at_checked(usize::from(len))?;
                bytes = rest;
                Owner::System(std::str::from_utf8(name).ok()?.into())
            }
            _ => return None,
        };
        entries.push(match what {
            4 | 5 => Entry::Destroyed(owner),
            _ => {
                let wrapped = Wrapped { key_id: KeyId(take(&mut bytes)?), salt: take(&mut bytes)?, sealed: take(&mut bytes)? };
                Entry::Key(owner, wrapped)
            }
        });
    }
    Some(entries)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*taken)
}

/// The keys of one index.
#[derive(Debug, Clone)]
struct IndexKeys {
    key: Wrapped,
    namespaces: HashMap<NamespaceId, Wrapped>,
}

/// Every key there is, wrapped: about 130 bytes each.
#[derive(Debug, Clone, Default)]
pub(super) struct Entries {
    indexes: HashMap<IndexId, IndexKeys>,
    system: BTreeMap<Box<str>, Wrapped>,
    count: usize,
}

impl Entries {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn get(&self, owner: &Owner) -> Option<Wrapped> {
        match owner {
            Owner::Index(index) => self.indexes.get(index).map(|i| i.key),
            Owner::Namespace(index, namespace) => self.indexes.get(index)?.namespaces.get(namespace).copied(),
            Owner::System(name) => self.system.get(name).copied(),
        }
    }

    pub(super) fn contains(&self, owner: &Owner) -> bool {
        match owner {
            Owner::Index(index) => self.indexes.contains_key(index),
            Owner::Namespace(index, namespace) => self.indexes.get(index).is_some_and(|i| i.namespaces.contains_key(namespace)),
            Owner::System(name) => self.system.contains_key(name),
        }
    }

    /// Takes one change in. A namespace key of an index that has none is dropped: nothing could open it.
    pub(super) fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Key(Owner::Index(index), key) => {
                if let Some(replaced) = self.indexes.insert(index, IndexKeys { key, namespaces: HashMap::new() }) {
                    self.count -= 1 + replaced.namespaces.len();
                }
                self.count += 1;
            }
            Entry::Key(Owner::Namespace(index, namespace), key) => {
                if let Some(index) = self.indexes.get_mut(&index) {
                    self.count += usize::from(index.namespaces.insert(namespace, key).is_none());
                }
            }
            Entry::Key(Owner::System(name), key) => self.count += usize::from(self.system.insert(name, key).is_none()),
            Entry::Destroyed(Owner::Index(index)) => {
                self.count -= self.indexes.remove(&index).map_or(0, |i| 1 + i.namespaces.len());
            }
            Entry::Destroyed(Owner::Namespace(index, namespace)) => {
                let removed = self.indexes.get_mut(&index).and_then(|i| i.namespaces.remove(&namespace));
                self.count -= usize::from(removed.is_some());
            }
            Entry::Destroyed(Owner::System(name)) => self.count -= usize::from(self.system.remove(&name).is_some()),
        }
    }

    pub(super) fn namespaces_of(&self, index: IndexId) -> Vec<Owner> {
        let namespaces = self.indexes.get(&index).map(|i| i.namespaces.keys());
        namespaces.into_iter().flatten().map(|n| Owner::Namespace(index, *n)).collect()
    }

    pub(super) fn owners(&self) -> Vec<Owner> {
        let system = self.system.keys().map(|name| Owner::System(name.clone()));
        let indexes = self.indexes.keys().flat_map(|i| std::iter::once(Owner::Index(*i)).chain(self.namespaces_of(*i)));
        system.chain(indexes).collect()
    }

    /// The table with index and system keys wrapped under a new root key; namespace keys, under their index's, stay as they are.
    pub(super) fn rewrapped(&self, old: &RootKey, new: &RootKey) -> Result<Self> {
        let again = |owner: &Owner, wrapped: &Wrapped| -> Result<Wrapped> {
            let key = wrapped.unwrap(owner, old.bytes())?;
            Ok(Wrapped::wrap(owner, key.id(), key.bytes(), new.bytes()))
        };
        let mut out = self.clone();
        for (index, keys) in &mut out.indexes {
            keys.key = again(&Owner::Index(*index), &keys.key)?;
        }
        for (name, key) in &mut out.system {
            *key = again(&Owner::System(name.clone()), key)?;
        }
        Ok(out)
    }

    /// Every key as entries' bytes, cut into frames of about `frame_bytes`; an index comes before its namespaces.
    pub(super) fn encode(&self, frame_bytes: usize) -> Vec<Vec<u8>> {
        let mut frames = vec![Vec::new()];
        let mut push = |owner: &Owner, wrapped: &Wrapped| {
            if frames.last().is_none_or(|f| f.len() >= frame_bytes) {
                frames.push(Vec::new());
            }
            if let Some(frame) = frames.last_mut() {
                push_key(owner, wrapped, frame);
            }
        };
        for (name, key) in &self.system {
            push(&Owner::System(name.clone()), key);
        }
        for (index, keys) in &self.indexes {
            push(&Owner::Index(*index), &keys.key);
            for (namespace, key) in &keys.namespaces {
                push(&Owner::Namespace(*index, *namespace), key);
            }
        }
        frames.retain(|f| !f.is_empty());
        frames
    }
}

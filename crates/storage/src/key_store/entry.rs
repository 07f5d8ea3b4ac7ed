//! Entries of the key store: their bytes, and how a key is wrapped.

use pinyon_model::{BackupId, IndexId, NamespaceId};
use zeroize::Zeroizing;

use crate::crypto::{self, SALT, Sealer, TAG};
use crate::{DataKey, KeyId, Result, StorageError};

/// Longest answer of a provider that is kept, in bytes; KMS answers with less than 7 KiB.
pub(super) const SEALED_MAX: usize = 16 << 10;

/// Whose key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Owner {
    Index(IndexId),
    Namespace(IndexId, NamespaceId),
    System(Box<str>),
    Backup(BackupId),
}

/// What wraps the key of an index or of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyAbove {
    /// The root key.
    Root,
    /// The project key of this id.
    Project(KeyId),
}

impl Owner {
    /// The number of a key's entry.
    fn what(&self, above: KeyAbove) -> u8 {
        match (self, above) {
            (Self::Index(_), KeyAbove::Root) => 1,
            (Self::Namespace(..), _) => 2,
            (Self::System(_), _) => 3,
            (Self::Index(_), KeyAbove::Project(_)) => 7,
            (Self::Backup(_), KeyAbove::Root) => 9,
            (Self::Backup(_), KeyAbove::Project(_)) => 10,
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
            Self::Backup(backup) => out.extend_from_slice(backup.as_bytes()),
        }
    }

    pub(super) fn missing(&self) -> StorageError {
        StorageError::KeyMissing { what: self.told() }
    }

    pub(super) fn told(&self) -> String {
        match self {
            Self::Index(index) => format!("index {index}"),
            Self::Namespace(index, namespace) => format!("namespace {namespace} of index {index}"),
            Self::System(name) => format!("'{name}'"),
            Self::Backup(backup) => format!("backup {backup}"),
        }
    }
}

/// A key sealed by the key above it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Wrapped {
    pub(super) above: KeyAbove,
    pub(super) key_id: KeyId,
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
    pub(super) fn fresh(owner: &Owner, above: KeyAbove, bytes: &[u8; 32]) -> Self {
        let key = Zeroizing::new(crypto::random_bytes::<32>());
        Self::wrap(owner, KeyId(crypto::random_bytes()), &key, above, bytes)
    }

    /// This key for `owner`, wrapped under the key above, whose bytes are given too. Of a namespace's key the index's is above.
    pub(super) fn wrap(owner: &Owner, key_id: KeyId, key: &[u8; 32], above: KeyAbove, bytes: &[u8; 32]) -> Self {
        let salt = crypto::random_bytes();
        let mut sealed = [0; 32 + TAG];
        sealed[..32].copy_from_slice(key);
        let tag = Self::sealer(&salt, bytes).seal([0; 12], &Self::aad(owner, above, key_id), &mut sealed[..32]);
        sealed[32..].copy_from_slice(&tag);
        Self { above, key_id, salt, sealed }
    }

    /// The key itself. Wrapped keys are always encrypted, whatever cipher data is written with.
    pub(super) fn unwrap(&self, owner: &Owner, bytes: &[u8; 32]) -> Result<DataKey> {
        let mut key = Zeroizing::new([0; 32]);
        Self::sealer(&self.salt, bytes)
            .open([0; 12], &Self::aad(owner, self.above, self.key_id), &self.sealed[..32], &self.sealed[32..], key.as_mut())
            .map_err(|_| StorageError::damaged("keys", format!("the key of {owner:?} does not open")))?;
        Ok(DataKey::from_parts(self.key_id, *key))
    }

    fn sealer(salt: &[u8; SALT], above: &[u8; 32]) -> Sealer {
        Sealer::new(crypto::CIPHER_AES_256_GCM, above, salt, &[b"pinyon wrap 1"])
    }

    fn aad(owner: &Owner, above: KeyAbove, key_id: KeyId) -> Vec<u8> {
        let mut aad = b"pinyon key".to_vec();
        aad.push(owner.what(above));
        owner.push(&mut aad);
        if let KeyAbove::Project(id) = above {
            aad.extend_from_slice(&id.0);
        }
        aad.extend_from_slice(&key_id.0);
        aad
    }
}

/// A project key as its provider sealed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SealedProjectKey {
    pub(super) check: [u8; 32],
    pub(super) sealed: Box<[u8]>,
}

/// One change of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// A key; of a namespace a further one, which is the current one from here on.
    Key(Owner, Wrapped),
    /// Of a namespace all of them; of an index with all its namespaces.
    Destroyed(Owner),
    /// One key of a namespace.
    NamespaceKeyDestroyed(IndexId, NamespaceId, KeyId),
    Project(KeyId, SealedProjectKey),
    ProjectDestroyed(KeyId),
}

impl Entry {
    pub(super) fn push(&self, out: &mut Vec<u8>) {
        match self {
            Self::Key(owner, wrapped) => push_key(owner, wrapped, out),
            Self::Destroyed(owner) => {
                out.push(match owner {
                    Owner::Namespace(..) => 4,
                    Owner::Index(_) => 5,
                    Owner::Backup(_) => 11,
                    Owner::System(_) => return,
                });
                owner.push(out);
            }
            Self::NamespaceKeyDestroyed(index, namespace, key) => {
                out.push(8);
                Owner::Namespace(*index, *namespace).push(out);
                out.extend_from_slice(&key.0);
            }
            Self::Project(id, key) => push_project(*id, key, out),
            Self::ProjectDestroyed(id) => {
                out.push(12);
                out.extend_from_slice(&id.0);
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

pub(super) fn push_key(owner: &Owner, wrapped: &Wrapped, out: &mut Vec<u8>) {
    out.push(owner.what(wrapped.above));
    owner.push(out);
    if let KeyAbove::Project(id) = wrapped.above {
        out.extend_from_slice(&id.0);
    }
    out.extend_from_slice(&wrapped.key_id.0);
    out.extend_from_slice(&wrapped.salt);
    out.extend_from_slice(&wrapped.sealed);
}

pub(super) fn push_project(id: KeyId, key: &SealedProjectKey, out: &mut Vec<u8>) {
    out.push(6);
    out.extend_from_slice(&id.0);
    out.extend_from_slice(&key.check);
    out.extend_from_slice(&(key.sealed.len() as u32).to_le_bytes());
    out.extend_from_slice(&key.sealed);
}

/// Reads the entries of one frame. `None` if they are not what this version writes.
pub(super) fn parse(mut bytes: &[u8]) -> Option<Vec<Entry>> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        entries.push(parse_one(&mut bytes)?);
    }
    Some(entries)
}

fn parse_one(bytes: &mut &[u8]) -> Option<Entry> {
    let [what] = take(bytes)?;
    match what {
        6 => return project(bytes),
        12 => return Some(Entry::ProjectDestroyed(KeyId(take(bytes)?))),
        _ => {}
    }
    let owner = match what {
        1 | 5 | 7 => Owner::Index(IndexId::from_bytes(take(bytes)?)),
        2 | 4 | 8 => Owner::Namespace(IndexId::from_bytes(take(bytes)?), NamespaceId::from_bytes(take(bytes)?)),
        3 => {
            let [len] = take(bytes)?;
            let (name, rest) = bytes.split_at_checked(usize::from(len))?;
            *bytes = rest;
            Owner::System(std::str::from_utf8(name).ok()?.into())
        }
        9..=11 => Owner::Backup(BackupId::from_bytes(take(bytes)?)),
        _ => return None,
    };
    Some(match (what, owner) {
        (4 | 5 | 11, owner) => Entry::Destroyed(owner),
        (8, Owner::Namespace(index, namespace)) => Entry::NamespaceKeyDestroyed(index, namespace, KeyId(take(bytes)?)),
        (_, owner) => {
            let above = if matches!(what, 7 | 10) { KeyAbove::Project(KeyId(take(bytes)?)) } else { KeyAbove::Root };
            Entry::Key(owner, Wrapped { above, key_id: KeyId(take(bytes)?), salt: take(bytes)?, sealed: take(bytes)? })
        }
    })
}

fn project(bytes: &mut &[u8]) -> Option<Entry> {
    let (id, check) = (KeyId(take(bytes)?), take(bytes)?);
    let len = usize::try_from(u32::from_le_bytes(take(bytes)?)).ok().filter(|len| *len <= SEALED_MAX)?;
    let (sealed, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(Entry::Project(id, SealedProjectKey { check, sealed: sealed.into() }))
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*taken)
}

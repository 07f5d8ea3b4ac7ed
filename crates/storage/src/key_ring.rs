//! Several keys of one owner: one that everything new is sealed under, and older ones that open what was.

use std::sync::Arc;

use crate::{DataKey, KeyId};

/// What opens sealed things: one key, or a ring of them. Whatever is sealed names its key.
pub trait Opens: Send + Sync {
    /// The key of this id, if it is among them.
    fn key(&self, id: KeyId) -> Option<&DataKey>;
}

impl Opens for DataKey {
    fn key(&self, id: KeyId) -> Option<&DataKey> {
        (self.id() == id).then_some(self)
    }
}

/// The keys of one owner.
#[derive(Debug, Clone)]
pub struct KeyRing {
    current: Arc<DataKey>,
    older: Vec<Arc<DataKey>>,
}

impl KeyRing {
    /// A ring of a current key, and of older ones that only open.
    pub fn new(current: Arc<DataKey>, older: Vec<Arc<DataKey>>) -> Self {
        Self { current, older }
    }

    /// The key that everything new is sealed under.
    pub fn current(&self) -> &Arc<DataKey> {
        &self.current
    }

    /// The keys before it, the oldest first.
    pub fn older(&self) -> &[Arc<DataKey>] {
        &self.older
    }
}

impl From<Arc<DataKey>> for KeyRing {
    fn from(key: Arc<DataKey>) -> Self {
        Self::new(key, Vec::new())
    }
}

impl Opens for KeyRing {
    fn key(&self, id: KeyId) -> Option<&DataKey> {
        std::iter::once(&self.current).chain(&self.older).find(|key| key.id() == id).map(Arc::as_ref)
    }
}

impl<T: Opens + ?Sized> Opens for Arc<T> {
    fn key(&self, id: KeyId) -> Option<&DataKey> {
        (**self).key(id)
    }
}

/// The key of this id, or what is wrong with a file sealed under it.
pub(crate) fn key_for<'a>(keys: &'a (impl Opens + ?Sized), id: KeyId, file: &str) -> crate::Result<&'a DataKey> {
    keys.key(id).ok_or_else(|| crate::StorageError::damaged(file, format!("it is sealed under key {id}, which is none of its owner's")))
}

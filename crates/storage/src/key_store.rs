use std::path::Path;
use std::sync::Arc;

use pinyon_model::{IndexId, NamespaceId};

use crate::{DataKey, KeyId, Result, RootKey, StorageError};

/// The sealed store of index, namespace and system keys.
#[derive(Debug)]
pub struct KeyStore(RootKey);

fn pending<T>() -> Result<T> {
    Err(StorageError::invalid("not built yet"))
}

impl KeyStore {
    /// Opens the key store in a folder, making it if it is not there. Blocking.
    pub fn open(_dir: &Path, root: RootKey) -> Result<Self> {
        Ok(Self(root))
    }
    /// Makes an index's key; durable when it returns. If it has one already, that one is given.
    pub async fn create_index_key(&self, _index: IndexId) -> Result<Arc<DataKey>> {
        pending()
    }
    /// An index's key.
    pub fn index_key(&self, _index: IndexId) -> Result<Arc<DataKey>> {
        pending()
    }
    /// Makes a namespace's key; durable when it returns. If it has one already, that one is given.
    pub async fn create_namespace_key(&self, _index: IndexId, _namespace: NamespaceId) -> Result<Arc<DataKey>> {
        pending()
    }
    /// A namespace's key.
    pub fn namespace_key(&self, _index: IndexId, _namespace: NamespaceId) -> Result<Arc<DataKey>> {
        pending()
    }
    /// The key of a part of the system, made when first asked for.
    pub async fn system_key(&self, _name: &'static str) -> Result<Arc<DataKey>> {
        pending()
    }
    /// Destroys a namespace's key and with it every copy of its data. No error if there is none.
    pub async fn destroy_namespace_key(&self, _index: IndexId, _namespace: NamespaceId) -> Result<()> {
        pending()
    }
    /// Destroys an index's key and those of its namespaces.
    pub async fn destroy_index_keys(&self, _index: IndexId) -> Result<()> {
        pending()
    }
    /// Wraps index and system keys under a new root key, in a new file that replaces the old one at once.
    pub async fn rotate_root(&self, _new: RootKey) -> Result<()> {
        pending()
    }
    /// The fingerprint of the root key in use.
    pub fn fingerprint(&self) -> KeyId {
        self.0.fingerprint()
    }
}

//! The descriptor: what an index is, sealed under its own key in its own folder, so that the catalog can be made anew from storage
//! alone. It is written before the index's row, and again before the row changes.

use std::sync::Arc;

use pinyon_engine::Engine;
use pinyon_model::{IndexId, OrganizationId, Result};
use pinyon_storage::{DataKey, KeyAbove, ObjectKind, Purpose, PutMode, StorageError};

use crate::{
    codec::{Reader, Writer},
    index::StoredIndex,
    store::Store,
};

/// Format 1 knew no customers' keys.
const FORMAT: u16 = 2;
/// The system key of the descriptors of indexes under a customer's key: what they are can be said, and changed, while their data is locked.
const KEY: &str = "descriptors";

/// What an index's folder says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) stored: StoredIndex,
    pub(crate) organization_id: OrganizationId,
    /// The project's name when this was written.
    pub(crate) project_name: String,
}

/// The descriptor's name in the store.
pub(crate) fn name(id: IndexId) -> String {
    format!("{}/descriptor", Engine::index_folder(id))
}

impl Descriptor {
    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::default();
        w.raw(self.organization_id.as_bytes()).text(&self.project_name);
        self.stored.write(&mut w);
        w.finish()
    }

    fn decode(plain: &[u8], format: u16) -> Result<Self> {
        let mut r = Reader::new("An index's descriptor", plain);
        let (organization_id, project_name) = (OrganizationId::from_bytes(r.array()?), r.text()?);
        let stored = StoredIndex::read(&mut r, format >= 2)?;
        r.end()?;
        Ok(Self { stored, organization_id, project_name })
    }

    /// Writes it; durable when it returns. A new index's counts as new data, a changed one must be possible on a full disk.
    pub(crate) async fn write(&self, store: &Store, purpose: Purpose) -> Result<()> {
        let id = self.stored.index.id;
        let key = key(store, id).await?;
        let plain = self.encode();
        store.sealed().put_named(&name(id), ObjectKind::INDEX_DESCRIPTOR, FORMAT, &key, &plain, PutMode::Overwrite, purpose).await?;
        Ok(())
    }

    /// Reads the descriptor of the index with this id. `KeyMissing` means that the index was deleted and its keys destroyed.
    pub(crate) async fn read(store: &Store, id: IndexId) -> Result<Self, StorageError> {
        let key = key(store, id).await?;
        let object = store.sealed().get_named(&name(id), ObjectKind::INDEX_DESCRIPTOR, &key).await?;
        let malformed = || StorageError::Damaged { file: name(id), what: "it holds no descriptor".to_owned() };
        if !(1..=FORMAT).contains(&object.format) {
            return Err(malformed());
        }
        let descriptor = Self::decode(&object.plain, object.format).map_err(|_| malformed())?;
        if descriptor.stored.index.id != id {
            return Err(malformed());
        }
        Ok(descriptor)
    }
}

/// What an index's descriptor is sealed under.
async fn key(store: &Store, id: IndexId) -> Result<Arc<DataKey>, StorageError> {
    match store.keys().above_index(id) {
        Some(KeyAbove::Project(_)) => store.keys().system_key(KEY).await,
        _ => store.keys().index_key(id),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::index::stored_index;

    proptest! {
        #[test]
        fn reads_back_what_was_written(stored in stored_index(), project_name in "[ -~]{0,60}", organization: [u8; 16]) {
            let descriptor = Descriptor { stored, organization_id: OrganizationId::from_bytes(organization), project_name };
            prop_assert_eq!(Descriptor::decode(&descriptor.encode(), FORMAT).unwrap(), descriptor);
        }
    }
}

//! The descriptor: what an index is, sealed under its own key in its own folder, so that the catalog can be made anew from storage
//! alone. It is written before the index's row, and again before the row changes.

use std::sync::Arc;

use pinyon_engine::Engine;
use pinyon_model::{IndexId, OrganizationId, Result};
use pinyon_storage::{DataKey, KeyAbove, ObjectKind, Purpose, PutMode, StorageError};

use crate::{
    catalog::ROW_FORMAT,
    codec::{Reader, Writer},
    index::StoredIndex,
    store::Store,
};

/// Format 1 knew no customers' keys, and nothing of deletions.
const FORMAT: u16 = 2;
const FORMAT_OLDEST: u16 = 1;
/// The system key of the descriptors of indexes under a customer's key: what they are can be said, and changed, while their data is locked.
const KEY: &str = "descriptors";

/// What an index's folder says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) stored: StoredIndex,
    pub(crate) organization_id: OrganizationId,
    /// The project's name when this was written.
    pub(crate) project_name: String,
    /// That the index was deleted, and until when it is kept.
    pub(crate) deleted: Option<Kept>,
    /// Since when this is so: a deletion before it, of which something else tells, was undone.
    pub(crate) since_ms: u64,
}

/// When something was deleted, and until when it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) at_ms: u64,
    pub(crate) until_ms: u64,
}

/// The descriptor's name in the store.
pub(crate) fn name(id: IndexId) -> String {
    format!("{}/descriptor", Engine::index_folder(id))
}

impl Descriptor {
    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::default();
        w.raw(self.organization_id.as_bytes()).text(&self.project_name);
        w.u64(self.since_ms).option(self.deleted, |w, kept| {
            w.u64(kept.at_ms).u64(kept.until_ms);
        });
        self.stored.write(&mut w);
        w.finish()
    }

    fn decode(format: u16, plain: &[u8]) -> Result<Self> {
        let mut r = Reader::new("An index's descriptor", plain);
        let (organization_id, project_name) = (OrganizationId::from_bytes(r.array()?), r.text()?);
        let (since_ms, deleted) = match format {
            FORMAT_OLDEST => (0, None),
            _ => (r.u64()?, r.option(|r| Ok(Kept { at_ms: r.u64()?, until_ms: r.u64()? }))?),
        };
        let stored = StoredIndex::read(&mut r, if format == FORMAT_OLDEST { 3 } else { ROW_FORMAT })?;
        r.end()?;
        Ok(Self { stored, organization_id, project_name, deleted, since_ms })
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
        if !(FORMAT_OLDEST..=FORMAT).contains(&object.format) {
            return Err(malformed());
        }
        let descriptor = Self::decode(object.format, &object.plain).map_err(|_| malformed())?;
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
        fn reads_back_what_was_written(stored in stored_index(), project_name in "[ -~]{0,60}", organization: [u8; 16], kept: Option<(u64, u64)>, since_ms: u64) {
            let deleted = kept.map(|(at_ms, until_ms)| Kept { at_ms, until_ms });
            let organization_id = OrganizationId::from_bytes(organization);
            let descriptor = Descriptor { stored, organization_id, project_name, deleted, since_ms };
            prop_assert_eq!(Descriptor::decode(FORMAT, &descriptor.encode()).unwrap(), descriptor);
        }
    }
}

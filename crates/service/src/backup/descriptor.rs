//! A backup's descriptor: what it is a backup of, sealed under its own key in its own folder, so that a catalog that is made anew knows
//! it again, and another installation that it is brought to.

use pinyon_model::{Backup, BackupId, OrganizationId, ProjectId, Result};
use pinyon_storage::{ObjectKind, Purpose, PutMode, StorageError};

use super::stored;
use crate::{
    codec::{Reader, Writer},
    store::Store,
};

const KIND: ObjectKind = ObjectKind(0x0121);
const FORMAT: u16 = 1;

/// What a backup's folder says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BackupDescriptor {
    /// As it was when it was taken: `Initializing`.
    pub(crate) backup: Backup,
    pub(crate) organization_id: OrganizationId,
    /// The project's name then.
    pub(crate) project_name: String,
}

/// The descriptor's name in the store.
pub(crate) fn name(id: BackupId) -> String {
    format!("backups/{}/descriptor", id.hex())
}

impl BackupDescriptor {
    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::default();
        w.raw(self.backup.id.as_bytes()).raw(self.backup.project_id.as_bytes());
        w.raw(self.organization_id.as_bytes()).text(&self.project_name);
        stored::write(&self.backup, &mut w);
        w.finish()
    }

    fn decode(plain: &[u8]) -> Result<Self> {
        let mut r = Reader::new("A backup's descriptor", plain);
        let (id, project_id) = (BackupId::from_bytes(r.array()?), ProjectId::from_bytes(r.array()?));
        let (organization_id, project_name) = (OrganizationId::from_bytes(r.array()?), r.text()?);
        let backup = stored::read(id, project_id, &mut r)?;
        r.end()?;
        Ok(Self { backup, organization_id, project_name })
    }

    /// Writes it; durable when it returns.
    pub(crate) async fn write(&self, store: &Store) -> Result<()> {
        let id = self.backup.id;
        let key = store.keys().backup_key(id)?;
        let plain = self.encode();
        store.sealed().put_named(&name(id), KIND, FORMAT, &key, &plain, PutMode::Overwrite, Purpose::Data).await?;
        Ok(())
    }

    /// Reads the descriptor of the backup with this id. `KeyMissing` means that the backup was deleted and its key destroyed.
    pub(crate) async fn read(store: &Store, id: BackupId) -> Result<Self, StorageError> {
        let key = store.keys().backup_key(id)?;
        let object = store.sealed().get_named(&name(id), KIND, &key).await?;
        let malformed = || StorageError::Damaged { file: name(id), what: "it holds no descriptor".to_owned() };
        if object.format != FORMAT {
            return Err(malformed());
        }
        let descriptor = Self::decode(&object.plain).map_err(|_| malformed())?;
        if descriptor.backup.id != id {
            return Err(malformed());
        }
        Ok(descriptor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn reads_back_what_was_written(backup in stored::tests::backup(), project_name in "[ -~]{0,60}", organization: [u8; 16]) {
            let descriptor = BackupDescriptor { backup, organization_id: OrganizationId::from_bytes(organization), project_name };
            prop_assert_eq!(BackupDescriptor::decode(&descriptor.encode()).unwrap(), descriptor);
        }
    }
}

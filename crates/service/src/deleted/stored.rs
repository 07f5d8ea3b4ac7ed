//! How what was deleted is stored: in its row, and in the record of its purge.

use pinyon_model::{Deleted, DeletedId, DeletedKind, DeletionReport, ErrorCode, OrganizationId, ProjectId, Result};
use pinyon_storage::{ObjectKind, Purpose, PutMode, StorageError};

use super::SignedReport;
use crate::{
    Service,
    codec::{Reader, Writer},
    store::Store,
};

/// The folder of the records of purges.
pub(crate) const FOLDER: &str = "deletions";
pub(crate) const KIND: ObjectKind = ObjectKind(0x0120);
const FORMAT: u16 = 1;

/// A purge, from the moment at which it is certain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PurgeRecord {
    /// What goes; its time of purge is 0 until all is gone.
    pub(crate) report: DeletionReport,
    /// Once all is gone.
    pub(crate) signed: Option<SignedReport>,
}

pub(crate) fn write_deleted(deleted: &Deleted, w: &mut Writer) {
    let Deleted { id, kind, of, name, organization_id, project_id, deleted_at_ms, deleted_by, kept_until_ms } = deleted;
    w.raw(id.as_bytes()).text(kind.as_str()).text(of).text(name);
    w.option(*organization_id, |w, id| {
        w.raw(id.as_bytes());
    });
    w.option(*project_id, |w, id| {
        w.raw(id.as_bytes());
    });
    w.u64(*deleted_at_ms).text(deleted_by).u64(*kept_until_ms);
}

pub(crate) fn read_deleted(r: &mut Reader<'_>) -> Result<Deleted> {
    let id = DeletedId::from_bytes(r.array()?);
    let word = r.text()?;
    let kind = DeletedKind::ALL.into_iter().find(|k| k.as_str() == word).ok_or_else(|| r.malformed())?;
    Ok(Deleted {
        id,
        kind,
        of: r.text()?,
        name: r.text()?,
        organization_id: r.option(|r| Ok(OrganizationId::from_bytes(r.array()?)))?,
        project_id: r.option(|r| Ok(ProjectId::from_bytes(r.array()?)))?,
        deleted_at_ms: r.u64()?,
        deleted_by: r.text()?,
        kept_until_ms: r.u64()?,
    })
}

impl PurgeRecord {
    fn encode(&self) -> Vec<u8> {
        let DeletionReport { deleted, purged_at_ms, objects, keys } = &self.report;
        let mut w = Writer::default();
        write_deleted(deleted, &mut w);
        w.u64(*purged_at_ms).u32(u32::try_from(objects.len()).unwrap_or(u32::MAX));
        objects.iter().for_each(|(name, bytes)| {
            w.text(name).u64(*bytes);
        });
        w.texts(keys.iter());
        w.option(self.signed.as_ref(), |w, signed| {
            w.text(&signed.text).raw(&signed.signature);
        });
        w.finish()
    }

    fn decode(plain: &[u8]) -> Result<Self> {
        let mut r = Reader::new("The record of a purge", plain);
        let report = DeletionReport {
            deleted: read_deleted(&mut r)?,
            purged_at_ms: r.u64()?,
            objects: r.list(|r| Ok((r.text()?, r.u64()?)))?,
            keys: r.list(Reader::text)?,
        };
        let signed = r.option(|r| Ok(SignedReport { text: r.text()?, signature: r.array()? }))?;
        r.end()?;
        Ok(Self { report, signed })
    }

    /// The record of a purge that has begun; none before.
    pub(crate) async fn read(store: &Store, id: DeletedId) -> Result<Option<Self>> {
        let key = store.keys().system_key(super::report::KEY).await?;
        let object = match store.sealed().get_named(&name(id), KIND, &key).await {
            Ok(object) => object,
            Err(StorageError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let malformed = || Reader::new("The record of a purge", &[]).malformed();
        let record = if object.format == FORMAT { Self::decode(&object.plain)? } else { return Err(malformed()) };
        if record.report.deleted.id == id { Ok(Some(record)) } else { Err(malformed()) }
    }

    /// The ids of all records of purges.
    pub(crate) async fn ids(store: &Store) -> Result<Vec<DeletedId>> {
        let blobs = store.blobs().list(&format!("{FOLDER}/")).await?;
        Ok(blobs.iter().filter_map(|b| DeletedId::parse(b.name.rsplit('/').next()?).ok()).collect())
    }
}

/// The name of a purge's record in the store.
pub(crate) fn name(id: DeletedId) -> String {
    format!("{FOLDER}/{}", id.hex())
}

impl Service {
    /// The record of a purge that has begun; none before.
    pub(crate) async fn read_purge_record(&self, id: DeletedId) -> Result<Option<PurgeRecord>> {
        PurgeRecord::read(self.store(), id).await
    }

    /// Stores it; durable when this returns. It must be possible on a full disk: a purge is what makes room.
    pub(crate) async fn write_purge_record(&self, record: &PurgeRecord) -> Result<()> {
        let key = self.store().keys().system_key(super::report::KEY).await?;
        let (name, plain) = (name(record.report.deleted.id), record.encode());
        self.store().sealed().put_named(&name, KIND, FORMAT, &key, &plain, PutMode::Overwrite, Purpose::Essential).await?;
        Ok(())
    }

    /// All records of purges that can be read; a damaged one is told of by the check, and keeps nobody from the others.
    pub(crate) async fn purge_records_stored(&self) -> Result<Vec<PurgeRecord>> {
        let mut records = Vec::new();
        for id in PurgeRecord::ids(self.store()).await? {
            match self.read_purge_record(id).await {
                Ok(record) => records.extend(record),
                Err(error) if error.code == ErrorCode::DataLoss => tracing::error!(%error, "the record of a purge cannot be read"),
                Err(error) => return Err(error),
            }
        }
        Ok(records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_no_part_of_one_does() {
        let report = super::super::report::tests::report();
        let signed = SignedReport { text: "lines\n".into(), signature: [7; 64] };
        for signed in [None, Some(signed)] {
            let record = PurgeRecord { report: report.clone(), signed };
            let bytes = record.encode();
            assert_eq!(PurgeRecord::decode(&bytes).unwrap(), record);
            assert!((0..bytes.len()).all(|n| PurgeRecord::decode(&bytes[..n]).is_err()));
        }
    }
}

//! A restore job as bytes: what its catalog row holds.

use pinyon_model::{BackupId, IndexId, IndexName, ProjectId, RestoreJob, RestoreJobId, RestoreStatus, Result};

use crate::codec::{Reader, Writer};

/// A restore, and of what. How far it is, is not stored: it begins again after a restart.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StoredRestoreJob {
    pub(crate) info: RestoreJob,
    /// Whether what it restores goes by the name of a collection: such restores are not listed.
    pub(crate) of_collection: bool,
}

impl StoredRestoreJob {
    pub(crate) fn is_pending(&self) -> bool {
        self.info.status == RestoreStatus::Pending
    }

    /// The same, in another status, which it came to at this time.
    pub(crate) fn ended(&self, status: RestoreStatus, now_ms: u64) -> Self {
        let percent_complete = percent(&status);
        let info = RestoreJob { status, completed_at_ms: Some(now_ms), percent_complete, ..self.info.clone() };
        Self { info, of_collection: self.of_collection }
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        let RestoreJob {
            id: _,
            project_id: _,
            backup_id,
            target_index_id,
            target_index_name,
            status,
            created_at_ms,
            completed_at_ms,
            percent_complete: _,
        } = &self.info;
        w.raw(backup_id.as_bytes()).raw(target_index_id.as_bytes()).text(target_index_name.as_str());
        match status {
            RestoreStatus::Pending => w.u8(0),
            RestoreStatus::Completed => w.u8(1),
            RestoreStatus::Failed(reason) => w.u8(2).text(reason),
            RestoreStatus::Cancelled => w.u8(3),
        };
        w.u64(*created_at_ms).option(*completed_at_ms, |w, at| {
            w.u64(at);
        });
        w.u8(u8::from(self.of_collection));
    }

    pub(crate) fn read(id: RestoreJobId, project_id: ProjectId, r: &mut Reader<'_>) -> Result<Self> {
        let backup_id = BackupId::from_bytes(r.array()?);
        let (target_index_id, target_index_name) = (IndexId::from_bytes(r.array()?), IndexName::new(&r.text()?)?);
        let status = match r.u8()? {
            0 => RestoreStatus::Pending,
            1 => RestoreStatus::Completed,
            2 => RestoreStatus::Failed(r.text()?),
            3 => RestoreStatus::Cancelled,
            _ => return Err(r.malformed()),
        };
        let (created_at_ms, completed_at_ms) = (r.u64()?, r.option(Reader::u64)?);
        let percent_complete = percent(&status);
        let info = RestoreJob {
            id,
            project_id,
            backup_id,
            target_index_id,
            target_index_name,
            status,
            created_at_ms,
            completed_at_ms,
            percent_complete,
        };
        let of_collection = match r.u8()? {
            0 => false,
            1 => true,
            _ => return Err(r.malformed()),
        };
        Ok(Self { info, of_collection })
    }
}

/// How far a restore in this status is, where nothing is known of its progress.
fn percent(status: &RestoreStatus) -> Option<f64> {
    match status {
        RestoreStatus::Pending => Some(0.0),
        RestoreStatus::Completed => Some(100.0),
        RestoreStatus::Failed(_) | RestoreStatus::Cancelled => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::{option, prelude::*};

    use super::*;

    fn status() -> impl Strategy<Value = RestoreStatus> {
        prop_oneof![
            Just(RestoreStatus::Pending),
            Just(RestoreStatus::Completed),
            Just(RestoreStatus::Cancelled),
            "[ -~]{0,60}".prop_map(RestoreStatus::Failed),
        ]
    }

    proptest! {
        #[test]
        fn reads_back_what_was_written(
            (backup, index, name, status) in (any::<[u8; 16]>(), any::<[u8; 16]>(), "[a-z0-9]{1,45}", status()),
            (created_at_ms, completed_at_ms, of_collection) in (any::<u64>(), option::of(any::<u64>()), any::<bool>()),
        ) {
            let (id, project_id) = (RestoreJobId::from_bytes([1; 16]), ProjectId::from_bytes([2; 16]));
            let percent_complete = percent(&status);
            let (backup_id, target_index_id) = (BackupId::from_bytes(backup), IndexId::from_bytes(index));
            let target_index_name = IndexName::new(&name).unwrap();
            let info = RestoreJob {
                id, project_id, backup_id, target_index_id, target_index_name, status, created_at_ms, completed_at_ms, percent_complete,
            };
            let job = StoredRestoreJob { info, of_collection };
            let mut w = Writer::default();
            job.write(&mut w);
            let bytes = w.finish();
            for len in 0..bytes.len() {
                let mut r = Reader::new("A restore", &bytes[..len]);
                prop_assert!(StoredRestoreJob::read(id, project_id, &mut r).and_then(|_| r.end()).is_err(), "cut to {} bytes", len);
            }
            let mut r = Reader::new("A restore", &bytes);
            prop_assert_eq!(StoredRestoreJob::read(id, project_id, &mut r).unwrap(), job);
            r.end().unwrap();
        }
    }
}

//! Whether a backup can be relied on: every byte of it is read, it is restored into an index that nobody sees, and what came out is held
//! against what went in.

use std::sync::Arc;

use pinyon_engine::{BackupSummary, IndexHandle, IndexOptions, Progress};
use pinyon_model::{BackupCounts, Error, ErrorCode, IndexId, Lsn, NamespaceName, Prefix, Result};
use pinyon_storage::{KeyAbove, random_bytes};

use super::{find, settle::counts};
use crate::{
    OpContext, Service,
    authorize::{Action, Place},
};

/// Ids of one page, and records of one fetch.
const PAGE: u32 = 1_000;
const FETCH: usize = 20;

/// What the verification of a backup found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupReport {
    /// What it holds.
    pub counts: BackupCounts,
    /// Each namespace with the number of its last write, in the order of names.
    pub lsns: Vec<(NamespaceName, u64)>,
}

impl Service {
    /// Reads every byte of a backup of the caller's project, restores it into an index of its own, compares namespaces, counts and
    /// LSNs, and removes that index again. `DataLoss` when it is not what was written.
    pub async fn verify_backup(self: &Arc<Self>, ctx: &OpContext, id: &str) -> Result<BackupReport> {
        let (this, ctx, id) = (Arc::clone(self), ctx.clone(), id.to_owned());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::VerifyBackup, this.backups_scope(&ctx, &id)?).await?;
            let place = authorized.resource().place;
            authorized.note("backup_id", id.clone());
            let result = this.verify_authorized(place, &id).await;
            authorized.close(result).await
        })
        .await
    }

    async fn verify_authorized(&self, place: Place, id: &str) -> Result<BackupReport> {
        let backup = find(&self.catalog().tables(), place, id)?;
        let expected = backup.status.counts();
        let expected = expected.ok_or_else(|| Error::new(ErrorCode::FailedPrecondition, "The backup is not ready"))?;
        self.check_backup_key(&backup)?;
        let _reading = self.backup_tasks().begin_reading(backup.id);
        let read = self.engine().check_backup(backup.id).await?;
        compare("what it says that it holds", &counts(&read), &expected)?;
        let options = IndexOptions { shape: backup.schema.shape(), metadata_schema: backup.schema.metadata_schema() };
        let scratch = IndexId::from_random(random_bytes());
        let in_use = self.backup_tasks().begin_scratch(scratch);
        let restored = async {
            let above = self.store().keys().above_backup(backup.id).unwrap_or(KeyAbove::Root);
            self.store().keys().create_index_key_under(scratch, above).await?;
            self.engine().create_index(scratch, &options).await?;
            self.engine().restore(backup.id, scratch, &options, &Progress::default()).await?;
            self.compare_index(scratch, &options, &read).await
        }
        .await;
        drop(in_use);
        // An index without a row and a descriptor is removed by the next start too.
        self.remove_storage(scratch).await;
        restored?;
        let lsns = read.lsns.into_iter().map(|(name, lsn)| (name, lsn.0)).collect();
        Ok(BackupReport { counts: expected, lsns })
    }

    /// Holds the index that came out against the backup.
    async fn compare_index(&self, id: IndexId, options: &IndexOptions, backup: &BackupSummary) -> Result<()> {
        let handle = self.engine().index(id, options.clone());
        let stats = handle.stats().await?;
        let names: Vec<&NamespaceName> = stats.namespaces.keys().collect();
        let expected: Vec<&NamespaceName> = backup.lsns.iter().map(|(name, _)| name).collect();
        compare("the number of namespaces that come out", &names.len(), &expected.len())?;
        if names != expected {
            return Err(damaged("the namespaces that come out", &"others", &"the backup's"));
        }
        compare("the number of records that come out", &stats.total, &backup.records)?;
        for (name, lsn) in &backup.lsns {
            let counted = stats.namespaces.get(name).copied().unwrap_or_default();
            compare("the records that can be read of a namespace", &read_all(&handle, name, *lsn).await?, &counted)?;
        }
        Ok(())
    }
}

/// Reads every record of a namespace, and tells how many there are. `DataLoss` if its last write is not this one.
async fn read_all(handle: &IndexHandle, name: &NamespaceName, lsn: Lsn) -> Result<u64> {
    let (mut after, mut count) = (None, 0);
    loop {
        let page = handle.list(name, &Prefix::default(), PAGE, after).await?;
        compare("the last write of a namespace", &page.max_indexed_lsn, &lsn)?;
        // A fetch that is too large is refused, so records are read a few at a time.
        for ids in page.ids.chunks(FETCH) {
            count += handle.fetch(name, ids.to_vec()).await?.records.len() as u64;
        }
        match page.next_after {
            Some(last) => after = Some(last),
            None => return Ok(count),
        }
    }
}

fn compare<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<()> {
    if found == expected { Ok(()) } else { Err(damaged(what, found, expected)) }
}

fn damaged(what: &str, found: &impl std::fmt::Debug, expected: &impl std::fmt::Debug) -> Error {
    Error::new(ErrorCode::DataLoss, format!("The backup is not what was written: {what}: {found:?}, not {expected:?}"))
}

//! How a backup ends, also when the process did not: what was not stored whole is removed, what nobody knows is swept, and what is past
//! its time goes.

use std::{collections::BTreeSet, sync::Arc};

use pinyon_engine::{BackupSummary, Engine};
use pinyon_model::{AuditEvent, AuditOutcome, Backup, BackupCounts, BackupId, BackupStatus, ErrorCode, Principal, Result};
use pinyon_storage::StorageError;

use super::{BackupDescriptor, transfer::MANIFEST};
use crate::{
    OpContext, Service,
    authorize::{Action, Installation},
    catalog::{Change, Noun},
    rebuild::ORPHAN_KEPT_MS,
};

const INTERRUPTED: &str = "The server ended before the backup was stored";

/// What a backup holds, in numbers.
pub(crate) fn counts(summary: &BackupSummary) -> BackupCounts {
    BackupCounts { namespaces: summary.namespaces, records: summary.records, bytes: summary.bytes }
}

impl Service {
    /// Records how a backup ended. One whose row is gone meanwhile was deleted: that is no error.
    pub(crate) async fn finish_backup(self: &Arc<Self>, id: BackupId, status: BackupStatus) -> Result<()> {
        let this = Arc::clone(self);
        self.detached(async move {
            let ctx = OpContext::internal(Principal::System, this.clock().now_ms());
            let mut authorized = this.authorize(&ctx, Action::FinishBackup, Installation).await?;
            let result = async {
                let mut writer = this.catalog().writer().await;
                let Some(backup) = this.catalog().tables().backups.get(&id).cloned() else { return Ok(()) };
                authorized.name(backup.name().map_or_else(|| id.to_string(), str::to_owned), backup.name().unwrap_or_default());
                authorized.note("backup_id", id.to_string());
                authorized.note("project_id", backup.project_id.to_string());
                match &status {
                    BackupStatus::Failed(reason) => authorized.note("failed", reason),
                    BackupStatus::Ready(counts) => authorized.note("records", counts.records.to_string()),
                    BackupStatus::Initializing => {}
                }
                let put = Change::Put(Noun::Backup(Backup { status, ..backup }));
                this.catalog().change(&mut writer, &mut authorized, this.audit(), vec![put]).await
            }
            .await;
            authorized.close(result).await
        })
        .await
    }

    /// Settles what the last process left: a backup that was stored whole is `Ready`, any other `Failed`, and nothing of it is left.
    pub(crate) async fn settle_backups(self: &Arc<Self>) -> Result<()> {
        let open: Vec<BackupId> = {
            let tables = self.catalog().tables();
            let open = |b: &&Backup| b.status == BackupStatus::Initializing && !self.backup_tasks().is_storing(b.id);
            tables.backups.values().filter(open).map(|b| b.id).collect()
        };
        for id in open {
            let status = match self.engine().describe_backup(id).await {
                Ok(summary) => BackupStatus::Ready(counts(&summary)),
                // Its key is the customer's, and not at hand: it is looked at again.
                Err(error) if matches!(error.code, ErrorCode::Forbidden | ErrorCode::Unavailable) => {
                    tracing::debug!(%error, backup = %id, "how a backup ended cannot be seen now");
                    continue;
                }
                Err(_) => {
                    self.remove_backup(id).await;
                    BackupStatus::Failed(INTERRUPTED.to_owned())
                }
            };
            self.finish_backup(id, status).await?;
        }
        Ok(())
    }

    /// Removes the folders of backups that have no row: of those that were deleted, those that were never answered for, and those that
    /// hold no whole backup. What is whole, younger than a day and was not deleted is left: its row may have been lost. A key without a row
    /// and without a folder opens nothing, and is destroyed: a customer's key could never be deleted from above it.
    pub(crate) async fn sweep_backups(&self) -> Result<()> {
        // In this order, which is the other way round than things come to be: what is on its way is not taken for what was left behind.
        let keys = self.store().keys().backups();
        let folders: BTreeSet<BackupId> = self.engine().backups().await?.into_iter().collect();
        let (orphans, keys): (Vec<BackupId>, Vec<BackupId>) = {
            let tables = self.catalog().tables();
            let kept: BTreeSet<BackupId> = tables.deleted.values().flat_map(|d| d.backups()).collect();
            let is_nobodys =
                |id: &BackupId| !tables.backups.contains_key(id) && !kept.contains(id) && !self.backup_tasks().is_being_made(*id);
            let keys = keys.into_iter().filter(|id| !folders.contains(id) && is_nobodys(id)).collect();
            (folders.iter().copied().filter(is_nobodys).collect(), keys)
        };
        if (orphans.is_empty() && keys.is_empty()) || self.audit().is_damaged().await {
            return Ok(());
        }
        for id in keys {
            tracing::info!(backup = %id, "destroying the key of a backup that never came to be");
            self.remove_backup(id).await;
        }
        let deleted = self.backups_in_audit("delete").await?;
        for id in orphans {
            let gone = deleted.contains(&id)
                || !self.is_stored_whole(id).await?
                || match BackupDescriptor::read(self.store(), id).await {
                    Ok(d) => self.clock().now_ms().saturating_sub(d.backup.created_at_ms) > ORPHAN_KEPT_MS,
                    Err(StorageError::NotFound { .. } | StorageError::KeyMissing { .. }) => true,
                    Err(error) => {
                        tracing::warn!(%error, backup = %id, "a backup without a row cannot be read, and is left");
                        false
                    }
                };
            if gone {
                tracing::info!(backup = %id, "removing the folder of a backup that is not there any more");
                self.remove_backup(id).await;
            }
        }
        Ok(())
    }

    async fn is_stored_whole(&self, id: BackupId) -> Result<bool> {
        let manifest = format!("{}/{MANIFEST}", Engine::backup_folder(id));
        Ok(self.store().blobs().list(&manifest).await?.iter().any(|b| b.name == manifest))
    }

    /// The backups that the audit log says this was successfully done to, and that were neither brought back nor made since: one that was
    /// deleted is made again by an import.
    pub(crate) async fn backups_in_audit(&self, action: &str) -> Result<BTreeSet<BackupId>> {
        let mut found = BTreeSet::new();
        let look = |e: &AuditEvent| {
            if e.outcome != AuditOutcome::Success {
                return;
            }
            let ids = e.parameters.iter().filter(|(key, _)| key == "backup_id").filter_map(|(_, id)| BackupId::parse(id).ok());
            match e.resource_type.as_str() {
                // A project or organization that was deactivated names what went with it.
                "backup" | "collection" | "project" | "organization" if e.action == action => found.extend(ids),
                "backup" | "collection" if e.action == "create" => ids.for_each(|id| _ = found.remove(&id)),
                "deleted" if e.action == "restore" => ids.for_each(|id| _ = found.remove(&id)),
                _ => {}
            }
        };
        self.audit().for_each(look).await?;
        Ok(found)
    }

    /// Deletes the backups whose time is over. One that is being restored or read is looked at again later.
    pub(crate) async fn expire_backups(&self, now_ms: u64) -> Result<()> {
        let due: Vec<BackupId> = {
            let tables = self.catalog().tables();
            tables.backups.values().filter(|b| b.expires_at_ms.is_some_and(|at| at <= now_ms)).map(|b| b.id).collect()
        };
        for id in due {
            let ctx = OpContext::internal(Principal::System, now_ms);
            let mut authorized = self.authorize(&ctx, Action::ExpireBackup, Installation).await?;
            let still_due = |tables: &crate::catalog::Tables| {
                let found = tables.backups.get(&id).filter(|b| b.expires_at_ms.is_some_and(|at| at <= now_ms));
                found.cloned().ok_or_else(|| super::not_found(&id.to_string()))
            };
            let result = self.delete_backup_authorized(&mut authorized, &ctx, still_due).await;
            match authorized.close(result).await {
                Err(error) if !matches!(error.code, ErrorCode::FailedPrecondition | ErrorCode::NotFound) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

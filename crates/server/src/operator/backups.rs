//! The commands on backups, as the operator.

use std::{path::PathBuf, sync::Arc};

use pinyon_model::{
    Backup, DeletionProtection, Error, ErrorCode, IndexName, NewBackup, NewRestore, PageRequest, ProjectId, RestoreStatus, Result,
};
use pinyon_service::{BackupReport, ExportKey, ExportedBackup, OpContext, Service};

use super::{Output, Secret, execute::all};

/// What a command on backups works with.
pub(super) struct Backups<'a> {
    service: &'a Arc<Service>,
    ctx: OpContext,
}

impl<'a> Backups<'a> {
    /// In this project; without one in the first.
    pub(super) fn new(service: &'a Arc<Service>, ctx: &OpContext, project: Option<ProjectId>) -> Self {
        Self { service, ctx: OpContext { project: project.or(ctx.project), ..ctx.clone() } }
    }

    /// Takes one, and waits until it is stored.
    pub(super) async fn create(&self, index: &str, name: Option<String>, description: Option<String>) -> Result<Output> {
        let new = NewBackup {
            name: name.as_deref().map(Backup::parse_resource_name).transpose()?,
            description: description.as_deref().map(Backup::parse_description).transpose()?.flatten(),
        };
        let backup = self.service.create_backup(&self.ctx, index, new).await?;
        let backup = self.service.wait_for_backup(&self.ctx, backup.id).await?;
        Ok(Output::Backup { backup: backup.into() })
    }

    pub(super) async fn list(&self, index: Option<&str>) -> Result<Output> {
        let list = async |page: PageRequest| match index {
            Some(index) => self.service.list_index_backups(&self.ctx, index, true, page).await,
            None => self.service.list_backups(&self.ctx, page).await,
        };
        let backups = all(list).await?;
        Ok(Output::Backups { backups: backups.into_iter().map(Into::into).collect() })
    }

    pub(super) async fn describe(&self, id: &str) -> Result<Output> {
        Ok(Output::Backup { backup: self.service.describe_backup(&self.ctx, id).await?.into() })
    }

    pub(super) async fn delete(&self, id: String) -> Result<Output> {
        self.service.delete_backup(&self.ctx, &id).await?;
        Ok(Output::BackupDeleted { id })
    }

    /// Makes an index of one, and waits until it serves.
    pub(super) async fn restore(&self, id: &str, index: &str, protect: bool) -> Result<Output> {
        let deletion_protection = if protect { DeletionProtection::Enabled } else { DeletionProtection::Disabled };
        let new = NewRestore { name: IndexName::new(index)?, tags: None, deletion_protection, read_capacity: None, cmek_id: None };
        let (index, job) = self.service.create_index_from_backup(&self.ctx, id, new).await?;
        let job = self.service.wait_for_restore(&self.ctx, job.id).await?;
        match job.status {
            RestoreStatus::Failed(reason) => Err(Error::new(ErrorCode::FailedPrecondition, format!("The restore failed: {reason}"))),
            RestoreStatus::Cancelled => Err(Error::new(ErrorCode::FailedPrecondition, "The index was deleted before it was restored")),
            RestoreStatus::Completed | RestoreStatus::Pending => {
                let (index, index_id) = (index.name.to_string(), index.id.to_string());
                Ok(Output::Restored { index, index_id, restore_job_id: job.id.to_string() })
            }
        }
    }

    pub(super) async fn verify(&self, id: String) -> Result<Output> {
        let BackupReport { counts, lsns } = self.service.verify_backup(&self.ctx, &id).await?;
        let lsns = lsns.into_iter().map(|(name, lsn)| (name.to_string(), lsn)).collect();
        Ok(Output::BackupVerified { id, namespaces: counts.namespaces, records: counts.records, bytes: counts.bytes, lsns })
    }

    pub(super) async fn export(&self, id: &str, file: PathBuf) -> Result<Output> {
        let ExportedBackup { key, bytes } = self.service.export_backup(&self.ctx, id, file.clone()).await?;
        Ok(Output::BackupExported { file, bytes, key: Secret::new(key.text()) })
    }

    pub(super) async fn import(&self, file: PathBuf, key: &Secret) -> Result<Output> {
        let backup = self.service.import_backup(&self.ctx, file, ExportKey::parse(key.reveal())?).await?;
        Ok(Output::Backup { backup: backup.into() })
    }
}

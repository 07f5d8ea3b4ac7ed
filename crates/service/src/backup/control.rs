use std::{future::Future, sync::Arc};

use pinyon_engine::Capture;
use pinyon_model::{
    Backup, BackupId, BackupKind, BackupScheduleId, BackupStatus, DeletedKind, Deployment, Error, ErrorCode, IndexId, IndexName, NewBackup,
    Page, PageRequest, ProjectId, RestoreStatus, Result,
};
use pinyon_storage::{KeyAbove, Purpose, random_bytes};

use super::{BackupDescriptor, tasks};
use crate::{
    IndexRef, OpContext, Service,
    authorize::{Action, Authorized, Named, Place},
    catalog::{Change, Noun, NounId, Tables},
    deleted::Burying,
};

/// What is asked of the disk for a new backup before anything of it is written.
const NEW_BACKUP_BYTES: u64 = 256 * 1024;

/// What a backup is to be, beside what its index says.
pub(crate) struct Taken {
    pub(crate) id: BackupId,
    pub(crate) kind: BackupKind,
    /// The schedule that takes it, which says until when it is kept.
    pub(crate) schedule_id: Option<BackupScheduleId>,
    pub(crate) now_ms: u64,
}

impl Taken {
    /// One that somebody asked for.
    pub(crate) fn by_hand(kind: BackupKind, now_ms: u64) -> Self {
        Self { id: BackupId::from_random(random_bytes()), kind, schedule_id: None, now_ms }
    }
}

impl Service {
    pub(crate) fn backups_scope(&self, ctx: &OpContext, id: impl ToString) -> Result<Named> {
        let project = self.project_scope(ctx, None)?.id;
        Ok(Named { place: Place::Project(project), id: id.to_string(), kind: "backup" })
    }

    /// Takes a backup of an index of the caller's project: every write that was acknowledged before this was called is in it, and none
    /// that comes after its answer. It is `Initializing` in the answer, and stored in the background. `InvalidArgument` for a pod index,
    /// `QuotaExceeded` when the project has as many as it may.
    pub async fn create_backup(self: &Arc<Self>, ctx: &OpContext, index: &str, new: NewBackup) -> Result<Backup> {
        let (this, ctx, index) = (Arc::clone(self), ctx.clone(), index.to_owned());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::CreateBackup, this.project_scope(&ctx, Some(&index))?).await?;
            let result = async {
                let found = this.index_in(&authorized, &index)?;
                if matches!(found.stored().index.deployment, Deployment::Pod { .. }) {
                    return Err(Error::invalid("A pod index cannot be backed up; make a collection of it"));
                }
                let NewBackup { name, description } = new;
                let taken = Taken::by_hand(BackupKind::Backup { name, description }, ctx.now_ms);
                this.take_backup(&mut authorized, &found, taken).await
            }
            .await;
            authorized.close(result).await
        })
        .await
    }

    /// The backups of an index of the caller's project, oldest first; with `include_deleted` those of every index that ever had this
    /// name. `NotFound` when no index has it now, unless those of deleted ones are asked for.
    pub async fn list_index_backups(&self, ctx: &OpContext, index: &str, include_deleted: bool, page: PageRequest) -> Result<Page<Backup>> {
        let authorized = self.authorize(ctx, Action::ListIndexBackups, self.project_scope(ctx, Some(index))?).await?;
        let listed = async {
            let project = authorized.resource().id;
            let found = self.index_in(&authorized, index);
            let name = IndexName::new(index);
            let backups: Vec<Backup> = match (&found, name) {
                (_, Ok(name)) if include_deleted => self.backups_where(project, |b| b.source_index_name == name),
                (Ok(index), _) => self.backups_where(project, |b| b.source_index_id == index.id()),
                _ => Vec::new(),
            };
            if backups.is_empty() {
                found?;
            }
            Ok(Page::cut(backups, page, mark))
        };
        let listed = listed.await;
        authorized.close(listed).await
    }

    /// The backups of the caller's project, oldest first, those of deleted indexes among them.
    pub async fn list_backups(&self, ctx: &OpContext, page: PageRequest) -> Result<Page<Backup>> {
        let authorized = self.authorize(ctx, Action::ListBackups, self.project_scope(ctx, None)?).await?;
        let backups = self.backups_where(authorized.resource().id, |_| true);
        authorized.close(Ok(Page::cut(backups, page, mark))).await
    }

    fn backups_where(&self, project: ProjectId, which: impl Fn(&Backup) -> bool) -> Vec<Backup> {
        self.catalog().tables().backups_of(project).filter(|b| !b.is_collection() && which(b)).cloned().collect()
    }

    /// One backup of the caller's project.
    pub async fn describe_backup(&self, ctx: &OpContext, id: &str) -> Result<Backup> {
        let scope = self.backups_scope(ctx, id)?;
        let authorized = self.authorize(ctx, Action::DescribeBackup, scope).await?;
        let found = find(&self.catalog().tables(), authorized.resource().place, id);
        authorized.close(found).await
    }

    /// Deletes a backup; the operator can bring it back until the window is over. `FailedPrecondition` while it is being restored or read.
    pub async fn delete_backup(self: &Arc<Self>, ctx: &OpContext, id: &str) -> Result<()> {
        let (this, ctx, id) = (Arc::clone(self), ctx.clone(), id.to_owned());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::DeleteBackup, this.backups_scope(&ctx, &id)?).await?;
            let place = authorized.resource().place;
            let result = this.delete_backup_authorized(&mut authorized, &ctx, |tables| find(tables, place, &id)).await;
            this.deleted(authorized.close(result).await).await
        })
        .await
    }

    /// Deletes the backup that is found when no other change can come between.
    pub(crate) async fn delete_backup_authorized<T>(
        &self,
        authorized: &mut Authorized<T>,
        ctx: &OpContext,
        find: impl FnOnce(&Tables) -> Result<Backup>,
    ) -> Result<()> {
        let mut writer = self.catalog().writer().await;
        let backup = {
            let tables = self.catalog().tables();
            let backup = find(&tables)?;
            let pending = tables.pending_restores().any(|j| j.info.backup_id == backup.id);
            if pending || self.backup_tasks().is_reading(backup.id) {
                let told = format!("{} is being restored or read; wait until that has ended", noun(&backup));
                return Err(Error::new(ErrorCode::FailedPrecondition, told));
            }
            backup
        };
        authorized.name(backup.name().map_or_else(|| backup.id.to_string(), str::to_owned), backup.name().unwrap_or_default());
        authorized.note("backup_id", backup.id.to_string());
        if backup.status == BackupStatus::Initializing {
            // What is not whole yet is not kept: it is removed when its storing ends.
            let change = Change::Delete(NounId::Backup(backup.id));
            return self.catalog().change(&mut writer, authorized, self.audit(), vec![change]).await;
        }
        let burying = Burying {
            kind: DeletedKind::Backup,
            of: backup.id.to_string(),
            name: backup.name().map_or_else(|| backup.id.to_string(), str::to_owned),
            organization_id: self.catalog().tables().organization_of(backup.project_id),
            project_id: Some(backup.project_id),
            nouns: vec![NounId::Backup(backup.id)],
            others: Vec::new(),
        };
        self.bury(writer, authorized, ctx, burying).await
    }

    /// `Forbidden`, naming the customer's key, when a backup is under one that is not to be used now.
    pub(crate) fn check_backup_key(&self, backup: &Backup) -> Result<()> {
        self.store().keys().above_backup(backup.id).map_or(Ok(()), |above| self.check_key_above(above))
    }

    /// Whether a backup has a row, or one that is kept aside.
    pub(super) fn knows_backup(&self, id: BackupId) -> bool {
        let tables = self.catalog().tables();
        tables.backups.contains_key(&id) || tables.deleted.values().any(|d| d.backups().any(|kept| kept == id))
    }

    /// Destroys the key and removes the folder of a backup that has no row, or is none. What a failure leaves, the next start finishes.
    pub(crate) async fn remove_backup(&self, id: BackupId) {
        if let Err(error) = self.engine().delete_backup(id).await {
            tracing::warn!(%error, backup = %id, "the folder of a backup could not be removed; the next start will");
        }
    }

    /// Takes a backup: settles what is in it, puts its row, and stores it in the background. When this fails there is nothing of it.
    pub(crate) async fn take_backup<T>(self: &Arc<Self>, authorized: &mut Authorized<T>, index: &IndexRef, taken: Taken) -> Result<Backup> {
        let id = taken.id;
        self.check_backup_quota(&self.catalog().tables(), index.project_id(), &taken.kind)?;
        // Before the index is asked for: whoever deletes it and waits for who uses it waits for this too. From here on its files stay
        // until the backup has them.
        let guard = self.backup_tasks().begin_capture(id, index.id());
        let handle = Arc::clone(authorized.handle_of(index, self)?);
        self.store().space().take(NEW_BACKUP_BYTES, Purpose::Data)?;
        let made = async {
            let above = self.store().keys().above_index(index.id()).unwrap_or(KeyAbove::Root);
            self.store().keys().create_backup_key(id, above).await?;
            let capture = self.engine().capture(&handle, id).await?;
            self.record_backup(authorized, index, taken, (capture, guard)).await
        }
        .await;
        if made.is_err() && !self.knows_backup(id) {
            self.remove_backup(id).await;
        }
        // Whatever it was that failed first while the index was being closed.
        let is_gone = made.is_err() && !self.catalog().tables().indexes.contains_key(&index.id());
        if is_gone { Err(crate::index::not_found(index.name().as_str())) } else { made }
    }

    async fn record_backup<T>(
        self: &Arc<Self>,
        authorized: &mut Authorized<T>,
        index: &IndexRef,
        taken: Taken,
        (capture, guard): (Capture, tasks::Guard),
    ) -> Result<Backup> {
        let mut writer = self.catalog().writer().await;
        let descriptor = {
            let tables = self.catalog().tables();
            // Much may have happened while it was settled what is in it.
            if !tables.indexes.contains_key(&index.id()) {
                return Err(crate::index::not_found(index.name().as_str()));
            }
            self.check_backup_quota(&tables, index.project_id(), &taken.kind)?;
            let project = tables.projects.get(&index.project_id()).ok_or_else(|| Error::not_found("The project is not there any more"))?;
            let (organization_id, project_name) = (project.organization_id, project.name.clone());
            // What its schedule says now: that may have been changed too. If it was deleted, the backup stays, as those that it took before.
            let schedule = taken.schedule_id.and_then(|id| tables.backup_schedules.get(&id));
            let expires_at_ms = schedule.map(|s| s.expiry(taken.now_ms));
            BackupDescriptor { backup: backup_of(index, taken, expires_at_ms), organization_id, project_name }
        };
        let backup = descriptor.backup.clone();
        authorized.name(backup.name().map_or_else(|| backup.id.to_string(), str::to_owned), backup.name().unwrap_or_default());
        authorized.note("backup_id", backup.id.to_string());
        authorized.note("index_id", index.id().to_string());
        descriptor.write(self.store()).await?;
        self.catalog().change(&mut writer, authorized, self.audit(), vec![Change::Put(Noun::Backup(backup.clone()))]).await?;
        let (this, id) = (Arc::clone(self), backup.id);
        self.in_background(async move { this.store_backup(id, capture, guard).await });
        Ok(backup)
    }

    async fn store_backup(self: Arc<Self>, id: BackupId, capture: Capture, guard: tasks::Guard) {
        let status = match capture.store(&pinyon_engine::Progress::default()).await {
            Ok(summary) => BackupStatus::Ready(super::settle::counts(&summary)),
            Err(error) => {
                tracing::warn!(%error, backup = %id, "a backup could not be stored");
                // A failed one holds nothing, and must not look as if it did.
                self.remove_backup(id).await;
                BackupStatus::Failed(error.message)
            }
        };
        self.until_done("how a backup ended is not recorded yet", || self.finish_backup(id, status.clone())).await;
        // In this order, so that of this task and a deletion one sees the other.
        drop(guard);
        if !self.knows_backup(id) {
            self.remove_backup(id).await;
        }
    }

    /// Tries again until it succeeds: for what must be recorded, and may not fit the disk for a while.
    pub(crate) async fn until_done<F: Future<Output = Result<()>>>(&self, what: &str, attempt: impl Fn() -> F) {
        const AGAIN_MS: u64 = 5_000;
        while let Err(error) = attempt().await {
            tracing::error!(%error, "{what}; it will be tried again");
            self.clock().wait_ms(AGAIN_MS).await;
        }
    }

    pub(super) fn check_backup_quota(&self, tables: &Tables, project: ProjectId, kind: &BackupKind) -> Result<()> {
        let quotas = self.quotas_of_project(tables, project);
        let (max, what) = match kind {
            BackupKind::Backup { .. } => (quotas.backups_per_project, "backups"),
            BackupKind::Collection(_) => (quotas.collections_per_project, "collections"),
        };
        if max == 0 {
            return Err(Error::forbidden(format!("The organization's plan does not include {what}")));
        }
        let is_collection = matches!(kind, BackupKind::Collection(_));
        // One that failed holds nothing. If it counted, a schedule whose runs fail would keep the project full by itself.
        let counts = |b: &&Backup| b.is_collection() == is_collection && !matches!(b.status, BackupStatus::Failed(_));
        if tables.backups_of(project).filter(counts).count() >= max as usize {
            let told = format!("The project has reached its limit of {max} {what}; delete one, or raise the limit");
            return Err(Error::new(ErrorCode::QuotaExceeded, told));
        }
        if let BackupKind::Collection(name) = kind
            && tables.collection_by_name(project, name).is_some()
        {
            return Err(Error::already_exists("Resource already exists."));
        }
        Ok(())
    }
}

fn backup_of(index: &IndexRef, taken: Taken, expires_at_ms: Option<u64>) -> Backup {
    let stored = index.stored();
    let Taken { id, kind, schedule_id, now_ms } = taken;
    Backup {
        id,
        project_id: stored.index.project_id,
        source_index_id: stored.index.id,
        source_index_name: stored.index.name.clone(),
        source_index_deleted_at_ms: None,
        kind,
        status: BackupStatus::Initializing,
        schema: stored.index.schema.clone(),
        deployment: stored.index.deployment.clone(),
        tags: stored.index.tags.clone(),
        cmek_id: stored.index.cmek_id,
        created_at_ms: now_ms,
        schedule_id,
        expires_at_ms,
    }
}

/// Where it stands in lists.
fn mark(backup: &Backup) -> (u64, [u8; 16]) {
    (backup.created_at_ms, *backup.id.as_bytes())
}

fn noun(backup: &Backup) -> String {
    match &backup.kind {
        BackupKind::Backup { .. } => format!("Backup {}", backup.id),
        BackupKind::Collection(name) => format!("Collection {name}"),
    }
}

/// The backup of this id in a project.
pub(crate) fn find(tables: &Tables, place: Place, id: &str) -> Result<Backup> {
    let found = BackupId::parse(id).ok().and_then(|id| tables.backups.get(&id));
    let found = found.filter(|b| Place::Project(b.project_id) == place && !b.is_collection());
    found.cloned().ok_or_else(|| not_found(id))
}

/// What is answered for an id or a name that is not there and for another project's alike.
pub(crate) fn not_found(id: &str) -> Error {
    let shown: String = id.chars().take(100).collect();
    Error::not_found(format!("Resource {} not found", shown.escape_debug()))
}

/// What goes with an index that is deleted, and comes back with it: its schedules. And what else changes: its backups know of it, and what
/// was being restored into it is cancelled. `FailedPrecondition` while a collection is being made of it.
pub(crate) fn index_gone(tables: &Tables, index: IndexId, now_ms: u64) -> Result<(Vec<NounId>, Vec<Change>)> {
    let own = || tables.backups.values().filter(|b| b.source_index_id == index);
    if let Some(pending) = own().find(|b| b.is_collection() && b.status == BackupStatus::Initializing) {
        let told = format!("{} is being made of this index; wait until it is ready", noun(pending));
        return Err(Error::new(ErrorCode::FailedPrecondition, told));
    }
    let backups = own().map(|b| Change::Put(Noun::Backup(Backup { source_index_deleted_at_ms: Some(now_ms), ..b.clone() })));
    let schedules = tables.backup_schedules.values().filter(|s| s.index_id == index).map(|s| NounId::BackupSchedule(s.id));
    let jobs = tables.pending_restores().filter(|j| j.info.target_index_id == index);
    let jobs = jobs.map(|j| Change::Put(Noun::RestoreJob(j.ended(RestoreStatus::Cancelled, now_ms))));
    Ok((schedules.collect(), backups.chain(jobs).collect()))
}

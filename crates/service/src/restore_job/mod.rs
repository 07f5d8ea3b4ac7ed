//! Restores: a backup becomes a new index, in the background. The index is `Initializing` until it is whole.

mod stored;

use std::sync::Arc;

use pinyon_engine::Progress;
use pinyon_model::{
    Backup, BackupStatus, Error, ErrorCode, Index, IndexSource, IndexSpec, IndexState, NewRestore, Page, PageRequest, Principal, ProjectId,
    ReadCapacity, RestoreJob, RestoreJobId, RestoreStatus, Result,
};
use pinyon_storage::{Purpose, random_bytes};

pub(crate) use stored::StoredRestoreJob;

use crate::{
    IndexRef, OpContext, Service,
    authorize::{Action, Authorized, Installation, Named, Place},
    backup::{self, RunningRestore, find},
    catalog::{Change, Noun},
    index::{StoredIndex, options},
};

/// How often a restore that needs a customer's key looks for it.
const KEY_WAIT_MS: u64 = 1_000;

impl Service {
    /// Makes an index of a backup, and begins to restore it in the background. The index is there at once and `Initializing`; until
    /// it is `Ready`, calls on its records are refused. `FailedPrecondition` for a backup that is not ready, `AlreadyExists` when the
    /// name is taken, `QuotaExceeded` when the project is full.
    pub async fn create_index_from_backup(self: &Arc<Self>, ctx: &OpContext, id: &str, new: NewRestore) -> Result<(Index, RestoreJob)> {
        let (this, ctx, id) = (Arc::clone(self), ctx.clone(), id.to_owned());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::CreateIndexFromBackup, this.backups_scope(&ctx, &id)?).await?;
            let place = authorized.resource().place;
            let result = async {
                let backup = find(&this.catalog().tables(), place, &id)?;
                let spec = spec_of(&backup, new)?;
                this.begin_restore(&mut authorized, &backup, spec, ctx.now_ms).await
            }
            .await;
            authorized.close(result).await
        })
        .await
    }

    /// The restores of the caller's project, oldest first.
    pub async fn list_restore_jobs(&self, ctx: &OpContext, page: PageRequest) -> Result<Page<RestoreJob>> {
        let authorized = self.authorize(ctx, Action::ListRestoreJobs, self.project_scope(ctx, None)?).await?;
        let project = authorized.resource().id;
        let jobs: Vec<RestoreJob> = {
            let tables = self.catalog().tables();
            let own = |j: &&StoredRestoreJob| j.info.project_id == project && !j.of_collection;
            tables.restore_jobs.values().filter(own).map(|j| self.progressed(&j.info)).collect()
        };
        authorized.close(Ok(Page::cut(jobs, page, |j| (j.created_at_ms, *j.id.as_bytes())))).await
    }

    /// One restore of the caller's project.
    pub async fn describe_restore_job(&self, ctx: &OpContext, id: &str) -> Result<RestoreJob> {
        let project = self.project_scope(ctx, None)?.id;
        let scope = Named { place: Place::Project(project), id: id.to_owned(), kind: "restore job" };
        let authorized = self.authorize(ctx, Action::DescribeRestoreJob, scope).await?;
        let found = self.find_restore_job(project, id);
        authorized.close(found).await
    }

    /// Waits until a restore of the caller's project has ended.
    pub async fn wait_for_restore(&self, ctx: &OpContext, id: RestoreJobId) -> Result<RestoreJob> {
        loop {
            let job = self.describe_restore_job(ctx, &id.to_string()).await?;
            if job.status != RestoreStatus::Pending {
                return Ok(job);
            }
            self.clock().wait_ms(backup::WAIT_MS).await;
        }
    }

    fn find_restore_job(&self, project: ProjectId, id: &str) -> Result<RestoreJob> {
        let tables = self.catalog().tables();
        let found = RestoreJobId::parse(id).ok().and_then(|id| tables.restore_jobs.get(&id));
        let found = found.filter(|j| j.info.project_id == project && !j.of_collection);
        found.map(|j| self.progressed(&j.info)).ok_or_else(|| backup::not_found(id))
    }

    /// A restore with how far it is now.
    fn progressed(&self, job: &RestoreJob) -> RestoreJob {
        let mut job = job.clone();
        if job.status == RestoreStatus::Pending {
            job.percent_complete = self.backup_tasks().percent(job.id).or(job.percent_complete);
        }
        job
    }

    /// Makes the index that a backup is restored into, with its job, and begins.
    pub(crate) async fn begin_restore<T>(
        self: &Arc<Self>,
        authorized: &mut Authorized<T>,
        backup: &Backup,
        spec: IndexSpec,
        now_ms: u64,
    ) -> Result<(Index, RestoreJob)> {
        crate::index::check_spec(&spec)?;
        let mut writer = self.catalog().writer().await;
        check_ready(self.catalog().tables().backups.get(&backup.id))?;
        self.check_backup_key(backup)?;
        let (mut stored, above) = self.plan_index(backup.project_id, spec, now_ms)?;
        stored.index.state = IndexState::Initializing;
        stored.index.source = Some(match &backup.kind {
            pinyon_model::BackupKind::Backup { .. } => IndexSource::Backup(backup.id),
            pinyon_model::BackupKind::Collection(name) => IndexSource::Collection(name.clone()),
        });
        let index = stored.index.clone();
        let info = RestoreJob {
            id: RestoreJobId::from_random(random_bytes()),
            project_id: index.project_id,
            backup_id: backup.id,
            target_index_id: index.id,
            target_index_name: index.name.clone(),
            status: RestoreStatus::Pending,
            created_at_ms: now_ms,
            completed_at_ms: None,
            percent_complete: Some(0.0),
        };
        let job = StoredRestoreJob { info: info.clone(), of_collection: backup.is_collection() };
        authorized.name(index.name.as_str(), index.name.as_str());
        authorized.note("index_id", index.id.to_string());
        authorized.note("backup_id", backup.id.to_string());
        authorized.note("restore_job_id", info.id.to_string());
        let changes = vec![Change::Put(Noun::Index(stored.clone())), Change::Put(Noun::RestoreJob(job))];
        // Before there is a row, so that nobody takes it for one that was left behind. When what follows the commit fails, it is one.
        let running = self.backup_tasks().begin_restore(info.id, index.id);
        let running = running.ok_or_else(|| Error::internal("A new restore runs already"))?;
        self.create_stored(authorized, &mut writer, (stored, above), changes).await?;
        self.spawn_restore(info.clone(), running, false);
        Ok((index, info))
    }

    /// Goes on with a restore in the background; with `again`, what was left of it is removed first.
    fn spawn_restore(self: &Arc<Self>, job: RestoreJob, (guard, progress): RunningRestore, again: bool) {
        let this = Arc::clone(self);
        self.in_background(async move {
            let begun = if again { this.begin_anew(&job).await } else { Ok(()) };
            let restored = match begun {
                Ok(()) => this.restore(&job, &progress).await,
                Err(error) => Err(error),
            };
            if let Err(error) = &restored {
                tracing::warn!(%error, job = %job.id, index = %job.target_index_id, "a backup could not be restored");
            }
            this.until_done("how a restore ended is not recorded yet", || this.finish_restore(job.id, restored.clone())).await;
            drop(guard);
        });
    }

    async fn restore(&self, job: &RestoreJob, progress: &Progress) -> Result<()> {
        let index = self.catalog().tables().indexes.get(&job.target_index_id).map(|i| i.describe());
        let index = index.ok_or_else(|| Error::not_found("The index was deleted"))?;
        self.engine().restore(job.backup_id, job.target_index_id, &options(&index), progress).await
    }

    /// Records how a restore ended, and opens the index; of one that failed nothing is left but its description.
    async fn finish_restore(self: &Arc<Self>, id: RestoreJobId, restored: Result<()>) -> Result<()> {
        let this = Arc::clone(self);
        self.detached(async move {
            let ctx = OpContext::internal(Principal::System, this.clock().now_ms());
            let mut authorized = this.authorize(&ctx, Action::FinishRestore, Installation).await?;
            let result = this.finish_restore_authorized(&mut authorized, id, restored, ctx.now_ms).await;
            authorized.close(result).await
        })
        .await
    }

    async fn finish_restore_authorized(
        &self,
        authorized: &mut Authorized<Installation>,
        id: RestoreJobId,
        restored: Result<()>,
        now_ms: u64,
    ) -> Result<()> {
        let mut writer = self.catalog().writer().await;
        let Some((job, index)) = self.pending(id) else { return Ok(()) };
        authorized.name(index.name.as_str(), index.name.as_str());
        authorized.note("index_id", index.id.to_string());
        authorized.note("restore_job_id", id.to_string());
        authorized.note("project_id", index.project_id.to_string());
        let (state, status) = match restored {
            Ok(()) => (IndexState::Ready, RestoreStatus::Completed),
            Err(error) => {
                authorized.note("failed", error.message.clone());
                self.remove_storage(index.id).await;
                (IndexState::InitializationFailed, RestoreStatus::Failed(error.message))
            }
        };
        let created_at_ms = self.catalog().tables().indexes.get(&index.id).map_or(now_ms, |i| i.stored().created_at_ms);
        let stored = StoredIndex { index: Index { state, ..index }, created_at_ms };
        if state == IndexState::Ready {
            self.descriptor(&stored)?.write(self.store(), Purpose::Essential).await?;
        }
        let changes = vec![Change::Put(Noun::Index(stored)), Change::Put(Noun::RestoreJob(job.ended(status, now_ms)))];
        self.catalog().change(&mut writer, authorized, self.audit(), changes).await
    }

    /// A restore that is not over, and its index.
    fn pending(&self, id: RestoreJobId) -> Option<(StoredRestoreJob, Index)> {
        let tables = self.catalog().tables();
        let job = tables.restore_jobs.get(&id).filter(|j| j.is_pending())?.clone();
        let index = tables.indexes.get(&job.info.target_index_id)?.describe();
        Some((job, index))
    }

    /// Begins anew what nobody runs: what the last process did not end, what came back with its project, and what failed right after its
    /// rows were there. What there is of the index is removed first. A server's, at its start and each second: what runs, or waits for a
    /// customer's key, is left alone.
    pub(crate) fn resume_restores(self: &Arc<Self>) {
        let begun: Vec<(RestoreJob, RunningRestore)> = {
            // Under this lock no restore comes to its end, which is in its row before it stops running: none is begun that is over.
            let tables = self.catalog().tables();
            let is_open = |i: &IndexRef| i.stored().index.state == IndexState::Initializing;
            let open = tables.pending_restores().filter(|j| tables.indexes.get(&j.info.target_index_id).is_some_and(is_open));
            let begin =
                |j: &StoredRestoreJob| Some((j.info.clone(), self.backup_tasks().begin_restore(j.info.id, j.info.target_index_id)?));
            open.filter_map(begin).collect()
        };
        for (job, running) in begun {
            self.spawn_restore(job, running, true);
        }
    }

    /// Makes the index anew that was not restored to the end. A customer's key that is not there yet is waited for.
    async fn begin_anew(&self, job: &RestoreJob) -> Result<()> {
        loop {
            let made = self.make_anew(job).await;
            match made {
                Err(error) if matches!(error.code, ErrorCode::Forbidden | ErrorCode::Unavailable) => {
                    tracing::debug!(%error, job = %job.id, "a restore cannot go on yet");
                    self.clock().wait_ms(KEY_WAIT_MS).await;
                }
                made => return made,
            }
        }
    }

    async fn make_anew(&self, job: &RestoreJob) -> Result<()> {
        let (stored, above) = {
            let tables = self.catalog().tables();
            let stored = tables.indexes.get(&job.target_index_id).map(|i| i.stored());
            let stored = stored.ok_or_else(|| Error::not_found("The index is not there any more"))?;
            let (_, above) = self.key_for_new(&tables, job.project_id, stored.index.cmek_id)?;
            if let Some(backup) = tables.backups.get(&job.backup_id) {
                self.check_backup_key(backup)?;
            }
            (stored, above)
        };
        self.engine().delete_index(job.target_index_id).await?;
        self.create_storage(&stored, above).await
    }
}

fn check_ready(backup: Option<&Backup>) -> Result<()> {
    let precondition = |told: String| Err(Error::new(ErrorCode::FailedPrecondition, told));
    match backup.map(|b| &b.status) {
        Some(BackupStatus::Ready(_)) => Ok(()),
        Some(BackupStatus::Initializing) => precondition("The backup is not ready yet".to_owned()),
        Some(BackupStatus::Failed(reason)) => precondition(format!("The backup holds nothing, because it failed: {reason}")),
        None => Err(Error::not_found("The backup is not there any more")),
    }
}

/// The index that a backup becomes.
fn spec_of(backup: &Backup, new: NewRestore) -> Result<IndexSpec> {
    let NewRestore { name, tags, deletion_protection, read_capacity, cmek_id } = new;
    let shared = ReadCapacity::OnDemand;
    Ok(IndexSpec {
        name: Some(name),
        schema: backup.schema.clone(),
        deployment: backup.deployment.clone(),
        read_capacity: read_capacity.map_or(Ok(shared.clone()), |change| change.apply(&shared))?,
        deletion_protection,
        tags: tags.unwrap_or_else(|| backup.tags.clone()),
        cmek_id: cmek_id.or(backup.cmek_id),
        source_collection: None,
    })
}

//! Backup schedules: backups that are taken by themselves, and deleted by themselves when their time is over.

mod stored;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use pinyon_model::{
    Backup, BackupFrequency, BackupId, BackupKind, BackupSchedule, BackupScheduleChange, BackupScheduleId, BackupStatus, Deployment, Error,
    IndexId, NewBackupSchedule, Page, PageRequest, PlannedRun, Principal, ProjectId, Result,
};
use pinyon_storage::random_bytes;

pub(crate) use stored::{read, write};

use crate::{
    IndexRef, OpContext, Service,
    authorize::{Action, Installation, Named, Place},
    backup::{Taken, not_found},
    catalog::{Change, Noun, NounId, Tables},
    clock::DAY_MS,
};

/// A run of a schedule: one that was, by its backup, or the one that is to come.
#[derive(Debug, Clone, PartialEq)]
pub enum ScheduledRun {
    /// It was.
    Taken(Box<Backup>),
    /// It is to come.
    Planned {
        /// What the backup will be.
        backup: Box<Backup>,
        /// When, milliseconds since 1970.
        at_ms: u64,
    },
}

impl Service {
    fn schedules_scope(&self, ctx: &OpContext, id: &str) -> Result<Named> {
        let project = self.project_scope(ctx, None)?.id;
        Ok(Named { place: Place::Project(project), id: id.chars().take(100).collect(), kind: "backup schedule" })
    }

    /// Has backups taken of an index of the caller's project from now on, the first after one period. `InvalidArgument` for a pod
    /// index, `AlreadyExists` when the index has a schedule that is enabled.
    pub async fn create_backup_schedule(self: &Arc<Self>, ctx: &OpContext, index: &str, new: NewBackupSchedule) -> Result<BackupSchedule> {
        let (this, ctx, index) = (Arc::clone(self), ctx.clone(), index.to_owned());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::CreateBackupSchedule, this.project_scope(&ctx, Some(&index))?).await?;
            let result = async {
                let mut writer = this.catalog().writer().await;
                let found = this.index_in(&authorized, &index)?;
                if matches!(found.stored().index.deployment, Deployment::Pod { .. }) {
                    return Err(Error::invalid("A pod index cannot be backed up, and takes no backup schedule"));
                }
                let schedule = {
                    let tables = this.catalog().tables();
                    if this.quotas_of_project(&tables, found.project_id()).backups_per_project == 0 {
                        return Err(Error::forbidden("The organization's plan does not include backups"));
                    }
                    check_only_one(&tables, found.id(), None)?;
                    schedule_of(&found, new, ctx.now_ms)
                };
                authorized.name(schedule.name.clone(), schedule.name.clone());
                authorized.note("schedule_id", schedule.id.to_string());
                authorized.note("index_id", found.id().to_string());
                let put = Change::Put(Noun::BackupSchedule(schedule.clone()));
                this.catalog().change(&mut writer, &mut authorized, this.audit(), vec![put]).await?;
                Ok(schedule)
            }
            .await;
            authorized.close(result).await
        })
        .await
    }

    /// The schedules of an index of the caller's project, disabled ones among them, oldest first.
    pub async fn list_backup_schedules(&self, ctx: &OpContext, index: &str, page: PageRequest) -> Result<Page<BackupSchedule>> {
        let authorized = self.authorize(ctx, Action::ListBackupSchedules, self.project_scope(ctx, Some(index))?).await?;
        let listed = self.index_in(&authorized, index).map(|index| {
            let tables = self.catalog().tables();
            let own: Vec<_> = tables.backup_schedules.values().filter(|s| s.index_id == index.id()).cloned().collect();
            Page::cut(own, page, |s| (s.created_at_ms, *s.id.as_bytes()))
        });
        authorized.close(listed).await
    }

    /// One schedule of the caller's project.
    pub async fn describe_backup_schedule(&self, ctx: &OpContext, id: &str) -> Result<BackupSchedule> {
        let authorized = self.authorize(ctx, Action::DescribeBackupSchedule, self.schedules_scope(ctx, id)?).await?;
        let found = find(&self.catalog().tables(), authorized.resource().place, id);
        authorized.close(found).await
    }

    /// Changes a schedule. Other days of retention count for the backups that are there too. One that is enabled again runs at once, and
    /// then plans from now; `AlreadyExists` when the index has another that is enabled.
    pub async fn update_backup_schedule(
        self: &Arc<Self>,
        ctx: &OpContext,
        id: &str,
        change: BackupScheduleChange,
    ) -> Result<BackupSchedule> {
        let (this, ctx, id) = (Arc::clone(self), ctx.clone(), id.to_owned());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::UpdateBackupSchedule, this.schedules_scope(&ctx, &id)?).await?;
            let place = authorized.resource().place;
            let result = async {
                let mut writer = this.catalog().writer().await;
                let (old, schedule, changes) = {
                    let tables = this.catalog().tables();
                    let old = find(&tables, place, &id)?;
                    let schedule = changed(&tables, &old, change, ctx.now_ms)?;
                    let mut changes = vec![Change::Put(Noun::BackupSchedule(schedule.clone()))];
                    if schedule.retention_days != old.retention_days {
                        let retimed = |b: &Backup| Backup { expires_at_ms: Some(schedule.expiry(b.created_at_ms)), ..b.clone() };
                        changes.extend(backups_of(&tables, old.id).map(|b| Change::Put(Noun::Backup(retimed(b)))));
                    }
                    (old, schedule, changes)
                };
                authorized.name(schedule.name.clone(), schedule.name.clone());
                authorized.note("schedule_id", schedule.id.to_string());
                this.catalog().change(&mut writer, &mut authorized, this.audit(), changes).await?;
                drop(writer);
                Ok((!old.is_enabled() && schedule.is_enabled(), schedule))
            }
            .await;
            let (again, schedule) = authorized.close(result).await?;
            if again {
                let run = PlannedRun { at_ms: ctx.now_ms, backup_id: BackupId::from_random(random_bytes()) };
                this.take_scheduled(&schedule, run, ctx.now_ms).await?;
            }
            Ok(schedule)
        })
        .await
    }

    /// Deletes a schedule. The backups that it took stay, until somebody deletes them.
    pub async fn delete_backup_schedule(self: &Arc<Self>, ctx: &OpContext, id: &str) -> Result<()> {
        let (this, ctx, id) = (Arc::clone(self), ctx.clone(), id.to_owned());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::DeleteBackupSchedule, this.schedules_scope(&ctx, &id)?).await?;
            let place = authorized.resource().place;
            let result = async {
                let mut writer = this.catalog().writer().await;
                let (schedule, changes) = {
                    let tables = this.catalog().tables();
                    let schedule = find(&tables, place, &id)?;
                    let kept = |b: &Backup| Backup { expires_at_ms: None, ..b.clone() };
                    let mut changes = vec![Change::Delete(NounId::BackupSchedule(schedule.id))];
                    changes.extend(backups_of(&tables, schedule.id).map(|b| Change::Put(Noun::Backup(kept(b)))));
                    (schedule, changes)
                };
                authorized.name(schedule.name.clone(), schedule.name);
                authorized.note("schedule_id", schedule.id.to_string());
                this.catalog().change(&mut writer, &mut authorized, this.audit(), changes).await
            }
            .await;
            authorized.close(result).await
        })
        .await
    }

    /// The runs of a schedule, oldest first, the one to come at the end.
    pub async fn list_backup_schedule_history(&self, ctx: &OpContext, id: &str, page: PageRequest) -> Result<Page<ScheduledRun>> {
        let authorized = self.authorize(ctx, Action::ListBackupScheduleHistory, self.schedules_scope(ctx, id)?).await?;
        let listed = self.history(authorized.resource().place, id, page);
        authorized.close(listed).await
    }

    fn history(&self, place: Place, id: &str, page: PageRequest) -> Result<Page<ScheduledRun>> {
        let tables = self.catalog().tables();
        let schedule = find(&tables, place, id)?;
        let mut runs: Vec<ScheduledRun> = backups_of(&tables, schedule.id).map(|b| ScheduledRun::Taken(Box::new(b.clone()))).collect();
        if let (Some(run), Some(index)) = (schedule.next_run, tables.indexes.get(&schedule.index_id)) {
            let backup = planned_backup(index, &schedule, run);
            runs.push(ScheduledRun::Planned { backup: Box::new(backup), at_ms: run.at_ms });
        }
        Ok(Page::cut(runs, page, |run| match run {
            ScheduledRun::Taken(backup) => (backup.created_at_ms, *backup.id.as_bytes()),
            ScheduledRun::Planned { backup, at_ms } => (*at_ms, *backup.id.as_bytes()),
        }))
    }

    /// Deletes the backups whose time is over, and takes those that are due; of times that were missed, one is made up for. Restores that
    /// nobody runs are begun again. What a server does by itself, each second.
    pub async fn run_backup_schedules(self: &Arc<Self>) -> Result<()> {
        self.resume_restores();
        let now_ms = self.clock().now_ms();
        // Those under a customer's key that was not there at the start.
        self.settle_backups().await?;
        // First what goes, so that a full project has room for what comes. What cannot go keeps nothing from coming.
        let expired = self.expire_backups(now_ms).await;
        expired.and(self.take_due(now_ms).await)
    }

    async fn take_due(self: &Arc<Self>, now_ms: u64) -> Result<()> {
        self.replan_far_runs().await?;
        let due: Vec<BackupScheduleId> = {
            let tables = self.catalog().tables();
            tables.backup_schedules.values().filter(|s| s.next_run.is_some_and(|run| run.at_ms <= now_ms)).map(|s| s.id).collect()
        };
        for id in due {
            if let Some((schedule, run)) = self.plan_next(id, now_ms).await? {
                self.take_scheduled(&schedule, run, now_ms).await?;
            }
        }
        Ok(())
    }

    /// Plans again what is planned for later than anything can be that is planned now: the clock stood ahead for a while, and nothing would
    /// run until it comes there by itself.
    async fn replan_far_runs(&self) -> Result<()> {
        let far: Vec<BackupScheduleId> = {
            let tables = self.catalog().tables();
            // Asked when the rows are in view: none of them was planned by a later time, unless the clock went back.
            let now_ms = self.clock().now_ms();
            tables.backup_schedules.values().filter(|s| is_too_far(s, now_ms)).map(|s| s.id).collect()
        };
        for id in far {
            self.replan(id).await?;
        }
        Ok(())
    }

    async fn replan(&self, id: BackupScheduleId) -> Result<()> {
        let ctx = OpContext::internal(Principal::System, self.clock().now_ms());
        let mut authorized = self.authorize(&ctx, Action::UpdateBackupSchedule, Installation).await?;
        let result = async {
            let mut writer = self.catalog().writer().await;
            let found = self.catalog().tables().backup_schedules.get(&id).cloned();
            let now_ms = self.clock().now_ms();
            let Some(mut schedule) = found.filter(|s| is_too_far(s, now_ms)) else { return Ok(()) };
            let at_ms = schedule.frequency.after(now_ms);
            schedule.next_run = schedule.next_run.map(|run| PlannedRun { at_ms, ..run });
            authorized.name(schedule.name.clone(), schedule.name.clone());
            authorized.note("schedule_id", schedule.id.to_string());
            authorized.note("project_id", schedule.project_id.to_string());
            tracing::warn!(schedule = %schedule.id, "a backup was planned by a clock that stood ahead; it is planned again");
            let put = Change::Put(Noun::BackupSchedule(schedule));
            self.catalog().change(&mut writer, &mut authorized, self.audit(), vec![put]).await
        };
        let result = result.await;
        authorized.close(result).await
    }

    /// Puts the time after the next into a schedule, before its backup is taken: after a crash there is one backup too few, and never
    /// two. None when it is not due any more.
    async fn plan_next(&self, id: BackupScheduleId, now_ms: u64) -> Result<Option<(BackupSchedule, PlannedRun)>> {
        let ctx = OpContext::internal(Principal::System, now_ms);
        let mut authorized = self.authorize(&ctx, Action::UpdateBackupSchedule, Installation).await?;
        let result = async {
            let mut writer = self.catalog().writer().await;
            let found = self.catalog().tables().backup_schedules.get(&id).cloned();
            let Some((mut schedule, run)) = found.and_then(|s| s.next_run.filter(|r| r.at_ms <= now_ms).map(|run| (s, run))) else {
                return Ok(None);
            };
            let at_ms = schedule.next_time(run.at_ms, now_ms);
            schedule.next_run = Some(PlannedRun { at_ms, backup_id: BackupId::from_random(random_bytes()) });
            authorized.name(schedule.name.clone(), schedule.name.clone());
            authorized.note("schedule_id", schedule.id.to_string());
            authorized.note("project_id", schedule.project_id.to_string());
            let put = Change::Put(Noun::BackupSchedule(schedule.clone()));
            self.catalog().change(&mut writer, &mut authorized, self.audit(), vec![put]).await?;
            Ok(Some((schedule, run)))
        };
        let result = result.await;
        authorized.close(result).await
    }

    /// Takes a run's backup. One that cannot be taken is kept as a failed one, with the reason, so that the history shows it.
    async fn take_scheduled(self: &Arc<Self>, schedule: &BackupSchedule, run: PlannedRun, now_ms: u64) -> Result<()> {
        let index = self.catalog().tables().indexes.get(&schedule.index_id).cloned();
        // Deleted meanwhile, and the schedule with it.
        let Some(index) = index else { return Ok(()) };
        let ctx = OpContext::internal(Principal::System, now_ms);
        let mut authorized = self.authorize(&ctx, Action::RunBackupSchedule, Installation).await?;
        authorized.note("schedule_id", schedule.id.to_string());
        let mut planned = planned_backup(&index, schedule, run);
        planned.created_at_ms = now_ms;
        let taken = Taken { id: run.backup_id, kind: planned.kind.clone(), schedule_id: Some(schedule.id), now_ms };
        let result = self.take_backup(&mut authorized, &index, taken).await;
        let Err(error) = authorized.close(result).await else { return Ok(()) };
        tracing::warn!(%error, schedule = %schedule.id, index = %index.id(), "a scheduled backup could not be taken");
        self.keep_failed(Backup { status: BackupStatus::Failed(error.message), ..planned }).await
    }

    async fn keep_failed(&self, failed: Backup) -> Result<()> {
        let ctx = OpContext::internal(Principal::System, failed.created_at_ms);
        let mut authorized = self.authorize(&ctx, Action::FinishBackup, Installation).await?;
        let result = async {
            let mut writer = self.catalog().writer().await;
            let failed = {
                let tables = self.catalog().tables();
                let is_known = tables.backups.contains_key(&failed.id) || !tables.projects.contains_key(&failed.project_id);
                // One that was deleted meanwhile has no history to show it in, and nothing would ever take it away.
                let schedule = failed.schedule_id.and_then(|id| tables.backup_schedules.get(&id));
                let Some(schedule) = schedule.filter(|_| !is_known) else { return Ok(()) };
                Backup { expires_at_ms: Some(schedule.expiry(failed.created_at_ms)), ..failed }
            };
            authorized.name(failed.name().unwrap_or_default(), failed.name().unwrap_or_default());
            authorized.note("backup_id", failed.id.to_string());
            self.catalog().change(&mut writer, &mut authorized, self.audit(), vec![Change::Put(Noun::Backup(failed))]).await
        };
        let result = result.await;
        authorized.close(result).await
    }
}

fn schedule_of(index: &IndexRef, new: NewBackupSchedule, now_ms: u64) -> BackupSchedule {
    let NewBackupSchedule { name, frequency, retention_days } = new;
    BackupSchedule {
        id: BackupScheduleId::from_random(random_bytes()),
        project_id: index.project_id(),
        index_id: index.id(),
        name,
        frequency,
        retention_days,
        next_run: Some(PlannedRun { at_ms: frequency.after(now_ms), backup_id: BackupId::from_random(random_bytes()) }),
        created_at_ms: now_ms,
    }
}

/// What the backup of a run will be, as far as it is known.
fn planned_backup(index: &IndexRef, schedule: &BackupSchedule, run: PlannedRun) -> Backup {
    let stored = index.stored();
    Backup {
        id: run.backup_id,
        project_id: schedule.project_id,
        source_index_id: index.id(),
        source_index_name: index.name().clone(),
        source_index_deleted_at_ms: None,
        kind: BackupKind::Backup { name: Some(schedule.backup_name(run.at_ms)), description: None },
        status: BackupStatus::Initializing,
        schema: stored.index.schema.clone(),
        deployment: stored.index.deployment.clone(),
        tags: stored.index.tags.clone(),
        cmek_id: stored.index.cmek_id,
        // A planned run is planned with the one before it, or with the schedule.
        created_at_ms: schedule.created_at_ms,
        schedule_id: Some(schedule.id),
        expires_at_ms: None,
    }
}

fn backups_of(tables: &Tables, id: BackupScheduleId) -> impl Iterator<Item = &Backup> {
    tables.backups.values().filter(move |b| b.schedule_id == Some(id))
}

/// Whether the next run lies further ahead than one that is planned now would.
fn is_too_far(schedule: &BackupSchedule, now_ms: u64) -> bool {
    // Of two times on the last days of a month, the earlier one may become the later one on the last day of the next.
    let slack_ms = if schedule.frequency == BackupFrequency::Monthly { DAY_MS } else { 0 };
    let latest_ms = schedule.frequency.after(now_ms).saturating_add(slack_ms);
    schedule.next_run.is_some_and(|run| run.at_ms > latest_ms)
}

/// One enabled schedule of an index, and no second.
fn check_only_one(tables: &Tables, index: IndexId, own: Option<BackupScheduleId>) -> Result<()> {
    match tables.backup_schedules.values().find(|s| s.index_id == index && s.is_enabled() && Some(s.id) != own) {
        Some(other) => Err(Error::already_exists(format!(
            "The index has an enabled backup schedule already, '{}'; disable or delete it first",
            other.name.escape_debug()
        ))),
        None => Ok(()),
    }
}

fn changed(tables: &Tables, old: &BackupSchedule, change: BackupScheduleChange, now_ms: u64) -> Result<BackupSchedule> {
    let mut schedule = old.clone();
    schedule.retention_days = change.retention_days.unwrap_or(old.retention_days);
    schedule.frequency = change.frequency.unwrap_or(old.frequency);
    let enabled = change.enabled.unwrap_or(old.is_enabled());
    if enabled && !old.is_enabled() {
        check_only_one(tables, old.index_id, Some(old.id))?;
    }
    let plan = || PlannedRun { at_ms: schedule.frequency.after(now_ms), backup_id: BackupId::from_random(random_bytes()) };
    schedule.next_run = match (enabled, old.next_run) {
        (false, _) => None,
        (true, Some(run)) if schedule.frequency == old.frequency => Some(run),
        (true, _) => Some(plan()),
    };
    Ok(schedule)
}

/// The schedule of this id in a project.
fn find(tables: &Tables, place: Place, id: &str) -> Result<BackupSchedule> {
    let found = BackupScheduleId::parse(id).ok().and_then(|id| tables.backup_schedules.get(&id));
    let in_place = |project: ProjectId| Place::Project(project) == place;
    found.filter(|s| in_place(s.project_id)).cloned().ok_or_else(|| not_found(id))
}

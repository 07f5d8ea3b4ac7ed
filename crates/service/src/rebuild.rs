//! The catalog's rebuild: what storage says of itself, put into a new catalog. And the sweep, which looks at the same folders at
//! every start and ends what was begun and not finished.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use pinyon_engine::Clock;
use pinyon_model::{
    AuditEvent, AuditOutcome, BackupId, BackupStatus, Deleted, DeletedId, DeletedKind, Error, ErrorCode, IndexId, IndexName, IndexState,
    Organization, OrganizationId, Principal, Project, ProjectId, Result, Role,
};
use pinyon_storage::{Purpose, PutMode, StorageError, random_bytes};

use crate::{
    CreatedApiKey, DamagedFile, NewApiKey, OpContext, Service, ServiceOptions,
    audit::{self, Audit},
    authorize::{Action, Authorized, Installation},
    backup::{self, BackupDescriptor, counts},
    catalog::{self, Catalog, Change, Defaults, Noun},
    descriptor::{self, Descriptor, Kept},
    service::new_owners,
    store::Store,
};

/// A folder that no row speaks of is left alone for so long: its catalog may have been lost, and may be rebuilt.
pub(crate) const ORPHAN_KEPT_MS: u64 = 24 * 60 * 60 * 1_000;

/// What the catalog's rebuild brought back.
#[derive(Debug, Clone, Default)]
pub struct RebuildReport {
    /// The indexes that are served again, with their projects.
    pub indexes: Vec<(ProjectId, IndexName)>,
    /// The backups and collections that are known again.
    pub backups: Vec<BackupId>,
    /// The folders that could not be brought back, and why.
    pub unreadable: Vec<DamagedFile>,
    /// What is lost, one line each.
    pub lost: Vec<String>,
    /// A new key with the role ProjectEditor for each project.
    pub keys: Vec<CreatedApiKey>,
    /// Where a damaged audit log was put aside; a new one was begun.
    pub audit_set_aside: Option<String>,
}

impl Service {
    /// Makes the catalog anew from what lies in storage, after its file was lost, damaged or put back from an older copy. The old
    /// file is set aside. Of a damaged audit log a new one is begun; with a whole catalog that is all that is done.
    pub async fn rebuild_catalog(options: ServiceOptions, clock: Arc<dyn Clock>) -> Result<RebuildReport> {
        let root = options.root_key.clone();
        let store = Store::open(options.data_dir.clone(), options.key_dir.clone(), options.reserve_bytes, root.clone()).await?;
        let mut report = RebuildReport::default();
        let mut audit = Audit::open(store.clone(), Arc::clone(&clock)).await?;
        let key = store.keys().system_key(catalog::KEY).await?;
        let path = store.path().join(catalog::FILE);
        let old = Catalog::open(path.clone(), Arc::clone(&key), false).await.ok();
        let fits = match &old {
            Some(old) if !audit.is_damaged().await => old.reconcile(&audit).await,
            _ => Ok(()),
        };
        let log_is_damaged = audit.is_damaged().await || fits.as_ref().is_err_and(|e| e.code == ErrorCode::DataLoss);
        if log_is_damaged {
            report.audit_set_aside = Some(set_aside(&store, &format!("{}/", audit::FOLDER), clock.now_ms()).await?);
            audit = Audit::open(store.clone(), Arc::clone(&clock)).await?;
        }
        let whole = match old {
            Some(old) if old.writer().await.generation() > 0 && log_is_damaged => Some(old),
            Some(old) => {
                let generation = old.writer().await.generation();
                old.close().await;
                if fits.is_ok() && generation > 0 {
                    return Err(Error::new(ErrorCode::FailedPrecondition, "The catalog is whole; there is nothing to rebuild"));
                }
                None
            }
            None => None,
        };
        let keep_rows = whole.is_some();
        let catalog = match whole {
            Some(old) => old,
            None => {
                set_aside(&store, catalog::FILE, clock.now_ms()).await?;
                Catalog::open(path, key, true).await?
            }
        };
        if !keep_rows {
            catalog.writer().await.start_after(audit.head().await?.generation);
        }
        let service = Self::with_parts(options, root, store, audit, catalog, clock).await?;
        let rebuilt = service.rebuild(&mut report, keep_rows).await;
        service.close().await;
        rebuilt.map(|()| report)
    }

    async fn rebuild(&self, report: &mut RebuildReport, keep_rows: bool) -> Result<()> {
        let ctx = OpContext::internal(Principal::Operator, self.clock().now_ms());
        let mut authorized = self.authorize(&ctx, Action::RebuildCatalog, Installation).await?;
        let result = if keep_rows {
            let mut writer = self.catalog().writer().await;
            self.catalog().change(&mut writer, &mut authorized, self.audit(), Vec::new()).await
        } else {
            self.rebuild_authorized(&mut authorized, report, ctx.now_ms).await
        };
        authorized.close(result).await
    }

    async fn rebuild_authorized(&self, authorized: &mut Authorized<Installation>, report: &mut RebuildReport, now_ms: u64) -> Result<()> {
        let (mut found, kept) = self.find_descriptors(report).await?;
        self.settle_names(&mut found, report).await?;
        let backups = self.find_backups(&found, report, now_ms).await?;
        let owners: Vec<Owner> = found.iter().map(Owner::of_index).chain(backups.iter().map(Owner::of_backup)).collect();
        let mut changes = Vec::new();
        let defaults = put_owners(&owners, &mut changes, now_ms);
        let mut ports = HashSet::new();
        for descriptor in &found {
            let mut stored = descriptor.stored.clone();
            // A port outside of today's range, or one that two claim, is given anew at the next start.
            stored.index.port = stored.index.port.filter(|p| self.ports().is_some_and(|r| r.contains(p)) && ports.insert(*p));
            if stored.index.port != descriptor.stored.index.port {
                report.lost.push(format!("The port of index {}", stored.index.name));
            }
            report.indexes.push((stored.index.project_id, stored.index.name.clone()));
            changes.push(Change::Put(Noun::Index(stored)));
        }
        changes.extend(kept.into_iter().map(|(descriptor, kept)| Change::Put(self.kept_noun(descriptor, kept))));
        report.backups.extend(backups.iter().map(|d| d.backup.id));
        changes.extend(backups.into_iter().map(|d| Change::Put(Noun::Backup(d.backup))));
        let projects: Vec<Project> =
            changes.iter().filter_map(|c| if let Change::Put(Noun::Project(p)) = c { Some(p.clone()) } else { None }).collect();
        for cmek in self.kept_cmeks() {
            if projects.iter().any(|p| p.id == cmek.info.project_id) {
                changes.push(Change::Put(Noun::Cmek(cmek)));
            } else {
                report.lost.push(format!("The customer-managed key '{}' of a project that had no index", cmek.info.name));
            }
        }
        for project in &projects {
            let new = NewApiKey { name: "rebuilt".to_owned(), roles: vec![Role::ProjectEditor], ..NewApiKey::default() };
            let (created, key) = self.prepare_key(new, project, now_ms)?;
            report.keys.push(created);
            changes.extend(key);
        }
        changes.push(Change::SetDefaults(defaults));
        authorized.note("indexes", report.indexes.len().to_string());
        let mut writer = self.catalog().writer().await;
        self.catalog().change(&mut writer, authorized, self.audit(), changes).await?;
        report
            .lost
            .push("Every API key, service account, user, invite and role that was made before, deleted ones that were kept too".to_owned());
        report.lost.push("Private endpoints, and from where projects may be reached: each is open until that is set again".to_owned());
        report.lost.push(
            "The name of the organization, projects that had no index and no backup, and that a project must be encrypted with a customer-managed key"
                .to_owned(),
        );
        report
            .lost
            .push("Backup schedules, and restores: what these backups were taken by, and until when they were to be kept".to_owned());
        Ok(())
    }

    /// What the folders of all backups say, with how they stand; deleted ones are left out.
    async fn find_backups(&self, indexes: &[Descriptor], report: &mut RebuildReport, now_ms: u64) -> Result<Vec<BackupDescriptor>> {
        let deleted = self.backups_in_audit("delete").await?;
        let mut found = Vec::new();
        let mut collections = HashSet::new();
        for id in self.engine().backups().await? {
            if deleted.contains(&id) {
                continue;
            }
            let summary = match BackupDescriptor::read(self.store(), id).await {
                Ok(descriptor) => self.engine().describe_backup(id).await.map(|summary| (descriptor, counts(&summary))),
                Err(StorageError::KeyMissing { .. }) => continue,
                Err(error) => Err(error.into()),
            };
            match summary {
                Ok((mut descriptor, counts)) => {
                    let backup = &mut descriptor.backup;
                    backup.status = BackupStatus::Ready(counts);
                    // The schedules are lost: nobody but a person says now when it may go.
                    (backup.schedule_id, backup.expires_at_ms) = (None, None);
                    if !indexes.iter().any(|d| d.stored.index.id == backup.source_index_id) {
                        backup.source_index_deleted_at_ms = Some(now_ms);
                    }
                    if backup.is_collection() && !collections.insert((backup.project_id, backup.name().map(str::to_owned))) {
                        let what = "another collection has its name".to_owned();
                        report.unreadable.push(DamagedFile { file: backup::descriptor_name(id), what });
                        continue;
                    }
                    found.push(descriptor);
                }
                Err(error) => report.unreadable.push(DamagedFile { file: backup::descriptor_name(id), what: error.to_string() }),
            }
        }
        found.sort_by_key(|d| (d.backup.created_at_ms, d.backup.id));
        Ok(found)
    }

    /// What the folders of all indexes say, oldest first; and of those that were deleted and are kept, until when.
    async fn find_descriptors(&self, report: &mut RebuildReport) -> Result<(Vec<Descriptor>, Vec<(Descriptor, Kept)>)> {
        let deleted = self.indexes_in_audit("delete").await?;
        let (mut found, mut kept) = (Vec::new(), Vec::new());
        for id in folders(self.store()).await? {
            match Descriptor::read(self.store(), id).await {
                Ok(descriptor) => match self.kept(&descriptor, &deleted) {
                    Some(until) => kept.push((descriptor, until)),
                    None if descriptor.stored.index.state == IndexState::Ready => found.push(descriptor),
                    None => {
                        let what = format!("index {} was being restored; restore its backup again", descriptor.stored.index.name);
                        report.unreadable.push(DamagedFile { file: descriptor::name(id), what });
                    }
                },
                // Its keys were destroyed: it was deleted.
                Err(StorageError::KeyMissing { .. }) => {}
                Err(error) => report.unreadable.push(DamagedFile { file: descriptor::name(id), what: error.to_string() }),
            }
        }
        found.sort_by_key(|d| (d.stored.created_at_ms, d.stored.index.id));
        Ok((found, kept))
    }

    /// Until when a deleted index is kept; none for one that lives. A deletion that a crash kept from the folder is in the audit log, and one
    /// that was undone is older than what the folder says.
    fn kept(&self, descriptor: &Descriptor, deleted: &BTreeMap<IndexId, u64>) -> Option<Kept> {
        let by_audit = deleted.get(&descriptor.stored.index.id).filter(|at_ms| **at_ms >= descriptor.since_ms);
        let window_ms = self.deletion().window_ms;
        descriptor.deleted.or_else(|| by_audit.map(|at_ms| Kept { at_ms: *at_ms, until_ms: at_ms.saturating_add(window_ms) }))
    }

    fn kept_noun(&self, descriptor: Descriptor, kept: Kept) -> Noun {
        let index = &descriptor.stored.index;
        let info = Deleted {
            id: DeletedId::from_random(random_bytes()),
            kind: DeletedKind::Index,
            of: index.id.to_string(),
            name: index.name.to_string(),
            organization_id: Some(descriptor.organization_id),
            project_id: Some(index.project_id),
            deleted_at_ms: kept.at_ms,
            deleted_by: "unknown".to_owned(),
            kept_until_ms: kept.until_ms,
        };
        self.catalog().aside(info, &[Noun::Index(descriptor.stored)])
    }

    /// Of two folders that claim one name, one was never answered for: the one whose making the audit log does not know, else the
    /// older.
    async fn settle_names(&self, found: &mut Vec<Descriptor>, report: &mut RebuildReport) -> Result<()> {
        let created = self.indexes_in_audit("create").await?;
        let mut best: BTreeMap<(ProjectId, IndexName), IndexId> = BTreeMap::new();
        for d in found.iter() {
            let index = &d.stored.index;
            best.entry((index.project_id, index.name.clone()))
                .and_modify(|id| {
                    if created.contains_key(&index.id) || !created.contains_key(id) {
                        *id = index.id;
                    }
                })
                .or_insert(index.id);
        }
        found.retain(|d| {
            let index = &d.stored.index;
            let kept = best.get(&(index.project_id, index.name.clone())) == Some(&index.id);
            if !kept {
                let what = format!("another index is called {}", index.name);
                report.unreadable.push(DamagedFile { file: descriptor::name(index.id), what });
            }
            kept
        });
        Ok(())
    }

    /// The indexes that the audit log says were successfully created or deleted, themselves or with all that an owner had, and when last.
    async fn indexes_in_audit(&self, action: &str) -> Result<BTreeMap<IndexId, u64>> {
        let mut found = BTreeMap::new();
        let look = |e: &AuditEvent| {
            let is_of_one = matches!(e.resource_type.as_str(), "index" | "project" | "organization");
            if is_of_one && e.action == action && e.outcome == AuditOutcome::Success {
                let ids = e.parameters.iter().filter(|(key, _)| key == "index_id").filter_map(|(_, id)| IndexId::parse(id).ok());
                found.extend(ids.map(|id| (id, e.time_ms)));
            }
        };
        self.audit().for_each(look).await?;
        Ok(found)
    }

    /// Ends deletions that were cut short and creations that were never answered for. What is younger than a day and has a descriptor
    /// is left: its row may have been lost.
    pub(crate) async fn sweep(&self) -> Result<()> {
        let orphans: Vec<IndexId> = {
            let folders = folders(self.store()).await?;
            let tables = self.catalog().tables();
            let kept: BTreeSet<IndexId> = tables.deleted.values().flat_map(|d| d.indexes()).collect();
            folders.into_iter().filter(|id| !tables.indexes.contains_key(id) && !kept.contains(id)).collect()
        };
        self.mark_deleted_indexes().await;
        if orphans.is_empty() || self.audit().is_damaged().await {
            return Ok(());
        }
        let deleted = self.indexes_in_audit("delete").await?;
        for id in orphans {
            let gone = match Descriptor::read(self.store(), id).await {
                Ok(d) if d.deleted.is_some() => true,
                // It may have been brought back since.
                Ok(d) if deleted.get(&id).is_some_and(|at_ms| *at_ms >= d.since_ms) => true,
                Ok(d) => self.clock().now_ms().saturating_sub(d.stored.created_at_ms) > ORPHAN_KEPT_MS,
                Err(StorageError::NotFound { .. } | StorageError::KeyMissing { .. }) => true,
                // Whatever the audit log says: what cannot be read may have been brought back.
                Err(error) => {
                    tracing::warn!(%error, index = %id, "a folder without a row cannot be read, and is left");
                    false
                }
            };
            if gone {
                tracing::info!(index = %id, "removing the folder of an index that is not there any more");
                self.remove_storage(id).await;
            }
        }
        Ok(())
    }
}

/// Whose an index or a backup is, as its descriptor says.
struct Owner {
    organization_id: OrganizationId,
    project_id: ProjectId,
    project_name: String,
    /// When the thing itself was made.
    created_at_ms: u64,
}

impl Owner {
    fn of_index(d: &Descriptor) -> Self {
        Self {
            organization_id: d.organization_id,
            project_id: d.stored.index.project_id,
            project_name: d.project_name.clone(),
            created_at_ms: d.stored.created_at_ms,
        }
    }

    fn of_backup(d: &BackupDescriptor) -> Self {
        Self {
            organization_id: d.organization_id,
            project_id: d.backup.project_id,
            project_name: d.project_name.clone(),
            created_at_ms: d.backup.created_at_ms,
        }
    }
}

/// The organizations and projects that the descriptors name; of a directory without any, new ones.
fn put_owners(found: &[Owner], changes: &mut Vec<Change>, now_ms: u64) -> Defaults {
    let Some(first) = found.first() else {
        let (organization, project) = new_owners("default", now_ms);
        let defaults = Defaults { organization: organization.id, project: project.id };
        changes.extend([Change::Put(Noun::Organization(organization)), Change::Put(Noun::Project(project))]);
        return defaults;
    };
    let organizations: BTreeSet<OrganizationId> = found.iter().map(|o| o.organization_id).collect();
    changes.extend(
        organizations.into_iter().map(|id| Change::Put(Noun::Organization(Organization { id, ..new_owners("default", now_ms).0 }))),
    );
    let mut projects: BTreeMap<ProjectId, &Owner> = BTreeMap::new();
    for owner in found {
        projects.entry(owner.project_id).or_insert(owner);
    }
    changes.extend(projects.into_iter().map(|(id, owner)| {
        let created_at_ms = found.iter().filter(|o| o.project_id == id).map(|o| o.created_at_ms).min();
        Change::Put(Noun::Project(Project {
            id,
            organization_id: owner.organization_id,
            name: owner.project_name.clone(),
            created_at_ms: created_at_ms.unwrap_or(now_ms),
            ..new_owners("", now_ms).1
        }))
    }));
    let default = found.iter().find(|o| o.project_name == "default").unwrap_or(first);
    Defaults { organization: default.organization_id, project: default.project_id }
}

/// The ids of the folders below `indexes/`.
async fn folders(store: &Store) -> Result<BTreeSet<IndexId>> {
    let blobs = store.blobs().list("indexes/").await?;
    Ok(blobs.iter().filter_map(|b| b.name.strip_prefix("indexes/")?.split('/').next()).filter_map(|id| IndexId::parse(id).ok()).collect())
}

/// Moves the files whose names begin like this to names of their own, and answers how those begin.
async fn set_aside(store: &Store, prefix: &str, now_ms: u64) -> Result<String> {
    let aside = format!("set-aside-{now_ms}");
    for blob in store.blobs().list(prefix).await? {
        let (bytes, _) = store.blobs().get(&blob.name).await?;
        store.blobs().put(&format!("{aside}/{}", blob.name), bytes, PutMode::Overwrite, Purpose::Essential).await?;
        store.blobs().delete(&blob.name).await?;
    }
    Ok(aside)
}

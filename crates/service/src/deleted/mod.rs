//! What was deleted (RFC 0010): gone for every caller at once, kept aside for the window, brought back by the operator or purged. Its
//! rows lie in one row of the table `deleted`, so no question can meet them by mistake; the storage of its indexes stays, closed.

mod namespaces;
mod purge;
mod report;
mod restore;
mod stored;

use std::sync::Arc;

use pinyon_model::{Deleted, DeletedId, DeletedKind, Error, ErrorCode, IndexState, OrganizationId, ProjectId, Result};
use pinyon_storage::{KeyId, Purpose, random_bytes};
use tokio::sync::MutexGuard;

pub(crate) use purge::Purging;
pub use purge::{PurgeOutcome, WaitingPurge};
pub(crate) use report::KEY as REPORT_KEY;
pub use report::SignedReport;
pub(crate) use stored::{FOLDER, PurgeRecord, name as record_name, read_deleted, write_deleted};

use crate::{
    OpContext, Service,
    audit::actor,
    authorize::{Action, Authorized, Installation},
    catalog::{CatalogWriter, Change, Noun, NounId, StoredCmek, StoredDeleted},
    clock::DAY_MS,
    descriptor::{Descriptor, Kept},
    organization, private_endpoint, project,
};

/// For how long what was deleted is kept, and what a purge may take without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeletionOptions {
    /// Milliseconds for which what was deleted can be brought back; 0 purges at once.
    pub window_ms: u64,
    /// Of the bytes stored, in percent: what is due beyond it waits for the operator.
    pub brake_percent: u8,
    /// Bytes below which nothing waits.
    pub brake_bytes: u64,
}

impl DeletionOptions {
    /// The longest window.
    pub const WINDOW_MS_MAX: u64 = 90 * DAY_MS;
}

impl Default for DeletionOptions {
    fn default() -> Self {
        Self { window_ms: 7 * DAY_MS, brake_percent: 20, brake_bytes: 1 << 30 }
    }
}

/// What is being deleted.
pub(crate) struct Burying {
    pub(crate) kind: DeletedKind,
    pub(crate) of: String,
    pub(crate) name: String,
    pub(crate) organization_id: Option<OrganizationId>,
    pub(crate) project_id: Option<ProjectId>,
    /// Its nouns: what refers to another comes before it.
    pub(crate) nouns: Vec<NounId>,
    /// What else changes with it, and is not brought back.
    pub(crate) others: Vec<Change>,
}

impl Service {
    /// Deletes nouns and keeps them for the window, in one change with the record. Indexes are closed, and say in their folders that they
    /// are gone, after it and without the writer, since whoever uses them now may wait for that: until then the audit log tells a rebuild.
    pub(crate) async fn bury<T>(
        &self,
        mut writer: MutexGuard<'_, CatalogWriter>,
        authorized: &mut Authorized<T>,
        ctx: &OpContext,
        burying: Burying,
    ) -> Result<()> {
        let Burying { kind, of, name, organization_id, project_id, nouns, others } = burying;
        let actor = actor(&ctx.principal);
        let info = Deleted {
            id: DeletedId::from_random(random_bytes()),
            kind,
            of,
            name,
            organization_id,
            project_id,
            deleted_at_ms: ctx.now_ms,
            deleted_by: format!("{} {}", actor.principal_type, actor.principal_name),
            kept_until_ms: ctx.now_ms.saturating_add(self.deletion().window_ms),
        };
        authorized.note("deleted_id", info.id.to_string());
        if matches!(kind, DeletedKind::Project | DeletedKind::Organization) {
            // What goes with it, for a rebuild: neither a backup's folder nor, before it is closed, an index's says so.
            for noun in &nouns {
                match noun {
                    NounId::Index(id) => authorized.note("index_id", id.to_string()),
                    NounId::Backup(id) => authorized.note("backup_id", id.to_string()),
                    _ => {}
                }
            }
        }
        let kept = Kept { at_ms: info.deleted_at_ms, until_ms: info.kept_until_ms };
        let descriptors = self.descriptors_of(&nouns, kept)?;
        let project_keys = self.project_keys_of(&nouns);
        let mut changes = others;
        let id = info.id;
        changes.extend(self.catalog().bury(info, nouns)?);
        self.catalog().change(&mut writer, authorized, self.audit(), changes).await?;
        drop(writer);
        if project_keys.is_empty() && descriptors.is_empty() {
            return Ok(());
        }
        let _one = self.purging().hold().await;
        if !self.catalog().tables().deleted.contains_key(&id) {
            // Brought back, or purged, before this came to it.
            return Ok(());
        }
        for key in project_keys {
            // Nobody would notice any more that it was taken away.
            self.shelve_project_key(key).await;
        }
        for descriptor in descriptors {
            self.engine().evict_index(descriptor.stored.index.id).await;
            if let Err(error) = descriptor.write(self.store(), Purpose::Essential).await {
                tracing::warn!(%error, index = %descriptor.stored.index.id, "the folder of a deleted index does not say so yet; the next start will write it");
            }
        }
        Ok(())
    }

    fn project_keys_of(&self, nouns: &[NounId]) -> Vec<KeyId> {
        let tables = self.catalog().tables();
        let cmeks = nouns.iter().filter_map(|n| if let NounId::Cmek(id) = n { tables.cmeks.get(id) } else { None });
        cmeks.flat_map(StoredCmek::project_keys).collect()
    }

    /// The project keys of customers' keys that are kept aside.
    pub(crate) fn kept_project_keys(&self, stored: &StoredDeleted) -> Result<Vec<KeyId>> {
        if !stored.has_cmeks() {
            return Ok(Vec::new());
        }
        let nouns = self.catalog().exhume(stored)?;
        Ok(nouns.iter().flat_map(|n| if let Noun::Cmek(cmek) = n { cmek.project_keys().collect() } else { Vec::new() }).collect())
    }

    /// Lets the folders of deleted indexes say so, where a crash or a key that was locked kept them from it.
    pub(crate) async fn mark_deleted_indexes(&self) {
        let kept: Vec<_> = {
            let tables = self.catalog().tables();
            let until = |d: &StoredDeleted| Kept { at_ms: d.info.deleted_at_ms, until_ms: d.info.kept_until_ms };
            tables.deleted.values().flat_map(|d| d.indexes().map(move |id| (id, until(d)))).collect()
        };
        for (id, kept) in kept {
            let Ok(mut descriptor) = Descriptor::read(self.store(), id).await else { continue };
            if descriptor.deleted.is_none() {
                (descriptor.deleted, descriptor.since_ms) = (Some(kept), kept.at_ms);
                if let Err(error) = descriptor.write(self.store(), Purpose::Essential).await {
                    tracing::warn!(%error, index = %id, "the folder of a deleted index does not say so yet");
                }
            }
        }
    }

    fn descriptors_of(&self, nouns: &[NounId], kept: Kept) -> Result<Vec<Descriptor>> {
        let tables = self.catalog().tables();
        let stored = nouns.iter().filter_map(|n| if let NounId::Index(id) = n { tables.indexes.get(id) } else { None });
        // One that could not be restored has no folder and no key.
        let stored: Vec<_> = stored.map(|index| index.stored()).filter(|s| s.index.state != IndexState::InitializationFailed).collect();
        drop(tables);
        stored.iter().map(|s| Ok(Descriptor { deleted: Some(kept), since_ms: kept.at_ms, ..self.descriptor(s)? })).collect()
    }

    /// What follows a deletion: without a window, its purge.
    pub(crate) async fn deleted<T>(&self, result: Result<T>) -> Result<T> {
        if result.is_ok() && self.deletion().window_ms == 0 {
            self.purge_quietly().await;
        }
        result
    }

    /// What is kept, oldest first. The operator's.
    pub async fn list_deleted(&self, ctx: &OpContext) -> Result<Vec<Deleted>> {
        let authorized = self.authorize(ctx, Action::ListDeleted, Installation).await?;
        let mut found: Vec<Deleted> = self.catalog().tables().deleted.values().map(|d| d.info.clone()).collect();
        found.extend(self.list_deleted_namespaces().await?);
        found.sort_by_key(|d| (d.deleted_at_ms, d.id));
        authorized.close(Ok(found)).await
    }

    /// Deletes a project with everything in it. The operator's; the first project stays.
    pub async fn deactivate_project(self: &Arc<Self>, ctx: &OpContext, id: ProjectId) -> Result<()> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::DeactivateProject, private_endpoint::scope(id, id)).await?;
            let result = async {
                let writer = this.catalog().writer().await;
                let burying = {
                    let tables = this.catalog().tables();
                    let project = tables.projects.get(&id).ok_or_else(|| Error::not_found(format!("There is no project {id}")))?;
                    project::plan_whole(&tables, project)?
                };
                authorized.name(burying.name.clone(), burying.name.clone());
                this.bury(writer, &mut authorized, &ctx, burying).await
            }
            .await;
            this.deleted(authorized.close(result).await).await
        })
        .await
    }

    /// Deletes an organization with everything in it, whatever it pays. The operator's; the first organization stays.
    pub async fn deactivate_organization(self: &Arc<Self>, ctx: &OpContext, id: OrganizationId) -> Result<()> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::DeactivateOrganization, organization::named(id)).await?;
            let result = async {
                let writer = this.catalog().writer().await;
                let burying = {
                    let tables = this.catalog().tables();
                    let found = tables.organizations.get(&id).ok_or_else(|| Error::not_found(format!("There is no organization {id}")))?;
                    if tables.defaults().organization == id {
                        let told = "This is the organization that the first start made; it cannot be deleted";
                        return Err(Error::new(ErrorCode::FailedPrecondition, told));
                    }
                    organization::whole(&tables, found)
                };
                authorized.name(burying.name.clone(), burying.name.clone());
                this.bury(writer, &mut authorized, &ctx, burying).await
            }
            .await;
            this.deleted(authorized.close(result).await).await
        })
        .await
    }
}

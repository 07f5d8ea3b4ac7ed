use std::sync::Arc;

use pinyon_model::{
    DeletedKind, DeletionProtection, Deployment, Error, ErrorCode, Index, IndexChange, IndexId, IndexName, IndexSpec, IndexState,
    NamespaceName, ProjectId, Result,
};
use pinyon_storage::{KeyAbove, Purpose, random_bytes};
use tokio::sync::watch;

use super::{IndexRef, StoredIndex, not_found, options, rules};
use crate::{
    OpContext, Service,
    authorize::{Action, Authorized, ProjectScope},
    backup::index_gone,
    catalog::{CatalogWriter, Change, Noun, NounId, Tables},
    deleted::Burying,
    descriptor::Descriptor,
};

/// What is asked of the disk for a new index before anything of it is written.
const NEW_INDEX_BYTES: u64 = 256 * 1024;

impl Service {
    /// Makes an index in the caller's project. `Ready` in the answer means that its first request succeeds; one that is made from a
    /// collection is `Initializing` first. A name is made up when
    /// none is given. `AlreadyExists` when the name is taken, `QuotaExceeded` when the project or the port range is full,
    /// `Unavailable` when the disk is.
    pub async fn create_index(self: &Arc<Self>, ctx: &OpContext, spec: IndexSpec) -> Result<Index> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let scope = this.project_scope(&ctx, spec.name.as_ref().map(IndexName::as_str))?;
            let mut authorized = this.authorize(&ctx, Action::CreateIndex, scope).await?;
            let result = this.create_authorized(&mut authorized, spec, ctx.now_ms).await;
            authorized.close(result).await
        })
        .await
    }

    /// The indexes of the caller's project, ordered by name.
    pub async fn list_indexes(&self, ctx: &OpContext) -> Result<Vec<Index>> {
        let authorized = self.authorize(ctx, Action::ListIndexes, self.project_scope(ctx, None)?).await?;
        let indexes = {
            let allowed = |index: &&IndexRef| ctx.principal.restrictions().is_none_or(|r| r.allow_index(index.name().as_str()));
            self.catalog().tables().indexes_of(authorized.resource().id).filter(allowed).map(IndexRef::describe).collect()
        };
        authorized.close(Ok(indexes)).await
    }

    /// One index of the caller's project. `NotFound` for a name that is not there, is not valid, or is another project's.
    pub async fn describe_index(&self, ctx: &OpContext, name: &str) -> Result<Index> {
        Ok(self.find_index(ctx, name).await?.describe())
    }

    /// The index of this name in the caller's project, to work with: for callers that have no host. As [`Service::describe_index`].
    pub async fn find_index(&self, ctx: &OpContext, name: &str) -> Result<IndexRef> {
        self.find_index_for(ctx, Action::DescribeIndex, name, None).await
    }

    /// The same, for a caller who may do this to it rather than describe it, or to the records of this namespace of it.
    pub(crate) async fn find_index_for(
        &self,
        ctx: &OpContext,
        action: Action,
        name: &str,
        namespace: Option<&NamespaceName>,
    ) -> Result<IndexRef> {
        let scope = ProjectScope { namespace: namespace.cloned(), ..self.project_scope(ctx, Some(name))? };
        let authorized = self.authorize(ctx, action, scope).await?;
        let found = self.index_in(&authorized, name);
        authorized.close(found).await
    }

    /// Changes an index and answers what it is now.
    pub async fn configure_index(self: &Arc<Self>, ctx: &OpContext, name: &str, change: IndexChange) -> Result<Index> {
        let (this, ctx, name) = (Arc::clone(self), ctx.clone(), name.to_owned());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::ConfigureIndex, this.project_scope(&ctx, Some(&name))?).await?;
            let result = this.configure_authorized(&mut authorized, &name, change).await;
            authorized.close(result).await
        })
        .await
    }

    /// Deletes an index with everything in it; its backups stay. Nobody finds it any more, and the operator can bring it back until the
    /// window is over. `Forbidden` while it is protected, `FailedPrecondition` while a collection is being made of it.
    pub async fn delete_index(self: &Arc<Self>, ctx: &OpContext, name: &str) -> Result<()> {
        let (this, ctx, name) = (Arc::clone(self), ctx.clone(), name.to_owned());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::DeleteIndex, this.project_scope(&ctx, Some(&name))?).await?;
            let result = this.delete_authorized(&mut authorized, &ctx, &name).await;
            this.deleted(authorized.close(result).await).await
        })
        .await
    }

    /// The index served on this port.
    pub fn resolve_index_by_port(&self, port: u16) -> Option<IndexRef> {
        self.catalog().tables().index_by_port(port).cloned()
    }

    /// The index that a host name `NAME-PROJECT` speaks of, by the project's short id.
    pub fn resolve_index_by_name(&self, project_short_id: &str, name: &str) -> Option<IndexRef> {
        let name = IndexName::new(name).ok()?;
        let tables = self.catalog().tables();
        tables.index_by_name(tables.project_by_short_id(project_short_id)?, &name).cloned()
    }

    /// Every port that an index is served on now, ascending: the listeners to open at start.
    pub fn index_ports(&self) -> Vec<u16> {
        self.catalog().tables().ports().collect()
    }

    /// A receiver that is told whenever an index comes or goes, so that listeners can follow.
    pub fn index_changes(&self) -> watch::Receiver<u64> {
        self.catalog().changes()
    }

    /// The index of this name in the project that was authorized.
    pub(crate) fn index_in(&self, authorized: &Authorized<ProjectScope>, name: &str) -> Result<IndexRef> {
        let found = IndexName::new(name).ok().and_then(|n| self.catalog().tables().index_by_name(authorized.resource().id, &n).cloned());
        found.ok_or_else(|| not_found(name))
    }

    async fn create_authorized(
        self: &Arc<Self>,
        authorized: &mut Authorized<ProjectScope>,
        mut spec: IndexSpec,
        now_ms: u64,
    ) -> Result<Index> {
        rules::check_spec(&spec)?;
        if let Some(source) = spec.source_collection.take() {
            return self.create_from_collection(authorized, spec, &source, now_ms).await;
        }
        let project = authorized.resource().id;
        let mut writer = self.catalog().writer().await;
        let (stored, above) = self.plan_index(project, spec, now_ms)?;
        let index = stored.index.clone();
        authorized.name(index.name.as_str(), index.name.as_str());
        authorized.note("index_id", index.id.to_string());
        let changes = vec![Change::Put(Noun::Index(stored.clone()))];
        self.create_stored(authorized, &mut writer, (stored, above), changes).await?;
        Ok(index)
    }

    /// Makes a new index's key and folder, then its row by these changes. When this fails there is nothing of it.
    pub(crate) async fn create_stored<T>(
        &self,
        authorized: &mut Authorized<T>,
        writer: &mut CatalogWriter,
        (stored, above): (StoredIndex, KeyAbove),
        changes: Vec<Change>,
    ) -> Result<()> {
        self.store().space().take(NEW_INDEX_BYTES, Purpose::Data)?;
        let made = async {
            self.create_storage(&stored, above).await?;
            self.catalog().change(writer, authorized, self.audit(), changes).await
        }
        .await;
        // A row that is there stays, even if what followed it failed: only what has no row may be taken away again.
        if made.is_err() && !self.catalog().tables().indexes.contains_key(&stored.index.id) {
            self.remove_storage(stored.index.id).await;
        }
        made
    }

    /// An index's key and folder, with what says what it is.
    pub(crate) async fn create_storage(&self, stored: &StoredIndex, above: KeyAbove) -> Result<()> {
        self.store().keys().create_index_key_under(stored.index.id, above).await?;
        self.engine().create_index(stored.index.id, &options(&stored.index)).await?;
        self.descriptor(stored)?.write(self.store(), Purpose::Data).await
    }

    /// Name, id and port of a new index, if the project may have one more, and what its key is to be wrapped by.
    pub(crate) fn plan_index(&self, project: ProjectId, spec: IndexSpec, now_ms: u64) -> Result<(StoredIndex, KeyAbove)> {
        let tables = self.catalog().tables();
        let name = match spec.name {
            Some(name) => name,
            None => made_up_name()?,
        };
        if tables.index_by_name(project, &name).is_some() {
            return Err(Error::already_exists("Resource already exists."));
        }
        self.check_quota(&tables, project, &spec.deployment)?;
        let (cmek_id, above) = self.key_for_new(&tables, project, spec.cmek_id)?;
        let port = self.free_port(&tables)?;
        let index = Index {
            id: IndexId::from_random(random_bytes()),
            project_id: project,
            name,
            schema: spec.schema,
            deployment: spec.deployment,
            read_capacity: spec.read_capacity,
            deletion_protection: spec.deletion_protection,
            tags: spec.tags,
            cmek_id,
            state: IndexState::Ready,
            port,
            source: None,
        };
        Ok((StoredIndex { index, created_at_ms: now_ms }, above))
    }

    fn check_quota(&self, tables: &Tables, project: ProjectId, deployment: &Deployment) -> Result<()> {
        let is_pod = |d: &Deployment| matches!(d, Deployment::Pod { .. });
        let same_kind = |i: &&IndexRef| is_pod(&i.stored().index.deployment) == is_pod(deployment);
        let quotas = self.quotas_of_project(tables, project);
        let (max, what) = if is_pod(deployment) {
            (quotas.pod_indexes_per_project, "pod")
        } else {
            (quotas.serverless_indexes_per_project, "serverless")
        };
        if tables.indexes_of(project).filter(same_kind).count() >= max as usize {
            let told = format!("The project has reached its limit of {max} {what} indexes; delete one, or raise the limit");
            return Err(Error::new(ErrorCode::QuotaExceeded, told));
        }
        Ok(())
    }

    /// The lowest port of the range that no index has, and no other program; none when indexes are told apart by name.
    pub(crate) fn free_port(&self, tables: &Tables) -> Result<Option<u16>> {
        let Some(range) = self.ports() else { return Ok(None) };
        match range.clone().find(|p| tables.index_by_port(*p).is_none() && self.port_is_free(*p)) {
            Some(port) => Ok(Some(port)),
            None => Err(Error::new(
                ErrorCode::QuotaExceeded,
                format!(
                    "Every index has a port, and none of {}-{} is free; delete an index, or widen the range",
                    range.start(),
                    range.end()
                ),
            )),
        }
    }

    async fn configure_authorized(&self, authorized: &mut Authorized<ProjectScope>, name: &str, change: IndexChange) -> Result<Index> {
        let mut writer = self.catalog().writer().await;
        let found = self.index_in(authorized, name)?;
        let old = found.stored();
        if old.index.state == IndexState::InitializationFailed {
            let told = format!("Index {name} could not be restored, and can only be deleted");
            return Err(Error::new(ErrorCode::FailedPrecondition, told));
        }
        let index = rules::changed(&old.index, change)?;
        authorized.note("index_id", index.id.to_string());
        let stored = StoredIndex { index: index.clone(), created_at_ms: old.created_at_ms };
        self.descriptor(&stored)?.write(self.store(), Purpose::Essential).await?;
        let change = Change::Put(Noun::Index(stored));
        self.catalog().change(&mut writer, authorized, self.audit(), vec![change]).await?;
        Ok(index)
    }

    async fn delete_authorized(self: &Arc<Self>, authorized: &mut Authorized<ProjectScope>, ctx: &OpContext, name: &str) -> Result<()> {
        let mut writer = self.catalog().writer().await;
        let found = self.index_in(authorized, name)?;
        let id = found.id();
        authorized.note("index_id", id.to_string());
        if found.stored().index.deletion_protection == DeletionProtection::Enabled {
            return Err(Error::forbidden("Deletion protection is enabled for this index. Disable deletion protection before retrying."));
        }
        let (kept, mut changes) = index_gone(&self.catalog().tables(), id, ctx.now_ms)?;
        if found.stored().index.state == IndexState::Ready {
            let organization_id = self.catalog().tables().organization_of(found.project_id());
            let burying = Burying {
                kind: DeletedKind::Index,
                of: id.to_string(),
                name: name.to_owned(),
                organization_id,
                project_id: Some(found.project_id()),
                nouns: kept.into_iter().chain([NounId::Index(id)]).collect(),
                others: changes,
            };
            return self.bury(writer, authorized, ctx, burying).await;
        }
        // Nothing of it was ever answered for, and its backup has it all: there is nothing to keep.
        changes.extend(kept.into_iter().chain([NounId::Index(id)]).map(Change::Delete));
        self.catalog().change(&mut writer, authorized, self.audit(), changes).await?;
        drop(writer);
        if !self.backup_tasks().uses(id) {
            self.remove_storage(id).await;
            return Ok(());
        }
        // A restore makes its files: they go when that has ended.
        let this = Arc::clone(self);
        self.in_background(async move {
            this.backup_tasks().unused(id).await;
            this.remove_storage(id).await;
        });
        Ok(())
    }

    /// Destroys the keys and removes the folder of an index that has no row. What a failure leaves, the next start finishes.
    pub(crate) async fn remove_storage(&self, id: IndexId) {
        if let Err(error) = self.engine().delete_index(id).await {
            tracing::warn!(%error, index = %id, "the folder of an index could not be removed; the next start will");
        }
    }

    pub(crate) fn descriptor(&self, stored: &StoredIndex) -> Result<Descriptor> {
        let tables = self.catalog().tables();
        let project = tables.projects.get(&stored.index.project_id).ok_or_else(|| Error::not_found("The project is not there any more"))?;
        let (organization_id, project_name) = (project.organization_id, project.name.clone());
        Ok(Descriptor { stored: stored.clone(), organization_id, project_name, deleted: None, since_ms: self.clock().now_ms() })
    }
}

/// `index-` and ten letters and digits.
fn made_up_name() -> Result<IndexName> {
    let digits: String =
        random_bytes::<10>().iter().map(|b| char::from(b"abcdefghijklmnopqrstuvwxyz234567"[usize::from(b & 31)])).collect();
    IndexName::new(&format!("index-{digits}"))
}

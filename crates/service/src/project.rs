//! Projects: the admin plane, and which of them a caller works in.

use std::sync::Arc;

use pinyon_model::{
    DeletedKind, Error, ErrorCode, NewProject, OrganizationId, Permission, Principal, Project, ProjectAccess, ProjectChange, ProjectId,
    ResourceRef, Result, Role, RoleBinding, RoleBindingId, excerpt,
};
use pinyon_storage::random_bytes;

use crate::{
    OpContext, Service,
    authorize::{Action, Named, Place, ProjectScope},
    catalog::{Change, Noun, NounId, Tables},
    deleted::Burying,
    role_binding::principal_ref,
};

fn named(id: ProjectId) -> Named {
    Named { place: Place::Project(id), id: id.to_string(), kind: "project" }
}

impl Service {
    /// The project that the caller works in: a key's own, the one that was chosen, or the only one there is for it.
    pub(crate) fn project_scope(&self, ctx: &OpContext, index: Option<&str>) -> Result<ProjectScope> {
        let index = index.map(str::to_owned);
        let id = match (&*ctx.principal, ctx.project) {
            (Principal::ApiKey { project_id, .. }, _) => *project_id,
            (_, Some(chosen)) => chosen,
            (Principal::Operator, None) if ctx.organization.is_some() => self.only_project(ctx)?,
            (Principal::Operator | Principal::System, None) => self.default_project(),
            (Principal::ServiceAccount { grants, .. } | Principal::User { grants, .. }, None) => {
                let tables = self.catalog().tables();
                let mut own = tables.projects_of(grants.organization).map(|p| p.id).filter(|id| !grants.on_project(*id).is_empty());
                match (own.next(), own.next()) {
                    (Some(only), None) => only,
                    (None, _) => return Err(Error::forbidden("Your roles give no right on any project")),
                    _ => return Err(Error::invalid("You have rights on more than one project: choose one by the header X-Project-Id")),
                }
            }
        };
        Ok(ProjectScope { id, index, namespace: None })
    }

    /// The caller's organization; the operator's is the one it chose, or the one that the first start made.
    pub(crate) fn organization_of(&self, ctx: &OpContext) -> OrganizationId {
        ctx.principal.organization_id().or(ctx.organization).unwrap_or_else(|| self.catalog().tables().defaults().organization)
    }

    fn only_project(&self, ctx: &OpContext) -> Result<ProjectId> {
        let tables = self.catalog().tables();
        let mut own = tables.projects_of(self.organization_of(ctx)).map(|p| p.id);
        match (own.next(), own.next()) {
            (Some(only), None) => Ok(only),
            _ => Err(Error::invalid("The organization has not exactly one project: say which")),
        }
    }

    /// The projects whose settings the caller may see, oldest first.
    pub async fn list_projects(&self, ctx: &OpContext) -> Result<Vec<Project>> {
        ctx.check_deadline(self.clock().now_ms())?;
        let mut projects: Vec<Project> = self.catalog().tables().projects_of(self.organization_of(ctx)).cloned().collect();
        projects.retain(|p| self.may(ctx, Permission::ProjectRead, Place::Project(p.id)));
        projects.sort_by_key(|p| (p.created_at_ms, p.id));
        Ok(projects)
    }

    /// One project.
    pub async fn describe_project(&self, ctx: &OpContext, id: ProjectId) -> Result<Project> {
        let authorized = self.authorize(ctx, Action::DescribeProject, named(id)).await?;
        let found = self.catalog().tables().projects.get(&id).cloned();
        authorized.close(found.ok_or_else(|| gone(id))).await
    }

    /// Makes a project in the caller's organization. Its name is 1 to 512 characters and free there. Whoever makes it owns it.
    pub async fn create_project(self: &Arc<Self>, ctx: &OpContext, new: NewProject) -> Result<Project> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let organization = this.organization_of(&ctx);
            let scope = Named { place: Place::Organization(organization), id: String::new(), kind: "organization" };
            let mut authorized = this.authorize(&ctx, Action::CreateProject, scope).await?;
            let result: Result<Project> = async {
                let name = Project::parse_name(&new.name)?;
                let mut writer = this.catalog().writer().await;
                let project = this.plan_project(organization, NewProject { name, ..new }, ctx.now_ms)?;
                authorized.name(project.name.clone(), project.name.clone());
                authorized.note("project_id", project.id.to_string());
                let mut changes = vec![Change::Put(Noun::Project(project.clone()))];
                changes.extend(this.own(&ctx, &project).map(|binding| Change::Put(Noun::RoleBinding(binding))));
                this.catalog().change(&mut writer, &mut authorized, this.audit(), changes).await?;
                Ok(project)
            }
            .await;
            authorized.close(result).await
        })
        .await
    }

    fn plan_project(&self, organization_id: OrganizationId, new: NewProject, created_at_ms: u64) -> Result<Project> {
        let tables = self.catalog().tables();
        check_name(&tables, organization_id, &new.name, None)?;
        let max = self.quotas(&tables, organization_id).projects_per_organization;
        if tables.projects_of(organization_id).count() >= max as usize {
            let told = format!("The organization has reached its limit of {max} projects");
            return Err(Error::new(ErrorCode::QuotaExceeded, told));
        }
        // Host names tell projects apart by a part of the id only: one that is taken is drawn again.
        let id = std::iter::repeat_with(|| ProjectId::from_random(random_bytes()))
            .take(64)
            .find(|id| tables.project_by_short_id(&id.short()).is_none())
            .ok_or_else(|| Error::internal("No free project id was drawn"))?;
        Ok(Project {
            id,
            organization_id,
            name: new.name,
            max_pods: new.max_pods.unwrap_or(0),
            force_encryption_with_cmek: new.force_encryption_with_cmek,
            access: ProjectAccess::default(),
            created_at_ms,
        })
    }

    /// The binding that makes the project its maker's, who may be allowed to make projects and own none.
    fn own(&self, ctx: &OpContext, project: &Project) -> Option<RoleBinding> {
        let owns_all = ctx.principal.grants()?.on_project(project.id).covers(Role::ProjectOwner.permissions());
        Some(RoleBinding {
            id: RoleBindingId::from_random(random_bytes()),
            organization_id: project.organization_id,
            principal: principal_ref(&ctx.principal)?,
            resource: ResourceRef::Project(project.id),
            role: Role::ProjectOwner,
            created_at_ms: ctx.now_ms,
        })
        .filter(|_| !owns_all)
    }

    /// Changes a project. That it must be encrypted with a key of the customer's cannot be taken back.
    pub async fn update_project(self: &Arc<Self>, ctx: &OpContext, id: ProjectId, change: ProjectChange) -> Result<Project> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::UpdateProject, named(id)).await?;
            let result: Result<Project> = async {
                let mut writer = this.catalog().writer().await;
                let project = changed(&this.catalog().tables(), id, change)?;
                authorized.name(project.name.clone(), project.name.clone());
                let change = Change::Put(Noun::Project(project.clone()));
                this.catalog().change(&mut writer, &mut authorized, this.audit(), vec![change]).await?;
                Ok(project)
            }
            .await;
            authorized.close(result).await
        })
        .await
    }

    /// Deletes an empty project with its API keys, its customer-managed keys and every role in it. `FailedPrecondition` while it has indexes.
    pub async fn delete_project(self: &Arc<Self>, ctx: &OpContext, id: ProjectId) -> Result<()> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::DeleteProject, named(id)).await?;
            let result = async {
                let writer = this.catalog().writer().await;
                let burying = plan_delete(&this.catalog().tables(), id)?;
                authorized.name(burying.name.clone(), burying.name.clone());
                this.bury(writer, &mut authorized, &ctx, burying).await
            }
            .await;
            this.deleted(authorized.close(result).await).await
        })
        .await
    }
}

fn gone(id: ProjectId) -> Error {
    Error::not_found(format!("There is no project {id}"))
}

fn check_name(tables: &Tables, organization: OrganizationId, name: &str, own: Option<ProjectId>) -> Result<()> {
    if tables.projects_of(organization).any(|p| p.name == name && Some(p.id) != own) {
        return Err(Error::already_exists(format!("There is a project '{}' already", excerpt(name))));
    }
    Ok(())
}

fn changed(tables: &Tables, id: ProjectId, change: ProjectChange) -> Result<Project> {
    let mut project = tables.projects.get(&id).cloned().ok_or_else(|| gone(id))?;
    if let Some(name) = change.name {
        project.name = Project::parse_name(&name)?;
        check_name(tables, project.organization_id, &project.name, Some(id))?;
    }
    project.max_pods = change.max_pods.unwrap_or(project.max_pods);
    match change.force_encryption_with_cmek {
        Some(false) if project.force_encryption_with_cmek => {
            return Err(Error::invalid("force_encryption_with_cmek cannot be turned off once it is on"));
        }
        Some(force) => project.force_encryption_with_cmek = force,
        None => {}
    }
    Ok(project)
}

fn plan_delete(tables: &Tables, id: ProjectId) -> Result<Burying> {
    let precondition = |what: String| Err(Error::new(ErrorCode::FailedPrecondition, what));
    let project = tables.projects.get(&id).ok_or_else(|| gone(id))?;
    let indexes = tables.indexes_of(id).count();
    if indexes > 0 {
        return precondition(format!("The project has {indexes} indexes; delete them first"));
    }
    let backups = tables.backups_of(id).count();
    if backups > 0 {
        return precondition(format!("The project has {backups} backups and collections; delete them first"));
    }
    plan_whole(tables, project)
}

/// A project with everything in it, to be deleted. The one that the first start made stays.
pub(crate) fn plan_whole(tables: &Tables, project: &Project) -> Result<Burying> {
    if tables.defaults().project == project.id {
        let told = "This is the project that the installation's own commands work in; it cannot be deleted";
        return Err(Error::new(ErrorCode::FailedPrecondition, told));
    }
    let id = project.id;
    Ok(Burying {
        kind: DeletedKind::Project,
        of: id.to_string(),
        name: project.name.clone(),
        organization_id: Some(project.organization_id),
        project_id: Some(id),
        nouns: nouns_of(tables, id),
        others: Vec::new(),
    })
}

/// A project and everything in it; what refers to another comes before it.
pub(crate) fn nouns_of(tables: &Tables, id: ProjectId) -> Vec<NounId> {
    let keys: Vec<_> = tables.keys_of(id).collect();
    // A key's bindings are on its project, so these are all there are.
    let bindings = tables.bindings.values().filter(|b| b.resource == ResourceRef::Project(id)).map(|b| NounId::RoleBinding(b.id));
    let endpoints = tables.endpoints_of(id).iter().map(|e| NounId::PrivateEndpoint(e.id));
    let cmeks = tables.cmeks_of(id).map(|c| NounId::Cmek(c.info.id));
    let indexes = tables.indexes_of(id).map(|i| NounId::Index(i.id()));
    let backups = tables.backups_of(id).map(|b| NounId::Backup(b.id));
    let jobs = tables.restore_jobs.values().filter(|j| j.info.project_id == id).map(|j| NounId::RestoreJob(j.info.id));
    let schedules = tables.backup_schedules.values().filter(|s| s.project_id == id).map(|s| NounId::BackupSchedule(s.id));
    let keys = keys.into_iter().map(NounId::ApiKey);
    let own = bindings.chain(cmeks).chain(keys).chain(endpoints).chain(schedules).chain(jobs).chain(backups).chain(indexes);
    own.chain([NounId::Project(id)]).collect()
}

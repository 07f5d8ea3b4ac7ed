//! What the owner of the data directory does beside keys: projects and the root key.

use std::sync::Arc;

use pinyon_model::{Error, ErrorCode, ProjectId, Result};
use pinyon_storage::{RootKey, random_bytes};

use crate::{
    AuditEvent, OpContext, Project, Service,
    authorize::{Action, Authorized, Installation},
    catalog::{Change, Noun},
    project::short_id,
};

const PROJECT_NAME_LEN_MAX: usize = 512;

impl Service {
    /// Makes a project in the default organization. Its name is 1 to 512 characters and free in the organization.
    pub async fn create_project(self: &Arc<Self>, ctx: &OpContext, name: &str) -> Result<Project> {
        let (this, ctx, name) = (Arc::clone(self), ctx.clone(), name.trim().to_owned());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::CreateProject, Installation).await?;
            let result = this.create_project_authorized(&mut authorized, name, ctx.now_ms).await;
            authorized.close(result).await
        })
        .await
    }

    async fn create_project_authorized(
        &self,
        authorized: &mut Authorized<Installation>,
        name: String,
        created_at_ms: u64,
    ) -> Result<Project> {
        if name.is_empty() || name.chars().count() > PROJECT_NAME_LEN_MAX || name.chars().any(char::is_control) {
            return Err(Error::invalid(format!("The name of a project has 1 to {PROJECT_NAME_LEN_MAX} printable characters")));
        }
        let mut writer = self.catalog().writer().await;
        let project = self.plan_project(name, created_at_ms)?;
        authorized.name(project.id.to_string(), project.name.clone());
        let change = Change::Put(Noun::Project(project.clone()));
        self.catalog().change(&mut writer, authorized, self.audit(), vec![change]).await?;
        Ok(project)
    }

    fn plan_project(&self, name: String, created_at_ms: u64) -> Result<Project> {
        let tables = self.catalog().tables();
        if tables.projects.values().any(|p| p.name == name) {
            return Err(Error::already_exists(format!("There is a project '{}' already", name.escape_debug())));
        }
        let max = self.limits().projects_per_organization;
        if tables.projects.len() >= max as usize {
            let told = format!("The organization has reached its limit of {max} projects");
            return Err(Error::new(ErrorCode::QuotaExceeded, told));
        }
        // Host names tell projects apart by a part of the id only: one that is taken is drawn again.
        let id = std::iter::repeat_with(|| ProjectId::from_random(random_bytes()))
            .take(64)
            .find(|id| tables.project_by_short_id(&short_id(*id)).is_none())
            .ok_or_else(|| Error::internal("No free project id was drawn"))?;
        Ok(Project { id, organization_id: tables.defaults().organization, name, created_at_ms })
    }

    /// The projects, oldest first.
    pub async fn list_projects(&self, ctx: &OpContext) -> Result<Vec<Project>> {
        let authorized = self.authorize(ctx, Action::ListProjects, Installation).await?;
        let mut projects: Vec<Project> = self.catalog().tables().projects.values().cloned().collect();
        projects.sort_by_key(|p| (p.created_at_ms, p.id));
        authorized.close(Ok(projects)).await
    }

    /// Seals the key store under a new root key; the data stays as it is. Keep the new key safe before this is called: from its return
    /// on, nothing opens without it.
    pub async fn rotate_root(self: &Arc<Self>, ctx: &OpContext, new: RootKey) -> Result<()> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::RotateRootKey, Installation).await?;
            authorized.name(new.fingerprint().to_string(), "");
            let result = this.store().keys().rotate_root(new.clone()).await.map_err(Error::from);
            if result.is_ok() {
                this.replace_root(new);
            }
            authorized.close(result).await
        })
        .await
    }

    /// The root key, to be kept where the data is not.
    pub async fn export_root(&self, ctx: &OpContext) -> Result<RootKey> {
        let mut authorized = self.authorize(ctx, Action::ExportRootKey, Installation).await?;
        let root = self.root();
        authorized.name(root.fingerprint().to_string(), "");
        authorized.close(Ok(root)).await
    }

    /// Every entry of the audit log, oldest first.
    pub async fn audit_events(&self, ctx: &OpContext) -> Result<Vec<AuditEvent>> {
        let authorized = self.authorize(ctx, Action::ReadAuditLog, Installation).await?;
        let events = self.audit().events().await;
        authorized.close(events).await
    }
}

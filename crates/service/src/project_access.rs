//! From where a project may be reached, as its owners set it.

use std::sync::Arc;

use pinyon_model::{Error, ErrorCode, Network, ProjectAccess, ProjectAccessChange, ProjectId, Result};

use crate::{
    OpContext, Service,
    authorize::{Action, Authorized},
    catalog::{Change, Noun},
    private_endpoint::scope,
};

impl Service {
    /// From where a project may be reached.
    pub async fn describe_project_access(&self, ctx: &OpContext, project: ProjectId) -> Result<ProjectAccess> {
        let authorized = self.authorize(ctx, Action::DescribeProjectAccess, scope(project, project)).await?;
        let found = self.catalog().tables().projects.get(&project).map(|p| p.access.clone());
        authorized.close(found.ok_or_else(|| gone(project))).await
    }

    /// Says from where a project may be reached. `FailedPrecondition` where that would be from nowhere.
    pub async fn put_project_access(self: &Arc<Self>, ctx: &OpContext, id: ProjectId, access: ProjectAccess) -> Result<ProjectAccess> {
        self.change_project_access(ctx, id, access.into()).await
    }

    /// Changes a part of it, of what it is when the change is written: whoever changes another part at the same time loses nothing.
    pub async fn change_project_access(
        self: &Arc<Self>,
        ctx: &OpContext,
        id: ProjectId,
        asked: ProjectAccessChange,
    ) -> Result<ProjectAccess> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::UpdateProjectAccess, scope(id, id)).await?;
            let result = async {
                let mut writer = this.catalog().writer().await;
                let mut project = this.catalog().tables().projects.get(&id).cloned().ok_or_else(|| gone(id))?;
                authorized.name(id.to_string(), project.name.clone());
                let access = asked.applied_to(&project.access)?;
                note(&mut authorized, &access);
                let has_way_in = !access.networks().is_empty() || !this.catalog().tables().endpoints_of(id).is_empty();
                if access.private_only() && !has_way_in {
                    let told = "Nobody could reach this project any more: give it a private endpoint or a network first";
                    return Err(Error::new(ErrorCode::FailedPrecondition, told));
                }
                project.access = access.clone();
                let change = Change::Put(Noun::Project(project));
                this.catalog().change(&mut writer, &mut authorized, this.audit(), vec![change]).await?;
                Ok(access)
            }
            .await;
            authorized.close(result).await
        })
        .await
    }
}

/// The audit log says what the access is to be as a whole, also of a change that names a part.
fn note<T>(authorized: &mut Authorized<T>, access: &ProjectAccess) {
    authorized.note("private_only", access.private_only().to_string());
    authorized.note("private_control_plane", access.private_control_plane().to_string());
    authorized.note("networks", access.networks().iter().map(Network::to_string).collect::<Vec<_>>().join(" "));
}

fn gone(id: ProjectId) -> Error {
    Error::not_found(format!("There is no project {id}"))
}

//! Private endpoints of a project: ends of private connections by which its indexes may be reached.

use std::sync::Arc;

use pinyon_model::{
    Error, ErrorCode, NewPrivateEndpoint, PrivateEndpoint, PrivateEndpointId, ProjectId, Result, limits::PRIVATE_ENDPOINTS_MAX,
};
use pinyon_storage::random_bytes;

use crate::{
    OpContext, Service,
    authorize::{Action, Named, Place},
    catalog::{Change, Noun, NounId, Tables},
};

pub(crate) fn scope(project: ProjectId, id: impl ToString) -> Named {
    Named { place: Place::Project(project), id: id.to_string(), kind: "project" }
}

impl Service {
    /// The private endpoints of a project, oldest first.
    pub async fn list_private_endpoints(&self, ctx: &OpContext, project: ProjectId) -> Result<Vec<PrivateEndpoint>> {
        let authorized = self.authorize(ctx, Action::ListPrivateEndpoints, scope(project, project)).await?;
        let found = self.catalog().tables().endpoints_of(project).to_vec();
        authorized.close(Ok(found)).await
    }

    /// Gives a project a private endpoint, ten at most; 409 for a link that it has already. Other projects may have the same.
    pub async fn create_private_endpoint(
        self: &Arc<Self>,
        ctx: &OpContext,
        project: ProjectId,
        new: NewPrivateEndpoint,
    ) -> Result<PrivateEndpoint> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::CreatePrivateEndpoint, scope(project, project)).await?;
            authorized.name(new.link.to_string(), new.link.to_string());
            authorized.note("region", new.region.clone());
            let result = async {
                let mut writer = this.catalog().writer().await;
                let endpoint = plan(&this.catalog().tables(), project, new, ctx.now_ms)?;
                let change = Change::Put(Noun::PrivateEndpoint(endpoint.clone()));
                this.catalog().change(&mut writer, &mut authorized, this.audit(), vec![change]).await?;
                Ok(endpoint)
            }
            .await;
            authorized.close(result).await
        })
        .await
    }

    /// Takes a private endpoint away: calls by it are refused from then on. `typed` must be the cloud's id of it.
    pub async fn delete_private_endpoint(
        self: &Arc<Self>,
        ctx: &OpContext,
        project: ProjectId,
        id: PrivateEndpointId,
        typed: &str,
    ) -> Result<()> {
        let (this, ctx, typed) = (Arc::clone(self), ctx.clone(), typed.to_owned());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::DeletePrivateEndpoint, scope(project, project)).await?;
            authorized.name(id.to_string(), "");
            let result = async {
                let mut writer = this.catalog().writer().await;
                let found = this.catalog().tables().endpoints_of(project).iter().find(|e| e.id == id).cloned();
                let endpoint = found.ok_or_else(|| Error::not_found(format!("There is no private endpoint {id}")))?;
                let name = endpoint.link.to_string();
                authorized.name(name.clone(), name.clone());
                if typed != name {
                    return Err(Error::invalid(format!("To delete this private endpoint, confirm with its id: {name}")));
                }
                let change = Change::Delete(NounId::PrivateEndpoint(id));
                this.catalog().change(&mut writer, &mut authorized, this.audit(), vec![change]).await
            }
            .await;
            authorized.close(result).await
        })
        .await
    }
}

fn plan(tables: &Tables, project_id: ProjectId, new: NewPrivateEndpoint, created_at_ms: u64) -> Result<PrivateEndpoint> {
    let NewPrivateEndpoint { link, region } = new;
    if !tables.projects.contains_key(&project_id) {
        return Err(Error::not_found(format!("There is no project {project_id}")));
    }
    let there = tables.endpoints_of(project_id);
    if there.iter().any(|e| e.link == link) {
        return Err(Error::already_exists(format!("The project has the private endpoint {link} already")));
    }
    if there.len() >= PRIVATE_ENDPOINTS_MAX {
        let told = format!("The project has reached its limit of {PRIVATE_ENDPOINTS_MAX} private endpoints");
        return Err(Error::new(ErrorCode::QuotaExceeded, told));
    }
    Ok(PrivateEndpoint { id: PrivateEndpointId::from_random(random_bytes()), project_id, link, region, created_at_ms })
}

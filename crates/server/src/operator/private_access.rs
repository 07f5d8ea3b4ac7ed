//! Private endpoints, and from where a project may be reached, as commands say it.

use std::collections::BTreeSet;

use pinyon_model::{
    Error, Network, NewPrivateEndpoint, PrivateEndpoint, PrivateLink, ProjectAccess, ProjectAccessChange, ProjectId, Result, excerpt,
};
use pinyon_wire::rfc3339;
use serde::{Deserialize, Serialize};

use super::{Output, execute::Operator};

/// What of a project's access is to be another; nothing: it is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AccessChange {
    pub(crate) private_only: Option<bool>,
    pub(crate) private_control_plane: Option<bool>,
    pub(crate) networks: Vec<String>,
    pub(crate) no_network: bool,
}

/// From where a project may be reached.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AccessRow {
    pub(crate) project_id: String,
    pub(crate) private_only: bool,
    pub(crate) private_control_plane: bool,
    pub(crate) networks: Vec<String>,
}

/// A private endpoint as it is listed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PrivateEndpointRow {
    pub(crate) id: String,
    pub(crate) project_id: String,
    pub(crate) provider: String,
    pub(crate) endpoint_id: String,
    pub(crate) region: String,
    pub(crate) created_at: String,
}

impl From<PrivateEndpoint> for PrivateEndpointRow {
    fn from(endpoint: PrivateEndpoint) -> Self {
        let PrivateEndpoint { id, project_id, link, region, created_at_ms } = endpoint;
        Self {
            id: id.to_string(),
            project_id: project_id.to_string(),
            provider: link.provider().to_owned(),
            endpoint_id: link.to_string(),
            region,
            created_at: rfc3339(created_at_ms),
        }
    }
}

pub(super) async fn list(operator: &Operator<'_>, project: Option<String>) -> Result<Output> {
    let project = operator.project_or_first(project).await?;
    let endpoints = operator.service.list_private_endpoints(&operator.ctx, project).await?;
    Ok(Output::PrivateEndpoints { private_endpoints: endpoints.into_iter().map(Into::into).collect() })
}

pub(super) async fn create(
    operator: &Operator<'_>,
    project: Option<String>,
    provider: &str,
    endpoint_id: &str,
    region: &str,
) -> Result<Output> {
    let project = operator.project_or_first(project).await?;
    let new = NewPrivateEndpoint { link: PrivateLink::parse(provider, endpoint_id)?, region: PrivateEndpoint::parse_region(region)? };
    let endpoint = operator.service.create_private_endpoint(&operator.ctx, project, new).await?;
    Ok(Output::PrivateEndpointCreated { private_endpoint: endpoint.into() })
}

pub(super) async fn delete(operator: &Operator<'_>, project: Option<String>, endpoint_id: String) -> Result<Output> {
    let project = operator.project_or_first(project).await?;
    let endpoints = operator.service.list_private_endpoints(&operator.ctx, project).await?;
    let found = endpoints.iter().find(|e| e.link.to_string() == endpoint_id);
    let id = found.ok_or_else(|| Error::not_found(format!("The project has no private endpoint '{}'", excerpt(&endpoint_id))))?.id;
    operator.service.delete_private_endpoint(&operator.ctx, project, id, &endpoint_id).await?;
    Ok(Output::PrivateEndpointDeleted { endpoint_id })
}

pub(super) async fn access(operator: &Operator<'_>, project: Option<String>, change: AccessChange) -> Result<Output> {
    let project_id = operator.project_or_first(project).await?;
    if change == AccessChange::default() {
        return Ok(shown(project_id, &operator.service.describe_project_access(&operator.ctx, project_id).await?));
    }
    let AccessChange { private_only, private_control_plane, networks, no_network } = change;
    let networks = match (networks.is_empty(), no_network) {
        (true, false) => None,
        _ => Some(networks.iter().map(|text| Network::parse(text)).collect::<Result<BTreeSet<_>>>()?),
    };
    let change = ProjectAccessChange { private_only, private_control_plane, networks };
    Ok(shown(project_id, &operator.service.change_project_access(&operator.ctx, project_id, change).await?))
}

fn shown(project_id: ProjectId, access: &ProjectAccess) -> Output {
    Output::ProjectAccess {
        access: AccessRow {
            project_id: project_id.to_string(),
            private_only: access.private_only(),
            private_control_plane: access.private_control_plane(),
            networks: access.networks().iter().map(Network::to_string).collect(),
        },
    }
}

//! From where a project may be reached (RFC 0011): the part of the one gate that asks how a call came, and whether a caller should be
//! told of an index's private host.

use pinyon_model::{Error, ErrorCode, Index, Permission, PrivateEndpoint, Project, ProjectId, Result};

use crate::{
    OpContext, Service,
    authorize::{Action, Place, Resource},
};

/// The sides of a project that can be closed to the public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Data,
    Control,
}

impl Side {
    /// Whose network counts: the admin plane is open from everywhere, so that nobody locks out those who could undo it.
    const fn of(permission: Permission) -> Option<Self> {
        match permission {
            Permission::DataRead | Permission::DataWrite => Some(Side::Data),
            Permission::ControlRead | Permission::ControlWrite | Permission::Inference => Some(Side::Control),
            _ => None,
        }
    }

    fn is_private(self, project: &Project) -> bool {
        match self {
            Side::Data => project.access.private_only(),
            Side::Control => project.access.private_control_plane(),
        }
    }
}

/// Whether a call came from where the project may be reached. The private listener leads to those alone who have the endpoint that it
/// came by, whatever their settings; addresses there are the customer's own and no network of the list.
fn is_admitted(ctx: &OpContext, side: Side, project: &Project, endpoints: &[PrivateEndpoint], index: Option<&Index>) -> bool {
    match &ctx.private_path {
        Some(path) => endpoints.iter().any(|e| path.is_through(e) && index.is_none_or(|i| e.reaches(&i.deployment))),
        None => !side.is_private(project) || project.access.lists(ctx.source.parse().ok()),
    }
}

impl Service {
    /// `Unauthenticated` for a call on a project's data or control plane from where it may not be reached. What is no call by network,
    /// the operator's and Pinyon's own, comes from nowhere and may.
    pub(crate) fn check_network<T: Resource>(&self, ctx: &OpContext, action: Action, resource: &T) -> Result<()> {
        let place = resource.place();
        let (Place::Project(id), Some(side)) = (place, Side::of(action.permission(place))) else { return Ok(()) };
        if ctx.principal.grants().is_none() {
            return Ok(());
        }
        let tables = self.catalog().tables();
        let Some(project) = tables.projects.get(&id) else { return Ok(()) };
        // Only a private path asks what the index is, and most calls come by none.
        let stored = ctx.private_path.as_ref().and_then(|_| resource.index()).map(|i| i.stored());
        let admitted = is_admitted(ctx, side, project, tables.endpoints_of(id), stored.as_ref().map(|s| &s.index));
        if admitted { Ok(()) } else { Err(Error::new(ErrorCode::Unauthenticated, "Unauthorized")) }
    }

    /// Whether a call about records of a project comes from where it may be reached: for hosts without an index, where nothing else asks.
    pub fn may_reach(&self, ctx: &OpContext, project: ProjectId) -> bool {
        let tables = self.catalog().tables();
        tables.projects.get(&project).is_none_or(|p| is_admitted(ctx, Side::Data, p, tables.endpoints_of(project), None))
    }

    /// Whether this caller should dial the index's private host. A client that is told of it dials no other, so it is told only to
    /// those who are on a private endpoint to it now, and where the project is private to those for whom the public host is closed.
    pub fn tells_private_host(&self, ctx: &OpContext, index: &Index) -> bool {
        let Some(region) = self.private_region() else { return false };
        let tables = self.catalog().tables();
        let mut endpoints = tables.endpoints_of(index.project_id).iter().filter(|e| e.region == region && e.reaches(&index.deployment));
        match &ctx.private_path {
            Some(path) => endpoints.any(|e| path.is_through(e)),
            None => {
                let access = tables.projects.get(&index.project_id).map(|p| &p.access);
                access.is_some_and(|a| a.private_only() && !a.lists(ctx.source.parse().ok())) && endpoints.next().is_some()
            }
        }
    }
}

use pinyon_model::{
    Error, NewRoleBinding, OrganizationId, Page, PrincipalRef, PrincipalType, ProjectId, ResourceRef, ResourceType, Result, Role,
    RoleBinding, RoleBindingFilter, RoleGrant, UserId, excerpt,
};
use serde::{Deserialize, Serialize};

use super::Listing;
use crate::{
    json::{self, Bounded, Object},
    percent::Parameters,
    rfc3339,
};

/// Roles that one body may give.
const GRANTS_MAX: usize = 100;

/// `role_bindings` of a request.
pub(super) type GrantsBody = Bounded<Object<GrantBody>, GRANTS_MAX>;

/// A role and where it is given.
#[derive(Deserialize)]
pub(super) struct GrantBody {
    resource_type: String,
    #[serde(default)]
    resource_id: Option<String>,
    role: String,
}

/// The roles that a body gives to whoever it makes.
pub(super) fn read_grants(body: GrantsBody) -> Result<Vec<RoleGrant>> {
    if body.count > GRANTS_MAX {
        return Err(Error::invalid(format!("role_bindings has {} entries; at most {GRANTS_MAX} are allowed", body.count)));
    }
    let grant = |(i, Object(entry)): (usize, Object<GrantBody>)| {
        entry.read().map_err(|e| Error::new(e.code, format!("role_bindings[{i}]: {}", e.message)))
    };
    body.kept.into_iter().enumerate().map(grant).collect()
}

impl GrantBody {
    fn read(self) -> Result<RoleGrant> {
        let (scope, role) = (resource_type(&self.resource_type)?, Role::parse(&self.role)?);
        if role.scope() != scope {
            let (role, of, given) = (role.as_str(), role.scope().as_str(), scope.as_str());
            return Err(Error::invalid(format!("{role} is a role in a resource of the type {of}, but resource_type is {given}")));
        }
        if scope == ResourceType::Organization && self.resource_id.is_some() {
            let told =
                "resource_id is for a role in a project; a role in the organization is given in the principal's own: leave resource_id out";
            return Err(Error::invalid(told));
        }
        RoleGrant::new(role, self.resource_id.as_deref().map(ProjectId::parse).transpose()?)
    }
}

#[derive(Deserialize)]
struct CreateBody {
    principal_type: String,
    principal_id: String,
    #[serde(flatten)]
    grant: GrantBody,
}

/// Reads the body of `POST /admin/role-bindings`.
pub fn create_role_binding(body: &[u8]) -> Result<NewRoleBinding> {
    let CreateBody { principal_type: kind, principal_id, grant } = json::from_control(body)?;
    Ok(NewRoleBinding { principal: principal(principal_type(&kind)?, &principal_id)?, grant: grant.read()? })
}

pub(crate) fn principal_type(text: &str) -> Result<PrincipalType> {
    word("principal_type", text, &PrincipalType::ALL, PrincipalType::as_str)
}

pub(crate) fn resource_type(text: &str) -> Result<ResourceType> {
    word("resource_type", text, &ResourceType::ALL, ResourceType::as_str)
}

fn word<T: Copy>(what: &str, text: &str, all: &[T], as_str: impl Fn(T) -> &'static str) -> Result<T> {
    all.iter().copied().find(|v| as_str(*v) == text).ok_or_else(|| {
        let words: Vec<_> = all.iter().map(|v| as_str(*v)).collect();
        Error::invalid(format!("{what} is '{}'; {} are allowed", excerpt(text), words.join(", ")))
    })
}

/// The principal of this kind. All ids are spelled alike.
pub(crate) fn principal(kind: PrincipalType, id: &str) -> Result<PrincipalRef> {
    UserId::parse(id).map(|id| PrincipalRef::from_bytes(kind, *id.as_bytes()))
}

pub(crate) fn resource(kind: ResourceType, id: &str) -> Result<ResourceRef> {
    match kind {
        ResourceType::Organization => OrganizationId::parse(id).map(ResourceRef::Organization),
        ResourceType::Project => ProjectId::parse(id).map(ResourceRef::Project),
    }
}

/// Reads the query string of `GET /admin/role-bindings`.
pub fn list_role_bindings(query: &str) -> Result<(RoleBindingFilter, Listing)> {
    const FILTERS: [&str; 5] = ["principal_type", "principal_id", "resource_type", "resource_id", "role"];
    let parameters = Parameters::parse(query)?;
    let [kind, id, resource_kind, resource_id, role] = FILTERS.map(|name| parameters.get_non_empty(name));
    let needs = |id: &str| Error::invalid(format!("{id}_id needs {id}_type beside it: ids of several kinds look alike"));
    let principal_type = kind.map(principal_type).transpose()?;
    let resource_type = resource_kind.map(resource_type).transpose()?;
    let filter = RoleBindingFilter {
        principal_type,
        principal: id.map(|id| principal(principal_type.ok_or_else(|| needs("principal"))?, id)).transpose()?,
        resource_type,
        resource: resource_id.map(|id| resource(resource_type.ok_or_else(|| needs("resource"))?, id)).transpose()?,
        role: role.map(Role::parse).transpose()?,
    };
    let filters = FILTERS.map(|name| parameters.get_non_empty(name).unwrap_or_default());
    Ok((filter, Listing::new(&parameters, "role bindings", &filters)?))
}

/// The body that describes one role binding.
pub fn role_binding_model(binding: &RoleBinding) -> Vec<u8> {
    json::to_vec(&RoleBindingOut::from(binding))
}

/// The body of a page of role bindings.
pub fn role_binding_page(listing: &Listing, page: &Page<RoleBinding>) -> Vec<u8> {
    listing.page(page, RoleBindingOut::from)
}

#[derive(Serialize)]
struct RoleBindingOut {
    id: String,
    principal_type: &'static str,
    principal_id: String,
    resource_type: &'static str,
    resource_id: String,
    role: &'static str,
    created_at: String,
}

impl From<&RoleBinding> for RoleBindingOut {
    fn from(binding: &RoleBinding) -> Self {
        let RoleBinding { id, organization_id: _, principal, resource, role, created_at_ms } = binding;
        Self {
            id: id.to_string(),
            principal_type: principal.principal_type().as_str(),
            principal_id: principal.id(),
            resource_type: resource.resource_type().as_str(),
            resource_id: resource.id(),
            role: role.as_str(),
            created_at: rfc3339(*created_at_ms),
        }
    }
}

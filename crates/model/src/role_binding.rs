use crate::{Error, OrganizationId, PrincipalRef, PrincipalType, ProjectId, ResourceRef, ResourceType, Result, Role, RoleBindingId};

/// One grant: this principal has this role on this resource. Never changed, made and removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleBinding {
    /// Its id.
    pub id: RoleBindingId,
    /// The organization that principal and resource belong to.
    pub organization_id: OrganizationId,
    /// Who has the role.
    pub principal: PrincipalRef,
    /// On what.
    pub resource: ResourceRef,
    /// Which.
    pub role: Role,
    /// When it was given, milliseconds since 1970.
    pub created_at_ms: u64,
}

/// A role that is to be given together with the principal that gets it. The organization needs no name: it is the principal's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleGrant {
    /// The project; none for a role in the organization.
    pub project: Option<ProjectId>,
    /// The role.
    pub role: Role,
}

impl RoleGrant {
    /// A role on what it is a role in: a project's with a project, an organization's without.
    pub fn new(role: Role, project: Option<ProjectId>) -> Result<Self> {
        use crate::ResourceType::{Organization, Project};
        match (role.scope(), project) {
            (Organization, None) | (Project, Some(_)) => Ok(Self { project, role }),
            (Organization, Some(_)) => Err(Error::invalid(format!("{} is a role in an organization, not in a project", role.as_str()))),
            (Project, None) => Err(Error::invalid(format!("{} is a role in a project: its resource_id is needed", role.as_str()))),
        }
    }
}

/// A binding that is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewRoleBinding {
    /// Who is to have the role.
    pub principal: PrincipalRef,
    /// Which, and where.
    pub grant: RoleGrant,
}

/// Which bindings are wanted: those that fit everything that is named here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RoleBindingFilter {
    /// The kind of principal.
    pub principal_type: Option<PrincipalType>,
    /// The principal.
    pub principal: Option<PrincipalRef>,
    /// The kind of resource.
    pub resource_type: Option<ResourceType>,
    /// The resource.
    pub resource: Option<ResourceRef>,
    /// The role.
    pub role: Option<Role>,
}

impl RoleBindingFilter {
    /// Whether a binding fits.
    pub fn matches(&self, binding: &RoleBinding) -> bool {
        self.principal_type.is_none_or(|t| t == binding.principal.principal_type())
            && self.principal.is_none_or(|p| p == binding.principal)
            && self.resource_type.is_none_or(|t| t == binding.resource.resource_type())
            && self.resource.is_none_or(|r| r == binding.resource)
            && self.role.is_none_or(|r| r == binding.role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_given_where_it_is_a_role() {
        let project = Some(ProjectId::from_bytes([1; 16]));
        for role in Role::ALL {
            let in_project = role.scope() == crate::ResourceType::Project;
            assert_eq!(RoleGrant::new(role, project).is_ok(), in_project, "{role:?}");
            assert_eq!(RoleGrant::new(role, None).is_ok(), !in_project, "{role:?}");
        }
    }
}

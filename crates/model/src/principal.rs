use crate::{ApiKeyId, InviteId, OrganizationId, PermissionSet, ProjectId, Restrictions, RoleBinding, ServiceAccountId, UserId};

/// The kinds of principal that a role can be given to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PrincipalType {
    /// A person.
    User,
    /// A program with credentials of its own.
    ServiceAccount,
    /// A key to one project.
    ApiKey,
    /// A person who has not come yet.
    Invite,
}

impl PrincipalType {
    /// All of them.
    pub const ALL: [PrincipalType; 4] = [PrincipalType::User, PrincipalType::ServiceAccount, PrincipalType::ApiKey, PrincipalType::Invite];

    /// Pinecone's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            PrincipalType::User => "user",
            PrincipalType::ServiceAccount => "service_account",
            PrincipalType::ApiKey => "api_key",
            PrincipalType::Invite => "invite",
        }
    }
}

/// Which principal a role is given to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PrincipalRef {
    /// A user.
    User(UserId),
    /// A service account.
    ServiceAccount(ServiceAccountId),
    /// An API key.
    ApiKey(ApiKeyId),
    /// An invite.
    Invite(InviteId),
}

impl PrincipalRef {
    /// Its kind.
    pub const fn principal_type(self) -> PrincipalType {
        match self {
            PrincipalRef::User(_) => PrincipalType::User,
            PrincipalRef::ServiceAccount(_) => PrincipalType::ServiceAccount,
            PrincipalRef::ApiKey(_) => PrincipalType::ApiKey,
            PrincipalRef::Invite(_) => PrincipalType::Invite,
        }
    }

    /// The principal of this kind with this id.
    pub const fn from_bytes(kind: PrincipalType, id: [u8; 16]) -> Self {
        match kind {
            PrincipalType::User => PrincipalRef::User(UserId::from_bytes(id)),
            PrincipalType::ServiceAccount => PrincipalRef::ServiceAccount(ServiceAccountId::from_bytes(id)),
            PrincipalType::ApiKey => PrincipalRef::ApiKey(ApiKeyId::from_bytes(id)),
            PrincipalType::Invite => PrincipalRef::Invite(InviteId::from_bytes(id)),
        }
    }

    /// The id's 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        match self {
            PrincipalRef::User(id) => id.as_bytes(),
            PrincipalRef::ServiceAccount(id) => id.as_bytes(),
            PrincipalRef::ApiKey(id) => id.as_bytes(),
            PrincipalRef::Invite(id) => id.as_bytes(),
        }
    }

    /// The id as text.
    pub fn id(&self) -> String {
        match self {
            PrincipalRef::User(id) => id.to_string(),
            PrincipalRef::ServiceAccount(id) => id.to_string(),
            PrincipalRef::ApiKey(id) => id.to_string(),
            PrincipalRef::Invite(id) => id.to_string(),
        }
    }
}

/// What a principal may do, in its one organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grants {
    /// The organization.
    pub organization: OrganizationId,
    /// On the organization itself.
    on_organization: PermissionSet,
    /// On every project of it.
    on_all_projects: PermissionSet,
    /// On single projects.
    on_projects: Vec<(ProjectId, PermissionSet)>,
}

impl Grants {
    /// The union of what bindings give.
    pub fn new<'b>(organization: OrganizationId, bindings: impl IntoIterator<Item = &'b RoleBinding>) -> Self {
        let none = PermissionSet::NONE;
        let mut grants = Self { organization, on_organization: none, on_all_projects: none, on_projects: Vec::new() };
        for binding in bindings {
            let given = binding.role.permissions();
            match binding.resource {
                ResourceRef::Organization(id) if id == organization => {
                    grants.on_organization = grants.on_organization.union(given);
                    grants.on_all_projects = grants.on_all_projects.union(binding.role.permissions_on_projects());
                }
                ResourceRef::Organization(_) => {}
                ResourceRef::Project(id) => match grants.on_projects.iter_mut().find(|(project, _)| *project == id) {
                    Some((_, set)) => *set = set.union(given),
                    None => grants.on_projects.push((id, given)),
                },
            }
        }
        grants
    }

    /// What may be done with the organization itself.
    pub const fn on_organization(&self) -> PermissionSet {
        self.on_organization
    }

    /// What may be done with a project of the organization.
    pub fn on_project(&self, project: ProjectId) -> PermissionSet {
        let own = self.on_projects.iter().find(|(id, _)| *id == project).map_or(PermissionSet::NONE, |(_, set)| *set);
        own.union(self.on_all_projects)
    }

    /// The projects that a binding names.
    pub fn named_projects(&self) -> impl Iterator<Item = ProjectId> {
        self.on_projects.iter().map(|(id, _)| *id)
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// The holder of an API key.
    ApiKey {
        /// Which key.
        id: ApiKeyId,
        /// Its name.
        name: String,
        /// The one project it belongs to.
        project_id: ProjectId,
        /// What it may do.
        grants: Grants,
        /// What it is held to beyond that.
        restrictions: Restrictions,
    },
    /// A program, by a token.
    ServiceAccount {
        /// Which account.
        id: ServiceAccountId,
        /// Its name.
        name: String,
        /// What it may do.
        grants: Grants,
    },
    /// A person.
    User {
        /// Which user.
        id: UserId,
        /// Its e-mail address.
        email: String,
        /// What it is called; may be empty.
        name: String,
        /// What it may do.
        grants: Grants,
    },
    /// Whoever owns the data directory, through the command line.
    Operator,
    /// Pinyon itself: jobs.
    System,
}

impl Principal {
    /// What it may do; the operator and Pinyon itself have no bounds.
    pub fn grants(&self) -> Option<&Grants> {
        match self {
            Principal::ApiKey { grants, .. } | Principal::ServiceAccount { grants, .. } | Principal::User { grants, .. } => Some(grants),
            Principal::Operator | Principal::System => None,
        }
    }

    /// What it is held to beyond what it may do; only API keys are held to anything.
    pub fn restrictions(&self) -> Option<&Restrictions> {
        match self {
            Principal::ApiKey { restrictions, .. } => Some(restrictions).filter(|r| !r.is_empty()),
            _ => None,
        }
    }

    /// The organization it belongs to.
    pub fn organization_id(&self) -> Option<OrganizationId> {
        self.grants().map(|g| g.organization)
    }
}

/// The kinds of thing that a role is given on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceType {
    /// An organization.
    Organization,
    /// A project.
    Project,
}

impl ResourceType {
    /// Both.
    pub const ALL: [ResourceType; 2] = [ResourceType::Organization, ResourceType::Project];

    /// Pinecone's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            ResourceType::Organization => "organization",
            ResourceType::Project => "project",
        }
    }
}

/// What a role is given on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceRef {
    /// An organization.
    Organization(OrganizationId),
    /// A project.
    Project(ProjectId),
}

impl ResourceRef {
    /// Its kind.
    pub const fn resource_type(self) -> ResourceType {
        match self {
            ResourceRef::Organization(_) => ResourceType::Organization,
            ResourceRef::Project(_) => ResourceType::Project,
        }
    }

    /// The id as text.
    pub fn id(&self) -> String {
        match self {
            ResourceRef::Organization(id) => id.to_string(),
            ResourceRef::Project(id) => id.to_string(),
        }
    }
}

/// The sides of the API, which answer errors in different shapes, on different hosts, to different credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Plane {
    /// Indexes and what surrounds them.
    Control,
    /// The records of one index.
    Data,
    /// Organizations, projects, principals and their roles.
    Admin,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Permission, Role, RoleBindingId};

    fn binding(resource: ResourceRef, role: Role) -> RoleBinding {
        RoleBinding {
            id: RoleBindingId::from_bytes([0; 16]),
            organization_id: OrganizationId::from_bytes([1; 16]),
            principal: PrincipalRef::User(UserId::from_bytes([2; 16])),
            resource,
            role,
            created_at_ms: 0,
        }
    }

    #[test]
    fn bindings_are_united_and_stay_in_their_place() {
        let (organization, a, b) = (OrganizationId::from_bytes([1; 16]), ProjectId::from_bytes([3; 16]), ProjectId::from_bytes([4; 16]));
        let bindings = [
            binding(ResourceRef::Project(a), Role::ControlPlaneViewer),
            binding(ResourceRef::Project(a), Role::DataPlaneViewer),
            binding(ResourceRef::Organization(organization), Role::OrgMember),
            binding(ResourceRef::Organization(OrganizationId::from_bytes([9; 16])), Role::OrgOwner),
        ];
        let grants = Grants::new(organization, &bindings);
        assert_eq!(grants.on_project(a), PermissionSet::of(&[Permission::ControlRead, Permission::DataRead]));
        assert!(grants.on_project(b).is_empty(), "another organization's owner owns nothing here");
        assert_eq!(grants.on_organization(), PermissionSet::of(&[Permission::OrganizationRead]));
        let owner = Grants::new(organization, &[binding(ResourceRef::Organization(organization), Role::OrgOwner)]);
        assert!(owner.on_project(b).covers(Role::ProjectOwner.permissions()));
        assert_eq!(owner.named_projects().count(), 0);
    }
}

use crate::{Error, Permission, PermissionSet, PrincipalType, ResourceType, Result, excerpt};

/// What a principal may be: in an organization, or in one project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Everything in the organization and in all of its projects.
    OrgOwner,
    /// Makes projects.
    OrgManager,
    /// Sees the account.
    OrgMember,
    /// Sees the account and its billing, and changes the latter.
    OrgBillingAdmin,
    /// Everything in the project.
    ProjectOwner,
    /// Everything on both planes, and sees the project's settings, members and keys.
    ProjectManager,
    /// Sees the project's settings, members and keys.
    ProjectMember,
    /// Everything on both planes.
    ProjectEditor,
    /// Reads on both planes.
    ProjectViewer,
    /// Creates, configures and deletes indexes; no records.
    ControlPlaneEditor,
    /// Lists and describes indexes; no records.
    ControlPlaneViewer,
    /// Reads and writes records; no control plane.
    DataPlaneEditor,
    /// Reads records; no control plane.
    DataPlaneViewer,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 13] = [
        Role::OrgOwner,
        Role::OrgManager,
        Role::OrgMember,
        Role::OrgBillingAdmin,
        Role::ProjectOwner,
        Role::ProjectManager,
        Role::ProjectMember,
        Role::ProjectEditor,
        Role::ProjectViewer,
        Role::ControlPlaneEditor,
        Role::ControlPlaneViewer,
        Role::DataPlaneEditor,
        Role::DataPlaneViewer,
    ];

    /// Pinecone's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::OrgOwner => "OrgOwner",
            Role::OrgManager => "OrgManager",
            Role::OrgMember => "OrgMember",
            Role::OrgBillingAdmin => "OrgBillingAdmin",
            Role::ProjectOwner => "ProjectOwner",
            Role::ProjectManager => "ProjectManager",
            Role::ProjectMember => "ProjectMember",
            Role::ProjectEditor => "ProjectEditor",
            Role::ProjectViewer => "ProjectViewer",
            Role::ControlPlaneEditor => "ControlPlaneEditor",
            Role::ControlPlaneViewer => "ControlPlaneViewer",
            Role::DataPlaneEditor => "DataPlaneEditor",
            Role::DataPlaneViewer => "DataPlaneViewer",
        }
    }

    /// Reads Pinecone's word.
    pub fn parse(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|r| r.as_str() == text)
            .ok_or_else(|| Error::invalid(format!("'{}' is not a role; {} are allowed", excerpt(text), Self::words(Self::ALL.into_iter()))))
    }

    /// Reads Pinecone's word for a role that an API key may have.
    pub fn parse_for_api_key(text: &str) -> Result<Self> {
        let held = |r: &Role| r.may_be_held_by(PrincipalType::ApiKey);
        Self::ALL.into_iter().filter(held).find(|r| r.as_str() == text).ok_or_else(|| {
            let words = Self::words(Self::ALL.into_iter().filter(held));
            Error::invalid(format!("'{}' is not a role of an API key; {words} are allowed", excerpt(text)))
        })
    }

    fn words(roles: impl Iterator<Item = Role>) -> String {
        roles.map(Role::as_str).collect::<Vec<_>>().join(", ")
    }

    /// What it is a role in.
    pub const fn scope(self) -> ResourceType {
        match self {
            Role::OrgOwner | Role::OrgManager | Role::OrgMember | Role::OrgBillingAdmin => ResourceType::Organization,
            _ => ResourceType::Project,
        }
    }

    /// Whether principals of this kind may hold it.
    pub const fn may_be_held_by(self, principal: PrincipalType) -> bool {
        use Role::*;
        match principal {
            PrincipalType::User | PrincipalType::ServiceAccount | PrincipalType::Invite => true,
            PrincipalType::ApiKey => {
                matches!(self, ProjectEditor | ProjectViewer | ControlPlaneEditor | ControlPlaneViewer | DataPlaneEditor | DataPlaneViewer)
            }
        }
    }

    /// The one table of who may do what: the permissions it gives on what it is a role in.
    pub const fn permissions(self) -> PermissionSet {
        use Permission::*;
        PermissionSet::of(match self {
            Role::OrgOwner => &[OrganizationRead, OrganizationWrite, CreateProject, BillingRead, BillingWrite],
            Role::OrgManager => &[OrganizationRead, CreateProject],
            Role::OrgMember => &[OrganizationRead],
            Role::OrgBillingAdmin => &[OrganizationRead, BillingRead, BillingWrite],
            Role::ProjectOwner => &[ProjectRead, ProjectWrite, ControlRead, ControlWrite, DataRead, DataWrite, Inference],
            Role::ProjectManager => &[ProjectRead, ControlRead, ControlWrite, DataRead, DataWrite, Inference],
            Role::ProjectMember => &[ProjectRead],
            Role::ProjectEditor => &[ControlRead, ControlWrite, DataRead, DataWrite, Inference],
            Role::ProjectViewer => &[ControlRead, DataRead],
            Role::ControlPlaneEditor => &[ControlRead, ControlWrite],
            Role::ControlPlaneViewer => &[ControlRead],
            Role::DataPlaneEditor => &[DataRead, DataWrite, Inference],
            Role::DataPlaneViewer => &[DataRead],
        })
    }

    /// The permissions it gives on every project of the organization it is a role in.
    pub const fn permissions_on_projects(self) -> PermissionSet {
        match self {
            Role::OrgOwner => Role::ProjectOwner.permissions(),
            _ => PermissionSet::NONE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Ok(role));
            assert_eq!(Role::parse_for_api_key(role.as_str()).is_ok(), role.may_be_held_by(PrincipalType::ApiKey));
        }
        let refused = Role::parse_for_api_key("OrgOwner").unwrap_err().message;
        assert!(refused.contains("ProjectEditor, ProjectViewer") && !refused.contains("ProjectOwner"), "{refused}");
        assert!(Role::parse("projecteditor").is_err());
    }

    #[test]
    fn an_owner_may_all_that_others_may() {
        for role in Role::ALL {
            let owner = if role.scope() == ResourceType::Organization { Role::OrgOwner } else { Role::ProjectOwner };
            assert!(owner.permissions().covers(role.permissions()), "{role:?}");
        }
    }
}

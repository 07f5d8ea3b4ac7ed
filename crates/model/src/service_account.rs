use crate::{OrganizationId, Result, RoleGrant, ServiceAccountId, limits, name::display_name};

/// A program with credentials of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Its id.
    pub id: ServiceAccountId,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// Its name.
    pub name: String,
    /// When it was made, milliseconds since 1970.
    pub created_at_ms: u64,
    /// When it was last renamed or given another secret, milliseconds since 1970.
    pub updated_at_ms: u64,
}

impl ServiceAccount {
    /// Reads a name: 1 to 80 printable characters.
    pub fn parse_name(text: &str) -> Result<String> {
        display_name("a service account", text, limits::SERVICE_ACCOUNT_NAME_LEN_MAX)
    }

    /// What it calls itself by when it asks for a token.
    pub fn client_id(&self) -> String {
        self.id.hex()
    }
}

/// What a new service account is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewServiceAccount {
    /// Its name.
    pub name: String,
    /// The roles it is to have.
    pub grants: Vec<RoleGrant>,
}

use crate::{Email, OrganizationId, Result, UserId, limits, name::display_name};

/// A person in one organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// Whose member it is.
    pub organization_id: OrganizationId,
    /// Its address; one user of an organization has it.
    pub email: Email,
    /// What it is called; none when it did not say.
    pub name: Option<String>,
    /// When it came, milliseconds since 1970.
    pub created_at_ms: u64,
}

impl User {
    /// Reads a name: 1 to 256 printable characters.
    pub fn parse_name(text: &str) -> Result<String> {
        display_name("a user", text, limits::USER_NAME_LEN_MAX)
    }
}

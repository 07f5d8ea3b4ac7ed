use crate::{Email, OrganizationId, UserId};

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

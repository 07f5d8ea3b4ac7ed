use crate::{ApiKeyId, ProjectId, Result, Role, limits, name::display_name};

/// An API key as it may be shown: all but its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// Its name, 1 to 80 characters.
    pub name: String,
    /// The one project it belongs to.
    pub project_id: ProjectId,
    /// What it may do: the roles of its bindings, each once.
    pub roles: Vec<Role>,
    /// The first characters of its secret, to tell keys apart.
    pub hint: String,
    /// When it was made, milliseconds since 1970.
    pub created_at_ms: u64,
}

impl ApiKey {
    /// Reads a name: 1 to 80 printable characters.
    pub fn parse_name(text: &str) -> Result<String> {
        display_name("an API key", text, limits::API_KEY_NAME_LEN_MAX)
    }
}

/// What of an API key is to be another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiKeyChange {
    /// Its name.
    pub name: Option<String>,
    /// All roles that it is to have; those that are not among them go.
    pub roles: Option<Vec<Role>>,
}

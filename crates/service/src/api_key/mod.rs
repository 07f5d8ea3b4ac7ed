//! API keys: what proves who a caller is, and what it may do.

mod calls;

use pinyon_model::{ApiKey, ProjectId, Role};

pub(crate) use calls::bind_key;

use crate::ApiKeySecret;

/// What a new key is to be.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// Its name, 1 to 80 characters.
    pub name: String,
    /// Its project; the caller's when none is named.
    pub project_id: Option<ProjectId>,
    /// Its roles; none named is `ProjectEditor`.
    pub roles: Vec<Role>,
    /// An existing secret that is to go on working; a new one is made when there is none.
    pub secret: Option<ApiKeySecret>,
}

/// A key that was just made. Its secret is shown now or never.
#[derive(Debug, Clone)]
pub struct CreatedApiKey {
    /// The key.
    pub key: ApiKey,
    /// Its secret.
    pub secret: ApiKeySecret,
}

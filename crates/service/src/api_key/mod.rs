//! API keys: what proves who a caller is, and what it may do.

mod calls;
mod rotate;
pub(crate) mod used;

use pinyon_model::{ApiKey, ProjectId, Restrictions, Role};

pub(crate) use calls::bind_key;
pub use used::LastUse;
pub(crate) use used::{KeyUse, UseLog};

use crate::ApiKeySecret;

/// What a new key is to be.
#[derive(Debug, Clone, Default)]
pub struct NewApiKey {
    /// Its name, 1 to 80 characters.
    pub name: String,
    /// Its project; the caller's when none is named.
    pub project_id: Option<ProjectId>,
    /// Its roles; none named is `ProjectEditor`.
    pub roles: Vec<Role>,
    /// An existing secret that is to go on working; a new one is made when there is none.
    pub secret: Option<ApiKeySecret>,
    /// When it is to expire, milliseconds since 1970.
    pub expires_at_ms: Option<u64>,
    /// What it is to be held to beyond its roles.
    pub restrictions: Restrictions,
}

/// A key, and when it was used.
#[derive(Debug, Clone)]
pub struct UsedApiKey {
    /// The key.
    pub key: ApiKey,
    /// Its last use that is known.
    pub last_use: Option<LastUse>,
}

/// A key that was just made, or that has a new secret. Its secret is shown now or never.
#[derive(Debug, Clone)]
pub struct CreatedApiKey {
    /// The key.
    pub key: ApiKey,
    /// Its secret.
    pub secret: ApiKeySecret,
}

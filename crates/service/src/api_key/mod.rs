//! API keys: what proves who a caller is, and what it may do.

mod calls;
mod secret;

use std::sync::Arc;

use pinyon_model::{ApiKeyId, Principal, ProjectId, Role};

pub use secret::ApiKeySecret;
pub(crate) use secret::parse;

/// An API key as it may be shown: all but its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyInfo {
    /// Its id.
    pub id: ApiKeyId,
    /// Its name.
    pub name: String,
    /// The one project it belongs to.
    pub project_id: ProjectId,
    /// What it may do; the roles are united.
    pub roles: Vec<Role>,
    /// The first characters of its secret, to tell keys apart.
    pub hint: String,
    /// When it was made, milliseconds since 1970.
    pub created_at_ms: u64,
}

/// What a new key is to be.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// Its name, 1 to 80 characters.
    pub name: String,
    /// Its project; the default project when none is named.
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
    pub key: ApiKeyInfo,
    /// Its secret.
    pub secret: ApiKeySecret,
}

/// A key as it is held in memory, ready to answer who asks.
#[derive(Debug, Clone)]
pub(crate) struct KeyEntry {
    pub(crate) info: ApiKeyInfo,
    pub(crate) secret_hash: [u8; 32],
    pub(crate) principal: Arc<Principal>,
}

impl KeyEntry {
    pub(crate) fn new(info: ApiKeyInfo, secret_hash: [u8; 32]) -> Self {
        let principal =
            Arc::new(Principal::ApiKey { id: info.id, name: info.name.clone(), project_id: info.project_id, roles: info.roles.clone() });
        Self { info, secret_hash, principal }
    }
}

use pinyon_model::{ApiKey, ApiKeyChange, Error, Result, Role};
use serde::{Deserialize, Serialize};

use crate::{
    json::{self, Bounded},
    listing,
};

/// Roles that are read of one list; there are fewer that a key can have.
const ROLES_MAX: usize = 32;

pub(crate) type RolesBody = Bounded<String, ROLES_MAX>;

/// What a new API key is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyRequest {
    /// Its name.
    pub name: String,
    /// What it may do, each once.
    pub roles: Vec<Role>,
}

#[derive(Deserialize)]
struct CreateBody {
    name: String,
    #[serde(default)]
    roles: Option<RolesBody>,
}

/// Reads the body of `POST /admin/projects/{id}/api-keys`. Without roles the key is a ProjectEditor.
pub fn create_api_key(body: &[u8]) -> Result<ApiKeyRequest> {
    let CreateBody { name, roles } = json::from_control(body)?;
    let roles = roles.map_or(Ok(vec![Role::ProjectEditor]), read_roles)?;
    if roles.is_empty() {
        return Err(Error::invalid("roles is empty; name at least one, or leave it out for ProjectEditor"));
    }
    Ok(ApiKeyRequest { name: ApiKey::parse_name(&name)?, roles })
}

#[derive(Deserialize)]
struct UpdateBody {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    roles: Option<RolesBody>,
}

/// Reads the body of `PATCH /admin/api-keys/{id}`. An empty list of roles takes them all away.
pub fn update_api_key(body: &[u8]) -> Result<ApiKeyChange> {
    let UpdateBody { name, roles } = json::from_control(body)?;
    let (name, roles) = (name.as_deref().map(ApiKey::parse_name).transpose()?, roles.map(read_roles).transpose()?);
    Ok(ApiKeyChange { name, roles, ..ApiKeyChange::default() })
}

pub(crate) fn read_roles(body: RolesBody) -> Result<Vec<Role>> {
    if body.count > ROLES_MAX {
        return Err(Error::invalid(format!("roles has {} entries; at most {ROLES_MAX} are allowed", body.count)));
    }
    let mut roles = Vec::new();
    for word in &body.kept {
        let role = Role::parse_for_api_key(word)?;
        if !roles.contains(&role) {
            roles.push(role);
        }
    }
    Ok(roles)
}

/// The body that describes one API key.
pub fn api_key_model(key: &ApiKey) -> Vec<u8> {
    json::to_vec(&ApiKeyOut::from(key))
}

/// The body that lists API keys.
pub fn api_key_list(keys: &[ApiKey]) -> Vec<u8> {
    listing::list(keys.iter().map(ApiKeyOut::from))
}

/// The body that answers a creation: the one time that the secret is told.
pub fn created_api_key(key: &ApiKey, secret: &str) -> Vec<u8> {
    json::to_vec(&CreatedOut { key: key.into(), value: secret })
}

#[derive(Serialize)]
struct CreatedOut<'a> {
    key: ApiKeyOut<'a>,
    value: &'a str,
}

#[derive(Serialize)]
struct ApiKeyOut<'a> {
    id: String,
    name: &'a str,
    project_id: String,
    roles: Vec<&'static str>,
}

impl<'a> From<&'a ApiKey> for ApiKeyOut<'a> {
    fn from(key: &'a ApiKey) -> Self {
        let ApiKey { id, name, project_id, roles, .. } = key;
        Self { id: id.to_string(), name, project_id: project_id.to_string(), roles: roles.iter().map(|r| r.as_str()).collect() }
    }
}

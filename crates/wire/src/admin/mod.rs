//! The admin plane: organizations and projects, who belongs to them, and who may do what. One shape for every date.

pub(crate) mod api_key;
mod audit_sink;
mod invite;
mod organization;
mod project;
pub(crate) mod role_binding;
mod service_account;
#[cfg(test)]
mod tests;
pub(crate) mod user;

pub use api_key::{ApiKeyRequest, api_key_list, api_key_model, create_api_key, created_api_key, update_api_key};
pub use audit_sink::{audit_sink_model, put_audit_sink, removed_audit_sink};
pub use invite::{AcceptRequest, accept_invite, create_invite, invite_model, invite_page, list_invites};
pub use organization::{organization_list, organization_model, update_organization};
pub use project::{create_project, project_list, project_model, update_project};
pub use role_binding::{create_role_binding, list_role_bindings, role_binding_model, role_binding_page};
pub use service_account::{
    create_service_account, created_service_account, list_service_accounts, service_account_model, service_account_page,
    update_service_account,
};
pub use user::{list_users, user_model, user_page};

use pinyon_model::Result;
use serde::Deserialize;

pub use crate::Listing;
use crate::json;

/// A body that changes nothing but a name.
#[derive(Deserialize)]
struct RenameBody {
    #[serde(default)]
    name: Option<String>,
}

/// The new name, when there is one, checked by `parse`.
fn rename(body: &[u8], parse: impl FnOnce(&str) -> Result<String>) -> Result<Option<String>> {
    let RenameBody { name } = json::from_control(body)?;
    name.as_deref().map(parse).transpose()
}

use pinyon_model::{NewServiceAccount, Page, Result, ServiceAccount};
use serde::{Deserialize, Serialize};

use super::{
    Listing, rename,
    role_binding::{GrantsBody, read_grants},
};
use crate::{json, percent::Parameters, rfc3339};

#[derive(Deserialize)]
struct CreateBody {
    name: String,
    #[serde(default)]
    role_bindings: Option<GrantsBody>,
}

/// Reads the body of `POST /admin/service-accounts`.
pub fn create_service_account(body: &[u8]) -> Result<NewServiceAccount> {
    let CreateBody { name, role_bindings } = json::from_control(body)?;
    let grants = role_bindings.map(read_grants).transpose()?.unwrap_or_default();
    Ok(NewServiceAccount { name: ServiceAccount::parse_name(&name)?, grants })
}

/// Reads the body of `PATCH /admin/service-accounts/{id}`: the new name; none leaves it as it is.
pub fn update_service_account(body: &[u8]) -> Result<Option<String>> {
    rename(body, ServiceAccount::parse_name)
}

/// Reads the query string of `GET /admin/service-accounts`.
pub fn list_service_accounts(query: &str) -> Result<Listing> {
    Listing::new(&Parameters::parse(query)?, "service accounts", &[])
}

/// The body that describes one service account.
pub fn service_account_model(account: &ServiceAccount) -> Vec<u8> {
    json::to_vec(&ServiceAccountOut::from(account))
}

/// The body of a page of service accounts.
pub fn service_account_page(listing: &Listing, page: &Page<ServiceAccount>) -> Vec<u8> {
    listing.page(page, ServiceAccountOut::from)
}

/// The body that answers a creation and a rotation: the one time that the secret is told.
pub fn created_service_account(account: &ServiceAccount, secret: &str) -> Vec<u8> {
    json::to_vec(&CreatedOut { service_account: account.into(), client_secret: secret })
}

#[derive(Serialize)]
struct CreatedOut<'a> {
    service_account: ServiceAccountOut<'a>,
    client_secret: &'a str,
}

#[derive(Serialize)]
struct ServiceAccountOut<'a> {
    id: String,
    name: &'a str,
    client_id: String,
    created_at: String,
    updated_at: String,
}

impl<'a> From<&'a ServiceAccount> for ServiceAccountOut<'a> {
    fn from(account: &'a ServiceAccount) -> Self {
        let ServiceAccount { id, organization_id: _, name, created_at_ms, updated_at_ms } = account;
        Self {
            id: id.to_string(),
            name,
            client_id: account.client_id(),
            created_at: rfc3339(*created_at_ms),
            updated_at: rfc3339(*updated_at_ms),
        }
    }
}

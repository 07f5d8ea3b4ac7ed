use pinyon_model::{Organization, Result};
use serde::Serialize;

use super::rename;
use crate::{json, listing, rfc3339};

/// Reads the body of `PATCH /admin/organizations/{id}`: the new name; none leaves it as it is.
pub fn update_organization(body: &[u8]) -> Result<Option<String>> {
    rename(body, Organization::parse_name)
}

/// The body that describes one organization.
pub fn organization_model(organization: &Organization) -> Vec<u8> {
    json::to_vec(&OrganizationOut::from(organization))
}

/// The body that lists organizations.
pub fn organization_list(organizations: &[Organization]) -> Vec<u8> {
    listing::list(organizations.iter().map(OrganizationOut::from))
}

#[derive(Serialize)]
struct OrganizationOut<'a> {
    id: String,
    name: &'a str,
    plan: &'static str,
    payment_status: &'static str,
    created_at: String,
    support_tier: &'static str,
}

impl<'a> From<&'a Organization> for OrganizationOut<'a> {
    fn from(organization: &'a Organization) -> Self {
        let Organization { id, name, plan, payment_status, created_at_ms } = organization;
        Self {
            id: id.to_string(),
            name,
            plan: plan.as_str(),
            payment_status: payment_status.as_str(),
            created_at: rfc3339(*created_at_ms),
            support_tier: plan.support_tier(),
        }
    }
}

use pinyon_model::{Email, Error, Invite, InviteStatus, NewInvite, Page, ResourceType, Result, User};
use serde::{Deserialize, Serialize};

use super::{
    Listing,
    role_binding::{GrantsBody, read_grants},
};
use crate::{json, login, oauth::Secret, percent::Parameters, rfc3339};

#[derive(Deserialize)]
struct CreateBody {
    email: String,
    role_bindings: GrantsBody,
}

/// Reads the body of `POST /admin/invites`. Whoever comes must become a member: one of the roles is in the organization.
pub fn create_invite(body: &[u8]) -> Result<NewInvite> {
    let CreateBody { email, role_bindings } = json::from_control(body)?;
    let grants = read_grants(role_bindings)?;
    if !grants.iter().any(|grant| grant.role.scope() == ResourceType::Organization) {
        return Err(Error::invalid(
            "role_bindings must hold a role in the organization: OrgOwner, OrgManager, OrgMember or OrgBillingAdmin",
        ));
    }
    Ok(NewInvite { email: Email::new(&email)?, grants })
}

/// Who accepts an invite.
#[derive(Debug, Deserialize)]
pub struct AcceptRequest {
    /// What the inviter was given.
    pub token: Secret,
    /// What the person is called; none when it does not say.
    #[serde(default)]
    pub name: Option<String>,
    /// What it will sign in by; none when it does not say.
    #[serde(default)]
    pub password: Option<Secret>,
}

/// Reads the body of `POST /pinyon/v1/invites/accept`.
pub fn accept_invite(body: &[u8]) -> Result<AcceptRequest> {
    let AcceptRequest { token, name, password } = login::read(body, "the text token, and perhaps name and password")?;
    let name = name.as_deref().map(User::parse_name).transpose()?;
    Ok(AcceptRequest { token, name, password })
}

/// Reads the query string of `GET /admin/invites`.
pub fn list_invites(query: &str) -> Result<Listing> {
    Listing::new(&Parameters::parse(query)?, "invites", &[])
}

/// The body that describes one invite, as it stands at this time.
pub fn invite_model(invite: &Invite, now_ms: u64) -> Vec<u8> {
    json::to_vec(&InviteOut::new(invite, now_ms))
}

/// The body of a page of invites, as they stand at this time.
pub fn invite_page(listing: &Listing, page: &Page<Invite>, now_ms: u64) -> Vec<u8> {
    listing.page(page, |invite| InviteOut::new(invite, now_ms))
}

#[derive(Serialize)]
struct InviteOut<'a> {
    id: String,
    email: &'a str,
    status: &'static str,
    expires_at: String,
    processed_at: Option<String>,
    created_at: String,
}

impl<'a> InviteOut<'a> {
    fn new(invite: &'a Invite, now_ms: u64) -> Self {
        let Invite { id, organization_id: _, email, created_at_ms, expires_at_ms, processed_at_ms } = invite;
        let status = match invite.status(now_ms) {
            InviteStatus::Pending => "pending",
            InviteStatus::Expired => "expired",
            InviteStatus::Processed => "processed",
        };
        Self {
            id: id.to_string(),
            email: email.as_str(),
            status,
            expires_at: rfc3339(*expires_at_ms),
            processed_at: processed_at_ms.map(rfc3339),
            created_at: rfc3339(*created_at_ms),
        }
    }
}

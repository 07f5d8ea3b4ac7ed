//! Invites: how people come into an organization. Whoever has an invite's token becomes the user that it names.

use std::sync::Arc;

use pinyon_model::{
    Error, ErrorCode, Invite, InviteId, InviteStatus, NewInvite, OrganizationId, Page, PageRequest, Principal, PrincipalRef, PrincipalType,
    ResourceType, Result, RoleBinding, User, UserId,
};
use pinyon_storage::random_bytes;
use subtle::ConstantTimeEq;

use crate::{
    InviteToken, OpContext, Password, Service,
    authorize::{Action, Installation, Named, Place},
    catalog::{Change, Noun, NounId, StoredInvite, StoredUser, Tables},
    password::PasswordHash,
    role_binding::{bind, bindings_to_remove},
};

/// How long an invite can be accepted.
const VALID_MS: u64 = 7 * 24 * 60 * 60 * 1_000;

/// Who accepts an invite.
#[derive(Debug, Clone, Default)]
pub struct Acceptance {
    /// What the person is called; none when it does not say.
    pub name: Option<String>,
    /// What it will sign in by; none for one who will not, until the operator sets a password.
    pub password: Option<Password>,
}

/// An invite whose token was just made.
#[derive(Debug, Clone)]
pub struct CreatedInvite {
    /// The invite.
    pub invite: Invite,
    /// What accepts it, shown now or never; none when it went out by mail.
    pub token: Option<InviteToken>,
}

impl Service {
    fn invites_scope(&self, ctx: &OpContext, id: impl ToString) -> Named {
        Named { place: Place::Organization(self.organization_of(ctx)), id: id.to_string(), kind: "invite" }
    }

    /// The invites of the caller's organization that were not accepted, oldest first.
    pub async fn list_invites(&self, ctx: &OpContext, page: PageRequest) -> Result<Page<Invite>> {
        let authorized = self.authorize(ctx, Action::ListInvites, self.invites_scope(ctx, "")).await?;
        let organization = self.organization_of(ctx);
        let invites: Vec<Invite> = {
            let tables = self.catalog().tables();
            let open = |i: &&Invite| i.organization_id == organization && i.processed_at_ms.is_none();
            tables.invites.values().map(|i| &i.info).filter(open).cloned().collect()
        };
        authorized.close(Ok(Page::cut(invites, page, |i| (i.created_at_ms, *i.id.as_bytes())))).await
    }

    /// One invite.
    pub async fn describe_invite(&self, ctx: &OpContext, id: InviteId) -> Result<Invite> {
        let authorized = self.authorize(ctx, Action::DescribeInvite, self.invites_scope(ctx, id)).await?;
        let found = self.stored_invite(ctx, id).map(|i| i.info);
        authorized.close(found).await
    }

    /// Asks somebody to come, with these roles, one of them in the organization. `AlreadyExists` for a member, and for somebody who was
    /// asked and can still come, `Unavailable` when the mail does not go out: nothing is changed then.
    pub async fn create_invite(self: &Arc<Self>, ctx: &OpContext, new: NewInvite) -> Result<CreatedInvite> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::CreateInvite, this.invites_scope(&ctx, "")).await?;
            authorized.name(new.email.as_str(), "");
            let result: Result<CreatedInvite> = async {
                let organization_id = this.organization_of(&ctx);
                this.check_invite(&ctx, organization_id, &new)?;
                let id = InviteId::from_random(random_bytes());
                let invite = Invite {
                    id,
                    organization_id,
                    email: new.email.clone(),
                    created_at_ms: ctx.now_ms,
                    expires_at_ms: ctx.now_ms.saturating_add(VALID_MS),
                    processed_at_ms: None,
                };
                authorized.note("invite_id", id.to_string());
                let token = InviteToken::generate(id);
                let mailed = this.mail_invite(&ctx, &invite, &token).await?;
                let mut writer = this.catalog().writer().await;
                // Much may have happened while the mail went out.
                this.check_invite(&ctx, organization_id, &new)?;
                let mut changes = vec![Change::Put(Noun::Invite(this.seal_token(invite.clone(), &token)))];
                let bindings = new.grants.iter().map(|g| bind(organization_id, PrincipalRef::Invite(id), *g, ctx.now_ms));
                changes.extend(bindings.map(|b| Change::Put(Noun::RoleBinding(b))));
                this.catalog().change(&mut writer, &mut authorized, this.audit(), changes).await?;
                Ok(CreatedInvite { invite, token: (!mailed).then_some(token) })
            }
            .await;
            authorized.close(result).await
        })
        .await
    }

    fn check_invite(&self, ctx: &OpContext, organization: OrganizationId, new: &NewInvite) -> Result<()> {
        if !new.grants.iter().any(|g| g.role.scope() == ResourceType::Organization) {
            return Err(Error::invalid("An invite needs a role in the organization among its role_bindings"));
        }
        self.check_grants(ctx, organization, PrincipalType::Invite, &new.grants)?;
        let tables = self.catalog().tables();
        check_free(&tables, organization, new, ctx.now_ms)?;
        self.check_users(&tables, organization, Some(ctx.now_ms))
    }

    /// Whether one more may come; with a time, those who were asked and can still come count too.
    fn check_users(&self, tables: &Tables, organization: OrganizationId, asked_ms: Option<u64>) -> Result<()> {
        let users = tables.users.values().filter(|u| u.stored.info.organization_id == organization).count();
        let pending = |i: &&StoredInvite, now_ms| i.info.organization_id == organization && i.info.status(now_ms) == InviteStatus::Pending;
        let asked = asked_ms.map_or(0, |now_ms| tables.invites.values().filter(|i| pending(i, now_ms)).count());
        let max = self.quotas(tables, organization).users_per_organization;
        if users + asked >= max as usize {
            let told = format!("The organization has reached its limit of {max} users, those who were asked to come among them");
            return Err(Error::new(ErrorCode::QuotaExceeded, told));
        }
        Ok(())
    }

    /// Sends what accepts an invite, where mail is sent. It goes out before the change: a mail that does not must leave nothing behind.
    async fn mail_invite(&self, ctx: &OpContext, invite: &Invite, token: &InviteToken) -> Result<bool> {
        let Some(mail) = self.invite_mail() else { return Ok(false) };
        let organization = self.catalog().tables().organizations.get(&invite.organization_id).cloned();
        let organization = organization.ok_or_else(|| Error::not_found("The organization is not there any more"))?;
        mail.send(&ctx.principal, &organization, invite, token, ctx.now_ms).await?;
        Ok(true)
    }

    /// Gives an invite seven days more and another token; the one before accepts nothing from now on. `ResourceExhausted` past a hundred
    /// in an hour, `Unavailable` when the mail does not go out: nothing is changed then.
    pub async fn resend_invite(self: &Arc<Self>, ctx: &OpContext, id: InviteId) -> Result<CreatedInvite> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::ResendInvite, this.invites_scope(&ctx, id)).await?;
            let result: Result<CreatedInvite> = async {
                let open = || this.stored_invite(&ctx, id).map(|i| i.info);
                let mut invite = open()?;
                authorized.name(id.to_string(), invite.email.as_str());
                if invite.processed_at_ms.is_some() {
                    return Err(accepted());
                }
                this.resends().take(invite.organization_id, ctx.now_ms)?;
                invite.expires_at_ms = ctx.now_ms.saturating_add(VALID_MS);
                let token = InviteToken::generate(id);
                let mailed = this.mail_invite(&ctx, &invite, &token).await?;
                let mut writer = this.catalog().writer().await;
                if open()?.processed_at_ms.is_some() {
                    return Err(accepted());
                }
                let change = Change::Put(Noun::Invite(this.seal_token(invite.clone(), &token)));
                this.catalog().change(&mut writer, &mut authorized, this.audit(), vec![change]).await?;
                Ok(CreatedInvite { invite, token: (!mailed).then_some(token) })
            }
            .await;
            authorized.close(result).await
        })
        .await
    }

    /// Takes an invite back. `AlreadyExists` (409) once it was accepted.
    pub async fn delete_invite(self: &Arc<Self>, ctx: &OpContext, id: InviteId) -> Result<()> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::DeleteInvite, this.invites_scope(&ctx, id)).await?;
            let result = async {
                let mut writer = this.catalog().writer().await;
                let invite = this.stored_invite(&ctx, id)?.info;
                authorized.name(id.to_string(), invite.email.as_str());
                if invite.processed_at_ms.is_some() {
                    return Err(accepted());
                }
                let bindings = bindings_to_remove(&this.catalog().tables(), PrincipalRef::Invite(id));
                let deletes = bindings.into_iter().map(NounId::RoleBinding).chain([NounId::Invite(id)]);
                let changes = deletes.map(Change::Delete).collect();
                this.catalog().change(&mut writer, &mut authorized, this.audit(), changes).await
            }
            .await;
            authorized.close(result).await
        })
        .await
    }

    /// Makes the invited person a user of the organization, with the invite's roles. `Unauthenticated` for a token that accepts
    /// nothing, whatever the reason.
    pub async fn accept_invite(self: &Arc<Self>, token: &str, acceptance: Acceptance, source: &str) -> Result<User> {
        let invalid = || Error::new(ErrorCode::Unauthenticated, "This invite cannot be accepted: it is unknown, too old or was used");
        let hash = self.secret_hasher().of(token.as_bytes());
        let Some(id) = InviteToken::parse(token) else {
            self.audit().unknown_key(source);
            return Err(invalid());
        };
        let this = Arc::clone(self);
        let ctx = OpContext { source: source.into(), ..OpContext::internal(Principal::System, self.clock().now_ms()) };
        self.detached(async move {
            let open = || {
                let stored = this.catalog().tables().invites.get(&id).cloned();
                let well = |i: &StoredInvite| bool::from(i.token_hash.ct_eq(&hash)) && i.info.status(ctx.now_ms) == InviteStatus::Pending;
                stored.filter(well).ok_or_else(invalid)
            };
            // Nobody waits to change the catalog who may not.
            open().inspect_err(|_| this.audit().unknown_key(&ctx.source))?;
            let Acceptance { name, password } = acceptance;
            let password = match password {
                Some(password) => Some(this.passwords().hash(password).await?),
                None => None,
            };
            let mut writer = this.catalog().writer().await;
            let stored = open()?;
            let mut authorized = this.authorize(&ctx, Action::AcceptInvite, Installation).await?;
            authorized.name(stored.info.email.as_str(), name.clone().unwrap_or_default());
            authorized.note("invite_id", id.to_string());
            let result: Result<User> = async {
                this.check_users(&this.catalog().tables(), stored.info.organization_id, None)?;
                let (user, changes) = plan_accept(&this.catalog().tables(), stored, name, password, ctx.now_ms)?;
                this.catalog().change(&mut writer, &mut authorized, this.audit(), changes).await?;
                Ok(user)
            }
            .await;
            authorized.close(result).await
        })
        .await
    }

    fn stored_invite(&self, ctx: &OpContext, id: InviteId) -> Result<StoredInvite> {
        let organization = self.organization_of(ctx);
        let found = self.catalog().tables().invites.get(&id).cloned();
        found.filter(|i| i.info.organization_id == organization).ok_or_else(|| Error::not_found(format!("There is no invite {id}")))
    }

    fn seal_token(&self, info: Invite, token: &InviteToken) -> StoredInvite {
        StoredInvite { info, token_hash: self.secret_hasher().of(token.reveal().as_bytes()) }
    }
}

fn accepted() -> Error {
    Error::already_exists("This invite was accepted; whom it asked is a user now")
}

fn check_free(tables: &Tables, organization: OrganizationId, new: &NewInvite, now_ms: u64) -> Result<()> {
    if tables.user_by_email(organization, &new.email).is_some() {
        return Err(Error::already_exists("A user with this address is a member already"));
    }
    let same = |i: &&StoredInvite| i.info.organization_id == organization && i.info.email == new.email;
    if tables.invites.values().filter(same).any(|i| i.info.status(now_ms) == InviteStatus::Pending) {
        return Err(Error::already_exists("An invite to this address is pending already; it can be sent again"));
    }
    Ok(())
}

/// The user, and the invite's bindings as the user's: with the ids and the times they had.
fn plan_accept(
    tables: &Tables,
    stored: StoredInvite,
    name: Option<String>,
    password: Option<PasswordHash>,
    now_ms: u64,
) -> Result<(User, Vec<Change>)> {
    let Invite { id, organization_id, ref email, .. } = stored.info;
    if tables.user_by_email(organization_id, email).is_some() {
        return Err(Error::already_exists("A user with this address is a member already"));
    }
    let name = name.map(|n| User::parse_name(&n)).transpose()?;
    let user = User { id: UserId::from_random(random_bytes()), organization_id, email: email.clone(), name, created_at_ms: now_ms };
    let principal = PrincipalRef::User(user.id);
    let bindings = tables.bindings_of(PrincipalRef::Invite(id)).map(|b| RoleBinding { principal, ..b.clone() });
    let mut changes = vec![Change::Put(Noun::User(StoredUser { info: user.clone(), password, session_number: 0 }))];
    changes.extend(bindings.map(|b| Change::Put(Noun::RoleBinding(b))));
    let info = Invite { processed_at_ms: Some(now_ms), ..stored.info };
    changes.push(Change::Put(Noun::Invite(StoredInvite { info, ..stored })));
    Ok((user, changes))
}

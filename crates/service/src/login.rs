//! How users come in: by a password, for a token; and how they go again.

use std::sync::Arc;

use pinyon_model::{AuditActor, AuditEvent, Email, Error, ErrorCode, OrganizationId, Principal, Result, User, UserId};

use crate::{
    IssuedToken, OpContext, Password, Service,
    audit::{actor, failure},
    authorize::{Action, Installation, Named, Place},
    catalog::{Change, Noun, StoredUser},
};

/// Who wants to come in.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// The address.
    pub email: Email,
    /// The password.
    pub password: Password,
    /// In which organization; none says the one that the address has been in longest.
    pub organization_id: Option<OrganizationId>,
    /// The caller's address, which failures are counted by.
    pub source: Arc<str>,
    /// What the caller says it is.
    pub user_agent: Arc<str>,
}

impl Service {
    /// A token for a user who shows its password, good for twelve hours. `Unauthenticated` alike for an address that nobody has, a user
    /// without a password and a wrong one, after the same time; `ResourceExhausted` when too many sign-ins of the address or from the
    /// source failed.
    pub async fn sign_in(self: &Arc<Self>, sign_in: SignIn) -> Result<(User, IssuedToken)> {
        let SignIn { email, password, organization_id, source, user_agent } = sign_in;
        let now_ms = self.clock().now_ms();
        let ctx = OpContext { source, user_agent, ..OpContext::internal(Principal::System, now_ms) };
        let attempt = self.sign_ins().attempt(email.as_str(), &ctx.source, now_ms)?;
        let user = self.who_signs_in(&email, organization_id);
        let kept = user.as_ref().and_then(|u| u.password.clone());
        let known = self.passwords().holds(kept, password).await?;
        let Some(user) = user.filter(|_| known) else {
            let error = Error::new(ErrorCode::Unauthenticated, "The address or the password is wrong");
            self.record_failed_sign_in(&ctx, &email, organization_id, &error);
            return Err(error);
        };
        attempt.succeeded();
        let StoredUser { info, session_number, .. } = user;
        let mut authorized = self.authorize(&ctx, Action::Login, in_organization(&info)).await?;
        authorized.name(info.email.as_str(), info.email.as_str());
        if let Some(found) = self.catalog().tables().users.get(&info.id) {
            authorized.by(&found.principal);
        }
        let token = self.user_token(info.id, session_number, now_ms);
        authorized.close(Ok((info, token))).await
    }

    /// Ends every session of the caller, who is a user: its tokens are refused from now on.
    pub async fn sign_out(self: &Arc<Self>, ctx: &OpContext) -> Result<()> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::Logout, this.users_scope(&ctx, "")).await?;
            let result = async {
                let mut writer = this.catalog().writer().await;
                let user = this.calling_user(&ctx)?;
                authorized.name(user.info.email.as_str(), user.info.email.as_str());
                let session_number = user.session_number.wrapping_add(1);
                let change = Change::Put(Noun::User(StoredUser { session_number, ..user }));
                this.catalog().change(&mut writer, &mut authorized, this.audit(), vec![change]).await
            }
            .await;
            authorized.close(result).await
        })
        .await
    }

    /// Gives the caller, who is a user, another password in place of the one it shows, and a token; those it had are refused from now
    /// on. `Forbidden` for a wrong old password and for callers that are no users.
    pub async fn change_password(self: &Arc<Self>, ctx: &OpContext, old: Password, new: Password) -> Result<(User, IssuedToken)> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::ChangePassword, this.users_scope(&ctx, "")).await?;
            let result = async {
                let user = this.calling_user(&ctx)?;
                authorized.name(user.info.email.as_str(), user.info.email.as_str());
                let attempt = this.sign_ins().attempt(user.info.email.as_str(), &ctx.source, ctx.now_ms)?;
                if !this.passwords().holds(user.password.clone(), old).await? {
                    return Err(Error::forbidden("The old password is wrong"));
                }
                attempt.succeeded();
                let hash = this.passwords().hash(new).await?;
                let mut writer = this.catalog().writer().await;
                let now = this.calling_user(&ctx)?;
                if now.session_number != user.session_number {
                    return Err(Error::aborted("The password was changed meanwhile"));
                }
                let session_number = user.session_number.wrapping_add(1);
                let changed = StoredUser { password: Some(hash), session_number, ..now };
                let info = changed.info.clone();
                let change = Change::Put(Noun::User(changed));
                this.catalog().change(&mut writer, &mut authorized, this.audit(), vec![change]).await?;
                let token = this.user_token(info.id, session_number, ctx.now_ms);
                Ok((info, token))
            }
            .await;
            authorized.close(result).await
        })
        .await
    }

    /// Gives a user a password, whatever it had before; its tokens are refused from now on. The operator's.
    pub async fn set_password(self: &Arc<Self>, ctx: &OpContext, id: UserId, new: Password) -> Result<User> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::SetPassword, Installation).await?;
            authorized.name(id.to_string(), "");
            let gone = || Error::not_found(format!("There is no user {id}"));
            let result = async {
                let found = || this.catalog().tables().users.get(&id).map(|u| u.stored.clone()).ok_or_else(gone);
                authorized.name(found()?.info.email.as_str(), found()?.info.email.as_str());
                let hash = this.passwords().hash(new).await?;
                let mut writer = this.catalog().writer().await;
                let user = found()?;
                let session_number = user.session_number.wrapping_add(1);
                let changed = StoredUser { password: Some(hash), session_number, ..user };
                let info = changed.info.clone();
                let change = Change::Put(Noun::User(changed));
                this.catalog().change(&mut writer, &mut authorized, this.audit(), vec![change]).await?;
                Ok(info)
            }
            .await;
            authorized.close(result).await
        })
        .await
    }

    /// Whose address it is, in this organization or in the one that it has been in longest.
    fn who_signs_in(&self, email: &Email, organization: Option<OrganizationId>) -> Option<StoredUser> {
        let tables = self.catalog().tables();
        let found = match organization {
            Some(id) => tables.user_by_email(id, email),
            None => {
                let everywhere = tables.organizations.keys().filter_map(|id| tables.user_by_email(*id, email));
                everywhere.min_by_key(|u| (u.info.created_at_ms, u.info.id))
            }
        };
        found.cloned()
    }

    fn calling_user(&self, ctx: &OpContext) -> Result<StoredUser> {
        let Principal::User { id, .. } = &*ctx.principal else { return Err(Error::forbidden("Only a user has a password and sessions")) };
        let found = self.catalog().tables().users.get(id).map(|u| u.stored.clone());
        found.ok_or_else(|| Error::new(ErrorCode::Unauthenticated, "Invalid API key."))
    }

    /// Records that somebody did not come in: by the user, or of an address that nobody has, by the source. Nobody waits for it, so
    /// that the time of the answer does not tell the two apart.
    fn record_failed_sign_in(self: &Arc<Self>, ctx: &OpContext, email: &Email, organization: Option<OrganizationId>, error: &Error) {
        let user = self.who_signs_in(email, organization);
        let unknown = || {
            let actor = AuditActor { principal_id: ctx.source.to_string(), principal_type: "unknown".to_owned(), ..AuditActor::default() };
            AuditEvent { actor, ..self.event(ctx, Action::Login, &Installation) }
        };
        let event = user.map_or_else(unknown, |user| {
            let tables = self.catalog().tables();
            let principal = tables.users.get(&user.info.id).map(|u| actor(&u.principal)).unwrap_or_default();
            drop(tables);
            let event = self.event(ctx, Action::Login, &in_organization(&user.info));
            AuditEvent { actor: principal, resource_name: user.info.email.as_str().to_owned(), ..event }
        });
        let event = AuditEvent { outcome: failure(error), ..event };
        let this = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = this.audit().refuse(event).await {
                tracing::error!(%error, "a failed sign-in could not be recorded");
            }
        });
    }
}

fn in_organization(user: &User) -> Named {
    Named { place: Place::Organization(user.organization_id), id: user.email.as_str().to_owned(), kind: "user" }
}

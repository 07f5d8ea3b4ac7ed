//! Users: people in an organization. They come by an invite; how they sign in is in [`crate::login`].

use std::sync::Arc;

use pinyon_model::{DeletedKind, Email, Error, Page, PageRequest, PrincipalRef, Result, User, UserId};

use crate::{
    OpContext, Service,
    authorize::{Action, Named, Place},
    catalog::NounId,
    deleted::Burying,
    role_binding::{bindings_to_remove, check_owner_stays},
};

impl Service {
    pub(crate) fn users_scope(&self, ctx: &OpContext, id: impl ToString) -> Named {
        Named { place: Place::Organization(self.organization_of(ctx)), id: id.to_string(), kind: "user" }
    }

    /// The users of the caller's organization, oldest first; with an address, the one who has it.
    pub async fn list_users(&self, ctx: &OpContext, email: Option<Email>, page: PageRequest) -> Result<Page<User>> {
        let authorized = self.authorize(ctx, Action::ListUsers, self.users_scope(ctx, "")).await?;
        let organization = self.organization_of(ctx);
        let users: Vec<User> = {
            let tables = self.catalog().tables();
            match email {
                Some(email) => tables.user_by_email(organization, &email).into_iter().map(|u| u.info.clone()).collect(),
                None => tables.users.values().map(|u| &u.stored.info).filter(|u| u.organization_id == organization).cloned().collect(),
            }
        };
        authorized.close(Ok(Page::cut(users, page, |u| (u.created_at_ms, *u.id.as_bytes())))).await
    }

    /// One user.
    pub async fn describe_user(&self, ctx: &OpContext, id: UserId) -> Result<User> {
        let authorized = self.authorize(ctx, Action::DescribeUser, self.users_scope(ctx, id)).await?;
        let found = self.user(ctx, id);
        authorized.close(found).await
    }

    /// Removes a user from the organization, with every role. 409 for the organization's last owner.
    pub async fn delete_user(self: &Arc<Self>, ctx: &OpContext, id: UserId) -> Result<()> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::DeleteUser, this.users_scope(&ctx, id)).await?;
            let result = async {
                let writer = this.catalog().writer().await;
                let user = this.user(&ctx, id)?;
                authorized.name(user.email.as_str(), user.name.clone().unwrap_or_default());
                let bindings = {
                    let tables = this.catalog().tables();
                    let bindings = bindings_to_remove(&tables, PrincipalRef::User(id));
                    check_owner_stays(&tables, user.organization_id, &bindings, &ctx)?;
                    bindings
                };
                let nouns = bindings.into_iter().map(NounId::RoleBinding).chain([NounId::User(id)]).collect();
                this.bury(writer, &mut authorized, &ctx, bury_user(&user, nouns)).await
            }
            .await;
            this.deleted(authorized.close(result).await).await
        })
        .await
    }

    fn user(&self, ctx: &OpContext, id: UserId) -> Result<User> {
        let organization = self.organization_of(ctx);
        let found = self.catalog().tables().users.get(&id).map(|u| u.stored.info.clone());
        found.filter(|u| u.organization_id == organization).ok_or_else(|| Error::not_found(format!("There is no user {id}")))
    }
}

/// A user with its roles, to be deleted.
pub(crate) fn bury_user(user: &User, nouns: Vec<NounId>) -> Burying {
    Burying {
        kind: DeletedKind::User,
        of: user.id.to_string(),
        name: user.email.as_str().to_owned(),
        organization_id: Some(user.organization_id),
        project_id: None,
        nouns,
        others: Vec::new(),
    }
}

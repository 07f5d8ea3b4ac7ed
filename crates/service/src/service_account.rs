//! Service accounts: programs with credentials of their own.

use std::sync::Arc;

use pinyon_model::{
    DeletedKind, Error, NewServiceAccount, Page, PageRequest, PrincipalRef, PrincipalType, Result, ServiceAccount, ServiceAccountId,
};
use pinyon_storage::random_bytes;

use crate::{
    ClientSecret, OpContext, Service,
    authorize::{Action, Named, Place},
    catalog::{Change, Noun, NounId, StoredServiceAccount},
    deleted::Burying,
    role_binding::{bind, bindings_to_remove, check_owner_stays},
};

/// A service account whose secret was just made. It is shown now or never.
#[derive(Debug, Clone)]
pub struct CreatedServiceAccount {
    /// The account.
    pub account: ServiceAccount,
    /// Its secret.
    pub secret: ClientSecret,
}

impl Service {
    fn accounts_scope(&self, ctx: &OpContext, id: impl ToString) -> Named {
        Named { place: Place::Organization(self.organization_of(ctx)), id: id.to_string(), kind: "service account" }
    }

    /// The service accounts of the caller's organization, oldest first.
    pub async fn list_service_accounts(&self, ctx: &OpContext, page: PageRequest) -> Result<Page<ServiceAccount>> {
        let authorized = self.authorize(ctx, Action::ListServiceAccounts, self.accounts_scope(ctx, "")).await?;
        let organization = self.organization_of(ctx);
        let accounts: Vec<ServiceAccount> = {
            let tables = self.catalog().tables();
            let all = tables.service_accounts.values().map(|a| &a.stored.info);
            all.filter(|a| a.organization_id == organization).cloned().collect()
        };
        authorized.close(Ok(Page::cut(accounts, page, |a| (a.created_at_ms, *a.id.as_bytes())))).await
    }

    /// One service account.
    pub async fn describe_service_account(&self, ctx: &OpContext, id: ServiceAccountId) -> Result<ServiceAccount> {
        let authorized = self.authorize(ctx, Action::DescribeServiceAccount, self.accounts_scope(ctx, id)).await?;
        let found = self.stored_account(ctx, id).map(|a| a.info);
        authorized.close(found).await
    }

    /// Makes a service account with these roles. Its secret is shown now or never.
    pub async fn create_service_account(self: &Arc<Self>, ctx: &OpContext, new: NewServiceAccount) -> Result<CreatedServiceAccount> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::CreateServiceAccount, this.accounts_scope(&ctx, "")).await?;
            let result: Result<CreatedServiceAccount> = async {
                let name = ServiceAccount::parse_name(&new.name)?;
                let organization_id = this.organization_of(&ctx);
                let mut writer = this.catalog().writer().await;
                this.check_grants(&ctx, organization_id, PrincipalType::ServiceAccount, &new.grants)?;
                let id = ServiceAccountId::from_random(random_bytes());
                let account = ServiceAccount { id, organization_id, name, created_at_ms: ctx.now_ms, updated_at_ms: ctx.now_ms };
                authorized.name(id.to_string(), account.name.clone());
                let secret = ClientSecret::generate(id);
                let stored = this.seal_secret(account.clone(), &secret, 0);
                let bindings = new.grants.iter().map(|g| bind(organization_id, PrincipalRef::ServiceAccount(id), *g, ctx.now_ms));
                let mut changes = vec![Change::Put(Noun::ServiceAccount(stored))];
                changes.extend(bindings.map(|b| Change::Put(Noun::RoleBinding(b))));
                this.catalog().change(&mut writer, &mut authorized, this.audit(), changes).await?;
                Ok(CreatedServiceAccount { account, secret })
            }
            .await;
            authorized.close(result).await
        })
        .await
    }

    /// Gives a service account another name.
    pub async fn rename_service_account(self: &Arc<Self>, ctx: &OpContext, id: ServiceAccountId, name: String) -> Result<ServiceAccount> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::UpdateServiceAccount, this.accounts_scope(&ctx, id)).await?;
            let result: Result<ServiceAccount> = async {
                let name = ServiceAccount::parse_name(&name)?;
                let mut writer = this.catalog().writer().await;
                let mut stored = this.stored_account(&ctx, id)?;
                (stored.info.name, stored.info.updated_at_ms) = (name, ctx.now_ms);
                authorized.name(id.to_string(), stored.info.name.clone());
                let account = stored.info.clone();
                let change = Change::Put(Noun::ServiceAccount(stored));
                this.catalog().change(&mut writer, &mut authorized, this.audit(), vec![change]).await?;
                Ok(account)
            }
            .await;
            authorized.close(result).await
        })
        .await
    }

    /// Gives a service account another secret. The old one, and every token that was got for it, are refused from now on.
    pub async fn rotate_service_account_secret(self: &Arc<Self>, ctx: &OpContext, id: ServiceAccountId) -> Result<CreatedServiceAccount> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let scope = this.accounts_scope(&ctx, id);
            let mut authorized = this.authorize(&ctx, Action::RotateServiceAccountSecret, scope).await?;
            let result: Result<CreatedServiceAccount> = async {
                let mut writer = this.catalog().writer().await;
                let old = this.stored_account(&ctx, id)?;
                let account = ServiceAccount { updated_at_ms: ctx.now_ms, ..old.info };
                authorized.name(id.to_string(), account.name.clone());
                authorized.note("secret", "rotated");
                let secret = ClientSecret::generate(id);
                let stored = this.seal_secret(account.clone(), &secret, old.secret_number.wrapping_add(1));
                let change = Change::Put(Noun::ServiceAccount(stored));
                this.catalog().change(&mut writer, &mut authorized, this.audit(), vec![change]).await?;
                Ok(CreatedServiceAccount { account, secret })
            }
            .await;
            authorized.close(result).await
        })
        .await
    }

    /// Deletes a service account with its roles. Its tokens are refused from now on. 409 for the organization's last owner.
    pub async fn delete_service_account(self: &Arc<Self>, ctx: &OpContext, id: ServiceAccountId) -> Result<()> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::DeleteServiceAccount, this.accounts_scope(&ctx, id)).await?;
            let result = async {
                let writer = this.catalog().writer().await;
                let stored = this.stored_account(&ctx, id)?;
                authorized.name(id.to_string(), stored.info.name.clone());
                let bindings = {
                    let tables = this.catalog().tables();
                    let bindings = bindings_to_remove(&tables, PrincipalRef::ServiceAccount(id));
                    check_owner_stays(&tables, stored.info.organization_id, &bindings, &ctx)?;
                    bindings
                };
                let burying = Burying {
                    kind: DeletedKind::ServiceAccount,
                    of: id.to_string(),
                    name: stored.info.name,
                    organization_id: Some(stored.info.organization_id),
                    project_id: None,
                    nouns: bindings.into_iter().map(NounId::RoleBinding).chain([NounId::ServiceAccount(id)]).collect(),
                    others: Vec::new(),
                };
                this.bury(writer, &mut authorized, &ctx, burying).await
            }
            .await;
            this.deleted(authorized.close(result).await).await
        })
        .await
    }

    fn stored_account(&self, ctx: &OpContext, id: ServiceAccountId) -> Result<StoredServiceAccount> {
        let organization = self.organization_of(ctx);
        let found = self.catalog().tables().service_accounts.get(&id).map(|a| a.stored.clone());
        found
            .filter(|a| a.info.organization_id == organization)
            .ok_or_else(|| Error::not_found(format!("There is no service account {id}")))
    }

    fn seal_secret(&self, info: ServiceAccount, secret: &ClientSecret, secret_number: u32) -> StoredServiceAccount {
        StoredServiceAccount { info, secret_hash: self.secret_hasher().of(secret.reveal().as_bytes()), secret_number }
    }
}

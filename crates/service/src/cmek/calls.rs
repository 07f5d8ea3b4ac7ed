//! The calls on customer-managed keys: adding, replacing and deleting are the organization's owners', seeing is for a project's members.

use std::sync::Arc;

use pinyon_model::{
    Cmek, CmekId, CmekReplacement, CmekState, CmekStatus, CustomerKey, Error, ErrorCode, NewCmek, OrganizationId, Permission, ProjectId,
    Result, limits::CMEKS_PER_PROJECT_MAX,
};
use pinyon_storage::{KeyId, ProjectKey, random_bytes};

use super::{KeptProjectKey, KeyFault, Watch};
use crate::{
    OpContext, Service,
    authorize::{Action, Authorized, Named, Place},
    catalog::{Change, Noun, NounId, StoredCmek, Tables},
};

/// How long adding or replacing a key may take.
const TRY_MS: u64 = 30_000;

impl Service {
    /// The customer-managed keys that the caller may see, of one project or of all, oldest first.
    pub async fn list_cmeks(&self, ctx: &OpContext, project: Option<ProjectId>) -> Result<Vec<(Cmek, CmekState)>> {
        ctx.check_deadline(self.clock().now_ms())?;
        let mut found: Vec<StoredCmek> = {
            let tables = self.catalog().tables();
            let organization = ctx.principal.organization_id().or(ctx.organization);
            let is_asked = |c: &&StoredCmek| {
                let id = c.info.project_id;
                project.is_none_or(|p| p == id) && organization.is_none_or(|o| tables.organization_of(id) == Some(o))
            };
            tables.cmeks.values().filter(is_asked).cloned().collect()
        };
        found.retain(|c| self.may(ctx, Permission::ProjectRead, Place::Project(c.info.project_id)));
        found.sort_by_key(|c| (c.info.created_at_ms, c.info.id));
        Ok(found.into_iter().map(|c| self.with_state(c)).collect())
    }

    /// One customer-managed key, and how it stands.
    pub async fn describe_cmek(&self, ctx: &OpContext, id: CmekId) -> Result<(Cmek, CmekState)> {
        let stored = self.cmek(id)?;
        let place = Place::Project(stored.info.project_id);
        let authorized = self.authorize(ctx, Action::DescribeCmek, Named { place, ..named(id) }).await?;
        let described = self.with_state(stored);
        authorized.close(Ok(described)).await
    }

    /// Adds a customer's key to a project, after it has sealed something and opened it again: `FailedPrecondition` says what was refused
    /// and why, and nothing is kept.
    pub async fn create_cmek(self: &Arc<Self>, ctx: &OpContext, new: NewCmek) -> Result<(Cmek, CmekState)> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let gone = || Error::not_found(format!("There is no project {}", new.project_id));
            let organization = this.catalog().tables().organization_of(new.project_id).ok_or_else(gone)?;
            let place = Place::Organization(organization);
            let scope = Named { place, id: new.project_id.to_string(), kind: "project" };
            let mut authorized = this.authorize(&ctx, Action::CreateCmek, scope).await?;
            let result = this.create_cmek_authorized(&mut authorized, organization, new, ctx.now_ms).await;
            authorized.close(result).await
        })
        .await
    }

    async fn create_cmek_authorized(
        &self,
        authorized: &mut Authorized<Named>,
        organization: OrganizationId,
        new: NewCmek,
        now_ms: u64,
    ) -> Result<(Cmek, CmekState)> {
        let NewCmek { project_id, name, key } = new;
        let cmek = Cmek {
            id: CmekId::from_random(random_bytes()),
            project_id,
            name: Cmek::parse_name(&name)?,
            key,
            created_at_ms: now_ms,
            updated_at_ms: now_ms,
        };
        note(authorized, &cmek);
        check_new(&self.catalog().tables(), &cmek)?;
        let (project_key, kept) = self.try_key(organization, &cmek).await?;
        let mut writer = self.catalog().writer().await;
        // Somebody else may have added one meanwhile, or deleted the project.
        check_new(&self.catalog().tables(), &cmek)?;
        self.store().keys().put_project_key(&project_key, &kept.encode()).await?;
        let stored = StoredCmek { info: cmek, project_key: project_key.id(), replaced: None };
        let change = Change::Put(Noun::Cmek(stored.clone()));
        let changed = self.catalog().change(&mut writer, authorized, self.audit(), vec![change]).await;
        self.settle(&stored, project_key.id(), now_ms, changed).await?;
        Ok(self.with_state(stored))
    }

    /// Puts another key of the customer's in the place of the one there is. The new one is tried first, as at adding it. What lies
    /// under the old one is wrapped anew in the background; how far that is shows in the state.
    pub async fn replace_cmek(self: &Arc<Self>, ctx: &OpContext, id: CmekId, key: CustomerKey) -> Result<(Cmek, CmekState)> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::ReplaceCmek, this.of_owner(id)?).await?;
            let result = this.replace_cmek_authorized(&mut authorized, id, key, ctx.now_ms).await;
            authorized.close(result).await
        })
        .await
    }

    async fn replace_cmek_authorized(
        &self,
        authorized: &mut Authorized<Named>,
        id: CmekId,
        key: CustomerKey,
        now_ms: u64,
    ) -> Result<(Cmek, CmekState)> {
        let before = self.replaceable(id)?;
        let cmek = Cmek { key, updated_at_ms: now_ms.max(before.info.created_at_ms), ..before.info.clone() };
        note(authorized, &cmek);
        authorized.note("replaced", before.info.key.shown());
        let gone = || Error::not_found("The key's project is not there any more");
        let organization = self.catalog().tables().organization_of(cmek.project_id).ok_or_else(gone)?;
        let (project_key, kept) = self.try_key(organization, &cmek).await?;
        let mut writer = self.catalog().writer().await;
        let before = self.replaceable(id)?;
        self.store().keys().put_project_key(&project_key, &kept.encode()).await?;
        let stored =
            StoredCmek { info: cmek, project_key: project_key.id(), replaced: Some((before.info.key.clone(), before.project_key)) };
        let change = Change::Put(Noun::Cmek(stored.clone()));
        let changed = self.catalog().change(&mut writer, authorized, self.audit(), vec![change]).await;
        self.settle(&stored, project_key.id(), now_ms, changed).await?;
        Ok(self.with_state(stored))
    }

    /// Deletes a customer's key from a project, which takes its name: `InvalidArgument` for another, `FailedPrecondition` while anything is under it.
    pub async fn delete_cmek(self: &Arc<Self>, ctx: &OpContext, id: CmekId, name: &str) -> Result<()> {
        let (this, ctx, name) = (Arc::clone(self), ctx.clone(), name.to_owned());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::DeleteCmek, this.of_owner(id)?).await?;
            let result = async {
                // No index is made under it meanwhile: that takes the writer too.
                let mut writer = this.catalog().writer().await;
                let stored = this.cmek(id)?;
                authorized.name(id.to_string(), stored.info.name.clone());
                if stored.info.name != name {
                    let told = format!("To delete this key, give its name: it is called '{}'", stored.info.name.escape_debug());
                    return Err(Error::invalid(told));
                }
                this.check_unused(&stored)?;
                let change = Change::Delete(NounId::Cmek(id));
                this.catalog().change(&mut writer, &mut authorized, this.audit(), vec![change]).await?;
                this.remove_or_tell(stored.project_key).await;
                Ok(())
            }
            .await;
            authorized.close(result).await
        })
        .await
    }

    /// `FailedPrecondition` while a live index or backup is under it, or what is deleted and not yet purged, or a replacement is under way.
    fn check_unused(&self, stored: &StoredCmek) -> Result<()> {
        let precondition = |told: String| Err(Error::new(ErrorCode::FailedPrecondition, told));
        if stored.replaced.is_some() {
            return precondition("The key is being replaced; delete it when that is done".to_owned());
        }
        let indexes = self.catalog().tables().indexes_under(stored);
        let under = self.store().keys().under_project_key(stored.project_key);
        let (deleted, backups) = (under.indexes.len().saturating_sub(indexes), under.backups.len());
        let counts = [(indexes, "indexes"), (backups, "backups"), (deleted, "indexes that are deleted and not purged yet")];
        let there: Vec<String> = counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        if there.is_empty() { Ok(()) } else { precondition(format!("Under this key there are {}", there.join(" and "))) }
    }

    /// Destroys a project key that no row names any more. What a failure leaves, the next start finishes.
    pub(crate) async fn remove_project_key(&self, key: KeyId) -> Result<()> {
        self.customer_keys().watches().remove(&key);
        self.forget_project_key(key).await;
        Ok(self.store().keys().destroy_project_key(key).await?)
    }

    /// The same, where the next start does what fails now.
    pub(super) async fn remove_or_tell(&self, key: KeyId) {
        if let Err(error) = self.remove_project_key(key).await {
            tracing::warn!(%error, "a project key could not be destroyed; the next start will");
        }
    }

    /// Ends what a crash left between the key store and the catalog: project keys that no row names.
    pub(crate) async fn sweep_project_keys(&self) {
        let named: Vec<KeyId> = {
            let tables = self.catalog().tables();
            let kept = tables.deleted.values().filter_map(|d| self.kept_project_keys(d).ok()).flatten();
            tables.cmeks.values().flat_map(StoredCmek::project_keys).chain(kept).collect()
        };
        let keys = self.store().keys();
        for key in keys.project_keys().into_iter().filter(|key| !named.contains(key)) {
            let under = keys.under_project_key(key);
            if under.indexes.is_empty() && under.backups.is_empty() {
                self.remove_or_tell(key).await;
            } else {
                tracing::error!(%key, "data lies under a project key that no customer-managed key opens; 'pinyon catalog rebuild' finds it again");
            }
        }
    }

    /// The key is tried: with a project key of its own it does what it will have to do.
    async fn try_key(&self, organization: OrganizationId, cmek: &Cmek) -> Result<(ProjectKey, KeptProjectKey)> {
        let provider = self.customer_keys().provider()?;
        let tried = tokio::select! {
            made = KeptProjectKey::make(&**provider, organization, cmek.clone()) => made,
            () = self.clock().wait_ms(TRY_MS) => Err(KeyFault::Unreachable(format!("nobody answered in {} seconds", TRY_MS / 1_000))),
        };
        tried.map_err(|fault| {
            let what = match fault {
                KeyFault::Denied(_) => "The key cannot be used",
                KeyFault::Unreachable(_) => "Whether the key can be used could not be found out",
            };
            Error::new(ErrorCode::FailedPrecondition, format!("{what}: {}", fault.reason()))
        })
    }

    /// After a change: the new project key is at hand if it was made, and destroyed if it was not.
    async fn settle(&self, stored: &StoredCmek, key: KeyId, now_ms: u64, changed: Result<()>) -> Result<()> {
        let is_named = self.catalog().tables().cmeks.get(&stored.info.id).is_some_and(|c| c.project_key == key);
        if is_named {
            let keys = self.customer_keys();
            let mut watch = Watch::new(stored.info.id, stored.info.name.clone());
            watch.good(now_ms, &keys.options);
            keys.watches().insert(key, watch);
        } else {
            self.remove_or_tell(key).await;
        }
        changed
    }

    fn cmek(&self, id: CmekId) -> Result<StoredCmek> {
        let found = self.catalog().tables().cmeks.get(&id).cloned();
        found.ok_or_else(|| named(id).told())
    }

    fn replaceable(&self, id: CmekId) -> Result<StoredCmek> {
        let stored = self.cmek(id)?;
        if stored.replaced.is_some() {
            return Err(Error::new(ErrorCode::FailedPrecondition, "The key is being replaced already; wait until that is done"));
        }
        Ok(stored)
    }

    /// The key as its organization's owners reach it.
    fn of_owner(&self, id: CmekId) -> Result<Named> {
        let stored = self.cmek(id)?;
        let organization = self.catalog().tables().organization_of(stored.info.project_id);
        Ok(Named { place: Place::Organization(organization.ok_or_else(|| named(id).told())?), ..named(id) })
    }

    fn with_state(&self, stored: StoredCmek) -> (Cmek, CmekState) {
        let StoredCmek { info, project_key, replaced } = stored;
        let under = |key: KeyId| self.store().keys().under_project_key(key);
        let (now_ms, keys) = (self.clock().now_ms(), self.customer_keys());
        let watch = |key: &KeyId| {
            let found = keys.watches().get(key).cloned();
            found.unwrap_or_else(|| Watch::new(info.id, info.name.clone()))
        };
        let (current, above) = (watch(&project_key), under(project_key));
        let (mut indexes, mut backups) = (above.indexes.len(), above.backups.len());
        let replacement = replaced.map(|(key, old)| {
            let (done, left) = (indexes + backups, under(old));
            indexes += left.indexes.len();
            backups += left.backups.len();
            CmekReplacement { replaced: key, status: watch(&old).status, done: done as u64, total: (indexes + backups) as u64 }
        });
        let state = CmekState {
            status: current.status,
            served: current.is_served(now_ms, &keys.options),
            reason: current.reason.filter(|_| current.status != CmekStatus::Ready),
            last_good_at_ms: current.last_good_ms,
            asked: current.asked,
            denied: current.denied,
            unreachable: current.unreachable,
            indexes: indexes as u64,
            backups: backups as u64,
            replacement,
        };
        (info, state)
    }
}

fn named(id: CmekId) -> Named {
    // The place is filled in where it is known.
    Named { place: Place::Installation, id: id.to_string(), kind: "customer-managed key" }
}

impl Named {
    fn told(&self) -> Error {
        crate::authorize::Resource::hidden(self)
    }
}

fn check_new(tables: &Tables, cmek: &Cmek) -> Result<()> {
    if !tables.projects.contains_key(&cmek.project_id) {
        return Err(Error::not_found(format!("There is no project {}", cmek.project_id)));
    }
    if tables.cmeks_of(cmek.project_id).any(|c| c.info.name == cmek.name) {
        return Err(Error::already_exists(format!("The project has a customer-managed key '{}' already", cmek.name.escape_debug())));
    }
    if tables.cmeks_of(cmek.project_id).count() >= CMEKS_PER_PROJECT_MAX {
        let told = format!("The project has {CMEKS_PER_PROJECT_MAX} customer-managed keys, and may have no more");
        return Err(Error::new(ErrorCode::QuotaExceeded, told));
    }
    Ok(())
}

/// What was asked for, for the record.
fn note(authorized: &mut Authorized<Named>, cmek: &Cmek) {
    authorized.name(cmek.id.to_string(), cmek.name.clone());
    authorized.note("project_id", cmek.project_id.to_string());
    match &cmek.key {
        CustomerKey::AwsKms(key) => {
            authorized.note("key_arn", key.key_arn.as_str());
            authorized.note("role_arn", key.role_arn.as_str());
            authorized.note("external_id", if key.external_id.is_some() { "set" } else { "none" });
        }
    }
}

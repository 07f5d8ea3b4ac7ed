use std::{collections::BTreeSet, sync::Arc};

use pinyon_model::{
    ApiKey, ApiKeyChange, ApiKeyId, DeletedKind, Error, ErrorCode, OrganizationId, PrincipalRef, PrincipalType, Project, ProjectId, Result,
    Role, RoleGrant,
};
use pinyon_storage::random_bytes;

use super::{CreatedApiKey, NewApiKey, UsedApiKey};
use crate::{
    ApiKeySecret, OpContext, Service,
    authorize::{Action, Authorized, Installation, Named, Place},
    catalog::{Change, Noun, NounId, StoredApiKey, Tables},
    deleted::Burying,
    role_binding::{bind, bindings_to_remove},
};

/// The fewest characters of a secret's beginning that name a key.
const PREFIX_LEN_MIN: usize = 4;

fn of_project(project: ProjectId) -> Named {
    Named { place: Place::Project(project), id: project.to_string(), kind: "project" }
}

pub(super) fn named(key: &ApiKey) -> Named {
    Named { place: Place::Project(key.project_id), id: key.id.to_string(), kind: "API key" }
}

impl Service {
    /// The API keys of one project, or for the operator of all, oldest first.
    pub async fn list_api_keys(&self, ctx: &OpContext, project: Option<ProjectId>) -> Result<Vec<ApiKey>> {
        let mut keys: Vec<ApiKey> = match project {
            Some(id) => {
                let authorized = self.authorize(ctx, Action::ListApiKeys, of_project(id)).await?;
                let keys = {
                    let tables = self.catalog().tables();
                    tables.keys_of(id).filter_map(|key| tables.keys.get(&key)).map(|k| k.stored.info.clone()).collect()
                };
                authorized.close(Ok(keys)).await?
            }
            None => {
                let authorized = self.authorize(ctx, Action::ListAllApiKeys, Installation).await?;
                let keys = self.catalog().tables().keys.values().map(|k| k.stored.info.clone()).collect();
                authorized.close(Ok(keys)).await?
            }
        };
        keys.sort_by_key(|k| (k.created_at_ms, k.id));
        Ok(keys)
    }

    /// One API key.
    pub async fn describe_api_key(&self, ctx: &OpContext, id: ApiKeyId) -> Result<ApiKey> {
        let key = self.api_key(id)?;
        let authorized = self.authorize(ctx, Action::DescribeApiKey, named(&key)).await?;
        authorized.close(Ok(key)).await
    }

    /// Makes an API key. Its secret is shown now or never.
    pub async fn create_api_key(self: &Arc<Self>, ctx: &OpContext, new: NewApiKey) -> Result<CreatedApiKey> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let project = match new.project_id {
                Some(id) => id,
                None => this.project_scope(&ctx, None)?.id,
            };
            let mut authorized = this.authorize(&ctx, Action::CreateApiKey, of_project(project)).await?;
            let result = this.create_key_authorized(&mut authorized, &ctx, new, project).await;
            authorized.close(result).await
        })
        .await
    }

    async fn create_key_authorized(
        &self,
        authorized: &mut Authorized<Named>,
        ctx: &OpContext,
        new: NewApiKey,
        project: ProjectId,
    ) -> Result<CreatedApiKey> {
        let mut writer = self.catalog().writer().await;
        let project = self.project_of_key(project)?;
        let (created, changes) = self.prepare_key(new, &project, ctx.now_ms)?;
        self.check_key_roles(ctx, &project, &created.key.roles)?;
        self.check_new_key(&created)?;
        authorized.name(created.key.id.to_string(), created.key.name.clone());
        authorized.note("roles", words(&created.key.roles));
        self.catalog().change(&mut writer, authorized, self.audit(), changes).await?;
        Ok(created)
    }

    /// A key and what puts it and its roles into the catalog.
    pub(crate) fn prepare_key(&self, new: NewApiKey, project: &Project, now_ms: u64) -> Result<(CreatedApiKey, Vec<Change>)> {
        let name = ApiKey::parse_name(&new.name)?;
        let roles = each_once(if new.roles.is_empty() { vec![Role::ProjectEditor] } else { new.roles });
        let id = ApiKeyId::from_random(random_bytes());
        let secret = new.secret.unwrap_or_else(|| ApiKeySecret::generate(id));
        let key = ApiKey {
            id,
            name,
            project_id: project.id,
            roles,
            hint: secret.hint(),
            created_at_ms: now_ms,
            expires_at_ms: new.expires_at_ms.map(|at| ApiKey::check_expiry(at, now_ms)).transpose()?,
            restrictions: new.restrictions,
            previous: None,
        };
        let secret_hash = self.secret_hasher().of(secret.reveal().as_bytes());
        let stored = StoredApiKey { info: key.clone(), secret_hash, previous_hash: None, roles_in_row: Vec::new() };
        let mut changes = vec![Change::Put(Noun::ApiKey(stored))];
        changes.extend(bind_key(project.organization_id, &key, &key.roles, now_ms));
        Ok((CreatedApiKey { key, secret }, changes))
    }

    fn check_key_roles(&self, ctx: &OpContext, project: &Project, roles: &[Role]) -> Result<()> {
        let grants: Vec<RoleGrant> = roles.iter().map(|role| RoleGrant::new(*role, Some(project.id))).collect::<Result<_>>()?;
        self.check_grants(ctx, project.organization_id, PrincipalType::ApiKey, &grants)
    }

    fn project_of_key(&self, id: ProjectId) -> Result<Project> {
        let found = self.catalog().tables().projects.get(&id).cloned();
        found.ok_or_else(|| Error::not_found(format!("There is no project {id}")))
    }

    fn check_new_key(&self, created: &CreatedApiKey) -> Result<()> {
        let tables = self.catalog().tables();
        if tables.key_by_hash(&self.secret_hasher().of(created.secret.reveal().as_bytes())).is_some() {
            return Err(Error::already_exists("A key with this secret exists already"));
        }
        let max = self.quotas_of_project(&tables, created.key.project_id).api_keys_per_project;
        if tables.keys_of(created.key.project_id).len() >= max as usize {
            let told = format!("The project has reached its limit of {max} API keys");
            return Err(Error::new(ErrorCode::QuotaExceeded, told));
        }
        Ok(())
    }

    /// Gives a key another name, exactly these roles, another end or other restrictions.
    pub async fn update_api_key(self: &Arc<Self>, ctx: &OpContext, id: ApiKeyId, change: ApiKeyChange) -> Result<ApiKey> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let key = this.api_key(id)?;
            let mut authorized = this.authorize(&ctx, Action::UpdateApiKey, named(&key)).await?;
            let result = this.update_key_authorized(&mut authorized, &ctx, id, change).await;
            authorized.close(result).await
        })
        .await
    }

    async fn update_key_authorized(
        &self,
        authorized: &mut Authorized<Named>,
        ctx: &OpContext,
        id: ApiKeyId,
        change: ApiKeyChange,
    ) -> Result<ApiKey> {
        let mut writer = self.catalog().writer().await;
        let key = self.api_key(id)?;
        let mut changes = Vec::new();
        if let Some(roles) = change.roles {
            let roles = each_once(roles);
            let project = self.project_of_key(key.project_id)?;
            self.check_key_roles(ctx, &project, &roles)?;
            changes = replace_roles(&self.catalog().tables(), &key, &roles);
            let new: Vec<Role> = roles.iter().copied().filter(|role| !key.roles.contains(role)).collect();
            changes.extend(bind_key(project.organization_id, &key, &new, ctx.now_ms));
            authorized.note("roles", words(&roles));
        }
        if change.name.is_some() || change.expires_at_ms.is_some() || !change.restrictions.is_empty() {
            let mut stored = self.stored_key(id)?;
            let info = &mut stored.info;
            if let Some(name) = change.name {
                info.name = ApiKey::parse_name(&name)?;
            }
            if let Some(expires_at_ms) = change.expires_at_ms {
                info.expires_at_ms = expires_at_ms.map(|at| ApiKey::check_expiry(at, ctx.now_ms)).transpose()?;
            }
            if !change.restrictions.is_empty() {
                info.restrictions = change.restrictions.of(&info.restrictions)?;
            }
            note_bounds(authorized, info);
            changes.push(Change::Put(Noun::ApiKey(stored)));
        }
        authorized.name(id.to_string(), key.name);
        self.catalog().change(&mut writer, authorized, self.audit(), changes).await?;
        self.api_key(id)
    }

    /// Deletes a key. It is refused from now on.
    pub async fn delete_api_key(self: &Arc<Self>, ctx: &OpContext, id: ApiKeyId) -> Result<()> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let key = this.api_key(id)?;
            let mut authorized = this.authorize(&ctx, Action::DeleteApiKey, named(&key)).await?;
            authorized.name(id.to_string(), key.name.clone());
            let result = async {
                let writer = this.catalog().writer().await;
                this.api_key(id)?;
                let bindings = bindings_to_remove(&this.catalog().tables(), PrincipalRef::ApiKey(id));
                let burying = Burying {
                    kind: DeletedKind::ApiKey,
                    of: id.to_string(),
                    name: key.name,
                    organization_id: this.catalog().tables().organization_of(key.project_id),
                    project_id: Some(key.project_id),
                    nouns: bindings.into_iter().map(NounId::RoleBinding).chain([NounId::ApiKey(id)]).collect(),
                    others: Vec::new(),
                };
                this.bury(writer, &mut authorized, &ctx, burying).await
            }
            .await;
            this.deleted(authorized.close(result).await).await
        })
        .await
    }

    /// The key that `which` names to the operator: its id, its whole secret, or the beginning of its secret when that fits one only.
    pub async fn find_api_key(&self, ctx: &OpContext, which: &str) -> Result<ApiKey> {
        let authorized = self.authorize(ctx, Action::ListAllApiKeys, Installation).await?;
        let found = self.named_key(which);
        authorized.close(found).await
    }

    fn named_key(&self, which: &str) -> Result<ApiKey> {
        let tables = self.catalog().tables();
        if let Some(key) = ApiKeyId::parse(which).ok().and_then(|id| tables.keys.get(&id)) {
            return Ok(key.stored.info.clone());
        }
        if let Some(key) = tables.key_by_hash(&self.secret_hasher().of(which.as_bytes())) {
            return Ok(key.stored.info.clone());
        }
        let begins = |k: &&ApiKey| which.len() >= PREFIX_LEN_MIN && k.hint.starts_with(which);
        let mut found = tables.keys.values().map(|k| &k.stored.info).filter(begins);
        match (found.next(), found.count()) {
            (Some(key), 0) => Ok(key.clone()),
            (Some(_), more) => Err(Error::invalid(format!("{} API keys begin like this; give the key's id", more + 1))),
            (None, _) => Err(Error::not_found("There is no such API key; 'pinyon key list' shows ids and how secrets begin")),
        }
    }

    /// With a key, when it was used last.
    pub fn with_last_use(&self, key: ApiKey) -> UsedApiKey {
        UsedApiKey { last_use: self.last_use(key.id), key }
    }

    pub(super) fn api_key(&self, id: ApiKeyId) -> Result<ApiKey> {
        self.stored_key(id).map(|stored| stored.info)
    }

    pub(super) fn stored_key(&self, id: ApiKeyId) -> Result<StoredApiKey> {
        self.catalog().tables().keys.get(&id).map(|k| k.stored.clone()).ok_or_else(|| gone(id))
    }
}

/// What the record says of a key's end and restrictions.
pub(super) fn note_bounds<T>(authorized: &mut Authorized<T>, key: &ApiKey) {
    if let Some(at) = key.expires_at_ms {
        authorized.note("expires_at_ms", at.to_string());
    }
    let sets = [
        ("indexes", key.restrictions.indexes().iter().map(ToString::to_string).collect::<Vec<_>>()),
        ("namespaces", key.restrictions.namespaces().iter().map(ToString::to_string).collect()),
        ("networks", key.restrictions.networks().iter().map(ToString::to_string).collect()),
    ];
    for (name, values) in sets.into_iter().filter(|(_, values)| !values.is_empty()) {
        authorized.note(name, values.join(","));
    }
}

/// What gives these roles to a key.
pub(crate) fn bind_key(organization: OrganizationId, key: &ApiKey, roles: &[Role], now_ms: u64) -> Vec<Change> {
    let (principal, project) = (PrincipalRef::ApiKey(key.id), Some(key.project_id));
    let bindings = roles.iter().map(|role| bind(organization, principal, RoleGrant { project, role: *role }, now_ms));
    bindings.map(|b| Change::Put(Noun::RoleBinding(b))).collect()
}

fn gone(id: ApiKeyId) -> Error {
    Error::not_found(format!("There is no API key {id}"))
}

fn each_once(roles: Vec<Role>) -> Vec<Role> {
    roles.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
}

fn words(roles: &[Role]) -> String {
    roles.iter().map(|r| r.as_str()).collect::<Vec<_>>().join(",")
}

/// What takes away the roles that are not among these.
fn replace_roles(tables: &Tables, key: &ApiKey, roles: &[Role]) -> Vec<Change> {
    let gone = tables.bindings_of(PrincipalRef::ApiKey(key.id)).filter(|b| !roles.contains(&b.role));
    gone.map(|b| Change::Delete(NounId::RoleBinding(b.id))).collect()
}

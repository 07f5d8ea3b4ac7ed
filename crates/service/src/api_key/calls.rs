use std::sync::Arc;

use pinyon_model::{ApiKeyId, Error, ErrorCode, Principal, ProjectId, Result, Role};
use pinyon_storage::random_bytes;
use subtle::ConstantTimeEq;

use super::{ApiKeyInfo, ApiKeySecret, CreatedApiKey, NewApiKey, parse};
use crate::{
    AuthMode, OpContext, Service,
    authorize::{Action, Authorized, Installation, invalid_api_key},
    catalog::{Catalog, Change, Noun, StoredApiKey},
};

const NAME_LEN_MAX: usize = 80;
const SECRET_LEN_MAX: usize = 512;
/// The fewest characters of a secret's beginning that name a key.
const PREFIX_LEN_MIN: usize = 4;

impl Service {
    /// Who holds this secret. `source` is the caller's address, which unknown secrets are counted by. A revoked key is unknown from the
    /// moment its revocation is answered.
    pub async fn authenticate(&self, secret: Option<&str>, source: &str) -> Result<Arc<Principal>> {
        if let Some(principal) = secret.and_then(|s| self.holder(s)) {
            return Ok(principal);
        }
        if self.auth() == AuthMode::AnyKey {
            return Ok(self.any_key_principal());
        }
        self.audit().unknown_key(source);
        Err(invalid_api_key())
    }

    fn holder(&self, secret: &str) -> Option<Arc<Principal>> {
        if secret.is_empty() || secret.len() > SECRET_LEN_MAX {
            return None;
        }
        let hash = self.key_hasher().of(secret.as_bytes());
        let tables = self.catalog().tables();
        // A secret of our shape is found by its id. One of that shape that came from elsewhere is found like any other import.
        let by_id = parse(secret).and_then(|id| tables.keys.get(&id));
        let entry = by_id.or_else(|| tables.key_by_hash(&hash))?;
        bool::from(entry.secret_hash.ct_eq(&hash)).then(|| Arc::clone(&entry.principal))
    }

    /// Makes an API key.
    pub async fn create_key(self: &Arc<Self>, ctx: &OpContext, new: NewApiKey) -> Result<CreatedApiKey> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::CreateApiKey, Installation).await?;
            let result = this.create_key_authorized(&mut authorized, &ctx, new).await;
            authorized.close(result).await
        })
        .await
    }

    async fn create_key_authorized(
        &self,
        authorized: &mut Authorized<Installation>,
        ctx: &OpContext,
        new: NewApiKey,
    ) -> Result<CreatedApiKey> {
        let mut writer = self.catalog().writer().await;
        let project_id = new.project_id.unwrap_or_else(|| self.default_project());
        let (created, stored) = self.prepare_key(new, project_id, ctx.now_ms)?;
        check_new_key(self.catalog(), &stored, self.limits().api_keys_per_project)?;
        authorized.name(created.key.id.to_string(), created.key.name.clone());
        authorized.note("project_id", project_id.to_string());
        authorized.note("roles", created.key.roles.iter().map(|r| r.as_str()).collect::<Vec<_>>().join(","));
        let change = Change::Put(Noun::ApiKey(stored));
        self.catalog().change(&mut writer, authorized, self.audit(), vec![change]).await?;
        Ok(created)
    }

    /// A key and its row, not stored yet.
    pub(crate) fn prepare_key(&self, new: NewApiKey, project_id: ProjectId, now_ms: u64) -> Result<(CreatedApiKey, StoredApiKey)> {
        let name = new.name.trim().to_owned();
        if name.is_empty() || name.chars().count() > NAME_LEN_MAX || name.chars().any(char::is_control) {
            return Err(Error::invalid(format!("The name of an API key has 1 to {NAME_LEN_MAX} printable characters")));
        }
        let mut roles = if new.roles.is_empty() { vec![Role::ProjectEditor] } else { new.roles };
        roles.sort_unstable();
        roles.dedup();
        let id = ApiKeyId::from_random(random_bytes());
        let secret = new.secret.unwrap_or_else(|| ApiKeySecret::generate(id));
        let key = ApiKeyInfo { id, name, project_id, roles, hint: secret.hint(), created_at_ms: now_ms };
        let secret_hash = self.key_hasher().of(secret.reveal().as_bytes());
        Ok((CreatedApiKey { key: key.clone(), secret }, StoredApiKey { info: key, secret_hash }))
    }

    /// The API keys of one project, or of all, oldest first.
    pub async fn list_keys(&self, ctx: &OpContext, project: Option<ProjectId>) -> Result<Vec<ApiKeyInfo>> {
        let authorized = self.authorize(ctx, Action::ListApiKeys, Installation).await?;
        let mut keys: Vec<ApiKeyInfo> = {
            let tables = self.catalog().tables();
            tables.keys.values().map(|k| k.info.clone()).filter(|k| project.is_none_or(|p| p == k.project_id)).collect()
        };
        keys.sort_by_key(|k| (k.created_at_ms, k.id));
        authorized.close(Ok(keys)).await
    }

    /// Revokes the key that `which` names: its id, its whole secret, or the beginning of its secret when that fits one key only. It is
    /// refused from now on.
    pub async fn revoke_key(self: &Arc<Self>, ctx: &OpContext, which: &str) -> Result<ApiKeyId> {
        let (this, ctx, which) = (Arc::clone(self), ctx.clone(), which.to_owned());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::RevokeApiKey, Installation).await?;
            let result = this.revoke_key_authorized(&mut authorized, &which).await;
            authorized.close(result).await
        })
        .await
    }

    async fn revoke_key_authorized(&self, authorized: &mut Authorized<Installation>, which: &str) -> Result<ApiKeyId> {
        let mut writer = self.catalog().writer().await;
        let key = self.find_key(which)?;
        authorized.name(key.id.to_string(), key.name);
        authorized.note("project_id", key.project_id.to_string());
        self.catalog().change(&mut writer, authorized, self.audit(), vec![Change::DeleteApiKey(key.id)]).await?;
        Ok(key.id)
    }

    fn find_key(&self, which: &str) -> Result<ApiKeyInfo> {
        let tables = self.catalog().tables();
        if let Some(entry) = ApiKeyId::parse(which).ok().and_then(|id| tables.keys.get(&id)) {
            return Ok(entry.info.clone());
        }
        if let Some(entry) = tables.key_by_hash(&self.key_hasher().of(which.as_bytes())) {
            return Ok(entry.info.clone());
        }
        let mut found = tables.keys.values().filter(|k| which.len() >= PREFIX_LEN_MIN && k.info.hint.starts_with(which));
        match (found.next(), found.count()) {
            (Some(entry), 0) => Ok(entry.info.clone()),
            (Some(_), more) => Err(Error::invalid(format!("{} API keys begin like this; give the key's id", more + 1))),
            (None, _) => Err(Error::not_found("There is no such API key; 'pinyon key list' shows ids and how secrets begin")),
        }
    }
}

fn check_new_key(catalog: &Catalog, key: &StoredApiKey, keys_max: u32) -> Result<()> {
    let tables = catalog.tables();
    if !tables.projects.contains_key(&key.info.project_id) {
        return Err(Error::not_found(format!("There is no project {}", key.info.project_id)));
    }
    if tables.key_by_hash(&key.secret_hash).is_some() {
        return Err(Error::already_exists("A key with this secret exists already"));
    }
    if tables.keys.values().filter(|k| k.info.project_id == key.info.project_id).count() >= keys_max as usize {
        let told = format!("The project has reached its limit of {keys_max} API keys");
        return Err(Error::new(ErrorCode::QuotaExceeded, told));
    }
    Ok(())
}

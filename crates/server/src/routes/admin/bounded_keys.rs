//! API keys with their bounds: Pinyon's own operations.

use pinyon_model::{ApiKey, ApiKeyId, ProjectId, Result};
use pinyon_service::{CreatedApiKey, NewApiKey, UsedApiKey};
use pinyon_wire::pinyon;

use super::Call;
use crate::answer::Answer;

pub(super) async fn list(call: Call) -> Result<Answer> {
    let keys = call.service().list_api_keys(&call.ctx, Some(ProjectId::parse(call.param("project_id"))?)).await?;
    let keys: Vec<UsedApiKey> = keys.into_iter().map(|key| call.service().with_last_use(key)).collect();
    Ok(call.answer(pinyon::bounded_key_list(keys.iter().map(|used| (&used.key, last_use(used))))))
}

pub(super) async fn create(call: Call) -> Result<Answer> {
    let pinyon::BoundedKeyRequest { name, roles, expires_at_ms, restrictions } = pinyon::create_bounded_key(call.body())?;
    let project_id = Some(ProjectId::parse(call.param("project_id"))?);
    let new = NewApiKey { name, project_id, roles, secret: None, expires_at_ms, restrictions };
    let CreatedApiKey { key, secret } = call.service().create_api_key(&call.ctx, new).await?;
    Ok(call.answer(pinyon::created_bounded_key(&key, secret.reveal())).no_store())
}

pub(super) async fn describe(call: Call) -> Result<Answer> {
    let key = call.service().describe_api_key(&call.ctx, id(&call)?).await?;
    Ok(model(&call, key))
}

pub(super) async fn update(call: Call) -> Result<Answer> {
    let change = pinyon::update_bounded_key(call.body())?;
    let key = call.service().update_api_key(&call.ctx, id(&call)?, change).await?;
    Ok(model(&call, key))
}

pub(super) async fn rotate(call: Call) -> Result<Answer> {
    let overlap_ms = pinyon::rotate_key(call.body())?;
    let CreatedApiKey { key, secret } = call.service().rotate_api_key(&call.ctx, id(&call)?, overlap_ms).await?;
    Ok(call.answer(pinyon::created_bounded_key(&key, secret.reveal())).no_store())
}

fn model(call: &Call, key: ApiKey) -> Answer {
    let used = call.service().with_last_use(key);
    call.answer(pinyon::bounded_key_model(&used.key, last_use(&used)))
}

fn last_use(used: &UsedApiKey) -> Option<pinyon::KeyUse<'_>> {
    used.last_use.as_ref().map(|last| pinyon::KeyUse { at_ms: last.at_ms, source: &last.source })
}

fn id(call: &Call) -> Result<ApiKeyId> {
    ApiKeyId::parse(call.param("api_key_id"))
}

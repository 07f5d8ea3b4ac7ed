//! API keys of a project.

use pinyon_model::{ApiKeyId, ProjectId, Result};
use pinyon_service::{CreatedApiKey, NewApiKey};
use pinyon_wire::admin;

use super::Call;
use crate::answer::Answer;

pub(super) async fn list(call: Call) -> Result<Answer> {
    let keys = call.service().list_api_keys(&call.ctx, Some(project_id(&call)?)).await?;
    Ok(call.answer(admin::api_key_list(&keys)))
}

pub(super) async fn create(call: Call) -> Result<Answer> {
    let admin::ApiKeyRequest { name, roles } = admin::create_api_key(call.body())?;
    let new = NewApiKey { name, project_id: Some(project_id(&call)?), roles, ..NewApiKey::default() };
    let CreatedApiKey { key, secret } = call.service().create_api_key(&call.ctx, new).await?;
    Ok(call.answer(admin::created_api_key(&key, secret.reveal())).no_store())
}

pub(super) async fn describe(call: Call) -> Result<Answer> {
    let key = call.service().describe_api_key(&call.ctx, id(&call)?).await?;
    Ok(call.answer(admin::api_key_model(&key)))
}

pub(super) async fn update(call: Call) -> Result<Answer> {
    let change = admin::update_api_key(call.body())?;
    let key = call.service().update_api_key(&call.ctx, id(&call)?, change).await?;
    Ok(call.answer(admin::api_key_model(&key)))
}

pub(super) async fn delete(call: Call) -> Result<Answer> {
    call.service().delete_api_key(&call.ctx, id(&call)?).await?;
    Ok(Answer::empty(call.status))
}

fn project_id(call: &Call) -> Result<ProjectId> {
    ProjectId::parse(call.param("project_id"))
}

fn id(call: &Call) -> Result<ApiKeyId> {
    ApiKeyId::parse(call.param("api_key_id"))
}

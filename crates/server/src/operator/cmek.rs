//! Commands on customer-managed keys.

use std::sync::Arc;

use pinyon_model::{Cmek, CmekId, CmekState, Error, ProjectId, Result, excerpt};
use pinyon_service::{OpContext, Service};
use pinyon_wire::pinyon;
use serde_json::Value;

use super::Output;

pub(super) async fn create(
    service: &Arc<Service>,
    ctx: &OpContext,
    project: Option<ProjectId>,
    name: String,
    mut key: Value,
) -> Result<Output> {
    key["name"] = name.into();
    key["project_id"] = project.unwrap_or_else(|| service.default_project()).to_string().into();
    let new = pinyon::create_cmek(key.to_string().as_bytes())?;
    shown(&service.create_cmek(ctx, new).await?)
}

pub(super) async fn list(service: &Service, ctx: &OpContext, project: Option<ProjectId>) -> Result<Output> {
    let cmeks = service.list_cmeks(ctx, project).await?;
    Ok(Output::Cmeks { cmeks: cmeks.iter().map(read).collect::<Result<_>>()? })
}

pub(super) async fn describe(service: &Service, ctx: &OpContext, which: &str) -> Result<Output> {
    let id = find(service, ctx, which).await?;
    shown(&service.describe_cmek(ctx, id).await?)
}

pub(super) async fn replace(service: &Arc<Service>, ctx: &OpContext, which: &str, key: &Value) -> Result<Output> {
    let id = find(service, ctx, which).await?;
    let key = pinyon::replace_cmek(key.to_string().as_bytes())?;
    shown(&service.replace_cmek(ctx, id, key).await?)
}

pub(super) async fn delete(service: &Arc<Service>, ctx: &OpContext, which: &str, name: &str) -> Result<Output> {
    let id = find(service, ctx, which).await?;
    service.delete_cmek(ctx, id, name).await?;
    Ok(Output::CmekDeleted { id: id.to_string() })
}

/// A key by its id, or by its name where only one has it.
async fn find(service: &Service, ctx: &OpContext, text: &str) -> Result<CmekId> {
    let cmeks = service.list_cmeks(ctx, None).await?;
    let found: Vec<CmekId> = cmeks.iter().map(|(c, _)| c).filter(|c| c.name == text || c.id.to_string() == text).map(|c| c.id).collect();
    match found[..] {
        [id] => Ok(id),
        [] => Err(Error::not_found(format!("There is no customer-managed key '{}'", excerpt(text)))),
        _ => Err(Error::invalid(format!("More than one customer-managed key is called '{}'; use its id", excerpt(text)))),
    }
}

fn shown(described: &(Cmek, CmekState)) -> Result<Output> {
    Ok(Output::Cmek { cmek: read(described)? })
}

fn read((cmek, state): &(Cmek, CmekState)) -> Result<Value> {
    let printed = pinyon::cmek_model(cmek, state);
    serde_json::from_slice(&printed).map_err(|e| Error::internal(format!("What was printed cannot be read: {e}")))
}

//! Private endpoints of a project.

use pinyon_model::{PrivateEndpointId, ProjectId, Result};
use pinyon_wire::pinyon;

use super::Call;
use crate::answer::Answer;

pub(super) async fn list(call: Call) -> Result<Answer> {
    let endpoints = call.service().list_private_endpoints(&call.ctx, project(&call)?).await?;
    Ok(call.answer(pinyon::private_endpoint_list(&endpoints)))
}

pub(super) async fn create(call: Call) -> Result<Answer> {
    let new = pinyon::create_private_endpoint(call.body())?;
    let endpoint = call.service().create_private_endpoint(&call.ctx, project(&call)?, new).await?;
    Ok(call.answer(pinyon::private_endpoint_model(&endpoint)))
}

pub(super) async fn delete(call: Call) -> Result<Answer> {
    let typed = pinyon::delete_private_endpoint(call.body())?;
    let id = PrivateEndpointId::parse(call.param("private_endpoint_id"))?;
    call.service().delete_private_endpoint(&call.ctx, project(&call)?, id, &typed).await?;
    Ok(Answer::empty(call.status))
}

fn project(call: &Call) -> Result<ProjectId> {
    ProjectId::parse(call.param("project_id"))
}

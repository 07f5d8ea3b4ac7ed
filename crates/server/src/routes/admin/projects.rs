//! Projects of the caller's organization.

use pinyon_model::{ProjectId, Result};
use pinyon_wire::admin;

use super::Call;
use crate::answer::Answer;

pub(super) async fn list(call: Call) -> Result<Answer> {
    let projects = call.service().list_projects(&call.ctx).await?;
    Ok(call.answer(admin::project_list(&projects)))
}

pub(super) async fn create(call: Call) -> Result<Answer> {
    let new = admin::create_project(call.body())?;
    let project = call.service().create_project(&call.ctx, new).await?;
    Ok(call.answer(admin::project_model(&project)))
}

pub(super) async fn describe(call: Call) -> Result<Answer> {
    let project = call.service().describe_project(&call.ctx, id(&call)?).await?;
    Ok(call.answer(admin::project_model(&project)))
}

pub(super) async fn update(call: Call) -> Result<Answer> {
    let change = admin::update_project(call.body())?;
    let project = call.service().update_project(&call.ctx, id(&call)?, change).await?;
    Ok(call.answer(admin::project_model(&project)))
}

pub(super) async fn delete(call: Call) -> Result<Answer> {
    call.service().delete_project(&call.ctx, id(&call)?).await?;
    Ok(Answer::empty(call.status))
}

fn id(call: &Call) -> Result<ProjectId> {
    ProjectId::parse(call.param("project_id"))
}

//! From where a project may be reached.

use pinyon_model::{ProjectId, Result};
use pinyon_wire::pinyon;

use super::Call;
use crate::answer::Answer;

pub(super) async fn describe(call: Call) -> Result<Answer> {
    let access = call.service().describe_project_access(&call.ctx, project(&call)?).await?;
    Ok(call.answer(pinyon::project_access_model(&access)))
}

pub(super) async fn put(call: Call) -> Result<Answer> {
    let access = pinyon::put_project_access(call.body())?;
    let access = call.service().put_project_access(&call.ctx, project(&call)?, access).await?;
    Ok(call.answer(pinyon::project_access_model(&access)))
}

fn project(call: &Call) -> Result<ProjectId> {
    ProjectId::parse(call.param("project_id"))
}

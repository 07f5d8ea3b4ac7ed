//! Customer-managed keys: Pinyon's own operations.

use pinyon_model::{Cmek, CmekId, CmekState, Result};
use pinyon_wire::pinyon;

use super::Call;
use crate::answer::Answer;

pub(super) async fn list(call: Call) -> Result<Answer> {
    let project = pinyon::list_cmeks(call.query())?;
    let cmeks = call.service().list_cmeks(&call.ctx, project).await?;
    Ok(call.answer(pinyon::cmek_list(cmeks.iter())))
}

pub(super) async fn create(call: Call) -> Result<Answer> {
    let new = pinyon::create_cmek(call.body())?;
    let made = call.service().create_cmek(&call.ctx, new).await?;
    Ok(model(&call, &made))
}

pub(super) async fn describe(call: Call) -> Result<Answer> {
    let found = call.service().describe_cmek(&call.ctx, id(&call)?).await?;
    Ok(model(&call, &found))
}

pub(super) async fn replace(call: Call) -> Result<Answer> {
    let key = pinyon::replace_cmek(call.body())?;
    let replaced = call.service().replace_cmek(&call.ctx, id(&call)?, key).await?;
    Ok(model(&call, &replaced))
}

pub(super) async fn delete(call: Call) -> Result<Answer> {
    let name = pinyon::delete_cmek(call.query())?;
    call.service().delete_cmek(&call.ctx, id(&call)?, &name).await?;
    Ok(Answer::empty(call.status))
}

fn model(call: &Call, (cmek, state): &(Cmek, CmekState)) -> Answer {
    call.answer(pinyon::cmek_model(cmek, state))
}

fn id(call: &Call) -> Result<CmekId> {
    CmekId::parse(call.param("cmek_id"))
}

//! Collections of pod indexes.

use pinyon_model::Result;
use pinyon_wire::control;

use super::Call;
use crate::answer::Answer;

pub(super) async fn list(call: Call) -> Result<Answer> {
    let collections = call.service().list_collections(&call.ctx).await?;
    Ok(call.answer(control::collection_list(call.version, &collections)))
}

pub(super) async fn create(call: Call) -> Result<Answer> {
    let new = control::create_collection(call.body())?;
    let collection = call.service().create_collection(&call.ctx, new).await?;
    Ok(call.answer(control::collection_model(call.version, &collection)))
}

pub(super) async fn describe(call: Call) -> Result<Answer> {
    let collection = call.service().describe_collection(&call.ctx, call.param("collection_name")).await?;
    Ok(call.answer(control::collection_model(call.version, &collection)))
}

pub(super) async fn delete(call: Call) -> Result<Answer> {
    call.service().delete_collection(&call.ctx, call.param("collection_name")).await?;
    Ok(Answer::empty(call.status))
}

//! What search tells of itself: how a query was done, and how much of what there is to find it finds.

use pinyon_model::Result;
use pinyon_wire::data::{ExplainResponse, QueryRequest, RecallResponse};

use super::Call;
use crate::answer::Answer;

pub(super) async fn explain(call: Call) -> Result<Answer> {
    let QueryRequest { namespace, query } = QueryRequest::from_json(call.body())?;
    let (answer, explain) = call.service().explain(&call.ctx, call.param("index_name"), &namespace.name, query).await?;
    let response = ExplainResponse { namespace, matches: answer.matches, usage: answer.usage, explain };
    Ok(call.answer(response.to_json()).read_at(answer.max_indexed_lsn))
}

pub(super) async fn describe(call: Call) -> Result<Answer> {
    let recall = call.service().recall(&call.ctx, call.param("index_name")).await?;
    Ok(call.answer(RecallResponse(recall).to_json()))
}

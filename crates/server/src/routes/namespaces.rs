//! Namespaces: the parts of an index.

use pinyon_model::Result;
use pinyon_wire::data::{CreateNamespaceRequest, ListNamespacesRequest};

use super::Call;
use crate::answer::Answer;

pub(super) async fn list(call: Call) -> Result<Answer> {
    let request = ListNamespacesRequest::from_query(call.query())?;
    let response = call.calls()?.list_namespaces(request).await?;
    Ok(call.answer(response.to_json(call.version)))
}

pub(super) async fn create(call: Call) -> Result<Answer> {
    let request = CreateNamespaceRequest::from_json(call.body())?;
    let response = call.calls()?.create_namespace(request).await?;
    Ok(call.answer(response.to_json(call.version)))
}

pub(super) async fn describe(call: Call) -> Result<Answer> {
    let response = call.calls()?.describe_namespace(call.param("namespace")).await?;
    Ok(call.answer(response.to_json(call.version)))
}

pub(super) async fn delete(call: Call) -> Result<Answer> {
    let response = call.calls()?.delete_namespace(call.param("namespace")).await?;
    Ok(call.answer(response.to_json()))
}

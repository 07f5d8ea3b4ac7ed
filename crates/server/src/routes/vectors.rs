//! Vectors: the records of an index.

use pinyon_model::Result;
use pinyon_wire::data::{
    DeleteRequest, DescribeIndexStatsRequest, FetchByMetadataRequest, FetchRequest, ListRequest, QueryRequest, UpdateRequest, UpsertRequest,
};

use super::Call;
use crate::answer::Answer;

pub(super) async fn upsert(call: Call) -> Result<Answer> {
    let request = UpsertRequest::from_json(call.body())?;
    let (response, lsn) = call.calls()?.upsert(request).await?;
    Ok(call.answer(response.to_json()).written(Some(lsn)))
}

pub(super) async fn query(call: Call) -> Result<Answer> {
    let request = QueryRequest::from_json(call.body())?;
    let (response, lsn) = call.calls()?.query(request).await?;
    Ok(call.answer(response.to_json()).read_at(lsn))
}

pub(super) async fn fetch(call: Call) -> Result<Answer> {
    let request = FetchRequest::from_query(call.query())?;
    let (response, lsn) = call.calls()?.fetch(request).await?;
    Ok(call.answer(response.to_json()).read_at(lsn))
}

pub(super) async fn fetch_by_metadata(call: Call) -> Result<Answer> {
    let request = FetchByMetadataRequest::from_json(call.body())?;
    let (response, lsn) = call.calls()?.fetch_by_metadata(request).await?;
    Ok(call.answer(response.to_json()).read_at(lsn))
}

pub(super) async fn list(call: Call) -> Result<Answer> {
    let request = ListRequest::from_query(call.query())?;
    let (response, lsn) = call.calls()?.list(request).await?;
    Ok(call.answer(response.to_json()).read_at(lsn))
}

pub(super) async fn update(call: Call) -> Result<Answer> {
    let request = UpdateRequest::from_json(call.body())?;
    let (response, lsn) = call.calls()?.update(request).await?;
    Ok(call.answer(response.to_json()).written(lsn))
}

pub(super) async fn delete(call: Call) -> Result<Answer> {
    // The oldest dates delete with the method DELETE and a query string.
    let request = if call.query().is_empty() { DeleteRequest::from_json(call.body())? } else { DeleteRequest::from_query(call.query())? };
    let (response, lsn) = call.calls()?.delete(request).await?;
    Ok(call.answer(response.to_json()).written(Some(lsn)))
}

pub(super) async fn stats(call: Call) -> Result<Answer> {
    let request = DescribeIndexStatsRequest::from_json(call.body())?;
    let response = call.calls()?.stats(request).await?;
    Ok(call.answer(response.to_json(call.version)))
}

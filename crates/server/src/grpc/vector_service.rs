//! The twelve methods: parse, call, render, as their REST twins.

use std::{future::Future, sync::atomic::Ordering};

use pinyon_model::{Lsn, Result};
use pinyon_wire::{
    data::{
        CreateNamespaceRequest, DeleteRequest, DescribeIndexStatsRequest, FetchByMetadataRequest, FetchRequest, ListNamespacesRequest,
        ListRequest, QueryRequest, UpdateRequest, UpsertRequest,
    },
    proto,
};
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, async_trait};

use super::{Caller, generated::vector_service_server::VectorService, status};
use crate::{
    answer::{MAX_INDEXED_LSN_HEADER, REQUEST_LSN_HEADER},
    app::to_the_end,
    calls::Calls,
};

/// What answers; everything it needs comes with the request.
pub(super) struct VectorApi;

type Answer<T> = Result<Response<T>, Status>;

/// The message, and who sent it.
fn enter<T>(request: Request<T>) -> Result<(Caller, T), Status> {
    let (_, extensions, message) = request.into_parts();
    let caller = extensions.get::<Caller>().cloned().ok_or_else(|| Status::internal("a method was called without a caller"))?;
    caller.entered.store(true, Ordering::Relaxed);
    Ok((caller, message))
}

impl Caller {
    fn calls(&self) -> Calls<'_> {
        Calls { service: &self.service, ctx: &self.ctx, index: &self.index }
    }
}

fn answer<T>(result: Result<T>) -> Answer<T> {
    result.map(Response::new).map_err(|error| status(&error))
}

/// With the position that the read saw or the write has, as REST says it in a header.
fn answer_at<T>(header: &'static str, result: Result<(T, Option<Lsn>)>) -> Answer<T> {
    let (message, lsn) = result.map_err(|error| status(&error))?;
    let mut response = Response::new(message);
    if let Some(lsn) = lsn {
        response.metadata_mut().insert(header, lsn.0.into());
    }
    Ok(response)
}

async fn read<T>(call: impl Future<Output = Result<(T, Lsn)>>) -> Answer<T> {
    answer_at(MAX_INDEXED_LSN_HEADER, call.await.map(|(message, lsn)| (message, Some(lsn))))
}

async fn write<T, F>(changes: TaskTracker, call: F) -> Answer<T>
where
    T: Send + 'static,
    F: Future<Output = Result<(T, Option<Lsn>)>> + Send + 'static,
{
    answer_at(REQUEST_LSN_HEADER, to_the_end(&changes, call).await)
}

#[async_trait]
impl VectorService for VectorApi {
    async fn upsert(&self, request: Request<proto::UpsertRequest>) -> Answer<proto::UpsertResponse> {
        let (caller, message) = enter(request)?;
        write(caller.changes.clone(), async move {
            let (response, lsn) = caller.calls().upsert(UpsertRequest::from_proto(message)?).await?;
            Ok((response.into_proto(), Some(lsn)))
        })
        .await
    }

    async fn delete(&self, request: Request<proto::DeleteRequest>) -> Answer<proto::DeleteResponse> {
        let (caller, message) = enter(request)?;
        write(caller.changes.clone(), async move {
            let (response, lsn) = caller.calls().delete(DeleteRequest::from_proto(message)?).await?;
            Ok((response.into_proto(), Some(lsn)))
        })
        .await
    }

    async fn fetch(&self, request: Request<proto::FetchRequest>) -> Answer<proto::FetchResponse> {
        let (caller, message) = enter(request)?;
        read(async {
            let (response, lsn) = caller.calls().fetch(FetchRequest::from_proto(message)?).await?;
            Ok((response.into_proto(), lsn))
        })
        .await
    }

    async fn fetch_by_metadata(&self, request: Request<proto::FetchByMetadataRequest>) -> Answer<proto::FetchByMetadataResponse> {
        let (caller, message) = enter(request)?;
        read(async {
            let (response, lsn) = caller.calls().fetch_by_metadata(FetchByMetadataRequest::from_proto(message)?).await?;
            Ok((response.into_proto_by_metadata(), lsn))
        })
        .await
    }

    async fn list(&self, request: Request<proto::ListRequest>) -> Answer<proto::ListResponse> {
        let (caller, message) = enter(request)?;
        read(async {
            let (response, lsn) = caller.calls().list(ListRequest::from_proto(message)?).await?;
            Ok((response.into_proto(), lsn))
        })
        .await
    }

    async fn query(&self, request: Request<proto::QueryRequest>) -> Answer<proto::QueryResponse> {
        let (caller, message) = enter(request)?;
        read(async {
            let (response, lsn) = caller.calls().query(QueryRequest::from_proto(message)?).await?;
            Ok((response.into_proto(), lsn))
        })
        .await
    }

    async fn update(&self, request: Request<proto::UpdateRequest>) -> Answer<proto::UpdateResponse> {
        let (caller, message) = enter(request)?;
        write(caller.changes.clone(), async move {
            let (response, lsn) = caller.calls().update(UpdateRequest::from_proto(message)?).await?;
            Ok((response.into_proto(), lsn))
        })
        .await
    }

    async fn describe_index_stats(&self, request: Request<proto::DescribeIndexStatsRequest>) -> Answer<proto::DescribeIndexStatsResponse> {
        let (caller, message) = enter(request)?;
        let call = async { caller.calls().stats(DescribeIndexStatsRequest::from_proto(message)?).await };
        answer(call.await.map(|response| response.into_proto(caller.version)))
    }

    async fn list_namespaces(&self, request: Request<proto::ListNamespacesRequest>) -> Answer<proto::ListNamespacesResponse> {
        let (caller, message) = enter(request)?;
        let call = async { caller.calls().list_namespaces(ListNamespacesRequest::from_proto(message)?).await };
        answer(call.await.map(|response| response.into_proto()))
    }

    async fn describe_namespace(&self, request: Request<proto::DescribeNamespaceRequest>) -> Answer<proto::NamespaceDescription> {
        let (caller, message) = enter(request)?;
        answer(caller.calls().describe_namespace(&message.namespace).await.map(|response| response.into_proto()))
    }

    async fn delete_namespace(&self, request: Request<proto::DeleteNamespaceRequest>) -> Answer<proto::DeleteResponse> {
        let (caller, message) = enter(request)?;
        let changes = caller.changes.clone();
        let call = async move { caller.calls().delete_namespace(&message.namespace).await };
        answer(to_the_end(&changes, call).await.map(|response| response.into_proto()))
    }

    async fn create_namespace(&self, request: Request<proto::CreateNamespaceRequest>) -> Answer<proto::NamespaceDescription> {
        let (caller, message) = enter(request)?;
        let changes = caller.changes.clone();
        let call = async move { caller.calls().create_namespace(CreateNamespaceRequest::from_proto(message)?).await };
        answer(to_the_end(&changes, call).await.map(|response| response.into_proto()))
    }
}

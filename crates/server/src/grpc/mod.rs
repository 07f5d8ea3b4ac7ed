//! gRPC: the twelve methods of `VectorService`, on the same ports and through the same checks as REST. Errors leave as
//! gRPC statuses, never as REST bodies.

#[allow(missing_docs, unreachable_pub, dead_code, clippy::all, reason = "generated")]
#[rustfmt::skip]
mod generated;
mod body;
mod vector_service;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use http::{Request, Response};
use hyper::body::Incoming;
use pinyon_model::{Error, ErrorCode, Plane, Result};
use pinyon_service::{IndexRef, OpContext, Service};
use pinyon_wire::{ApiVersion, Operation, VERSION_HEADER, grpc_code};
use tokio_util::task::TaskTracker;
use tonic::{Code, Status, codec::CompressionEncoding};
use tower::Service as _;

use self::{body::BoundedBody, generated::vector_service_server::VectorServiceServer, vector_service::VectorApi};
use crate::{answer::AnswerBody, app::App, body::drain, hosts::Target, listen::Peer};

/// What a method works with, found out before its message is read.
#[derive(Clone)]
struct Caller {
    service: Arc<Service>,
    ctx: OpContext,
    index: IndexRef,
    version: ApiVersion,
    changes: TaskTracker,
    /// Set once the message was decoded and the method runs.
    entered: Arc<AtomicBool>,
}

/// Answers a gRPC request.
pub(crate) async fn serve(app: Arc<App>, peer: Peer, id: Arc<str>, mut request: Request<Incoming>) -> Response<AnswerBody> {
    let caller = match admit(&app, peer, id, &request).await {
        Ok(caller) => caller,
        Err(error) => {
            drain(request);
            return failed(&error);
        }
    };
    let entered = caller.entered.clone();
    request.extensions_mut().insert(caller);
    let limit = app.bodies.limit();
    let mut server = VectorServiceServer::new(VectorApi)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .max_decoding_message_size(limit);
    let request = request.map(|body| BoundedBody::new(body, &app.bodies));
    let response = match server.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let response = if entered.load(Ordering::Relaxed) { response } else { blame_the_message(response) };
    response.map(AnswerBody::Grpc)
}

/// An error as a gRPC answer without a message.
pub(crate) fn failed(error: &Error) -> Response<AnswerBody> {
    status(error).into_http::<tonic::body::Body>().map(AnswerBody::Grpc)
}

async fn admit(app: &Arc<App>, peer: Peer, id: Arc<str>, request: &Request<Incoming>) -> Result<Caller> {
    let method = request.uri().path().strip_prefix("/VectorService/").and_then(Operation::from_grpc);
    let target = app.hosts.target(&app.service, &peer, request);
    let ctx = app.authenticate(peer, id, request.headers(), &target, Plane::Data).await?;
    let Target::Index(index) = target else {
        return Err(Error::not_found("There is no index at this host; use the host that the index's description names"));
    };
    if method.is_none() {
        let shown: String = request.uri().path().chars().take(200).collect();
        return Err(Error::unimplemented(format!("There is no method '{}'", shown.escape_debug())));
    }
    // gRPC has no dates; the SDKs send one all the same, and the default namespace is spelled as theirs spells it.
    let version = request.headers().get(VERSION_HEADER).and_then(|v| v.to_str().ok());
    let version = ApiVersion::from_header(version).unwrap_or(ApiVersion::OLDEST);
    Ok(Caller {
        service: app.service.clone(),
        ctx,
        index,
        version,
        changes: app.changes.clone(),
        entered: Arc::new(AtomicBool::new(false)),
    })
}

/// A status of the gRPC library itself, given before any method ran: what could not be read is the caller's fault, which
/// `INTERNAL` would deny and `RESOURCE_EXHAUSTED` would have clients try again.
fn blame_the_message(mut response: Response<tonic::body::Body>) -> Response<tonic::body::Body> {
    let Some(found) = Status::from_header_map(response.headers()) else { return response };
    let code = match found.code() {
        Code::Internal | Code::Unknown => Code::InvalidArgument,
        Code::ResourceExhausted => Code::OutOfRange,
        _ => return response,
    };
    let changed = Status::new(code, format!("The message could not be read: {}", found.message()));
    if changed.add_header(response.headers_mut()).is_err() {
        return Status::new(code, "The message could not be read").into_http();
    }
    response
}

fn status(error: &Error) -> Status {
    if matches!(error.code, ErrorCode::DataLoss | ErrorCode::Internal) {
        tracing::error!(code = ?error.code, message = error.message, "request failed");
    }
    let mut status = Status::new(Code::from_i32(grpc_code(error.code)), error.message.clone());
    if let Some(seconds) = error.retry_after_s {
        status.metadata_mut().insert("retry-after", seconds.into());
    }
    status
}

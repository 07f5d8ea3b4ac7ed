//! REST: from the table of operations to a handler and back. A handler parses, calls and renders; everything that all of
//! them need happens here, once.

mod absent;
mod admin;
mod backup_schedules;
mod backups;
mod collections;
mod credentials;
mod indexes;
mod login;
mod namespaces;
mod recall;
mod restore_jobs;
mod vectors;

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use pinyon_model::{Error, Index, Plane, Result};
use pinyon_service::{IndexRef, OpContext, Service};
use pinyon_wire::{
    ApiVersion, Envelope, Matched, Operation, PathParams, Route, VERSION_HEADER, control::IndexHosts, match_path, plane_envelope,
    unknown_route,
};

use crate::{
    answer::{Answer, AnswerBody},
    app::{App, health, to_the_end},
    body::{ReadBody, drain},
    calls::Calls,
    hosts::Target,
    listen::Peer,
};

/// What a handler works with.
pub(crate) struct Call {
    app: Arc<App>,
    ctx: OpContext,
    version: ApiVersion,
    status: StatusCode,
    index: Option<IndexRef>,
    path: PathParams,
    query: String,
    body: ReadBody,
}

impl Call {
    fn service(&self) -> &Arc<Service> {
        &self.app.service
    }
    /// The calls on the index whose host was asked.
    fn calls(&self) -> Result<Calls<'_>> {
        let index = self.index.as_ref().ok_or_else(|| Error::internal("a data operation was routed without an index"))?;
        Ok(Calls { service: &self.app.service, ctx: &self.ctx, index })
    }
    /// Where the caller should dial the index.
    fn hosts_of(&self, index: &Index) -> IndexHosts {
        let private = self.service().tells_private_host(&self.ctx, index).then(|| self.app.hosts.private_host_of(index, self.version));
        IndexHosts { host: self.app.hosts.host_of(index, self.version), private_host: private.flatten() }
    }
    fn body(&self) -> &Bytes {
        &self.body.bytes
    }
    fn query(&self) -> &str {
        &self.query
    }
    fn param(&self, name: &str) -> &str {
        self.path.get(name)
    }
    /// The answer of success, with the status that the operation's row names.
    fn answer(&self, body: impl Into<Bytes>) -> Answer {
        Answer::json(self.status, body)
    }
}

/// Answers a REST request.
pub(crate) async fn serve(app: Arc<App>, peer: Peer, id: Arc<str>, request: Request<Incoming>) -> Response<AnswerBody> {
    if matches!(*request.method(), Method::GET | Method::HEAD)
        && let Some(answer) = health(&app, request.uri().path())
    {
        return answer.into_response();
    }
    let target = app.hosts.target(&app.service, &peer, &request);
    let plane = target.plane();
    let (envelope, answered) = match route(plane, &request) {
        Ok(Found::Route(route, path, version)) => {
            (route.envelope(version), call(app, peer, id, target, route, path, version, request).await)
        }
        Ok(Found::Answer(answer)) => {
            drain(request);
            return answer.into_response();
        }
        Err(error) => {
            drain(request);
            (plane_envelope(plane), Err(error))
        }
    };
    answered.unwrap_or_else(|error| refused(envelope, &error)).into_response()
}

/// The answer to a defect.
pub(crate) fn failed(error: &Error) -> Response<AnswerBody> {
    refused(Envelope::Status, error).into_response()
}

fn refused(envelope: Envelope, error: &Error) -> Answer {
    use pinyon_model::ErrorCode::{DataLoss, Internal};
    if matches!(error.code, DataLoss | Internal) {
        tracing::error!(code = ?error.code, message = error.message, "request failed");
    }
    let answer = Answer::from(envelope.render(error));
    if envelope == Envelope::OAuth { answer.no_store() } else { answer }
}

enum Found {
    Route(&'static Route, PathParams, ApiVersion),
    Answer(Answer),
}

fn route(plane: Plane, request: &Request<Incoming>) -> Result<Found> {
    let path = request.uri().path();
    let version = match request.headers().get(VERSION_HEADER) {
        None => ApiVersion::from_header(None)?,
        // What is not text cannot be a date either.
        Some(value) => ApiVersion::from_header(Some(value.to_str().unwrap_or("?")))?,
    };
    Ok(match match_path(plane, request.method().as_str(), path)? {
        Matched::Route(route, path) => Found::Route(route, path, version),
        Matched::WrongMethod(allowed, _) if request.method() == Method::OPTIONS => {
            Found::Answer(Answer::empty(StatusCode::NO_CONTENT).allow(&allowed))
        }
        Matched::WrongMethod(allowed, envelope) => {
            Found::Answer(Answer::from(envelope.render_method_not_allowed(&allowed)).allow(&allowed))
        }
        Matched::Unknown => return Err(unknown_route(path)),
    })
}

#[allow(clippy::too_many_arguments, reason = "each is a different thing that was found out about the request")]
async fn call(
    app: Arc<App>,
    peer: Peer,
    id: Arc<str>,
    target: Target,
    route: &'static Route,
    path: PathParams,
    version: ApiVersion,
    request: Request<Incoming>,
) -> Result<Answer> {
    let Some(permission) = route.permission else {
        return match route.operation {
            Operation::AcceptInvite => credentials::accept_invite(&app, peer, request).await,
            Operation::Login => credentials::login(&app, peer, request).await,
            _ => credentials::issue_token(&app, peer, request).await,
        };
    };
    let ctx = match app.authenticate(peer, id, request.headers(), &target, route.plane).await {
        Ok(ctx) => ctx,
        Err(error) => {
            drain(request);
            return Err(error);
        }
    };
    let index = match target {
        Target::Index(index) => Some(index),
        Target::Control | Target::Missing { .. } => None,
    };
    if !route.implemented {
        drain(request);
        app.service.permit_unbuilt(&ctx, permission, index.as_ref()).await?;
        return Err(route.unimplemented());
    }
    let query = request.uri().query().unwrap_or_default().to_owned();
    let body = app.bodies.read(request).await?;
    let status = StatusCode::from_u16(route.success).unwrap_or(StatusCode::OK);
    let call = Call { app, ctx, version, status, index, path, query, body };
    // What changes something runs to its end even when the client goes away meanwhile.
    if route.is_write() { to_the_end(&call.app.changes.clone(), handle(route, call)).await } else { handle(route, call).await }
}

async fn handle(route: &Route, call: Call) -> Result<Answer> {
    match route.operation {
        Operation::ListIndexes => indexes::list(call).await,
        Operation::CreateIndex => indexes::create(call).await,
        Operation::DescribeIndex => indexes::describe(call).await,
        Operation::ConfigureIndex => indexes::configure(call).await,
        Operation::DeleteIndex => indexes::delete(call).await,
        Operation::ListIndexBackups => backups::list_of_index(call).await,
        Operation::CreateBackup => backups::create(call).await,
        Operation::ListBackups => backups::list(call).await,
        Operation::DescribeBackup => backups::describe(call).await,
        Operation::DeleteBackup => backups::delete(call).await,
        Operation::CreateIndexFromBackup => backups::create_index(call).await,
        Operation::ListRestoreJobs => restore_jobs::list(call).await,
        Operation::DescribeRestoreJob => restore_jobs::describe(call).await,
        Operation::ListBackupSchedules => backup_schedules::list(call).await,
        Operation::CreateBackupSchedule => backup_schedules::create(call).await,
        Operation::DescribeBackupSchedule => backup_schedules::describe(call).await,
        Operation::UpdateBackupSchedule => backup_schedules::update(call).await,
        Operation::DeleteBackupSchedule => backup_schedules::delete(call).await,
        Operation::ListBackupScheduleHistory => backup_schedules::history(call).await,
        Operation::ListCollections => collections::list(call).await,
        Operation::CreateCollection => collections::create(call).await,
        Operation::DescribeCollection => collections::describe(call).await,
        Operation::DeleteCollection => collections::delete(call).await,
        Operation::ListAssistants => absent::list(call).await,
        Operation::Explain => recall::explain(call).await,
        Operation::DescribeRecall => recall::describe(call).await,
        Operation::Upsert => vectors::upsert(call).await,
        Operation::Query => vectors::query(call).await,
        Operation::Fetch => vectors::fetch(call).await,
        Operation::FetchByMetadata => vectors::fetch_by_metadata(call).await,
        Operation::List => vectors::list(call).await,
        Operation::Update => vectors::update(call).await,
        Operation::Delete => vectors::delete(call).await,
        Operation::DescribeIndexStats => vectors::stats(call).await,
        Operation::ListNamespaces => namespaces::list(call).await,
        Operation::CreateNamespace => namespaces::create(call).await,
        Operation::DescribeNamespace => namespaces::describe(call).await,
        Operation::DeleteNamespace => namespaces::delete(call).await,
        Operation::Logout => login::logout(call).await,
        Operation::ChangePassword => login::change_password(call).await,
        operation if route.plane == Plane::Admin => admin::handle(operation, call).await,
        _ => Err(route.unimplemented()),
    }
}

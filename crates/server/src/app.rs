//! One request, whatever it speaks: who asks, for what, and that it always gets an answer with an id.

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use pinyon_model::{Error, ErrorCode, Plane, Principal, ProjectId, Result};
use pinyon_service::{Clock, OpContext, Service};
use tokio_util::task::TaskTracker;

use crate::{
    answer::{Answer, AnswerBody, REQUEST_ID_HEADER},
    body::BodyReader,
    config::Limits,
    grpc,
    hosts::{Hosts, Target},
    index_ports::IndexPorts,
    listen::{Entrance, Peer},
    operator, routes,
};

/// Characters that are kept of what a client says it is.
const USER_AGENT_MAX: usize = 256;

/// Everything that a request may need.
pub(crate) struct App {
    pub(crate) service: Arc<Service>,
    pub(crate) hosts: Hosts,
    pub(crate) bodies: BodyReader,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) root_key: operator::RootKeyFile,
    pub(crate) ports: IndexPorts,
    /// What changes something, in progress.
    pub(crate) changes: TaskTracker,
}

impl App {
    pub(crate) fn new(
        service: Arc<Service>,
        hosts: Hosts,
        limits: &Limits,
        clock: Arc<dyn Clock>,
        root_key: operator::RootKeyFile,
    ) -> Arc<Self> {
        Arc::new(Self {
            service,
            hosts,
            bodies: BodyReader::new(limits),
            clock,
            root_key,
            ports: IndexPorts::default(),
            changes: TaskTracker::new(),
        })
    }

    /// Answers one request. A defect in a handler is a 500 to its caller and no matter to anybody else.
    pub(crate) async fn handle(self: Arc<Self>, peer: Peer, request: Request<Incoming>) -> Response<AnswerBody> {
        let id = request_id(request.headers());
        let grpc = is_grpc(request.headers());
        let started = tokio::time::Instant::now();
        let line = tracing::enabled!(tracing::Level::DEBUG).then(|| (request.method().clone(), request.uri().path().to_owned()));
        let answered = AssertUnwindSafe(self.dispatch(peer, id.clone(), grpc, request)).catch_unwind().await;
        let mut response = answered.unwrap_or_else(|_| {
            tracing::error!(request_id = &*id, "a handler panicked");
            let error = Error::internal("An internal error occurred; its request id helps to find it in the log");
            if grpc { grpc::failed(&error) } else { routes::failed(&error) }
        });
        if let Ok(value) = HeaderValue::try_from(&*id) {
            response.headers_mut().insert(REQUEST_ID_HEADER, value);
        }
        if let Some((method, path)) = line {
            tracing::debug!(request_id = &*id, %method, path, status = response.status().as_u16(), took = ?started.elapsed(), "answered");
        }
        response
    }

    async fn dispatch(self: Arc<Self>, peer: Peer, id: Arc<str>, grpc: bool, request: Request<Incoming>) -> Response<AnswerBody> {
        match peer.entrance {
            Entrance::Operator => operator::serve(&self, request).await,
            Entrance::Health => {
                let found = Some(request.uri().path()).filter(|_| request.method() == Method::GET).and_then(|path| health(&self, path));
                found.unwrap_or_else(|| Answer::text(StatusCode::NOT_FOUND, "not found\n")).into_response()
            }
            Entrance::Main | Entrance::Private | Entrance::Index(_) if grpc => grpc::serve(self, peer, id, request).await,
            Entrance::Main | Entrance::Private | Entrance::Index(_) => routes::serve(self, peer, id, request).await,
        }
    }

    /// Who sent this request to this side of the API, and the context that its call runs in.
    pub(crate) async fn authenticate(
        &self,
        peer: Peer,
        id: Arc<str>,
        headers: &HeaderMap,
        target: &Target,
        plane: Plane,
    ) -> Result<OpContext> {
        let source = peer.source();
        // An API key is no credential on the admin plane, whichever header shows it; the service tells it from a token.
        let credential = if plane == Plane::Admin { bearer(headers) } else { credential(headers) };
        let principal = self.service.authenticate(plane, credential, &source).await?;
        let now_ms = self.clock.now_ms();
        let ctx = OpContext {
            principal,
            organization: None,
            project: chosen_project(headers)?,
            request_id: id,
            now_ms,
            deadline: grpc_timeout(headers).map(|t| now_ms.saturating_add(t.as_millis() as u64)),
            source,
            private_path: peer.private_path,
            user_agent: user_agent(headers),
        };
        match target {
            Target::Missing { project } => Err(self.missing_index(&ctx, project.as_deref()).await?),
            Target::Control | Target::Index(_) => Ok(ctx),
        }
    }

    /// The answer at a host without an index. Whether a host is an index's must not be told to those who may not know of the
    /// index: they are answered as at another project's.
    async fn missing_index(&self, ctx: &OpContext, project: Option<&str>) -> Result<Error> {
        if let Principal::ApiKey { project_id, .. } = *ctx.principal
            && !self.service.may_reach(ctx, project_id)
        {
            return Ok(Error::new(ErrorCode::Unauthenticated, "Unauthorized"));
        }
        let known = match (&*ctx.principal, project) {
            (_, None) => true,
            // One that is restricted to indexes may not tell a host without an index from another index's.
            (Principal::ApiKey { restrictions, .. }, _) if !restrictions.indexes().is_empty() => false,
            (Principal::ApiKey { project_id, .. }, Some(project)) => project_id.short() == project,
            (principal, Some(project)) => {
                let named = principal.grants().is_some_and(|g| g.named_projects().any(|id| id.short() == project));
                named || self.service.list_projects(ctx).await?.iter().any(|p| p.short_id() == project)
            }
        };
        Ok(if known {
            Error::not_found("There is no index at this host")
        } else {
            Error::new(ErrorCode::Unauthenticated, "Invalid API key.")
        })
    }
}

/// Runs a call that changes something to its end, even when the client that asked for it goes away meanwhile: what is halfway
/// done must not be left so. A panic in it goes on in the caller.
pub(crate) async fn to_the_end<T: Send + 'static>(changes: &TaskTracker, call: impl Future<Output = T> + Send + 'static) -> T {
    match changes.spawn(call).await {
        Ok(output) => output,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only when the runtime itself is going down.
            Err(_) => std::future::pending().await,
        },
    }
}

/// `GET /healthz` and `GET /readyz`, which need no key.
pub(crate) fn health(app: &App, path: &str) -> Option<Answer> {
    match path {
        "/healthz" => Some(Answer::text(StatusCode::OK, "ok\n")),
        "/readyz" if app.service.is_ready() => Some(Answer::text(StatusCode::OK, "ready\n")),
        "/readyz" => Some(Answer::text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n")),
        _ => None,
    }
}

/// What a request shows to prove who sends it: `Api-Key`, or `Authorization: Bearer`. One that is not text is as good as an unknown one.
fn credential(headers: &HeaderMap) -> Option<&str> {
    match headers.get("api-key") {
        Some(value) => Some(value.to_str().unwrap_or_default()),
        None => bearer(headers),
    }
}

/// The token of `Authorization: Bearer`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().unwrap_or_default();
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    Some(if scheme.eq_ignore_ascii_case("bearer") { token.trim() } else { "" })
}

/// The project that a caller with rights on several means, by `X-Project-Id`.
fn chosen_project(headers: &HeaderMap) -> Result<Option<ProjectId>> {
    let Some(value) = headers.get("x-project-id") else { return Ok(None) };
    let text = value.to_str().map_err(|_| Error::invalid("X-Project-Id is not the id of a project"))?.trim();
    ProjectId::parse(text).map(Some).map_err(|e| Error::invalid(format!("X-Project-Id: {}", e.message)))
}

/// The id that the client gave its request, if it is one that may be repeated in headers and logs; else a new one.
fn request_id(headers: &HeaderMap) -> Arc<str> {
    let given = headers.get("x-request-id").or_else(|| headers.get(REQUEST_ID_HEADER)).and_then(|v| v.to_str().ok());
    if let Some(id) = given
        && (1..=128).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_graphic())
    {
        return id.into();
    }
    new_request_id().to_string().into()
}

/// An id that no other request has: where this process begins is random, and every step leads far away from the last.
fn new_request_id() -> pinyon_model::ObjectId {
    static FIRST: OnceLock<u128> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    const STEP: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
    let first = FIRST.get_or_init(|| {
        let mut bytes = [0; 16];
        // Without randomness it is zero, which harms nobody.
        let _ = aws_lc_rs::rand::fill(&mut bytes);
        u128::from_le_bytes(bytes)
    });
    let steps = u128::from(COUNT.fetch_add(1, Ordering::Relaxed));
    pinyon_model::ObjectId::from_random(first.wrapping_add(STEP.wrapping_mul(steps)).to_le_bytes())
}

/// What a client says it is, cut to 256 characters.
pub(crate) fn user_agent(headers: &HeaderMap) -> Arc<str> {
    let told = headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    // What `to_str` gives is ASCII.
    told.get(..USER_AGENT_MAX).unwrap_or(told).into()
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(b"application/grpc"))
}

/// The `grpc-timeout` header: up to eight digits and a unit.
fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let n: u64 = Some(digits).filter(|d| (1..=8).contains(&d.len()) && d.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(n * 3600),
        "M" => Duration::from_secs(n * 60),
        "S" => Duration::from_secs(n),
        "m" => Duration::from_millis(n),
        "u" => Duration::from_micros(n),
        "n" => Duration::from_nanos(n),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (n.parse::<header::HeaderName>().unwrap(), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn credentials_come_in_either_header() {
        assert_eq!(credential(&headers(&[("Api-Key", "k")])), Some("k"));
        assert_eq!(credential(&headers(&[("authorization", "Bearer k")])), Some("k"));
        assert_eq!(credential(&headers(&[("authorization", "bearer  k")])), Some("k"));
        assert_eq!(credential(&headers(&[("authorization", "Basic k")])), Some(""));
        assert_eq!(credential(&headers(&[])), None);
        let both = headers(&[("Api-Key", "k"), ("authorization", "Bearer t")]);
        assert_eq!((credential(&both), bearer(&both)), (Some("k"), Some("t")));
        assert_eq!(bearer(&headers(&[("Api-Key", "k")])), None);
        let mut odd = HeaderMap::new();
        odd.insert("api-key", HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(credential(&odd), Some(""));
    }

    #[test]
    fn a_project_is_chosen_by_its_id() {
        let id = ProjectId::from_bytes([7; 16]);
        assert_eq!(chosen_project(&headers(&[])), Ok(None));
        assert_eq!(chosen_project(&headers(&[("X-Project-Id", "07070707-0707-0707-0707-070707070707")])), Ok(Some(id)));
        for bad in ["", "default", "0707"] {
            assert_eq!(chosen_project(&headers(&[("x-project-id", bad)])).unwrap_err().code, ErrorCode::InvalidArgument, "{bad}");
        }
    }

    #[test]
    fn request_ids_are_echoed_when_harmless() {
        assert_eq!(&*request_id(&headers(&[("x-request-id", "abc")])), "abc");
        assert_eq!(request_id(&headers(&[("x-request-id", "a b")])).len(), 36);
        let new: std::collections::HashSet<_> = (0..10_000).map(|_| request_id(&headers(&[]))).collect();
        assert!(new.len() == 10_000 && new.iter().all(|id| id.len() == 36));
    }

    #[tokio::test]
    async fn a_change_ends_without_its_caller_and_panics_with_it() {
        let changes = TaskTracker::new();
        let (done, ended) = tokio::sync::oneshot::channel();
        let (start, started) = tokio::sync::oneshot::channel::<()>();
        let call = to_the_end(&changes, async move {
            let _ = started.await;
            let _ = done.send(7);
        });
        assert!(call.now_or_never().is_none(), "begun, and dropped here");
        let _ = start.send(());
        assert_eq!(ended.await, Ok(7));
        let panicked = AssertUnwindSafe(to_the_end(&changes, async { panic!("a defect") })).catch_unwind().await;
        assert!(panicked.is_err());
    }

    #[test]
    fn timeouts() {
        let t = |v: &'static str| grpc_timeout(&headers(&[("grpc-timeout", v)]));
        assert_eq!(t("20S"), Some(Duration::from_secs(20)));
        assert_eq!(t("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(t("1m"), Some(Duration::from_millis(1)));
        for bad in ["", "S", "1", "-1S", "123456789S", "1x", "é"] {
            assert_eq!(
                HeaderValue::from_str(bad).ok().and_then(|v| grpc_timeout(&HeaderMap::from_iter([("grpc-timeout".parse().unwrap(), v)]))),
                None,
                "{bad}"
            );
        }
    }
}

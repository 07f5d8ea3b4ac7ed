//! One connection, from its acceptance to its end.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use pinyon_service::PrivatePath;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    activity::{InFlight, Place},
    guarded::Guarded,
};
use crate::{answer::AnswerBody, config::Limits};

/// Through which door a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Entrance {
    /// The main port: the control plane, and indexes that have names.
    Main,
    /// The port of one index.
    Index(u16),
    /// The private listener: the main port of those who come by a private endpoint.
    Private,
    /// The private listener, for its balancer's own health checks.
    Health,
    /// The socket in the data directory.
    Operator,
}

/// Who is on the other side of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Through which door.
    pub(crate) entrance: Entrance,
    /// From where, as a trusted balancer says where there is one; none on the socket.
    pub(crate) address: Option<SocketAddr>,
    /// Whether the connection is TLS.
    pub(crate) secure: bool,
    /// How it came, by the private listener.
    pub(crate) private_path: Option<Arc<PrivatePath>>,
}

impl Peer {
    /// The address without its port, as text; empty on the socket.
    pub(crate) fn source(&self) -> Arc<str> {
        self.address.map(|a| a.ip().to_canonical().to_string()).unwrap_or_default().into()
    }
}

/// What answers requests.
pub(crate) type Handler = Arc<dyn Fn(Peer, Request<Incoming>) -> BoxFuture<'static, Response<AnswerBody>> + Send + Sync>;

/// How HTTP is spoken, with every limit set.
#[derive(Clone)]
pub(crate) struct Protocol(auto::Builder<TokioExecutor>);

/// Bytes of one request's head, its URI included.
const HEAD_BYTES_MAX: u32 = 96 << 10;

impl Protocol {
    pub(crate) fn new(limits: &Limits) -> Self {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(HEAD_BYTES_MAX as usize).keep_alive(true);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(HEAD_BYTES_MAX)
            .max_pending_accept_reset_streams(64)
            .max_local_error_reset_streams(256)
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20)
            .keep_alive_interval(Duration::from_secs(60))
            .keep_alive_timeout(Duration::from_secs(20));
        Self(builder)
    }

    /// Serves one connection until it ends, is told to close, or is aborted.
    pub(crate) async fn serve<S>(&self, stream: S, peer: Peer, place: Place, handler: Handler)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = place.activity.clone();
        let io = TokioIo::new(Guarded::new(stream, activity.clone()));
        let service = service_fn({
            let (activity, peer) = (activity.clone(), peer.clone());
            move |request| {
                let in_flight = activity.begin();
                let answer = handler(peer.clone(), request);
                async move { Ok::<_, Infallible>(answer.await.map(|body| Watched { body, _in_flight: in_flight })) }
            }
        });
        let connection = self.0.serve_connection(io, service);
        tokio::pin!(connection);
        let mut closing = false;
        loop {
            tokio::select! {
                biased;
                () = activity.abort.cancelled() => return,
                () = activity.close.cancelled(), if !closing => {
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                }
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(?peer, %error, "connection ended");
                    }
                    return;
                }
            }
        }
    }
}

/// An answer's body that keeps its request in progress until its last byte.
struct Watched {
    body: AnswerBody,
    _in_flight: InFlight,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = <AnswerBody as Body>::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        std::pin::Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

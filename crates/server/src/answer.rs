//! What goes back to a client.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use pinyon_model::Lsn;
use pinyon_wire::RenderedError;

/// Every answer names its request by this header.
pub(crate) const REQUEST_ID_HEADER: &str = "x-pinecone-request-id";
pub(crate) const REQUEST_LSN_HEADER: &str = "x-pinecone-request-lsn";
/// What accepts an invite, told once to whoever made it where no mail is sent.
pub(crate) const INVITE_TOKEN_HEADER: &str = "x-pinyon-invite-token";
pub(crate) const MAX_INDEXED_LSN_HEADER: &str = "x-pinecone-max-indexed-lsn";

/// The body of an answer.
pub(crate) enum AnswerBody {
    /// All of it, at once.
    Full(Full<Bytes>),
    /// What the gRPC server sends, trailers included.
    Grpc(tonic::body::Body),
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        match self.get_mut() {
            Self::Full(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Grpc(body) => Pin::new(body).poll_frame(cx),
        }
    }
    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(body) => body.is_end_stream(),
            Self::Grpc(body) => body.is_end_stream(),
        }
    }
    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(body) => body.size_hint(),
            Self::Grpc(body) => body.size_hint(),
        }
    }
}

/// What a REST handler answers when all went well.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    content_type: &'static str,
    body: Bytes,
    headers: HeaderMap,
}

impl Answer {
    /// A body of JSON.
    pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self { status, content_type: "application/json", body: body.into(), headers: HeaderMap::new() }
    }
    /// 200 with a body of JSON.
    pub(crate) fn ok(body: impl Into<Bytes>) -> Self {
        Self::json(StatusCode::OK, body)
    }
    /// A line of text.
    pub(crate) fn text(status: StatusCode, line: &'static str) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: Bytes::from_static(line.as_bytes()), headers: HeaderMap::new() }
    }
    /// No body.
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self { status, content_type: "", body: Bytes::new(), headers: HeaderMap::new() }
    }
    /// The position of the write, which clients may wait for.
    pub(crate) fn written(mut self, lsn: Option<Lsn>) -> Self {
        if let Some(lsn) = lsn {
            self.headers.insert(REQUEST_LSN_HEADER, HeaderValue::from(lsn.0));
        }
        self
    }
    /// The newest position that the read saw.
    pub(crate) fn read_at(mut self, lsn: Lsn) -> Self {
        self.headers.insert(MAX_INDEXED_LSN_HEADER, HeaderValue::from(lsn.0));
        self
    }
    /// Which methods the path has.
    pub(crate) fn allow(mut self, methods: &[&str]) -> Self {
        if let Ok(value) = HeaderValue::try_from(methods.join(", ")) {
            self.headers.insert(header::ALLOW, value);
        }
        self
    }
    /// It holds a secret, or says something of one: nobody on the way may keep it.
    pub(crate) fn no_store(mut self) -> Self {
        self.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        self.headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        self
    }
    /// What accepts the invite that the answer tells of.
    pub(crate) fn invite_token(mut self, token: &str) -> Self {
        if let Ok(mut value) = HeaderValue::try_from(token) {
            value.set_sensitive(true);
            self.headers.insert(INVITE_TOKEN_HEADER, value);
        }
        self.no_store()
    }

    /// The HTTP answer.
    pub(crate) fn into_response(self) -> Response<AnswerBody> {
        let mut response = Response::new(AnswerBody::Full(Full::new(self.body)));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        if !self.content_type.is_empty() {
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        }
        response
    }
}

impl From<RenderedError> for Answer {
    fn from(error: RenderedError) -> Self {
        let RenderedError { status, content_type, body, retry_after } = error;
        let mut headers = HeaderMap::new();
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, content_type, body: body.into(), headers }
    }
}

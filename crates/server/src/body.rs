//! Reading request bodies: bounded before and after decompression, one by one and all together, and never for ever.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Incoming;
use pinyon_model::{Error, ErrorCode, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt;
use tower_http::decompression::{DecompressionBody, RequestDecompression};

use crate::config::Limits;

/// The unit that memory is handed out in.
const UNIT: usize = 16 << 10;
/// What is read and thrown away of a body that was refused, so that the client gets to read why.
const DRAIN_BYTES: usize = 64 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// Reads bodies within the limits.
#[derive(Clone)]
pub(crate) struct BodyReader {
    limit: usize,
    timeout: Duration,
    memory: Arc<Semaphore>,
}

/// A body in memory, and its share of what all bodies may take.
pub(crate) struct ReadBody {
    /// The bytes.
    pub(crate) bytes: Bytes,
    _share: Share,
}

/// What one body holds of the memory that all bodies may take.
pub(crate) struct Share {
    memory: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
}

impl Share {
    /// Makes it enough for so many bytes; `false` when there is no more to be had.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let Some(more) = bytes.div_ceil(UNIT).checked_sub(held).filter(|n| *n > 0) else { return true };
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        let Ok(more) = self.memory.clone().try_acquire_many_owned(more) else { return false };
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        true
    }
}

impl BodyReader {
    pub(crate) fn new(limits: &Limits) -> Self {
        let units = (limits.bodies_bytes / UNIT).clamp(1, Semaphore::MAX_PERMITS);
        Self { limit: limits.body_bytes, timeout: limits.body_timeout, memory: Arc::new(Semaphore::new(units)) }
    }

    /// Bytes that a body may have.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// One that takes no more than so many bytes of a body.
    pub(crate) fn at_most(&self, bytes: usize) -> Self {
        Self { limit: self.limit.min(bytes), ..self.clone() }
    }

    /// How long a body may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// An empty share of the memory.
    pub(crate) fn share(&self) -> Share {
        Share { memory: self.memory.clone(), held: None }
    }

    /// The whole body, decompressed. A declared length over the limit is refused before a byte is read.
    pub(crate) async fn read(&self, request: http::Request<Incoming>) -> Result<ReadBody> {
        if declared_length(request.headers()).is_some_and(|n| n > self.limit as u64) {
            drain(request);
            return Err(self.too_large());
        }
        check_encoding(request.headers())?;
        let deadline = tokio::time::Instant::now() + self.timeout;
        if !request.headers().contains_key(http::header::CONTENT_ENCODING) {
            return self.collect(request.into_body(), deadline).await.map_err(|(error, rest)| {
                if let Some(rest) = rest {
                    drain_body(rest);
                }
                error
            });
        }
        // The limit stands on both sides: a stream of empty compressed members has no decompressed size to stop it.
        let request = request.map(|body| Limited::new(body, self.limit));
        let body = decompressed(request).await?;
        self.collect(body, deadline).await.map_err(|(error, _)| error)
    }

    /// Reads to the end. On an error, gives back what is left of the body.
    async fn collect<B>(&self, mut body: B, deadline: tokio::time::Instant) -> Result<ReadBody, (Error, Option<B>)>
    where
        B: Body + Unpin,
        B::Data: bytes::Buf,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut bytes = BytesMut::new();
        let mut share = self.share();
        let slow = || Error::invalid("The request body did not arrive in time");
        loop {
            let part = tokio::time::timeout(self.timeout / 4, body.frame());
            let frame = match tokio::time::timeout_at(deadline, part).await {
                Ok(Ok(None)) => break,
                Ok(Ok(Some(Ok(frame)))) => frame,
                Ok(Ok(Some(Err(error)))) => return Err((self.broken(error.into()), None)),
                Ok(Err(_)) | Err(_) => return Err((slow(), None)),
            };
            let Ok(mut data) = frame.into_data() else { continue };
            let size = bytes.len() + bytes::Buf::remaining(&data);
            if size > self.limit {
                return Err((self.too_large(), Some(body)));
            }
            if !share.grow(size) {
                return Err((Error::unavailable("Too much data is being sent at once; try again"), Some(body)));
            }
            if bytes.is_empty() && body.is_end_stream() {
                // All of it, and it need not be copied.
                let bytes = bytes::Buf::copy_to_bytes(&mut data, size);
                return Ok(ReadBody { bytes, _share: share });
            }
            while bytes::Buf::has_remaining(&data) {
                let chunk = bytes::Buf::chunk(&data);
                bytes.extend_from_slice(chunk);
                let n = chunk.len();
                bytes::Buf::advance(&mut data, n);
            }
        }
        Ok(ReadBody { bytes: bytes.freeze(), _share: share })
    }

    fn too_large(&self) -> Error {
        Error::new(ErrorCode::PayloadTooLarge, format!("The request body is larger than the limit of {} bytes", self.limit))
    }

    fn broken(&self, error: Box<dyn std::error::Error + Send + Sync>) -> Error {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&*error);
        while let Some(e) = cause {
            if e.is::<LengthLimitError>() {
                return self.too_large();
            }
            cause = e.source();
        }
        Error::invalid("The request body could not be read: it broke off, or is not compressed as it says")
    }
}

/// The body behind its `Content-Encoding`. tower-http decompresses as a layer around a service, so the service here does
/// nothing but hand the body out.
async fn decompressed<B: Body>(request: http::Request<B>) -> Result<DecompressionBody<B>> {
    let found = Mutex::new(None);
    let take = tower::service_fn(|request: http::Request<DecompressionBody<B>>| {
        *found.lock().unwrap_or_else(PoisonError::into_inner) = Some(request.into_body());
        std::future::ready(Ok::<_, Infallible>(http::Response::new(Empty::<Bytes>::new())))
    });
    let _ = RequestDecompression::new(take).gzip(true).zstd(true).oneshot(request).await;
    found.into_inner().unwrap_or_else(PoisonError::into_inner).ok_or_else(|| Error::internal("a request body was lost"))
}

fn declared_length(headers: &http::HeaderMap) -> Option<u64> {
    headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn check_encoding(headers: &http::HeaderMap) -> Result<()> {
    for value in headers.get_all(http::header::CONTENT_ENCODING) {
        match value.as_bytes() {
            b"gzip" | b"zstd" | b"identity" => {}
            _ => return Err(Error::invalid("Content-Encoding is not supported; gzip and zstd are, one of them at a time")),
        }
    }
    if headers.get_all(http::header::CONTENT_ENCODING).iter().count() > 1 {
        return Err(Error::invalid("More than one Content-Encoding is not supported"));
    }
    Ok(())
}

/// Reads and forgets the body of a refused request, see [`drain_body`]; one that the client holds back until it is asked for
/// (`Expect: 100-continue`) is not asked for.
pub(crate) fn drain(request: http::Request<Incoming>) {
    if !request.headers().contains_key(http::header::EXPECT) {
        drain_body(request.into_body());
    }
}

/// Reads and forgets the rest of a body beside its answer, within bounds: a client that is still sending would otherwise meet
/// a reset connection instead of the reason.
fn drain_body(mut body: Incoming) {
    if body.is_end_stream() {
        return;
    }
    tokio::spawn(tokio::time::timeout(DRAIN_TIME, async move {
        let mut left = DRAIN_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let n = frame.data_ref().map_or(0, Bytes::len);
            left = match left.checked_sub(n) {
                Some(left) => left,
                None => return,
            };
        }
    }));
}

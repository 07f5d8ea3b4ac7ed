//! A message's bytes on their way in: within the same limits as a REST body.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tonic::Status;

use crate::body::{BodyReader, Share};

/// The five bytes in front of a message.
const PREFIX_BYTES: usize = 5;

/// A body that fails once it is too large, too slow, or one too many.
pub(super) struct BoundedBody {
    inner: Incoming,
    seen: usize,
    limit: usize,
    share: Share,
    deadline: Pin<Box<tokio::time::Sleep>>,
}

impl BoundedBody {
    pub(super) fn new(inner: Incoming, reader: &BodyReader) -> Self {
        let deadline = Box::pin(tokio::time::sleep(reader.timeout()));
        Self { inner, seen: 0, limit: reader.limit().saturating_add(PREFIX_BYTES), share: reader.share(), deadline }
    }
}

impl Body for BoundedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let frame = match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(Some(Err(_))) => return Poll::Ready(Some(Err(Status::invalid_argument("the message broke off")))),
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending if this.deadline.as_mut().poll(cx).is_ready() => {
                return Poll::Ready(Some(Err(Status::invalid_argument("the message did not arrive in time"))));
            }
            Poll::Pending => return Poll::Pending,
        };
        this.seen += frame.data_ref().map_or(0, Bytes::len);
        if this.seen > this.limit {
            return Poll::Ready(Some(Err(Status::out_of_range(format!(
                "the message is larger than the limit of {} bytes",
                this.limit - PREFIX_BYTES
            )))));
        }
        if !this.share.grow(this.seen) {
            return Poll::Ready(Some(Err(Status::unavailable("too much data is being sent at once; try again"))));
        }
        Poll::Ready(Some(Ok(frame)))
    }
    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

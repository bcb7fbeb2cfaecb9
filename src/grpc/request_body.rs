//! Body of a call's request, with a time limit.
//!
//! A connection with a running call is not idle, and a caller is admitted once its message has arrived. Without a
//! limit, a call whose message does not arrive would stay open for as long as its connection.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http_body::{Body, Frame, SizeHint};
use prost::bytes::Bytes;
use tokio::time::{Sleep, sleep};
use tonic::{Status, body::Body as TonicBody};

use super::status::status;
use crate::domain::ErrorCode;

/// Maximum time from the headers of a call to the end of its request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(9);
/// Path prefix of reflection, whose clients send requests for as long as they like.
const REFLECTION: &str = "/grpc.reflection.";

/// Limits the time in which the request of a call must arrive: all of it, or the first bytes of a call to reflection.
pub fn limit(call: http::Request<TonicBody>) -> http::Request<TonicBody> {
    let is_stream = call.uri().path().starts_with(REFLECTION);
    let limit = Some(Box::pin(sleep(REQUEST_TIMEOUT)));
    call.map(|inner| TonicBody::new(LimitedBody { inner, is_stream, limit }))
}

struct LimitedBody {
    inner: TonicBody,
    /// True if the limit ends with the first frame.
    is_stream: bool,
    limit: Option<Pin<Box<Sleep>>>,
}

impl Body for LimitedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) {
            if self.is_stream {
                self.limit = None;
            }
            return Poll::Ready(frame);
        }
        let is_over = self.limit.as_mut().is_some_and(|limit| limit.as_mut().poll(cx).is_ready());
        if is_over { Poll::Ready(Some(Err(status(ErrorCode::RequestTimeout, None)))) } else { Poll::Pending }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

//! Body of a feed's response, in slices.
//!
//! hyper takes the next frame of a body when the client's window has room. tonic makes one frame of a whole message, so
//! that a message would leave the instance's sight at once. In slices, the rest of a message stays here: it is charged,
//! it can be dropped, and the progress of each call can be seen.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use http::Response;
use http_body::{Body, Frame};
use prost::bytes::Bytes;
use tokio::sync::Notify;
use tonic::{Status, body::Body as TonicBody};

use crate::relay::{Budget, Charge};

/// Size of a slice: an HTTP/2 frame of a client with default settings.
pub const SLICE_BYTES: usize = 16 * 1024;

/// What a call has encoded and HTTP/2 has not taken yet. Clones share it; a response has it as an extension.
#[derive(Clone)]
pub struct Unsent(Arc<State>);

struct State {
    budget: Budget,
    rest: Mutex<Option<(Bytes, Charge)>>,
    /// Number of bytes that HTTP/2 has taken.
    taken: AtomicU64,
    /// Notified when nothing is left.
    emptied: Notify,
}

impl Unsent {
    /// Returns that of a new call, which charges the budget.
    pub fn new(budget: Budget) -> Self {
        let (rest, taken, emptied) = (Mutex::default(), AtomicU64::default(), Notify::new());
        Self(Arc::new(State { budget, rest, taken, emptied }))
    }

    /// Returns the number of bytes that HTTP/2 has taken.
    pub fn taken(&self) -> u64 {
        self.0.taken.load(Ordering::Relaxed)
    }

    /// Waits until nothing is left. For one waiter; cancellation safe.
    pub async fn emptied(&self) {
        while self.rest().is_some() {
            self.0.emptied.notified().await;
        }
    }

    /// Drops the rest of a message. A client that has a part of it gets the status of the call next, and discards the
    /// part, because the head of a message tells its length.
    pub fn discard(&self) {
        self.rest().take();
        self.0.emptied.notify_one();
    }

    fn rest(&self) -> MutexGuard<'_, Option<(Bytes, Charge)>> {
        self.0.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next slice of the rest.
    fn next(&self) -> Option<Bytes> {
        let mut rest = self.rest();
        let (bytes, charge) = rest.take()?;
        let (slice, later) = self.split(bytes);
        match later {
            Some(later) => *rest = Some((later, charge)),
            None => self.0.emptied.notify_one(),
        }
        Some(slice)
    }

    /// Returns the first slice of a message and keeps the rest.
    fn begin(&self, message: Bytes) -> Bytes {
        let (slice, later) = self.split(message);
        *self.rest() = later.map(|later| {
            let charge = self.0.budget.charge(later.len());
            (later, charge)
        });
        slice
    }

    fn split(&self, mut bytes: Bytes) -> (Bytes, Option<Bytes>) {
        let slice = bytes.split_to(SLICE_BYTES.min(bytes.len()));
        self.0.taken.fetch_add(slice.len() as u64, Ordering::Relaxed);
        (slice, Some(bytes).filter(|rest| !rest.is_empty()))
    }
}

/// Slices the body of a response that has an [`Unsent`].
pub fn slice(mut response: Response<TonicBody>) -> Response<TonicBody> {
    match response.extensions_mut().remove::<Unsent>() {
        Some(unsent) => response.map(|inner| TonicBody::new(SlicedBody { inner, unsent })),
        None => response,
    }
}

struct SlicedBody {
    inner: TonicBody,
    unsent: Unsent,
}

impl Drop for SlicedBody {
    fn drop(&mut self) {
        self.unsent.discard();
    }
}

impl Body for SlicedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(slice) = self.unsent.next() {
            return Poll::Ready(Some(Ok(Frame::data(slice))));
        }
        let Some(frame) = ready!(Pin::new(&mut self.inner).poll_frame(cx)) else { return Poll::Ready(None) };
        Poll::Ready(Some(frame.map(|frame| frame.map_data(|message| self.unsent.begin(message)))))
    }

    fn is_end_stream(&self) -> bool {
        self.unsent.rest().is_none() && self.inner.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http::{HeaderMap, HeaderValue};
    use http_body_util::{BodyExt, StreamBody};

    use super::*;
    use crate::telemetry::Metrics;

    #[tokio::test]
    async fn discarded_rest_of_a_message_is_released_and_followed_by_the_status() {
        let metrics = Metrics::new().unwrap();
        let unsent = Unsent::new(Budget::new(&metrics));
        let message = Frame::data(Bytes::from(vec![0; 3 * SLICE_BYTES]));
        let status = HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("8"))]);
        let frames = [message, Frame::trailers(status.clone())].map(Ok::<_, Status>);
        let inner = TonicBody::new(StreamBody::new(stream::iter(frames)));
        let mut body = SlicedBody { inner, unsent: unsent.clone() };
        let slice = body.frame().await.unwrap().unwrap();
        assert_eq!(slice.data_ref().map(Bytes::len), Some(SLICE_BYTES));
        assert_eq!(metrics.waiting_bytes.get(), 2 * SLICE_BYTES as i64);
        unsent.discard();
        assert_eq!(metrics.waiting_bytes.get(), 0);
        assert_eq!(body.frame().await.unwrap().unwrap().trailers_ref(), Some(&status));
        assert!(body.frame().await.is_none());
    }
}

//! Large bodies of responses, in slices.
//!
//! actix-http copies a body as a whole into the connection's buffer, where a client that does not read keeps it. It
//! takes a slice only if its buffer has room. [`SlicedBody`] keeps the other slices: they are charged to the budget of
//! waiting bytes, the progress of the client can be seen, and the slices of a stalled client are released.

use std::{
    cell::{Cell, RefCell},
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::{
    body::{BodySize, BoxBody, MessageBody},
    rt,
    web::Bytes,
};
use tokio::task::JoinHandle;

use crate::relay::{Budget, Charge, Transport};

/// Size of a slice: half of what actix-http takes before it waits for the socket.
const SLICE_BYTES: usize = 16 * 1024;
/// Bodies up to this size are passed on whole. A connection's buffer holds as much of any body.
const MAX_WHOLE_BYTES: usize = 64 * 1024;

/// Returns a complete body above 64 KiB in slices, charged to the budget until its client has taken it. Returns any
/// other body unchanged.
///
/// Must be called in an actix runtime, where a task of its own watches the client.
pub fn slice(body: BoxBody, budget: &Budget) -> BoxBody {
    if !matches!(body.size(), BodySize::Sized(bytes) if bytes > MAX_WHOLE_BYTES as u64) {
        return body;
    }
    match body.try_into_bytes() {
        Ok(bytes) => BoxBody::new(SlicedBody::charged(bytes, budget.clone())),
        Err(body) => body,
    }
}

/// Body that yields slices of its bytes.
pub struct SlicedBody {
    unsent: Rc<Unsent>,
    /// Watches the client of a charged body.
    watch: Option<JoinHandle<()>>,
}

/// Bytes that the connection has not taken yet.
struct Unsent {
    rest: RefCell<Rest>,
    /// Number of bytes that the connection has taken.
    taken: Cell<u64>,
    total: u64,
}

struct Rest {
    bytes: Bytes,
    _charge: Option<Charge>,
}

impl SlicedBody {
    /// Returns a body of bytes that are part of the program. Nothing is charged, because nothing can be released.
    pub fn of_static(bytes: &'static [u8]) -> Self {
        Self::new(Bytes::from_static(bytes), None)
    }

    fn charged(bytes: Bytes, budget: Budget) -> Self {
        let charge = budget.charge(bytes.len());
        let mut body = Self::new(bytes, Some(charge));
        let unsent = body.unsent.clone();
        body.watch = Some(rt::spawn(async move {
            let _eviction = budget.stalled(Transport::Http, || unsent.taken.get()).await;
            unsent.release();
        }));
        body
    }

    fn new(bytes: Bytes, charge: Option<Charge>) -> Self {
        let total = bytes.len() as u64;
        let rest = RefCell::new(Rest { bytes, _charge: charge });
        Self { unsent: Rc::new(Unsent { rest, taken: Cell::default(), total }), watch: None }
    }
}

impl Unsent {
    /// Drops the rest and its charge. The connection ends at the next slice, because the body is shorter than its head
    /// says.
    fn release(&self) {
        *self.rest.borrow_mut() = Rest { bytes: Bytes::new(), _charge: None };
    }

    /// Takes the next slice; `None` after the last one.
    ///
    /// # Errors
    /// `TimedOut` if the rest was released.
    fn next(&self) -> Option<io::Result<Bytes>> {
        let left = self.total - self.taken.get();
        if left == 0 {
            return None;
        }
        let bytes = &mut self.rest.borrow_mut().bytes;
        if bytes.is_empty() {
            return Some(Err(io::ErrorKind::TimedOut.into()));
        }
        let slice = bytes.split_to(SLICE_BYTES.min(bytes.len()));
        self.taken.set(self.taken.get() + slice.len() as u64);
        Some(Ok(slice))
    }
}

impl MessageBody for SlicedBody {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.unsent.total)
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        Poll::Ready(self.unsent.next())
    }
}

impl Drop for SlicedBody {
    fn drop(&mut self) {
        if let Some(watch) = self.watch.take() {
            watch.abort();
        }
        self.unsent.release();
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;

    use super::*;
    use crate::telemetry::Metrics;

    fn large() -> Bytes {
        (0..=255u8).cycle().take(MAX_WHOLE_BYTES + 1).collect()
    }

    #[actix_web::test]
    async fn large_body_is_sliced_and_charged_until_it_is_taken() {
        let metrics = Metrics::new().unwrap();
        let body = slice(BoxBody::new(large()), &Budget::new(&metrics));
        assert_eq!(body.size(), BodySize::Sized(large().len() as u64));
        assert_eq!(metrics.waiting_bytes.get(), i64::try_from(large().len()).unwrap());
        assert_eq!(to_bytes(body).await.ok(), Some(large()));
        assert_eq!(metrics.waiting_bytes.get(), 0);
    }

    #[actix_web::test]
    async fn small_and_static_bodies_are_not_charged() {
        let (metrics, small) = (Metrics::new().unwrap(), large().slice(1..));
        let body = slice(BoxBody::new(small.clone()), &Budget::new(&metrics));
        assert_eq!(body.try_into_bytes().ok(), Some(small));
        let file: &'static [u8] = Vec::leak(large().to_vec());
        let body = slice(BoxBody::new(SlicedBody::of_static(file)), &Budget::new(&metrics));
        assert_eq!(metrics.waiting_bytes.get(), 0);
        assert_eq!(to_bytes(body).await.ok(), Some(large()));
    }

    #[actix_web::test]
    async fn released_body_ends_with_an_error() {
        let metrics = Metrics::new().unwrap();
        let body = SlicedBody::charged(large(), Budget::new(&metrics));
        assert_eq!(body.unsent.next().unwrap().unwrap(), large().slice(..SLICE_BYTES));
        body.unsent.release();
        assert_eq!(metrics.waiting_bytes.get(), 0);
        assert_eq!(to_bytes(body).await.unwrap_err().to_string(), "timed out");
    }
}

//! Calls of a connection, counted from their headers to the last message of their response.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http_body_util::BodyExt;
use tonic::{body::Body, transport::server::TcpConnectInfo};
use tower::Service;

#[derive(Default)]
struct Counts {
    running: AtomicUsize,
    /// True if a call has begun or ended since [`CallCounter::take_activity`].
    has_activity: AtomicBool,
}

/// Counter of the calls of one connection. Clones share the count.
#[derive(Clone, Default)]
pub struct CallCounter(Arc<Counts>);

impl CallCounter {
    /// Counts a call until the guard is dropped.
    pub(super) fn begin(&self) -> RunningCall {
        self.0.running.fetch_add(1, Ordering::Relaxed);
        self.0.has_activity.store(true, Ordering::Relaxed);
        RunningCall(self.clone())
    }

    /// Reports whether a call is running, or has begun or ended since the last call of this method.
    pub(super) fn take_activity(&self) -> bool {
        self.0.has_activity.swap(false, Ordering::Relaxed) || self.0.running.load(Ordering::Relaxed) > 0
    }
}

/// A call that is running.
pub(super) struct RunningCall(CallCounter);

impl Drop for RunningCall {
    fn drop(&mut self) {
        let CallCounter(counts) = &self.0;
        counts.has_activity.store(true, Ordering::Relaxed);
        counts.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Client of a connection, which each call has as an extension.
#[derive(Clone)]
pub struct ConnectionInfo {
    /// Addresses of the connection, for [`tonic::Request::remote_addr`].
    pub addresses: TcpConnectInfo,
    /// Counter of the connection's calls.
    pub calls: CallCounter,
}

/// Service that counts each call at its connection.
#[derive(Clone)]
pub struct CountCalls<S>(pub S);

impl<S, B> Service<http::Request<B>> for CountCalls<S>
where
    S: Service<http::Request<B>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let connection = request.extensions().get::<ConnectionInfo>();
        let running = connection.map(|connection| connection.calls.begin());
        let response = self.0.call(request);
        Box::pin(async move {
            let response = response.await?;
            Ok(response.map(|body| hold(running, body)))
        })
    }
}

/// Returns a body that holds the guard of its call until it is dropped.
fn hold(running: Option<RunningCall>, body: Body) -> Body {
    Body::new(body.map_frame(move |frame| {
        let _ = &running;
        frame
    }))
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use prost::bytes::Bytes;

    use super::*;

    #[test]
    fn call_is_running_until_the_body_of_its_response_is_dropped() {
        let calls = CallCounter::default();
        assert!(!calls.take_activity());
        let body = hold(Some(calls.begin()), Body::new(Full::new(Bytes::from_static(b"message"))));
        for _ in 0..3 {
            assert!(calls.take_activity(), "the call is running");
        }
        drop(body);
        assert!(calls.take_activity(), "the call has ended since");
        assert!(!calls.take_activity());
    }
}

//! Time limit for input that belongs to no handler: a request head that arrives slowly, or a body that is discarded.
//!
//! actix-http limits the time of the first head of a connection only.

use std::{
    io::{ErrorKind, Result},
    pin::Pin,
    task::Context,
    time::Duration,
};

use tokio::time::{Sleep, sleep};

/// Maximum time from the first byte of a request head, or from a response after which input may be incomplete, until a
/// handler runs. Longer than the HTTP layer's own limit, which answers the first head of a connection with 408.
const IDLE_INPUT_TIMEOUT: Duration = Duration::from_secs(9);

/// Decides when a connection ends because its input does not become a request.
#[derive(Default)]
pub(super) struct IdleInput {
    /// True while input is expected that no handler waits for.
    is_expected: bool,
    /// True if the connection carries no further requests: a WebSocket.
    is_exempt: bool,
    /// Set once everything that was received is decoded and everything that was written is sent.
    timeout: Option<Pin<Box<Sleep>>>,
}

impl IdleInput {
    /// Expects a handler to run soon.
    pub(super) fn expect(&mut self) {
        self.is_expected = !self.is_exempt;
    }

    /// Ends the limit: a handler runs.
    pub(super) fn stop(&mut self) {
        self.is_expected = false;
        self.timeout = None;
    }

    /// Ends the limit for ever.
    pub(super) fn exempt(&mut self) {
        self.is_exempt = true;
        self.stop();
    }

    /// Starts the limit if input is expected. Called after the HTTP layer has decoded its input, so that a request that
    /// arrives at once needs no timer.
    pub(super) fn start(&mut self, cx: &mut Context<'_>) {
        if self.is_expected && self.timeout.is_none() {
            let mut timeout = Box::pin(sleep(IDLE_INPUT_TIMEOUT));
            // Registers the waker. A new timer is pending.
            let _ = timeout.as_mut().poll(cx);
            self.timeout = Some(timeout);
        }
    }

    /// Fails when the time is over.
    pub(super) fn check(&mut self, cx: &mut Context<'_>) -> Result<()> {
        let timeout = self.timeout.as_mut();
        let is_over = timeout.is_some_and(|timeout| timeout.as_mut().poll(cx).is_ready());
        if is_over { Err(ErrorKind::TimedOut.into()) } else { Ok(()) }
    }
}

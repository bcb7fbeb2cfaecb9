//! Handle of a connection, for handlers of requests and for the server.

use std::{cell::RefCell, net::Shutdown, rc::Rc};

use actix_web::rt::net::TcpStream;
use socket2::SockRef;

use super::{
    protocol_error::ProtocolErrorResponse,
    state::{ConnectionState, Feed, UpgradeHandler},
};

/// Handle of a connection. Requests have it as connection data.
#[derive(Clone)]
pub struct ConnectionHandle(Rc<RefCell<ConnectionState>>);

impl ConnectionHandle {
    pub(super) const fn new(state: Rc<RefCell<ConnectionState>>) -> Self {
        Self(state)
    }

    /// Takes the feed of a hijacked connection; `None` if the connection was not hijacked.
    pub fn take_feed(&self) -> Option<Feed> {
        self.0.borrow_mut().feed.take()
    }

    /// Takes the response to a malformed request and its socket; `None` if the HTTP layer sent no error response.
    pub fn take_rejection(&self) -> Option<(ProtocolErrorResponse, TcpStream)> {
        let mut state = self.0.borrow_mut();
        Some((state.rejection.take()?, state.stream.take()?))
    }

    /// Reports whether the handler has not read a chunked body to its end. Such a connection ends after the response,
    /// because the time limit of the rest would also end an idle connection whose client has sent all of it.
    pub fn has_unread_body(&self) -> bool {
        !self.0.borrow().input.is_body_complete
    }

    /// Counts a running handler until the guard is dropped. The rest of a chunked body that the handler has not read, and
    /// of the next head if it has begun, is then received for a limited time; actix-http itself has no limit.
    /// `body_length` is `None` for a chunked body.
    pub fn start_handler(&self, body_length: Option<u64>) -> HandlerGuard {
        let mut state = self.0.borrow_mut();
        state.input.running_handlers += 1;
        state.input.body_length = body_length;
        state.input.is_body_complete = body_length.is_some();
        state.idle_input.stop();
        drop(state);
        HandlerGuard(self.clone())
    }

    /// Records that the handler has read the request body to its end.
    pub fn set_body_complete(&self) {
        self.0.borrow_mut().input.is_body_complete = true;
    }

    /// Returns the number of bytes that the socket has taken from the HTTP layer.
    pub fn taken(&self) -> u64 {
        self.0.borrow().taken
    }

    /// Closes the socket in both directions. The HTTP layer then drops everything that it would still have sent.
    pub fn abort(&self) {
        if let Some(stream) = &self.0.borrow().stream {
            // A socket that is closed already cannot be closed again.
            let _ = SockRef::from(stream).shutdown(Shutdown::Both);
        }
    }

    /// Records that the connection carries no further requests.
    pub fn end_requests(&self) {
        self.0.borrow_mut().idle_input.exempt();
    }

    /// Records whether the handler waits for more of the request body.
    pub fn set_body_awaited(&self, is_awaited: bool) {
        let input = &mut self.0.borrow_mut().input;
        input.is_body_awaited = is_awaited;
        if is_awaited {
            input.wake_reader();
        }
    }

    /// Stores the handler that takes the socket at the next flush.
    pub(super) fn set_upgrade(&self, upgrade: UpgradeHandler) {
        self.0.borrow_mut().upgrade = Some(upgrade);
    }

    pub(super) fn is_hijacked(&self) -> bool {
        self.0.borrow().stream.is_none()
    }
}

/// Guard of a running handler.
pub struct HandlerGuard(ConnectionHandle);

impl Drop for HandlerGuard {
    fn drop(&mut self) {
        let ConnectionState { input, idle_input, .. } = &mut *self.0.0.borrow_mut();
        input.running_handlers -= 1;
        input.is_body_awaited = false;
        let is_end = input.request_end.end_request(input.body_length);
        if !input.is_body_complete || !is_end {
            idle_input.expect();
        }
        input.wake_reader();
    }
}

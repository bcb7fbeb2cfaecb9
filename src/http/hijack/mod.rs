//! Hijack: takes a connection from the HTTP layer after the first bytes of an endless response.
//!
//! actix-http keeps two buffers of 8 KiB and the state of a request for each connection, and copies every piece of a
//! body. An SSE response therefore starts like any other and passes all middleware. After its head and its first bytes
//! are written, an [`UpgradeHandler`] takes the socket, and a [`ChunkedWriter`] writes the rest of the body.
//!
//! # States of a connection
//!
//! ```text
//! Http ──InitialBody is at its end──▶ Pending ──poll_flush──▶ Hijacked ──feed has ended──▶ closed
//!  │
//!  └──the HTTP layer writes an error response of its own──▶ Rejected ──document sent, input drained──▶ closed
//! ```
//!
//! - `Http`: the HTTP layer reads and writes the socket.
//! - `Pending`: the [`UpgradeHandler`] is stored in the connection; the HTTP layer writes its buffered bytes.
//! - `Hijacked`: the feed owns the socket. The HTTP layer reads the end of input, and its writes are discarded. It ends
//!   the request, and its buffers are freed.
//! - `Rejected`: a problem document replaces the response of the HTTP layer; see [`protocol_error`].
//!
//! # Invariants
//!
//! - The socket has one owner at a time: the HTTP layer before the hijack, the feed after it.
//! - The hijack happens in `poll_flush` only. The HTTP layer calls it after all of its buffered bytes are written, so
//!   the head and the first bytes precede every byte of the feed.
//! - A hijacked response has `connection: close`. The HTTP layer reads no later request of the connection.
//! - The server counts a connection until its feed has ended, and waits for it at shutdown.
//! - While a handler runs, the HTTP layer does not see the end of input, unless the handler waits for more of the body.
//!   actix-http would otherwise drop buffered input. A client that has sent FIN gets its complete response.
//! - A chunk is written completely or not at all, as seen by the next writer: bytes that the socket refused stay in the
//!   [`ChunkedWriter`] and go out first.
//! - All parts of a connection are on one thread. No `RefCell` borrow is held across an `.await`.
//!
//! # Without the hijack
//!
//! SSE responses would be streaming bodies of actix-web, with the same delivery guarantees. The overhead of actix-http
//! would be most of a feed's memory and a third of its CPU time (docs/DECISIONS.md, "Event streams leave the HTTP
//! layer"). A FIN after the request would cut off large bodies and end feeds, and malformed requests would get an empty
//! error response.

mod body;
mod chunked_writer;
mod connection;
mod handle;
mod idle_input;
pub mod protocol_error;
mod request_end;
mod state;

pub use self::{
    body::InitialBody,
    chunked_writer::ChunkedWriter,
    connection::HijackableConnection,
    handle::ConnectionHandle,
    state::{Feed, UpgradeHandler},
};

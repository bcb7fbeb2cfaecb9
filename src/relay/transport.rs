//! Transports of clients.

/// Transport of a client; the `transport` label of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Server-sent events of `/events`.
    Sse,
    /// Server-sent states of `/sse/{id}/updates`.
    State,
    /// WebSocket connection on `/ws`.
    WebSocket,
    /// Server-streaming gRPC call.
    Grpc,
    /// Response of an HTTP request that is no feed.
    Http,
    /// The internal subscription that feeds all `/sse/{id}/updates` clients of one stream.
    StateReader,
}

impl Transport {
    /// Returns the label value used in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sse => "sse",
            Self::State => "sse_state",
            Self::WebSocket => "websocket",
            Self::Grpc => "grpc",
            Self::Http => "http",
            Self::StateReader => "state_reader",
        }
    }
}

/// Unsent bytes above which the kernel takes no more for a connection (`TCP_NOTSENT_LOWAT`).
///
/// What waits for a client then waits in this process, where it is charged and released. The send buffer alone holds up
/// to 4 MB for each client on a common host. Bytes that the client has not acknowledged yet are not counted.
pub const MAX_UNSENT_BYTES: u32 = 32 * 1024;

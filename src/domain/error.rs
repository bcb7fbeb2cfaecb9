//! The one table of errors: what each is called and what it becomes over HTTP, gRPC and WebSocket.
//!
//! Which error belongs where: parsing at the edge makes `validation_failed` and its neighbours; a use case makes what
//! is said about streams; the adapters make `store_unavailable` and the `livekit_…` codes. Anything else is `internal`.

/// What went wrong, as a client may branch on it. The text is part of the API and never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// A field of the body or the query breaks a rule; `errors` names each.
    ValidationFailed,
    /// The request head is not valid HTTP/1.1.
    BadRequest,
    /// The request head is larger than the HTTP layer reads.
    HeadersTooLarge,
    /// The body is not JSON.
    MalformedBody,
    /// The cursor was never given out.
    InvalidCursor,
    /// A webhook without a good signature.
    InvalidSignature,
    /// There is no access token, or not a good one.
    Unauthenticated,
    /// The access token was good and is not any more.
    TokenExpired,
    /// The access token does not grant this.
    Forbidden,
    /// The caller asks for more than its share.
    RateLimited,
    /// As many feeds as may be are open.
    TooManyFeeds,
    /// The same request, by its idempotency key, is still being carried out.
    IdempotencyInProgress,
    /// The idempotency key was used for another request.
    IdempotencyMismatch,
    /// There is no such stream.
    StreamNotFound,
    /// There is no such route.
    RouteNotFound,
    /// The route does not have this method.
    MethodNotAllowed,
    /// The lifecycle has no such move.
    InvalidTransition,
    /// The stream is not live.
    StreamNotActive,
    /// As many as may be are active.
    StreamFull,
    /// The stream is still being created; LiveKit sends the webhook again.
    StreamCreating,
    /// LiveKit has a room of this name that is occupied and has other settings.
    RoomExists,
    /// The request expected another version.
    VersionMismatch,
    /// The body is too large.
    PayloadTooLarge,
    /// The body is not JSON by its type.
    UnsupportedMediaType,
    /// The request took too long to arrive.
    RequestTimeout,
    /// Something that should not happen.
    Internal,
    /// LiveKit refused or answered nonsense.
    LivekitError,
    /// LiveKit does not answer.
    LivekitUnavailable,
    /// Redis does not answer.
    StoreUnavailable,
    /// The connection could not keep up with its events.
    SlowConsumer,
    /// The instance is going away.
    ShuttingDown,
    /// The connection has been open for as long as it may.
    ConnectionExpired,
    /// The caller's deadline is over.
    DeadlineExceeded,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The `code` of problem documents.
    pub code: &'static str,
    /// The `title` of problem documents: short, the same for every occurrence.
    pub title: &'static str,
    /// The HTTP status (RFC 9110).
    pub http: u16,
    /// The gRPC status number.
    pub grpc: u8,
    /// The WebSocket close code (RFC 6455), where the error ends the connection.
    pub close: u16,
}

const fn row(code: &'static str, title: &'static str, http: u16, grpc: u8, close: u16) -> Row {
    Row { code, title, http, grpc, close }
}

impl ErrorCode {
    /// All of them.
    pub const ALL: [Self; 33] = [
        Self::ValidationFailed,
        Self::BadRequest,
        Self::HeadersTooLarge,
        Self::MalformedBody,
        Self::InvalidCursor,
        Self::InvalidSignature,
        Self::Unauthenticated,
        Self::TokenExpired,
        Self::Forbidden,
        Self::RateLimited,
        Self::TooManyFeeds,
        Self::IdempotencyInProgress,
        Self::IdempotencyMismatch,
        Self::StreamNotFound,
        Self::RouteNotFound,
        Self::MethodNotAllowed,
        Self::InvalidTransition,
        Self::StreamNotActive,
        Self::StreamFull,
        Self::StreamCreating,
        Self::RoomExists,
        Self::VersionMismatch,
        Self::PayloadTooLarge,
        Self::UnsupportedMediaType,
        Self::RequestTimeout,
        Self::Internal,
        Self::LivekitError,
        Self::LivekitUnavailable,
        Self::StoreUnavailable,
        Self::SlowConsumer,
        Self::ShuttingDown,
        Self::ConnectionExpired,
        Self::DeadlineExceeded,
    ];

    /// What this error becomes.
    #[rustfmt::skip]
    pub const fn row(self) -> Row {
        match self {
            Self::ValidationFailed => row("validation_failed", "Request validation failed", 400, 3, 1008),
            Self::BadRequest => row("bad_request", "Malformed HTTP request", 400, 3, 1008),
            Self::HeadersTooLarge => row("headers_too_large", "Request headers too large", 431, 8, 1009),
            Self::MalformedBody => row("malformed_body", "Request body is not valid JSON", 400, 3, 1007),
            Self::InvalidCursor => row("invalid_cursor", "Invalid cursor", 400, 3, 1008),
            Self::InvalidSignature => row("invalid_signature", "Invalid webhook signature", 401, 16, 1008),
            Self::Unauthenticated => row("unauthenticated", "Valid access token required", 401, 16, 1008),
            Self::TokenExpired => row("token_expired", "Access token expired", 401, 16, 1008),
            Self::Forbidden => row("forbidden", "Access token lacks the required grant", 403, 7, 1008),
            Self::RateLimited => row("rate_limited", "Rate limit exceeded", 429, 8, 1008),
            Self::TooManyFeeds => row("too_many_feeds", "Too many open feeds", 503, 14, 1013),
            Self::IdempotencyInProgress => row("idempotency_in_progress", "Request with this idempotency key in progress", 409, 10, 1008),
            Self::IdempotencyMismatch => row("idempotency_mismatch", "Idempotency key used for another request", 422, 3, 1008),
            Self::StreamNotFound => row("stream_not_found", "Stream not found", 404, 5, 1008),
            Self::RouteNotFound => row("route_not_found", "Route not found", 404, 12, 1008),
            Self::MethodNotAllowed => row("method_not_allowed", "Method not allowed", 405, 12, 1008),
            Self::InvalidTransition => row("invalid_transition", "Invalid status transition", 409, 9, 1008),
            Self::StreamNotActive => row("stream_not_active", "Stream not active", 409, 9, 1008),
            Self::StreamFull => row("stream_full", "Stream full", 409, 8, 1008),
            Self::StreamCreating => row("stream_creating", "Stream still being created", 503, 14, 1013),
            Self::RoomExists => row("room_exists", "LiveKit room exists with other settings", 409, 6, 1008),
            Self::VersionMismatch => row("version_mismatch", "Stream version mismatch", 412, 10, 1008),
            Self::PayloadTooLarge => row("payload_too_large", "Request body too large", 413, 8, 1009),
            Self::UnsupportedMediaType => row("unsupported_media_type", "Unsupported media type", 415, 3, 1003),
            Self::RequestTimeout => row("request_timeout", "Request timeout", 408, 4, 1008),
            Self::Internal => row("internal", "Internal error", 500, 13, 1011),
            Self::LivekitError => row("livekit_error", "LiveKit error", 502, 14, 1011),
            Self::LivekitUnavailable => row("livekit_unavailable", "LiveKit unavailable", 503, 14, 1013),
            Self::StoreUnavailable => row("store_unavailable", "Store unavailable", 503, 14, 1013),
            Self::SlowConsumer => row("slow_consumer", "Slow consumer", 503, 8, 1013),
            Self::ShuttingDown => row("shutting_down", "Instance shutting down", 503, 14, 1012),
            Self::ConnectionExpired => row("connection_expired", "Connection expired", 503, 14, 1012),
            Self::DeadlineExceeded => row("deadline_exceeded", "Deadline exceeded", 504, 4, 1008),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_statuses_are_errors() {
        let codes: HashSet<_> = ErrorCode::ALL.iter().map(|code| code.row().code).collect();
        assert_eq!(codes.len(), ErrorCode::ALL.len());
        for code in ErrorCode::ALL {
            let row = code.row();
            assert!((400..=599).contains(&row.http) && (1..=16).contains(&row.grpc), "{}", row.code);
            assert!((1000..=1014).contains(&row.close), "{}", row.code);
        }
    }
}

//! Error table: the code and title of each error, and its status over HTTP, gRPC and WebSocket.

use crate::domain::{ErrorCode, ErrorCode as E};

/// One row of the error table.
#[derive(Clone, Copy, Debug)]
pub struct ErrorMapping {
    /// `code` of problem documents. Part of the API; it never changes.
    pub code: &'static str,
    /// `title` of problem documents, the same for every occurrence.
    pub title: &'static str,
    /// HTTP status (RFC 9110).
    pub http: u16,
    /// gRPC status code.
    pub grpc: u8,
    /// WebSocket close code (RFC 6455) of a connection that the error ends.
    pub close: u16,
}

const fn mapping(code: &'static str, title: &'static str, http: u16, grpc: u8, close: u16) -> ErrorMapping {
    ErrorMapping { code, title, http, grpc, close }
}

impl ErrorMapping {
    /// Returns the row of an error code.
    #[rustfmt::skip]
    #[expect(clippy::too_many_lines, reason = "a table with one line for each code")]
    pub const fn of(code: ErrorCode) -> Self {
        match code {
            E::ValidationFailed => mapping("validation_failed", "Request validation failed", 400, 3, 1008),
            E::BadRequest => mapping("bad_request", "Malformed HTTP request", 400, 3, 1008),
            E::HeadersTooLarge => mapping("headers_too_large", "Request headers too large", 431, 8, 1009),
            E::MalformedBody => mapping("malformed_body", "Request body is not valid JSON", 400, 3, 1007),
            E::InvalidCursor => mapping("invalid_cursor", "Invalid cursor", 400, 3, 1008),
            E::CursorNotKept => mapping("cursor_not_kept", "Cursor no longer kept", 409, 9, 1008),
            E::EndpointNotFound => mapping("endpoint_not_found", "Webhook endpoint not found", 404, 5, 1008),
            E::EndpointFromFile => mapping("endpoint_from_file", "Webhook endpoint defined by a file", 409, 9, 1008),
            E::TooManyEndpoints => mapping("too_many_endpoints", "Too many webhook endpoints", 409, 8, 1008),
            E::HistoryDisabled => mapping("history_disabled", "History disabled", 501, 12, 1008),
            E::HistoryUnavailable => mapping("history_unavailable", "History unavailable", 503, 14, 1013),
            E::InvalidSignature => mapping("invalid_signature", "Invalid webhook signature", 401, 16, 1008),
            E::Unauthenticated => mapping("unauthenticated", "Valid access token required", 401, 16, 1008),
            E::TokenExpired => mapping("token_expired", "Access token expired", 401, 16, 1008),
            E::Forbidden => mapping("forbidden", "Access token lacks the required grant", 403, 7, 1008),
            E::MisdirectedRequest => mapping("misdirected_request", "Misdirected request", 421, 7, 1008),
            E::ForeignOrigin => mapping("foreign_origin", "Origin not allowed", 403, 7, 1008),
            E::RateLimited => mapping("rate_limited", "Rate limit exceeded", 429, 8, 1008),
            E::TooManyFeeds => mapping("too_many_feeds", "Too many open feeds", 503, 14, 1013),
            E::IdempotencyInProgress =>
                mapping("idempotency_in_progress", "Request with this idempotency key in progress", 409, 10, 1008),
            E::OperationInProgress =>
                mapping("operation_in_progress", "Another operation on the stream in progress", 409, 10, 1008),
            E::RoomNameLocked => mapping("room_name_locked", "Room name locked", 409, 10, 1008),
            E::IdempotencyMismatch =>
                mapping("idempotency_mismatch", "Idempotency key used for another request", 422, 3, 1008),
            E::TooManyIdempotencyKeys =>
                mapping("too_many_idempotency_keys", "Too many live idempotency keys", 429, 8, 1008),
            E::StreamNotFound => mapping("stream_not_found", "Stream not found", 404, 5, 1008),
            E::ParticipantNotFound => mapping("participant_not_found", "Participant not found", 404, 5, 1008),
            E::ParticipantNotPresent => mapping("participant_not_present", "Participant not present", 409, 9, 1008),
            E::TrackNotFound => mapping("track_not_found", "Track not found", 404, 5, 1008),
            E::RouteNotFound => mapping("route_not_found", "Route not found", 404, 12, 1008),
            E::MethodNotAllowed => mapping("method_not_allowed", "Method not allowed", 405, 12, 1008),
            E::InvalidTransition => mapping("invalid_transition", "Invalid status transition", 409, 9, 1008),
            E::StreamNotActive => mapping("stream_not_active", "Stream not active", 409, 9, 1008),
            E::StreamFull => mapping("stream_full", "Stream full", 409, 8, 1008),
            E::TooManyHands => mapping("too_many_hands", "Too many raised hands", 409, 8, 1008),
            E::HandsTooFrequent => mapping("hands_too_frequent", "Hands raised too often", 429, 8, 1008),
            E::ParticipantBlocked => mapping("participant_blocked", "Participant blocked", 403, 7, 1008),
            E::TooManyBlocks => mapping("too_many_blocks", "Too many blocks", 409, 8, 1008),
            E::IngressNotFound => mapping("ingress_not_found", "Ingress not found", 404, 5, 1008),
            E::IngressExists => mapping("ingress_exists", "Ingress with this identity exists", 409, 6, 1008),
            E::TooManyIngresses => mapping("too_many_ingresses", "Too many ingresses", 409, 8, 1008),
            E::IngressUnavailable => mapping("ingress_unavailable", "Ingress unavailable", 503, 14, 1013),
            E::RecordingNotFound => mapping("recording_not_found", "Recording not found", 404, 5, 1008),
            E::BroadcastNotFound => mapping("broadcast_not_found", "Broadcast not found", 404, 5, 1008),
            E::OutputNotFound => mapping("output_not_found", "Output not found", 404, 5, 1008),
            E::BroadcastEnded => mapping("broadcast_ended", "Broadcast ended", 409, 9, 1008),
            E::LastOutput => mapping("last_output", "Last output of the broadcast", 409, 9, 1008),
            E::TooManyOutputs => mapping("too_many_outputs", "Too many outputs", 409, 8, 1008),
            E::TooManyEgresses => mapping("too_many_egresses", "Too many recordings and broadcasts", 409, 8, 1008),
            E::EgressUnavailable => mapping("egress_unavailable", "Egress unavailable", 503, 14, 1013),
            E::StorageNotConfigured => mapping("storage_not_configured", "Storage not configured", 501, 12, 1008),
            E::StreamBackstage => mapping("stream_backstage", "Stream backstage", 409, 9, 1008),
            E::StreamCreating => mapping("stream_creating", "Stream still being created", 503, 14, 1013),
            E::RoomExists => mapping("room_exists", "LiveKit room exists with other settings", 409, 6, 1008),
            E::VersionMismatch => mapping("version_mismatch", "Stream version mismatch", 412, 10, 1008),
            E::PayloadTooLarge => mapping("payload_too_large", "Request body too large", 413, 8, 1009),
            E::UnsupportedMediaType => mapping("unsupported_media_type", "Unsupported media type", 415, 3, 1003),
            E::RequestTimeout => mapping("request_timeout", "Request timeout", 408, 4, 1008),
            E::WebhookTimeout => mapping("webhook_timeout", "Webhook timeout", 503, 14, 1013),
            E::Internal => mapping("internal", "Internal error", 500, 13, 1011),
            E::LivekitError => mapping("livekit_error", "LiveKit error", 502, 14, 1011),
            E::LivekitUnavailable => mapping("livekit_unavailable", "LiveKit unavailable", 503, 14, 1013),
            E::StoreUnavailable => mapping("store_unavailable", "Store unavailable", 503, 14, 1013),
            E::SlowConsumer => mapping("slow_consumer", "Slow consumer", 503, 8, 1013),
            E::ShuttingDown => mapping("shutting_down", "Instance shutting down", 503, 14, 1012),
            E::ConnectionExpired => mapping("connection_expired", "Connection expired", 503, 14, 1012),
            E::DeadlineExceeded => mapping("deadline_exceeded", "Deadline exceeded", 504, 4, 1008),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_statuses_are_errors() {
        let codes: HashSet<_> = ErrorCode::ALL.iter().map(|code| ErrorMapping::of(*code).code).collect();
        assert_eq!(codes.len(), ErrorCode::ALL.len());
        for code in ErrorCode::ALL {
            let mapping = ErrorMapping::of(code);
            assert!(
                (400..=599).contains(&mapping.http) && (1..=16).contains(&mapping.grpc),
                "{}",
                mapping.code
            );
            assert!((1000..=1014).contains(&mapping.close), "{}", mapping.code);
        }
    }
}

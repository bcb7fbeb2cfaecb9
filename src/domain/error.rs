//! Kinds of failures.
//!
//! Parsers of requests return `ValidationFailed` and similar codes. Use cases return the codes about streams, and the
//! adapters of Redis and LiveKit `StoreUnavailable`, `LivekitError` and `LivekitUnavailable`. Any other failure is
//! `Internal`.

/// Kind of failure that a client can distinguish. `crate::error_mapping` maps each one to a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// A field of the body or the query is invalid; `errors` names each one.
    ValidationFailed,
    /// The request head is not valid HTTP/1.1.
    BadRequest,
    /// The request head is larger than the HTTP layer reads.
    HeadersTooLarge,
    /// The body is not JSON.
    MalformedBody,
    /// The text is not a cursor of this service.
    InvalidCursor,
    /// The log no longer holds every event after the cursor.
    CursorNotKept,
    /// No webhook endpoint has this id.
    EndpointNotFound,
    /// The file of webhook endpoints defines the endpoint.
    EndpointFromFile,
    /// The deployment has the maximum number of webhook endpoints.
    TooManyEndpoints,
    /// The deployment keeps no history.
    HistoryDisabled,
    /// The database of the history does not answer.
    HistoryUnavailable,
    /// The webhook has no valid signature.
    InvalidSignature,
    /// The access token is missing or invalid.
    Unauthenticated,
    /// The access token was valid and has expired.
    TokenExpired,
    /// The access token does not grant the action.
    Forbidden,
    /// The request names a host that an API without authentication does not accept.
    MisdirectedRequest,
    /// A page of another origin has requested a change from an API without authentication.
    ForeignOrigin,
    /// The caller has exceeded its rate limit.
    RateLimited,
    /// The instance or the caller has the maximum number of open feeds.
    TooManyFeeds,
    /// A request with the same idempotency key is in progress.
    IdempotencyInProgress,
    /// Another operation on the stream is in progress.
    OperationInProgress,
    /// The room name is locked while an orphaned room of that name is deleted.
    RoomNameLocked,
    /// The idempotency key was used for another request.
    IdempotencyMismatch,
    /// The caller has the maximum number of live idempotency keys.
    TooManyIdempotencyKeys,
    /// No stream has this id or room name.
    StreamNotFound,
    /// The stream has no participant of this identity.
    ParticipantNotFound,
    /// The participant has left.
    ParticipantNotPresent,
    /// The participant has no track of this sid.
    TrackNotFound,
    /// No route has this path.
    RouteNotFound,
    /// The route does not support the method.
    MethodNotAllowed,
    /// The lifecycle does not allow the status transition.
    InvalidTransition,
    /// The stream is not active.
    StreamNotActive,
    /// The stream has its maximum number of active participants.
    StreamFull,
    /// The stream has its maximum number of raised hands.
    TooManyHands,
    /// Hands were raised too often.
    HandsTooFrequent,
    /// The identity is blocked in the stream.
    ParticipantBlocked,
    /// The stream has its maximum number of blocks.
    TooManyBlocks,
    /// The stream has no ingress of this id.
    IngressNotFound,
    /// An ingress of the stream has this identity.
    IngressExists,
    /// The stream has its maximum number of ingresses.
    TooManyIngresses,
    /// LiveKit has no Redis, no worker for ingresses, or does not answer.
    IngressUnavailable,
    /// The stream has no recording of this id.
    RecordingNotFound,
    /// The stream has no broadcast of this id.
    BroadcastNotFound,
    /// The broadcast has no such output.
    OutputNotFound,
    /// The broadcast has ended or is ending.
    BroadcastEnded,
    /// The change would leave the broadcast without an output.
    LastOutput,
    /// The broadcast has its maximum number of outputs.
    TooManyOutputs,
    /// The stream has its maximum number of recordings and broadcasts that run.
    TooManyEgresses,
    /// LiveKit has no Redis, no worker for egresses, or does not answer.
    EgressUnavailable,
    /// The deployment has no storage for recordings and HLS.
    StorageNotConfigured,
    /// The stream is backstage, where viewers have no access.
    StreamBackstage,
    /// The stream is still being created. LiveKit sends the webhook again.
    StreamCreating,
    /// LiveKit has an occupied room of this name with other settings.
    RoomExists,
    /// The stream is not at the version that the request expects.
    VersionMismatch,
    /// The body is too large.
    PayloadTooLarge,
    /// The content type of the body is not JSON.
    UnsupportedMediaType,
    /// The request did not arrive in time.
    RequestTimeout,
    /// The body of a webhook did not arrive in time. LiveKit sends the webhook again.
    WebhookTimeout,
    /// The service has failed in a way that it does not expect.
    Internal,
    /// LiveKit has refused a call, or its answer is invalid.
    LivekitError,
    /// LiveKit does not answer.
    LivekitUnavailable,
    /// Redis does not answer.
    StoreUnavailable,
    /// The client reads more slowly than its events arrive.
    SlowConsumer,
    /// The instance is shutting down.
    ShuttingDown,
    /// The connection has reached its maximum age.
    ConnectionExpired,
    /// The deadline of the call has passed.
    DeadlineExceeded,
}

impl ErrorCode {
    /// All codes.
    pub const ALL: [Self; 66] = [
        Self::ValidationFailed,
        Self::BadRequest,
        Self::HeadersTooLarge,
        Self::MalformedBody,
        Self::InvalidCursor,
        Self::CursorNotKept,
        Self::EndpointNotFound,
        Self::EndpointFromFile,
        Self::TooManyEndpoints,
        Self::HistoryDisabled,
        Self::HistoryUnavailable,
        Self::InvalidSignature,
        Self::Unauthenticated,
        Self::TokenExpired,
        Self::Forbidden,
        Self::MisdirectedRequest,
        Self::ForeignOrigin,
        Self::RateLimited,
        Self::TooManyFeeds,
        Self::IdempotencyInProgress,
        Self::OperationInProgress,
        Self::RoomNameLocked,
        Self::IdempotencyMismatch,
        Self::TooManyIdempotencyKeys,
        Self::StreamNotFound,
        Self::ParticipantNotFound,
        Self::ParticipantNotPresent,
        Self::TrackNotFound,
        Self::RouteNotFound,
        Self::MethodNotAllowed,
        Self::InvalidTransition,
        Self::StreamNotActive,
        Self::StreamFull,
        Self::TooManyHands,
        Self::HandsTooFrequent,
        Self::ParticipantBlocked,
        Self::TooManyBlocks,
        Self::IngressNotFound,
        Self::IngressExists,
        Self::TooManyIngresses,
        Self::IngressUnavailable,
        Self::RecordingNotFound,
        Self::BroadcastNotFound,
        Self::OutputNotFound,
        Self::BroadcastEnded,
        Self::LastOutput,
        Self::TooManyOutputs,
        Self::TooManyEgresses,
        Self::EgressUnavailable,
        Self::StorageNotConfigured,
        Self::StreamBackstage,
        Self::StreamCreating,
        Self::RoomExists,
        Self::VersionMismatch,
        Self::PayloadTooLarge,
        Self::UnsupportedMediaType,
        Self::RequestTimeout,
        Self::WebhookTimeout,
        Self::Internal,
        Self::LivekitError,
        Self::LivekitUnavailable,
        Self::StoreUnavailable,
        Self::SlowConsumer,
        Self::ShuttingDown,
        Self::ConnectionExpired,
        Self::DeadlineExceeded,
    ];
}

//! gRPC statuses of errors and of the ends of feeds.

use tonic::{Code, Status};

use crate::{domain::ErrorCode, error_mapping::ErrorMapping, orchestrator, relay::Ended, store::StoreError};

/// Returns the status of an error code. Its message is `detail`, or the title of the error.
pub fn status(code: ErrorCode, detail: Option<String>) -> Status {
    let mapping = ErrorMapping::of(code);
    let mut status =
        Status::new(Code::from(i32::from(mapping.grpc)), detail.unwrap_or_else(|| mapping.title.to_owned()));
    if let Ok(code) = mapping.code.parse() {
        status.metadata_mut().insert("code", code);
    }
    status
}

/// Returns the status of a use case's error, and logs errors of the service.
#[expect(clippy::needless_pass_by_value, reason = "the form that map_err takes")]
pub fn use_case_status(error: orchestrator::Error) -> Status {
    if ErrorMapping::of(error.code()).http >= 500 {
        tracing::error!(%error, "a gRPC call failed");
    }
    status(error.code(), error.detail())
}

/// Returns the status of an error of the store.
pub fn store_status(error: StoreError) -> Status {
    use_case_status(error.into())
}

/// Returns the status that ends a feed; `None` (OK) for a complete feed.
pub fn end_status(reason: Ended) -> Option<Status> {
    (reason != Ended::Complete).then(|| status(end_code(reason), None))
}

/// Returns the error code for the end of an incomplete feed.
pub const fn end_code(reason: Ended) -> ErrorCode {
    match reason {
        Ended::TooSlow => ErrorCode::SlowConsumer,
        Ended::Complete | Ended::ShuttingDown => ErrorCode::ShuttingDown,
        Ended::Expired => ErrorCode::ConnectionExpired,
        Ended::TokenExpired => ErrorCode::TokenExpired,
        Ended::Blocked => ErrorCode::ParticipantBlocked,
        Ended::Unavailable => ErrorCode::StoreUnavailable,
    }
}

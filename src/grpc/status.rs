//! The only mapping of errors to gRPC.

use tonic::{Code, Status};

use crate::{domain::ErrorCode, error_mapping::ErrorMapping, orchestrator, relay::Ended, store::StoreError};

/// The status of an error code, with words for this one occurrence.
pub fn status(code: ErrorCode, detail: Option<String>) -> Status {
    let mapping = ErrorMapping::of(code);
    let mut status =
        Status::new(Code::from(i32::from(mapping.grpc)), detail.unwrap_or_else(|| mapping.title.to_owned()));
    if let Ok(code) = mapping.code.parse() {
        status.metadata_mut().insert("code", code);
    }
    status
}

/// The status of a use case's error.
#[expect(clippy::needless_pass_by_value, reason = "the form that map_err takes")]
pub fn of_error(error: orchestrator::Error) -> Status {
    if ErrorMapping::of(error.code()).http >= 500 {
        tracing::error!(%error, "a gRPC call failed");
    }
    status(error.code(), error.detail())
}

/// The status of an error of the store.
pub fn of_store(error: StoreError) -> Status {
    of_error(error.into())
}

/// How a feed ends: with OK where it is complete.
pub fn of_end(reason: Ended) -> Option<Status> {
    (reason != Ended::Complete).then(|| status(code_of(reason), None))
}

/// The code for the end of a feed that is not complete.
pub const fn code_of(reason: Ended) -> ErrorCode {
    match reason {
        Ended::TooSlow => ErrorCode::SlowConsumer,
        Ended::Complete | Ended::ShuttingDown => ErrorCode::ShuttingDown,
        Ended::Expired => ErrorCode::ConnectionExpired,
        Ended::TokenExpired => ErrorCode::TokenExpired,
        Ended::Unavailable => ErrorCode::StoreUnavailable,
    }
}

//! Errors of the use cases of webhook endpoints.

use crate::{delivery::UrlError, domain::ErrorCode, orchestrator, store::StoreError};

/// Error of a use case.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stream that the endpoint would follow cannot be read.
    #[error(transparent)]
    Stream(#[from] orchestrator::Error),
    /// No endpoint has this id.
    #[error("no endpoint has this id")]
    NotFound,
    /// The file of endpoints defines the endpoint.
    #[error("WEBHOOK_ENDPOINTS_FILE defines the endpoint: the API can only disable and enable it")]
    FromFile,
    /// The deployment has the maximum number of endpoints.
    #[error("at most {} endpoints", crate::domain::webhook_endpoint::MAX_ENDPOINTS)]
    TooMany,
    /// Other requests change the endpoint at the same time.
    #[error("other requests change the endpoint")]
    Contended,
    /// Invalid URL.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The log no longer holds every event after the cursor.
    #[error("the log no longer holds every event after the cursor")]
    CursorNotKept,
    /// The service has never issued the cursor.
    #[error("is not a cursor that this service gave out")]
    UnknownCursor,
    /// The operating system gives no random numbers.
    #[error("no secret generated: {0}")]
    Random(String),
}

impl Error {
    /// Returns the code of the API's error table.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Store(error) => orchestrator::Error::from(error.clone()).code(),
            Self::Stream(error) => error.code(),
            Self::NotFound => ErrorCode::EndpointNotFound,
            Self::FromFile => ErrorCode::EndpointFromFile,
            Self::TooMany => ErrorCode::TooManyEndpoints,
            Self::Contended => ErrorCode::OperationInProgress,
            Self::Url(_) => ErrorCode::ValidationFailed,
            Self::CursorNotKept => ErrorCode::CursorNotKept,
            Self::UnknownCursor => ErrorCode::InvalidCursor,
            Self::Random(_) => ErrorCode::Internal,
        }
    }
}

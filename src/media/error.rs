//! Failures of media jobs.

use livekit_api::services::ServerErrorCode;

use crate::livekit_client::CallError;

/// Part of LiveKit's error message when it runs without Redis.
const WITHOUT_REDIS: &str = "redis required";

/// LiveKit's codes without a worker, if the worker does not answer, and if all workers are busy.
const WITHOUT_WORKER: [&str; 4] = [
    ServerErrorCode::UNAVAILABLE,
    ServerErrorCode::DEADLINE_EXCEEDED,
    ServerErrorCode::ABORTED,
    ServerErrorCode::RESOURCE_EXHAUSTED,
];

/// Failure of a media job.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MediaError {
    /// LiveKit runs without Redis, which ingresses and egresses need.
    #[error("LiveKit runs without Redis, which ingresses and egresses need")]
    Unsupported,
    /// LiveKit does not answer, or has no worker. The call may have taken effect.
    #[error("LiveKit or its worker does not answer: {0}")]
    Unavailable(String),
    /// LiveKit does not know the room, the egress or the RTMP target.
    #[error("LiveKit does not know the room, the egress or the target")]
    NotFound,
    /// The egress ends or has ended.
    #[error("the egress ends or has ended")]
    Ended,
    /// LiveKit answered with an error, or with an invalid answer.
    #[error("LiveKit refused: {0}")]
    Refused(String),
}

impl MediaError {
    /// Returns the failure of calls that LiveKit has not answered within the time of their request.
    pub fn no_answer() -> Self {
        Self::Unavailable("no answer in time".to_owned())
    }
}

impl From<CallError> for MediaError {
    /// Distinguishes an unavailable LiveKit or worker from a refusal.
    fn from(error: CallError) -> Self {
        match error {
            CallError::Answered { message, .. } if message.contains(WITHOUT_REDIS) => Self::Unsupported,
            CallError::Answered { .. } if error.has_code(&WITHOUT_WORKER) => {
                Self::Unavailable(error.to_string())
            }
            CallError::Answered { .. } => Self::Refused(error.to_string()),
            CallError::Unavailable(text) => Self::Unavailable(text),
            CallError::Invalid(text) => Self::Refused(text),
        }
    }
}

//! What the backends of LiveKit share: the runtime and the failures of their calls.

use std::sync::Arc;

use livekit_api::services::{ServerError, ServerErrorCode, ServiceError};
use tokio::runtime::Handle;

use crate::telemetry::Metrics;

/// Failure of a call to LiveKit.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// LiveKit answered with an error of its API.
    #[error("{code}: {message}")]
    Answered {
        /// Code of the error, one of [`ServerErrorCode`]'s constants.
        code: String,
        /// LiveKit's text.
        message: String,
    },
    /// LiveKit does not answer, or not in time. The call may have taken effect.
    #[error("{0}")]
    Unavailable(String),
    /// The answer is invalid, or no request could be made.
    #[error("{0}")]
    Invalid(String),
}

impl CallError {
    /// Reports whether LiveKit answered with one of these codes.
    pub fn has_code(&self, codes: &[&str]) -> bool {
        matches!(self, Self::Answered { code, .. } if codes.contains(&code.as_str()))
    }
}

impl From<ServiceError> for CallError {
    /// LiveKit answers a wrong key with a plain-text 401, which livekit-api reports as a decoding error.
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Twirp(ServerError::Twirp(answer)) => {
                Self::Answered { code: answer.code, message: answer.msg }
            }
            ServiceError::Twirp(ServerError::Request(request)) if request.is_decode() => Self::Invalid(
                "the response is not a LiveKit API response: check LIVEKIT_URL, LIVEKIT_API_KEY and \
                 LIVEKIT_API_SECRET"
                    .to_owned(),
            ),
            ServiceError::Twirp(ServerError::Request(request)) if request.is_timeout() => {
                Self::Unavailable("no answer in time".to_owned())
            }
            ServiceError::Twirp(ServerError::Request(request)) => Self::Unavailable(root_cause(&request)),
            other => Self::Invalid(other.to_string()),
        }
    }
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Reports whether LiveKit does not know what the call names.
pub fn is_not_found(error: &ServiceError) -> bool {
    matches!(error, ServiceError::Twirp(ServerError::Twirp(answer)) if answer.code == ServerErrorCode::NOT_FOUND)
}

/// Runs and measures calls.
pub struct Caller {
    metrics: Arc<Metrics>,
    /// Runtime of all calls. A connection is driven by the runtime that opened it, and the runtimes of HTTP workers end
    /// before the process does.
    runtime: Handle,
}

impl Caller {
    /// The current runtime drives the connections of all calls.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, runtime: Handle::current() }
    }

    /// Calls LiveKit. The call goes on if its caller is dropped.
    pub async fn call<C, T: Send + 'static, F>(
        &self,
        name: &'static str,
        client: &Arc<C>,
        ask: impl FnOnce(Arc<C>) -> F,
    ) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, ServiceError>> + Send + 'static,
    {
        let answer = self.runtime.spawn(ask(client.clone()));
        let answer = async {
            match answer.await {
                Ok(answer) => answer.map_err(CallError::from),
                Err(error) => Err(CallError::Unavailable(error.to_string())),
            }
        };
        self.metrics.timed_livekit(name, answer).await
    }
}

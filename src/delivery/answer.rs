//! The result of one attempt.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};

/// Why an attempt got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No complete head of an answer arrived in time.
    Timeout,
    /// The host has an address that is not permitted.
    ForbiddenAddress,
    /// The host has no address.
    Unresolved,
    /// The connection was refused, closed or broken, or its TLS certificate is not valid.
    Connection,
}

impl Failure {
    /// Returns the name used in JSON and as the label of metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::ForbiddenAddress => "forbidden_address",
            Self::Unresolved => "unresolved",
            Self::Connection => "connection",
        }
    }

    /// Parses [`Self::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Timeout, Self::ForbiddenAddress, Self::Unresolved, Self::Connection];
        all.into_iter().find(|failure| failure.as_str() == text)
    }
}

/// Result of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The endpoint answered.
    Status {
        /// HTTP status.
        status: u16,
        /// `Retry-After`, from now on.
        retry_after: Option<Duration>,
    },
    /// The endpoint did not answer.
    Failed(Failure),
}

impl Answer {
    /// Returns the HTTP status; `None` without an answer.
    pub const fn status(self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(status),
            Self::Failed(_) => None,
        }
    }

    /// True for a 2xx, which means that the endpoint has the event.
    pub fn is_success(self) -> bool {
        self.status().is_some_and(|status| (200..300).contains(&status))
    }
}

/// Parses `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date.
pub(super) fn parse_retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = DateTime::parse_from_rfc2822(text.trim()).ok()?;
    (date.with_timezone(&Utc) - DateTime::<Utc>::from(now)).to_std().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let parse = |text| parse_retry_after(text, now).map(|delay| delay.as_secs());
        assert_eq!(parse("120"), Some(120));
        assert_eq!(parse("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        for text in ["Sun, 06 Nov 1994 08:48:37 GMT", "", "-1", "soon", "1.5"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn only_2xx_is_a_success() {
        let status = |status| Answer::Status { status, retry_after: None };
        assert!(status(200).is_success() && status(299).is_success());
        for failed in [status(199), status(301), status(410), status(500), Answer::Failed(Failure::Timeout)] {
            assert!(!failed.is_success(), "{failed:?}");
        }
    }
}

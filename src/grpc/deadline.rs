//! Deadline of a feed over gRPC: the caller's deadline or the end of the connection's lifetime.
//!
//! tonic enforces a caller's deadline until the response begins. The messages of a feed come after that, so the feed
//! enforces the deadline itself.

use std::time::Duration;

use tokio::time::Instant;
use tonic::{Status, metadata::MetadataMap};

use super::status::{end_code, status};
use crate::{domain::ErrorCode, relay::Lifetime};

/// Time at which a feed ends, and the error that it then ends with.
#[derive(Clone, Copy)]
pub struct Deadline {
    at: Instant,
    code: ErrorCode,
}

impl Deadline {
    /// Returns the caller's deadline (`grpc-timeout`) or the end of the lifetime, whichever comes first.
    pub fn of(metadata: &MetadataMap, lifetime: Lifetime) -> Self {
        let timeout = metadata.get("grpc-timeout").and_then(|value| parse(value.to_str().ok()?));
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        match deadline.filter(|at| *at < lifetime.end()) {
            Some(at) => Self { at, code: ErrorCode::DeadlineExceeded },
            None => Self { at: lifetime.end(), code: end_code(lifetime.reason()) },
        }
    }

    pub(super) const fn at(&self) -> Instant {
        self.at
    }

    /// Reports whether the deadline has passed.
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.at
    }

    /// Returns the status that ends the feed.
    pub fn status(&self) -> Status {
        status(self.code, None)
    }
}

/// Parses a timeout: at most eight digits and a unit ("gRPC over HTTP2", Request-Headers).
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeout_with_unit_parses() {
        for (text, expected) in [
            ("2S", Some(Duration::from_secs(2))),
            ("250m", Some(Duration::from_millis(250))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("1n", Some(Duration::from_nanos(1))),
            ("", None),
            ("S", None),
            ("123456789S", None),
            ("1s", None),
            ("-1S", None),
            ("1\u{e9}", None),
        ] {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }
}

//! When a feed over gRPC ends by itself: at the caller's deadline, or when its connection has lasted long enough.
//!
//! tonic keeps to a caller's deadline until the answer begins. A feed is all answer, so it has to do that itself.

use std::time::Duration;

use tokio::time::Instant;
use tonic::{Status, metadata::MetadataMap};

use super::status::{code_of, status};
use crate::{domain::ErrorCode, relay::Lifetime};

/// The end of one feed.
#[derive(Clone, Copy)]
pub struct Deadline {
    at: Instant,
    code: ErrorCode,
}

impl Deadline {
    /// The caller's `grpc-timeout`, or the end of the lifetime if that comes first.
    pub fn of(metadata: &MetadataMap, lifetime: Lifetime) -> Self {
        let asked = metadata.get("grpc-timeout").and_then(|value| parse(value.to_str().ok()?));
        let asked = asked.and_then(|timeout| Instant::now().checked_add(timeout));
        match asked.filter(|at| *at < lifetime.end()) {
            Some(at) => Self { at, code: ErrorCode::DeadlineExceeded },
            None => Self { at: lifetime.end(), code: code_of(lifetime.reason()) },
        }
    }

    /// When it is.
    pub const fn at(&self) -> Instant {
        self.at
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.at
    }

    /// What is said then.
    pub fn status(&self) -> Status {
        status(self.code, None)
    }
}

/// A timeout as gRPC writes it: at most eight digits and a unit ("gRPC over HTTP2", Request-Headers).
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
    fn timeouts_are_read_as_grpc_writes_them() {
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

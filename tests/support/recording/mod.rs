//! Delivery checks: clients record what they receive, and the recordings are compared with the logs in Redis.

mod client;
mod log;
mod report;

pub use self::{
    client::{ReconnectDelay, RecordedMessage, Recording, RecordingClient},
    log::{LogAuditor, SharedUrl},
    report::{DeliveryReport, compare_with_log},
};

/// Milliseconds and number of a cursor. Only tests order cursors; to clients of the product they are opaque.
pub type Position = (u64, u64);

/// Parses a cursor.
pub fn position(cursor: &str) -> Position {
    let (millis, count) = cursor.split_once('-').unwrap_or_else(|| panic!("{cursor} is no cursor"));
    (millis.parse().unwrap(), count.parse().unwrap())
}

/// Current time in milliseconds since 1970.
pub fn now_millis() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

//! Constants that the Rust code and the scripts share, as `CONST` in Lua.

use std::{fmt, time::Duration};

use super::super::script_keys::STREAM_KEYS;
use crate::{
    domain::{
        block::MAX_BLOCKS,
        change::{CLOCK_SKEW, CLOSE_BATCH},
        event::MAX_REPEATED_METADATA_BYTES,
        participant::{AUDIENCE_RANK, END_OF_TIME_MS, HAND_RANK, HOST_RANK, MAX_HANDS, UNLISTED_RANK},
        stream::OPERATION_LOCK,
    },
    store::{
        ALL_LOG_BYTES_FACTOR, ALL_LOG_EVENTS_FACTOR, PAGE_BYTES, REMOVAL_GRACE, SCAN_BYTES, TRIM_BLOCKS,
    },
};

/// Prefix of the scheduled job that removes participants whose token was not used in time.
pub const JOINING_JOB: &str = "joining:";
/// Prefix of the scheduled job that stops an idle stream.
pub const IDLE_JOB: &str = "idle:";
/// Prefix of the scheduled job that ends blocks whose time has passed.
pub const BLOCK_JOB: &str = "blocks:";
/// Prefix of the scheduled job that continues an operation whose lock has ended.
pub const OPERATION_JOB: &str = "operation:";

/// Approximate bytes of the entries and events that one call of a change in batches reads and writes.
const CHANGE_BYTES: usize = 256 * 1024;
/// Bytes of participants after which the script of several changes begins no further one. Each is decoded, encoded,
/// stored and, in two logs, published, which takes Redis about 30 us for each KiB.
const BATCH_BYTES: usize = 64 * 1024;

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

fn text(value: impl fmt::Display) -> String {
    format!("'{value}'")
}

fn list(values: &[&str]) -> String {
    format!("{{ {} }}", values.iter().map(text).collect::<Vec<_>>().join(", "))
}

/// What is appended to the key of a stream's hash; the empty suffix is the hash itself.
fn stream_key_suffixes() -> Vec<&'static str> {
    [""].into_iter().chain(STREAM_KEYS.map(|(_, suffix)| suffix)).collect()
}

/// All constants: their names and their values in Lua.
pub(super) fn all() -> Vec<(&'static str, String)> {
    vec![
        ("all_log_bytes_factor", ALL_LOG_BYTES_FACTOR.to_string()),
        ("all_log_events_factor", ALL_LOG_EVENTS_FACTOR.to_string()),
        ("audience_rank", text(AUDIENCE_RANK)),
        ("batch_bytes", BATCH_BYTES.to_string()),
        ("block_job", text(BLOCK_JOB)),
        ("change_bytes", CHANGE_BYTES.to_string()),
        ("clock_skew_ms", millis(CLOCK_SKEW)),
        ("close_batch", CLOSE_BATCH.to_string()),
        ("end_of_time_ms", END_OF_TIME_MS.to_string()),
        ("hand_rank", text(HAND_RANK)),
        ("host_rank", text(HOST_RANK)),
        ("idle_job", text(IDLE_JOB)),
        ("joining_job", text(JOINING_JOB)),
        ("max_blocks", MAX_BLOCKS.to_string()),
        ("max_hands", MAX_HANDS.to_string()),
        ("max_repeated_metadata_bytes", MAX_REPEATED_METADATA_BYTES.to_string()),
        ("operation_job", text(OPERATION_JOB)),
        ("operation_lock_ms", millis(OPERATION_LOCK)),
        ("page_bytes", PAGE_BYTES.to_string()),
        ("removal_grace_ms", millis(REMOVAL_GRACE)),
        ("scan_bytes", SCAN_BYTES.to_string()),
        ("stream_key_suffixes", list(&stream_key_suffixes())),
        ("trim_blocks", TRIM_BLOCKS.to_string()),
        ("unlisted_rank", text(UNLISTED_RANK)),
    ]
}

//! Constants that the Rust code and the scripts share, as `CONST` in Lua.

use std::{fmt, time::Duration};

use super::super::script_keys::STREAM_KEYS;
use crate::{
    domain::{
        block::MAX_BLOCKS,
        change::{CLOCK_SKEW, CLOSE_BATCH},
        egress_record::{EGRESS_PLAN_TTL, MAX_EGRESS_PLANS, MAX_KEPT_EGRESSES, MAX_RUNNING_EGRESSES},
        event::MAX_REPEATED_METADATA_BYTES,
        hand_rate::{HANDS_OF_PARTICIPANT, HANDS_OF_STREAM, HandRate},
        ingress::{INGRESS_PLAN_TTL, MAX_INGRESSES},
        participant::{AUDIENCE_RANK, END_OF_TIME_MS, HAND_RANK, HOST_RANK, MAX_HANDS, UNLISTED_RANK},
        rtmp_target::{MAX_KEPT_TARGETS, MAX_TARGETS},
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

/// Fields of an ingress that LiveKit reports.
const INGRESS_FIELDS: [&str; 11] = [
    "ingressId",
    "type",
    "identity",
    "name",
    "url",
    "status",
    "error",
    "startedAt",
    "endedAt",
    "session",
    "report",
];

/// Fields of the state of an egress that LiveKit reports, besides its status and its targets.
const EGRESS_STATE_FIELDS: [&str; 7] = ["error", "startedAt", "endedAt", "files", "hls", "phase", "report"];

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

fn rate(HandRate { interval, burst }: HandRate) -> String {
    format!("{{ interval = {}, burst = {burst} }}", millis(interval))
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
        ("egress_plan_ttl_ms", millis(EGRESS_PLAN_TTL)),
        ("egress_state_fields", list(&EGRESS_STATE_FIELDS)),
        ("end_of_time_ms", END_OF_TIME_MS.to_string()),
        ("hand_rank", text(HAND_RANK)),
        ("hands_of_participant", rate(HANDS_OF_PARTICIPANT)),
        ("hands_of_stream", rate(HANDS_OF_STREAM)),
        ("host_rank", text(HOST_RANK)),
        ("idle_job", text(IDLE_JOB)),
        ("ingress_fields", list(&INGRESS_FIELDS)),
        ("ingress_plan_ttl_ms", millis(INGRESS_PLAN_TTL)),
        ("joining_job", text(JOINING_JOB)),
        ("max_blocks", MAX_BLOCKS.to_string()),
        ("max_egress_plans", MAX_EGRESS_PLANS.to_string()),
        ("max_hands", MAX_HANDS.to_string()),
        ("max_ingresses", MAX_INGRESSES.to_string()),
        ("max_kept_egresses", MAX_KEPT_EGRESSES.to_string()),
        ("max_kept_targets", MAX_KEPT_TARGETS.to_string()),
        ("max_repeated_metadata_bytes", MAX_REPEATED_METADATA_BYTES.to_string()),
        ("max_running_egresses", MAX_RUNNING_EGRESSES.to_string()),
        ("max_targets", MAX_TARGETS.to_string()),
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

//! The keys and arguments that all scripts of changes share.

use std::time::Duration;

use redis::Script;

use super::{
    argument::Argument,
    definition::{Position, ScriptCall, positions},
};
use crate::domain::StreamId;

positions! {
    /// The keys of every change that the caller makes. The scripts make the others, see `script_keys`.
    /// docs/ARCHITECTURE.md documents their contents.
    ChangeKeys {
        stream: String,
        room: String,
        /// The stream's own key for a change without deduplication.
        dedup: String,
        lease: String,
        room_lock: String,
    }
}

positions! {
    /// The arguments of every change.
    ChangeArgs {
        stream_id: StreamId,
        /// What every key begins with.
        key_prefix: String,
        /// The version that the stream must have.
        expected_version: Option<u64>,
        /// How long the deduplication key exists; `None` for a change without deduplication.
        dedup_ttl_ms: Option<Duration>,
        live_ttl_ms: Duration,
        stopped_ttl_ms: Duration,
        /// The token that the lease must have.
        lease_token: Option<String>,
        /// How long a join token can be valid after its stream has ended.
        token_ttl_ms: Duration,
        /// The last part of the cursors of this call, see `next_cursor` in `lua/changes/shared/events.lua`.
        cursor_number: u64,
        /// Number of partitions: the numbers of a partition's cursors differ by multiples of it.
        cursor_step: u16,
        /// The fields of [`crate::store::LogBounds`], for a stream's log.
        log_retention_ms: Duration,
        log_min_events: usize,
        log_max_events: usize,
        log_max_bytes: usize,
        /// See [`crate::store::Retention::count_interval`].
        count_interval_ms: Duration,
        /// See [`crate::store::Retention::keeps_visits`].
        keeps_visits: bool,
    }
}

impl ChangeArgs {
    /// A call with the keys and arguments of all changes, and room for `count` arguments.
    pub(super) fn shared_call(
        script: &'static Script,
        keys: ChangeKeys,
        args: Self,
        count: usize,
    ) -> ScriptCall {
        let mut call = ScriptCall {
            script,
            keys: Vec::with_capacity(ChangeKeys::POSITIONS.len()),
            args: Vec::with_capacity(count),
            reads_declared_keys_only: false,
        };
        keys.append_to(&mut call.keys);
        args.append_to(&mut call.args);
        call
    }
}

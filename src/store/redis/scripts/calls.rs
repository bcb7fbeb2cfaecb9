//! All scripts but those that change a stream.

use std::{sync::LazyLock, time::Duration};

use redis::Script;

use super::{
    argument::Argument,
    definition::{Definition, Position, ScriptCall},
    sources::{CLOCK, LIST_KEYS, LOG_ENTRIES, PARTICIPANT_PAGES, ROOM_OWNER, STREAM_KEYS},
};
use crate::domain::{ParticipantState, RoomName, StreamId};

macro_rules! reads_declared_keys_only {
    (read) => {
        true
    };
    (atomic) => {
        false
    };
}

/// Declares scripts. `read` stands for a script that only reads, and only its declared keys.
macro_rules! scripts {
    ($($(#[$meta:meta])* $access:ident $name:ident = $file:literal with $shared:expr;
        KEY { $($(#[$key_meta:meta])* $key:ident),* $(,)? }
        ARG { $($(#[$arg_meta:meta])* $arg:ident: $type:ty),* $(,)? })*) => {
        $(
            $(#[$meta])*
            pub struct $name {
                $($(#[$key_meta])* pub(in crate::store::redis) $key: String,)*
                $($(#[$arg_meta])* pub(in crate::store::redis) $arg: $type,)*
            }

            impl $name {
                const DEFINITION: Definition = Definition {
                    file: concat!($file, ".lua"),
                    shared: &$shared,
                    own: include_str!(concat!("../lua/", $file, ".lua")),
                    functions: &[],
                    makes_keys: false,
                    keys: [&[], &[$(Position::of::<String>(stringify!($key)),)*]],
                    args: [&[], &[$(Position::of::<$type>(stringify!($arg)),)*]],
                };
            }

            impl From<$name> for ScriptCall {
                fn from(values: $name) -> Self {
                    static SCRIPT: LazyLock<Script> = LazyLock::new(|| $name::DEFINITION.script());
                    let mut args = Vec::with_capacity($name::DEFINITION.args[1].len());
                    $(values.$arg.append_to(&mut args);)*
                    ScriptCall {
                        script: &SCRIPT,
                        keys: vec![$(values.$key),*],
                        args,
                        reads_declared_keys_only: reads_declared_keys_only!($access),
                    }
                }
            }
        )*

        #[cfg(test)]
        pub(super) const ALL: &[Definition] = &[$($name::DEFINITION),*];
    };
}

scripts! {
    /// Reads a page of streams.
    atomic ListStreams = "list_streams" with [LIST_KEYS];
    KEY {
        /// Sorted set of list keys.
        list,
    }
    ARG {
        /// `+`, or `(` and the last list key of the page before.
        from: String,
        limit: usize,
        stream_key_prefix: String,
    }

    /// Reads a stream and its first participants.
    read StreamViewCall = "stream_view" with [LIST_KEYS, PARTICIPANT_PAGES];
    KEY { stream, participants, joining_order, active_order, disconnected_order }
    ARG { limit: usize }

    /// Reads a page of participants.
    read ListParticipants = "list_participants" with [LIST_KEYS, PARTICIPANT_PAGES];
    KEY { stream, participants, unlisted, joining_order, active_order, disconnected_order, recorder_order,
          hidden_order }
    ARG {
        /// `-`, or `(` and the list key of the last entry before the page.
        from: String,
        limit: usize,
        state: Option<ParticipantState>,
        kind: Option<&'static str>,
        shows_hidden: bool,
    }

    /// Reads a page of a stream's blocks.
    read ListBlocks = "list_blocks" with [LIST_KEYS];
    KEY { blocks, blocks_order }
    ARG {
        /// `-`, or `(` and the list key of the last block of the page before.
        from: String,
        limit: usize,
    }

    /// Reads a page of a log after a cursor.
    read ReadLog = "read_log" with [LOG_ENTRIES];
    KEY { log, events, tail }
    ARG {
        after: String,
        limit: usize,
        max_bytes: usize,
        /// Whether the page is read also after a cursor that this log may not continue from.
        reads_always: bool,
    }

    /// Finds the position before the newest events of a log.
    read PositionBeforeNewest = "position_before_newest" with [LOG_ENTRIES];
    KEY { log }
    ARG {
        count: usize,
        /// `+`, or `(` and the cursor of the oldest event that the call before has read.
        from: String,
    }

    /// See [`crate::store::PartitionLog::newest_cursors`].
    read NewestCursorsCall = "newest_cursors" with [LOG_ENTRIES];
    KEY { log }
    ARG {
        count: usize,
        /// `+`, or `(` and the cursor of the oldest event that the call before has read.
        from: String,
    }

    /// See [`crate::store::PartitionLog::advance_clock`].
    atomic AdvanceClock = "advance_clock" with [CLOCK, LOG_ENTRIES];
    KEY { clock_floor, tail, events, lost_until }
    ARG { floor_ms: u64, live_ttl_ms: Duration, finds_event: bool }

    /// Reads the newest events of a log.
    read ReadNewest = "read_newest" with [LOG_ENTRIES];
    KEY { log }
    ARG { limit: usize }

    /// Reads the scheduled jobs whose time has come, and removes ended streams.
    atomic Scheduled = "scheduled" with [CLOCK, LIST_KEYS, STREAM_KEYS];
    KEY { scheduled, ended_streams, all_streams, live_streams, stopped_streams, error_streams }
    ARG { limit: usize, stopped_ttl_ms: Duration, stream_key_prefix: String }

    /// Reads the streams whose counts are due.
    read DueCountsCall = "due_counts" with [CLOCK];
    KEY { scheduled_counts }
    ARG { limit: usize }

    /// See [`crate::store::Maintenance::postpone_counts`].
    atomic PostponeCounts = "postpone_counts" with [CLOCK];
    KEY { scheduled_counts }
    ARG { interval_ms: Duration, stream_id: StreamId }

    /// See [`crate::store::Leases::take_lease`].
    atomic AcquireLease = "acquire_lease" with [CLOCK];
    KEY { lease, finished_at, due_at }
    ARG { token: String, ttl_ms: Duration, interval_ms: Duration }

    /// See [`crate::store::Leases::renew_lease`].
    atomic RenewLease = "renew_lease" with [];
    KEY { lease }
    ARG { token: String, ttl_ms: Duration }

    /// See [`crate::store::Leases::end_lease`].
    atomic ReleaseLease = "release_lease" with [CLOCK];
    KEY { lease, finished_at, due_at }
    ARG {
        token: String,
        /// How long the time of the job is kept.
        record_ttl_ms: Duration,
        due_after_ms: Option<Duration>,
    }

    /// See [`crate::store::Followers::save`].
    atomic SaveFollower = "save_follower" with [];
    KEY { follower, followers, lease }
    ARG {
        id: String,
        lease_token: Option<String>, expected: Option<u64>, generation: u64,
        /// Names of fields and their values in turn; an empty value removes the field.
        fields: Vec<String>,
    }

    /// See [`crate::store::Followers::position_at`].
    read PositionAt = "position_at" with [LOG_ENTRIES];
    KEY { events, tail }
    ARG { at: String }

    /// See [`crate::store::VisitLog::visits_after`].
    read ReadVisits = "read_visits" with [LOG_ENTRIES];
    KEY { visits }
    ARG {
        /// `-` for the oldest visits.
        after: String,
        limit: usize,
    }

    /// See [`crate::store::WebhookEndpoints::replace`].
    atomic ReplaceEndpoint = "replace_endpoint" with [];
    KEY { endpoints, revision }
    ARG { id: String, previous: Option<String>, next: Option<String>, max: usize }

    /// See [`crate::store::ListingHistory::set_missing`].
    atomic RecordMissing = "record_missing" with [CLOCK];
    KEY { missing_streams }
    ARG {
        ttl_ms: Duration,
        /// At most a few hundred, because Lua's stack bounds them.
        stream_ids: Vec<StreamId>,
    }

    /// See [`crate::store::ListingHistory::confirm_empty_listing`].
    atomic ConfirmEmptyListing = "confirm_empty_listing" with [CLOCK];
    KEY { empty_since }
    ARG { after_ms: Duration, record_ttl_ms: Duration }

    /// See [`crate::store::RoomNameLocks::lock_room_name`].
    atomic LockRoomName = "lock_room_name" with [CLOCK, ROOM_OWNER];
    KEY { room, closed_rooms, room_lock }
    ARG { room_name: RoomName, ttl_ms: Duration }

    /// See [`crate::store::Maintenance::closed_rooms`].
    atomic ClosedRooms = "closed_rooms" with [CLOCK];
    KEY { closed_rooms }
    ARG { limit: usize, offset: usize }

    /// See [`crate::store::Maintenance::renew_and_prune`].
    atomic RenewAndPrune = "renew_and_prune" with [LIST_KEYS, STREAM_KEYS];
    KEY {
        all_streams, live_streams, creating_streams, active_streams, stopping_streams, stopped_streams, error_streams,
        ended_streams, scheduled, scheduled_counts, participant_total, participant_counts, events, events_bytes, visits,
        tail,
    }
    ARG {
        /// `-`, or `(` and the last list key of the page before.
        from: String,
        limit: usize,
        live_ttl_ms: Duration,
        stream_key_prefix: String,
        room_key_prefix: String,
    }

    /// See [`crate::store::RateLimitStore`].
    atomic RateLimit = "rate_limit" with [CLOCK];
    KEY { full_at }
    ARG {
        /// The time after which one call is available again.
        interval_micros: f64,
        period_micros: f64,
        max_debt_micros: f64,
        /// Units that are counted in any case; `None` to count one call if the limit has room for it.
        charge: Option<u32>,
    }

    /// See [`crate::store::IdempotencyStore::begin`].
    atomic BeginRequest = "begin_request" with [CLOCK];
    KEY {
        request,
        /// Sorted set of the caller's live keys, by expiry.
        live_requests,
        /// The deduplication key of the request's change.
        applied,
    }
    ARG {
        /// The member of `live_requests`.
        id: String,
        max_live: usize,
        fingerprint: String,
        holder: String,
        /// The id that is reserved at the first attempt.
        new_id: StreamId,
        lease_ms: Duration,
        record_ttl_ms: Duration,
    }

    /// See [`crate::store::IdempotencyStore::renew`] and the two that end an attempt.
    atomic UpdateRequest = "update_request" with [CLOCK];
    KEY { request, live_requests, applied }
    ARG {
        id: String,
        holder: String,
        /// Zero ends the attempt.
        lease_ms: Duration,
        answer: Option<String>,
        /// How long the key of a request that changed nothing lives after the attempt; `None` for a renewal.
        keep_ms: Option<Duration>,
        stream_key_prefix: String,
    }
}

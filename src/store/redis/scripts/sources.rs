//! The Lua files that several scripts contain.

macro_rules! shared {
    ($($(#[$meta:meta])* $name:ident = $file:literal;)*) => {
        $($(#[$meta])* pub(super) const $name: &str = include_str!(concat!("../lua/", $file));)*
    };
}

shared! {
    /// Defines `now` and `now_micros`.
    CLOCK = "shared/clock.lua";
    /// Splits list keys.
    LIST_KEYS = "shared/list_keys.lua";
    /// Splits entries of a log.
    LOG_ENTRIES = "shared/log_entries.lua";
    /// Reads pages of participants.
    PARTICIPANT_PAGES = "shared/participant_pages.lua";
    /// Deletes a stream's keys.
    STREAM_KEYS = "shared/stream_keys.lua";
    /// Reads the owner of a room name.
    ROOM_OWNER = "shared/room_owner.lua";
    PERMISSIONS = "changes/shared/permissions.lua";
    STREAM = "changes/shared/stream.lua";
    TRIMMING = "changes/shared/trimming.lua";
    EVENTS = "changes/shared/events.lua";
    VISITS = "changes/shared/visits.lua";
    PARTICIPANTS = "changes/shared/participants.lua";
    /// Entries of plain viewers.
    VIEWERS = "changes/shared/viewers.lua";
    OUTCOME = "changes/shared/outcome.lua";
    /// The end of a change that is the only one of its call.
    SINGLE = "changes/shared/single.lua";
    /// The end of one of several changes of a call.
    BATCHED = "changes/shared/batched.lua";
    ENDINGS = "changes/shared/endings.lua";
    BLOCKS = "changes/shared/blocks.lua";
    INGRESSES = "changes/shared/ingresses.lua";
    TARGETS = "changes/shared/targets.lua";
    EGRESSES = "changes/shared/egresses.lua";
    GUARD = "changes/shared/guard.lua";
}

/// In front of the script that creates a stream.
pub(super) const CREATION: &[&str] = &[
    PERMISSIONS,
    CLOCK,
    LOG_ENTRIES,
    ROOM_OWNER,
    STREAM,
    TRIMMING,
    EVENTS,
    VISITS,
    PARTICIPANTS,
    VIEWERS,
    OUTCOME,
    SINGLE,
    ENDINGS,
];
/// In front of every other change.
pub(super) const CHANGE: &[&str] = &[
    PERMISSIONS,
    CLOCK,
    LIST_KEYS,
    LOG_ENTRIES,
    STREAM,
    TRIMMING,
    EVENTS,
    VISITS,
    PARTICIPANTS,
    VIEWERS,
    OUTCOME,
    SINGLE,
    ENDINGS,
    BLOCKS,
    INGRESSES,
    TARGETS,
    EGRESSES,
    GUARD,
];
/// In front of the script of several changes.
pub(super) const BATCH: &[&str] = &[
    PERMISSIONS,
    CLOCK,
    LOG_ENTRIES,
    STREAM,
    TRIMMING,
    EVENTS,
    VISITS,
    PARTICIPANTS,
    VIEWERS,
    OUTCOME,
    BATCHED,
    ENDINGS,
];

//! The scripts that change a stream. They share their keys and the first of their arguments.

use std::{sync::LazyLock, time::Duration};

use redis::Script;

use super::{
    argument::Argument,
    definition::{ChangeFunction, Definition, Position, ScriptCall, positions},
    sources::{CHANGE, CREATION},
};
use crate::domain::{
    DisplayName, Identity, ParticipantSid, RoomName, RoomSid, StopReason, StreamId, StreamStatus, Timestamp,
};

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
    }
}

/// A change's own arguments.
pub trait ChangeScript {
    /// The change's script and its own arguments as texts.
    fn prepare(self) -> PreparedChange;
}

/// A change that can be called alone, and with others if a batch has it.
pub struct PreparedChange {
    /// Name of the script's file, without its folder.
    pub(super) name: &'static str,
    script: &'static Script,
    pub(super) values: Vec<String>,
}

impl PreparedChange {
    /// The change's name, for metrics too.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Bytes of the change's own arguments.
    pub fn bytes(&self) -> usize {
        self.values.iter().map(String::len).sum()
    }

    /// The call of this change alone.
    pub fn call(&self, keys: ChangeKeys, args: ChangeArgs) -> ScriptCall {
        let count = ChangeArgs::POSITIONS.len() + self.values.len();
        let mut call = ChangeArgs::shared_call(self.script, keys, args, count);
        call.args.extend_from_slice(&self.values);
        call
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

macro_rules! change_scripts {
    ($($(#[$meta:meta])* $shared:ident $name:ident = $file:literal
        { $($(#[$field_meta:meta])* $field:ident: $type:ty),* $(,)? })*) => {
        $(
            positions! { $(#[$meta])* $name { $($(#[$field_meta])* $field: $type,)* } }

            impl $name {
                const DEFINITION: Definition = Definition {
                    file: concat!("changes/", $file, ".lua"),
                    shared: $shared,
                    own: Self::FUNCTION.own,
                    functions: &[],
                    makes_keys: true,
                    keys: [ChangeKeys::POSITIONS, &[]],
                    args: [ChangeArgs::POSITIONS, Self::POSITIONS],
                };

                pub(super) const FUNCTION: ChangeFunction = ChangeFunction {
                    name: $file,
                    own: include_str!(concat!("../lua/changes/", $file, ".lua")),
                    args: Self::POSITIONS,
                };
            }

            impl ChangeScript for $name {
                fn prepare(self) -> PreparedChange {
                    static SCRIPT: LazyLock<Script> = LazyLock::new(|| $name::DEFINITION.script());
                    let mut values = Vec::with_capacity(Self::POSITIONS.len());
                    self.append_to(&mut values);
                    PreparedChange { name: $file, script: &SCRIPT, values }
                }
            }
        )*

        #[cfg(test)]
        pub(super) const ALL: &[Definition] = &[$($name::DEFINITION),*];
        /// The keys and arguments that not every change uses.
        #[cfg(test)]
        pub(super) const SHARED: [&[Position]; 2] = [ChangeKeys::POSITIONS, ChangeArgs::POSITIONS];
    };
}

change_scripts! {
    /// Records a stream.
    CREATION Create = "create" {
        room_name: RoomName,
        metadata: String,
        max_participants: Option<u32>,
        idle_after_ms: Option<Duration>,
        audience: &'static str,
        listed_max: Option<u32>,
        backstage: bool,
    }
    /// See [`crate::domain::Change::Activate`].
    CHANGE Activate = "activate" { room_sid: RoomSid }
    /// See [`crate::domain::Change::BeginStop`].
    CHANGE BeginStop = "begin_stop" { reason: StopReason, room_sid: Option<RoomSid> }
    /// See [`crate::domain::Change::AcquireLock`].
    CHANGE AcquireLock = "acquire_lock" {}
    /// See [`crate::domain::Change::ReleaseLock`].
    CHANGE ReleaseLock = "release_lock" {
        /// The end of the lock as its holder knows it.
        known_end: Timestamp,
    }
    /// See [`crate::domain::Change::RenewLock`].
    CHANGE RenewLock = "renew_lock" {
        /// The end of the lock as its holder knows it.
        known_end: Timestamp,
    }
    /// See [`crate::domain::Change::Close`] and [`crate::domain::Change::Fail`].
    CHANGE Close = "close" {
        status: StreamStatus,
        /// `None` keeps the recorded reason.
        reason: Option<String>,
    }
    /// See [`crate::domain::Change::IssueToken`].
    CHANGE IssueToken = "issue_token" {
        identity: Identity,
        name: Option<DisplayName>,
        /// `None` for the recorded role.
        role: Option<&'static str>,
        metadata: Option<String>,
        joining_ttl_ms: Duration,
        /// JSON object of strings.
        attributes: Option<String>,
    }
    /// See [`crate::domain::Change::Connect`] and [`crate::domain::Change::Observe`].
    CHANGE Connect = "connect" {
        room_sid: RoomSid,
        participant_sid: ParticipantSid,
        identity: Identity,
        name: Option<DisplayName>,
        role: Option<&'static str>,
        metadata: String,
        /// LiveKit's time of the connection.
        session_at: Option<Timestamp>,
        tracks: String,
        /// For a session in LiveKit's list: the list corrects what was recorded before this time.
        corrects_before: Option<Timestamp>,
        /// JSON object of strings.
        attributes: Option<String>,
        /// `None` for a standard participant.
        kind: Option<&'static str>,
        hidden: bool,
        /// Number of removals that precede the token; `None` if this service has not made it.
        issued: Option<u32>,
    }
    /// See [`crate::domain::Change::BeginRemoval`].
    CHANGE BeginRemoval = "begin_removal" {
        identity: Identity,
        participant_sid: Option<ParticipantSid>,
        /// Identity of the caller.
        by: Option<Identity>,
    }
    /// See [`crate::domain::Change::CancelRemoval`].
    CHANGE CancelRemoval = "cancel_removal" { identity: Identity }
    /// See [`crate::domain::Change::Remove`].
    CHANGE Remove = "remove" {
        identity: Identity,
        /// `None` for a participant that is not recorded as connected.
        participant_sid: Option<ParticipantSid>,
        /// Identity of the caller.
        by: Option<Identity>,
    }
    /// See [`crate::domain::Change::Disconnect`] and [`crate::domain::Change::Lose`].
    CHANGE Disconnect = "disconnect" {
        identity: Identity,
        /// `None` for whichever session exists.
        participant_sid: Option<ParticipantSid>,
        /// LiveKit's time of the end.
        left_at: Option<Timestamp>,
        /// For a session that LiveKit's list lacks: ends it only if it was recorded before this time.
        recorded_before: Option<Timestamp>,
        /// `None` derives the reason from the state.
        reason: Option<&'static str>,
    }
    /// See [`crate::domain::Change::Publish`] and [`crate::domain::Change::Unpublish`].
    CHANGE SetTrack = "set_track" {
        identity: Identity,
        participant_sid: ParticipantSid,
        track_sid: String,
        /// `None` for a track that has ended.
        track: Option<String>,
        /// Identity of the caller.
        by: Option<Identity>,
    }
    /// See [`crate::domain::Change::ExpireJoining`].
    CHANGE ExpireJoining = "expire_joining" {}
    /// See [`crate::domain::Change::TellCounts`].
    CHANGE TellCounts = "tell_counts" {}
    /// See [`crate::domain::Change::SetMetadata`].
    CHANGE SetMetadata = "set_metadata" { expected: String, metadata: String }
    /// See [`crate::domain::Change::UpdateParticipant`].
    CHANGE UpdateParticipant = "update_participant" {
        identity: Identity,
        role: Option<&'static str>,
        name: Option<DisplayName>,
        /// Both are `None` to keep the metadata.
        expected: Option<String>,
        metadata: Option<String>,
        /// Identity of the caller.
        by: Option<Identity>,
    }
    /// See [`crate::domain::Change::SetHand`].
    CHANGE SetHand = "set_hand" {
        identity: Identity,
        is_raised: bool,
        /// Identity of the caller.
        by: Option<Identity>,
    }
    /// See [`crate::domain::Change::SetBackstage`].
    CHANGE SetBackstage = "set_backstage" {
        backstage: bool,
        /// Identity of the caller.
        by: Option<Identity>,
    }
}

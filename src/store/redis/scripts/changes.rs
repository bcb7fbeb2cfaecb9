//! The scripts that change a stream.

use std::{sync::LazyLock, time::Duration};

use redis::Script;

use super::{
    argument::Argument,
    change_values::{ChangeArgs, ChangeKeys},
    definition::{ChangeFunction, Definition, Position, ScriptCall, positions},
    sources::{CHANGE, CREATION},
};
use crate::domain::{
    BlockReason, DisplayName, Identity, ParticipantSid, RoomName, RoomSid, StopReason, StreamStatus,
    Timestamp,
};

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
    /// See [`crate::domain::Change::Block`].
    CHANGE Block = "block" {
        identity: Identity,
        reason: Option<BlockReason>,
        expires_in_ms: Option<Duration>,
        /// Identity of the caller.
        by: Option<Identity>,
    }
    /// See [`crate::domain::Change::Unblock`].
    CHANGE Unblock = "unblock" {
        identity: Identity,
        /// Identity of the caller.
        by: Option<Identity>,
    }
    /// See [`crate::domain::Change::ExpireBlocks`].
    CHANGE ExpireBlocks = "expire_blocks" {}
    /// See [`crate::domain::Change::SetBackstage`].
    CHANGE SetBackstage = "set_backstage" {
        backstage: bool,
        /// Identity of the caller.
        by: Option<Identity>,
    }
}

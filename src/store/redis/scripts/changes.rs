//! The scripts that change a stream.

use std::{sync::LazyLock, time::Duration};

use redis::Script;

use super::{
    argument::Argument,
    change_script::{ChangeScript, PreparedChange, change_scripts},
    change_values::{ChangeArgs, ChangeKeys},
    definition::{ChangeFunction, Definition, Position, positions},
    sources::{CHANGE, CREATION},
};
use crate::domain::{
    BlockReason, DisplayName, Identity, IngressId, JobId, ParticipantSid, RoomName, RoomSid, StopReason,
    StreamStatus, Timestamp,
};

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
    CHANGE CancelRemoval = "cancel_removal" { identity: Identity, participant_sid: Option<ParticipantSid> }
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
    /// See [`crate::domain::Change::PlanIngress`].
    CHANGE PlanIngress = "plan_ingress" { job: JobId, identity: Identity }
    /// See [`crate::domain::Change::DropIngressPlan`].
    CHANGE DropIngressPlan = "drop_ingress_plan" { job: JobId, before: Option<Timestamp> }
    /// See [`crate::domain::Change::RemoveIngress`].
    CHANGE RemoveIngress = "remove_ingress" {
        ingress_id: IngressId,
        before: Option<Timestamp>,
        /// Identity of the caller.
        by: Option<Identity>,
    }
    /// See [`crate::domain::Change::ConfirmIngress`].
    CHANGE ConfirmIngress = "confirm_ingress" {
        job: JobId,
        /// JSON object of texts: what LiveKit reports.
        ingress: String,
        /// Identity of the caller.
        by: Option<Identity>,
    }
    /// See [`crate::domain::Change::ReportIngress`].
    CHANGE ReportIngress = "report_ingress" {
        /// Job of an ingress that this service has created for the stream.
        job: Option<JobId>,
        /// JSON object of texts: what LiveKit reports.
        ingress: String,
        before: Option<Timestamp>,
    }
    /// See [`crate::domain::Change::SetBackstage`].
    CHANGE SetBackstage = "set_backstage" {
        backstage: bool,
        /// Identity of the caller.
        by: Option<Identity>,
    }
}

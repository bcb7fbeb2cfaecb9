//! The script and the arguments of each change, and the decoding of its answer.

use std::time::Duration;

use super::{
    client::RedisStore,
    codec::{self, corrupt},
    egress_changes::prepared_egress,
    keys::Keys,
    scripts::{
        AcquireLock, Activate, BeginRemoval, BeginStop, Block, CancelRemoval, ChangeArgs, ChangeKeys,
        ChangeScript, Close, ConfirmIngress, Connect, Disconnect, DropIngressPlan, ExpireBlocks,
        ExpireJoining, IssueToken, PlanIngress, PreparedChange, ReleaseLock, Remove, RemoveIngress,
        RenewLock, ReportIngress, SetBackstage, SetHand, SetMetadata, SetTrack, TellCounts, Unblock,
        UpdateParticipant,
    },
};
use crate::{
    domain::{
        Attributes, Change, DisplayName, Identity, LeaveReason, Metadata, ParticipantKind, ParticipantSid,
        ParticipantUpdate, Removal, Role, Session, Stream, StreamId, StreamRef, StreamStatus, Timestamp,
        Track, TrackSid, change::Effect, track::encode_sid,
    },
    store::{Applied, DedupKey, Guard, Job, StoreError},
};

impl RedisStore {
    /// The keys and arguments that all changes share.
    pub(super) fn change_values(&self, stream: &StreamRef, guard: &Guard) -> (ChangeKeys, ChangeArgs) {
        let args = ChangeArgs {
            stream_id: stream.id,
            key_prefix: self.keys.prefix(),
            expected_version: guard.version,
            dedup_ttl_ms: guard.dedup_key.as_ref().map(DedupKey::ttl),
            live_ttl_ms: self.retention.live,
            stopped_ttl_ms: self.retention.stopped,
            lease_token: guard.lease.as_ref().map(|lease| lease.token.clone()),
            token_ttl_ms: self.retention.tokens,
            cursor_number: self.cursor_number(),
            cursor_step: self.partitioning.count(),
            log_retention_ms: self.retention.log.retention,
            log_min_events: self.retention.log.min_events,
            log_max_events: self.retention.log.max_events,
            log_max_bytes: self.retention.log.max_bytes,
            count_interval_ms: self.retention.count_interval,
            keeps_visits: self.retention.keeps_visits,
        };
        (change_keys(&self.keys, stream, guard.dedup_key.as_ref()), args)
    }
}

fn change_keys(keys: &Keys, stream: &StreamRef, dedup_key: Option<&DedupKey>) -> ChangeKeys {
    let StreamRef { id, room_name } = stream;
    let id = *id;
    ChangeKeys {
        stream: keys.stream(id),
        room: keys.room(room_name),
        dedup: dedup_key.map_or_else(|| keys.stream(id), |dedup_key| keys.dedup(dedup_key)),
        lease: keys.lease(Job::Reconcile),
        room_lock: keys.room_lock(room_name),
    }
}

/// The script of a change of a stream with its own arguments, and its name in the metrics.
#[expect(clippy::too_many_lines, reason = "a table with one arm for each change")]
pub(super) fn prepared(change: Change, stream: StreamId) -> (&'static str, PreparedChange) {
    match change {
        Change::Activate { room_sid } => ("activate", Activate { room_sid }.prepare()),
        Change::BeginStop { reason, room_sid } => ("begin_stop", BeginStop { reason, room_sid }.prepare()),
        Change::AcquireLock => ("claim", AcquireLock {}.prepare()),
        Change::ReleaseLock { until } => ("release", ReleaseLock { known_end: until }.prepare()),
        Change::RenewLock { until } => ("renew_lock", RenewLock { known_end: until }.prepare()),
        Change::Close => ("close", close(StreamStatus::Stopped, None).prepare()),
        Change::Fail { reason } => ("close", close(StreamStatus::Error, Some(reason)).prepare()),
        Change::IssueToken { identity, name, role, metadata, attributes, joining_ttl } => {
            let call = issue_token(identity, name, role, (metadata, attributes), joining_ttl);
            ("issue_token", call.prepare())
        }
        Change::Connect(session) => ("connect", connect(session, stream, None).prepare()),
        Change::Observe { session, before } => ("connect", connect(session, stream, Some(before)).prepare()),
        Change::Disconnect { identity, sid, at, reason } => {
            let reason = reason.map(LeaveReason::as_str);
            let call =
                Disconnect { identity, participant_sid: sid, left_at: at, recorded_before: None, reason };
            ("disconnect", call.prepare())
        }
        Change::Lose { identity, sid, before } => {
            let (participant_sid, recorded_before) = (Some(sid), Some(before));
            let call = Disconnect { identity, participant_sid, left_at: None, recorded_before, reason: None };
            ("disconnect", call.prepare())
        }
        Change::Publish { identity, sid, track, by } => {
            ("tracks", set_track(identity, sid, &track.sid, Some(&track), by).prepare())
        }
        Change::Unpublish { identity, sid, track } => {
            ("tracks", set_track(identity, sid, &track, None, None).prepare())
        }
        Change::ExpireJoining => ("expire_joining", ExpireJoining {}.prepare()),
        Change::TellCounts => ("tell_counts", TellCounts {}.prepare()),
        Change::SetMetadata { expected, metadata } => {
            let [expected, metadata] = [expected, metadata].map(|metadata| metadata.as_text().to_owned());
            ("set_metadata", SetMetadata { expected, metadata }.prepare())
        }
        Change::UpdateParticipant(update) => ("update_participant", update_participant(update).prepare()),
        Change::SetHand { identity, is_raised, by } => {
            ("set_hand", SetHand { identity, is_raised, by }.prepare())
        }
        Change::BeginRemoval(Removal { identity, sid, by }) => {
            ("begin_removal", BeginRemoval { identity, participant_sid: sid, by }.prepare())
        }
        Change::CancelRemoval(Removal { identity, sid, .. }) => {
            ("cancel_removal", CancelRemoval { identity, participant_sid: sid }.prepare())
        }
        Change::Remove(Removal { identity, sid, by }) => {
            ("remove", Remove { identity, participant_sid: sid, by }.prepare())
        }
        Change::Block { identity, reason, expires_in, by } => {
            ("block", Block { identity, reason, expires_in_ms: expires_in, by }.prepare())
        }
        Change::Unblock { identity, by } => ("unblock", Unblock { identity, by }.prepare()),
        Change::ExpireBlocks => ("expire_blocks", ExpireBlocks {}.prepare()),
        Change::PlanIngress { job, identity } => ("plan_ingress", PlanIngress { job, identity }.prepare()),
        Change::DropIngressPlan { job, before } => {
            ("drop_ingress_plan", DropIngressPlan { job, before }.prepare())
        }
        Change::RemoveIngress { id, before, by } => {
            ("remove_ingress", RemoveIngress { ingress_id: id, before, by }.prepare())
        }
        Change::ConfirmIngress { job, report, by } => {
            let ingress = codec::reported_ingress(report);
            ("confirm_ingress", ConfirmIngress { job, ingress, by }.prepare())
        }
        Change::ReportIngress { report, before } => {
            let (job, ingress) = (report.job_of(stream), codec::reported_ingress(report));
            ("report_ingress", ReportIngress { job, ingress, before }.prepare())
        }
        Change::Egress(change) => prepared_egress(*change),
        Change::SetBackstage { backstage, by } => ("set_backstage", SetBackstage { backstage, by }.prepare()),
    }
}

fn issue_token(
    identity: Identity,
    name: Option<DisplayName>,
    role: Option<Role>,
    (metadata, attributes): (Option<Metadata>, Option<Attributes>),
    joining_ttl_ms: Duration,
) -> IssueToken {
    let role = role.map(Role::as_str);
    let metadata = metadata.map(|metadata| metadata.as_text().to_owned());
    let attributes = attributes.map(|attributes| attributes.as_text().to_owned());
    IssueToken { identity, name, role, metadata, joining_ttl_ms, attributes }
}

fn set_track(
    identity: Identity,
    participant_sid: ParticipantSid,
    sid: &TrackSid,
    track: Option<&Track>,
    by: Option<Identity>,
) -> SetTrack {
    let (track_sid, track) = (encode_sid(sid).to_string(), track.map(ToString::to_string));
    SetTrack { identity, participant_sid, track_sid, track, by }
}

fn update_participant(update: ParticipantUpdate) -> UpdateParticipant {
    let ParticipantUpdate { identity, role, name, metadata, by } = update;
    let texts = metadata.map(|change| (change.expected.as_stored(), change.new.as_text().to_owned()));
    let (expected, metadata) = texts.unzip();
    UpdateParticipant { identity, role: role.map(Role::as_str), name, expected, metadata, by }
}

fn close(status: StreamStatus, reason: Option<String>) -> Close {
    Close { status, reason }
}

fn connect(session: Session, stream: StreamId, corrects_before: Option<Timestamp>) -> Connect {
    let issued = session.removals_before_token(stream);
    let attributes = Some(&session.attributes).filter(|attributes| !attributes.is_empty());
    Connect {
        attributes: attributes.map(Attributes::as_text).map(str::to_owned),
        room_sid: session.room_sid,
        participant_sid: session.sid,
        identity: session.identity,
        name: session.name,
        role: session.role.map(|role| role.as_str()),
        metadata: session.metadata.unwrap_or_default().as_stored(),
        session_at: session.joined_at,
        tracks: session.tracks.to_string(),
        corrects_before,
        kind: Some(session.kind)
            .filter(|kind| *kind != ParticipantKind::Standard)
            .map(ParticipantKind::as_str),
        hidden: session.hidden,
        issued,
    }
}

/// Decodes the answer of a change's script. That of a block has two more parts, the identity and the block.
///
/// # Errors
/// [`StoreError::NotFound`], [`StoreError::LeaseLost`] and [`StoreError::Rejected`] as the script answers them;
/// [`StoreError::Corrupt`] for an unknown answer.
pub(super) fn applied(answer: &[String]) -> Result<Applied, StoreError> {
    let answer: Vec<&str> = answer.iter().map(String::as_str).collect();
    let effect = effect(&answer)?;
    let (stream, participant, block) = match answer[..] {
        [_, stream, participant] => (stream, participant, None),
        [_, stream, participant, identity, block] => (stream, participant, Some((identity, block))),
        _ => return Err(corrupt("a script's answer")),
    };
    let (stream, participant) = (codec::stream_from_json(stream)?, codec::participant(participant)?);
    let block = block.map(|(identity, json)| codec::block(identity, json)).transpose()?;
    Ok(Applied { effect, stream, participant, block })
}

/// Decodes the outcome of a change of a batch, whose answer has the stream.
///
/// # Errors
/// As [`applied`].
pub(super) fn applied_in_batch(outcome: &[String], stream: &Stream) -> Result<Applied, StoreError> {
    let outcome: Vec<&str> = outcome.iter().map(String::as_str).collect();
    let effect = effect(&outcome)?;
    let [_, participant] = outcome[..] else { return Err(corrupt("a script's answer")) };
    let participant = codec::participant(participant)?;
    Ok(Applied { effect, stream: stream.clone(), participant, block: None })
}

fn effect(answer: &[&str]) -> Result<Effect, StoreError> {
    Ok(match *answer {
        ["not_found"] => return Err(StoreError::NotFound),
        ["lease_lost"] => return Err(StoreError::LeaseLost),
        ["rejected", reason, detail] => return Err(codec::rejection(reason, detail)?.into()),
        ["changed", ..] => Effect::Changed,
        ["unchanged", ..] => Effect::Unchanged,
        ["partial", ..] => Effect::Partial,
        ["duplicate", ..] => Effect::Duplicate,
        _ => return Err(corrupt("a script's answer")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::RoomName;

    #[test]
    fn every_key_has_the_one_hash_tag() {
        let keys = Keys::new("lso");
        let stream = StreamRef { id: StreamId::generate(), room_name: RoomName::parse("a}b{c").unwrap() };
        let args = ChangeArgs {
            stream_id: stream.id,
            key_prefix: keys.prefix(),
            expected_version: None,
            dedup_ttl_ms: None,
            live_ttl_ms: Duration::ZERO,
            stopped_ttl_ms: Duration::ZERO,
            lease_token: None,
            token_ttl_ms: Duration::ZERO,
            cursor_number: 0,
            cursor_step: 1,
            log_retention_ms: Duration::ZERO,
            log_min_events: 0,
            log_max_events: 0,
            log_max_bytes: 0,
            count_interval_ms: Duration::ZERO,
            keeps_visits: false,
        };
        let dedup_key = DedupKey::Webhook("EV_1".to_owned());
        let all = AcquireLock {}.prepare().call(change_keys(&keys, &stream, Some(&dedup_key)), args).keys;
        assert_eq!(all.len(), 5);
        assert!(all.iter().all(|key| key.starts_with("{lso}:")));
    }
}

//! Egresses of the fake LiveKit, and its calls about them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use async_trait::async_trait;
use livestream_orchestrator::{
    domain::{
        EgressId, EgressKind, EgressReport, EgressState, EgressStateTime, EgressStatus, EgressTarget,
        RoomName, RtmpAddress, TargetStatus, Timestamp,
    },
    media::{EgressJobs, ListedEgress, MediaError, NewEgress, TargetChange},
};

use super::FakeLiveKit;

/// A state that LiveKit reports at this time, in milliseconds.
pub(super) fn state(status: EgressStatus, now: i64) -> EgressState {
    EgressState {
        status,
        error: None,
        started_at: Some(Timestamp::from_millis(now)),
        ended_at: None,
        files: Vec::new(),
        hls: None,
        targets: Vec::new(),
        time: EgressStateTime::of(status, now * 1_000_000),
    }
}

pub(super) fn target(address: &RtmpAddress) -> EgressTarget {
    EgressTarget {
        fingerprint: address.fingerprint(),
        url: address.masked(),
        status: TargetStatus::Active,
        error: None,
    }
}

pub(super) fn set_status(state: &mut EgressState, status: EgressStatus, now: i64) {
    state.status = status;
    state.time = EgressStateTime::of(status, now * 1_000_000);
    if status.is_over() {
        state.ended_at = Some(Timestamp::from_millis(now));
        state.targets.iter_mut().for_each(|target| target.status = TargetStatus::Finished);
    }
}

#[async_trait]
impl EgressJobs for FakeLiveKit {
    async fn start_egress(&self, new: &NewEgress) -> Result<ListedEgress, MediaError> {
        let now = self.now().as_millis();
        self.media_answer(|livekit| {
            let room_sid = livekit.rooms.get(new.room.as_str()).map(|room| room.sid.clone());
            let room_sid = room_sid.ok_or(MediaError::NotFound)?;
            livekit.last_id += 1;
            let id: EgressId = format!("EG_{}", livekit.last_id).into();
            let outputs = new.outputs();
            let mut state = state(EgressStatus::Starting, now);
            state.targets = new.rtmp.iter().map(target).collect();
            let kind = EgressKind::of(&outputs);
            let report = EgressReport { id: id.clone(), room_sid: Some(room_sid), kind, outputs, state };
            let started = ListedEgress { room: new.room.to_string(), report };
            livekit.egresses.insert(id.clone(), started.clone());
            livekit.emit_egress(&id);
            Ok(started)
        })?
    }

    async fn change_targets(&self, id: &EgressId, change: &TargetChange) -> Result<ListedEgress, MediaError> {
        let now = self.now().as_millis();
        self.media_answer(|livekit| {
            let failure = livekit.egress_faults.target_failure.clone();
            if let Some(failure) = failure.clone().filter(|_| !livekit.egress_faults.loses_target_answers) {
                return Err(failure);
            }
            let egress = livekit.egresses.get_mut(id).ok_or(MediaError::NotFound)?;
            let state = &mut egress.report.state;
            if !matches!(state.status, EgressStatus::Starting | EgressStatus::Active) {
                return Err(MediaError::Ended);
            }
            state.targets.extend(change.add.iter().map(target));
            for removed in &change.remove {
                let fingerprint = removed.fingerprint();
                let is_it = |one: &&mut EgressTarget| {
                    one.fingerprint == fingerprint && one.status == TargetStatus::Active
                };
                state.targets.iter_mut().find(is_it).ok_or(MediaError::NotFound)?.status =
                    TargetStatus::Finished;
            }
            state.time = EgressStateTime::of(state.status, now * 1_000_000);
            failure.map_or_else(|| Ok(egress.clone()), Err)
        })?
    }

    async fn stop_egress(&self, id: &EgressId) -> Result<(), MediaError> {
        let now = self.now().as_millis();
        self.media_answer(|livekit| {
            if livekit.egress_faults.fails_stops {
                return Err(MediaError::Unavailable("the worker does not answer".to_owned()));
            }
            let completes = livekit.egress_faults.completes_stops;
            let Some(egress) = livekit.egresses.get_mut(id) else { return Ok(()) };
            let state = &mut egress.report.state;
            if matches!(state.status, EgressStatus::Starting | EgressStatus::Active) {
                let next = if completes { EgressStatus::Complete } else { EgressStatus::Ending };
                set_status(state, next, now);
            }
            Ok(())
        })?
    }

    async fn egresses(&self, room: Option<&RoomName>) -> Result<Vec<ListedEgress>, MediaError> {
        self.media_answer(|livekit| {
            let is_in = |one: &&ListedEgress| room.is_none_or(|room| room.as_str() == one.room);
            livekit.egresses.values().filter(is_in).cloned().collect()
        })
    }

    async fn egress(&self, id: &EgressId) -> Result<Option<ListedEgress>, MediaError> {
        if self.media_answer(|livekit| livekit.egress_faults.holds_reads)? {
            std::future::pending::<()>().await;
        }
        self.media_answer(|livekit| livekit.egresses.get(id).cloned())
    }
}

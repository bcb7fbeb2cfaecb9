//! Egresses of the simulation: they change their state, and write and send nothing.

use std::{
    collections::BTreeMap,
    sync::{MutexGuard, PoisonError},
};

use async_trait::async_trait;
use chrono::Utc;
use uuid::Uuid;

use super::{EgressJobs, ListedEgress, MediaError, NewEgress, TargetChange, simulated::SimulatedMedia};
use crate::domain::{
    EgressId, EgressKind, EgressReport, EgressState, EgressStateTime, EgressStatus, EgressTarget, RoomName,
    RtmpAddress, TargetStatus, Timestamp,
};

impl SimulatedMedia {
    fn egresses(&self) -> MutexGuard<'_, BTreeMap<EgressId, ListedEgress>> {
        self.egresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> Timestamp {
    Timestamp::from_millis(Utc::now().timestamp_millis())
}

/// Order of a state that is set now. Two states of one millisecond are in order too.
fn time_after(before: EgressStateTime, status: EgressStatus) -> EgressStateTime {
    let nanos = now().as_millis() * 1_000_000;
    let time = EgressStateTime::of(status, nanos);
    EgressStateTime { report: time.report.max(before.report + 1), ..time }
}

fn target(address: &RtmpAddress) -> EgressTarget {
    EgressTarget {
        fingerprint: address.fingerprint(),
        url: address.masked(),
        status: TargetStatus::Active,
        error: None,
    }
}

fn started(new: &NewEgress) -> EgressState {
    EgressState {
        status: EgressStatus::Active,
        error: None,
        started_at: Some(now()),
        ended_at: None,
        files: Vec::new(),
        hls: None,
        targets: new.rtmp.iter().map(target).collect(),
        time: time_after(EgressStateTime::default(), EgressStatus::Active),
    }
}

/// Ends the first active target of an address; `None` if there is none.
fn finish(targets: &mut [EgressTarget], address: &RtmpAddress) -> Option<()> {
    let fingerprint = address.fingerprint();
    let is_it = |target: &&mut EgressTarget| {
        target.fingerprint == fingerprint && target.status == TargetStatus::Active
    };
    targets.iter_mut().find(is_it)?.status = TargetStatus::Finished;
    Some(())
}

#[async_trait]
impl EgressJobs for SimulatedMedia {
    async fn start_egress(&self, new: &NewEgress) -> Result<ListedEgress, MediaError> {
        let outputs = new.outputs();
        let report = EgressReport {
            id: format!("EG_{}", Uuid::now_v7().simple()).into(),
            room_sid: None,
            kind: EgressKind::of(&outputs),
            outputs,
            state: started(new),
        };
        let started = ListedEgress { room: new.room.to_string(), report };
        self.egresses().insert(started.report.id.clone(), started.clone());
        Ok(started)
    }

    async fn change_targets(&self, id: &EgressId, change: &TargetChange) -> Result<ListedEgress, MediaError> {
        let mut egresses = self.egresses();
        let egress = egresses.get_mut(id).ok_or(MediaError::NotFound)?;
        let state = &mut egress.report.state;
        if state.status.is_over() {
            return Err(MediaError::Ended);
        }
        state.targets.extend(change.add.iter().map(target));
        for address in &change.remove {
            finish(&mut state.targets, address).ok_or(MediaError::NotFound)?;
        }
        state.time = time_after(state.time, state.status);
        Ok(egress.clone())
    }

    async fn stop_egress(&self, id: &EgressId) -> Result<(), MediaError> {
        let mut egresses = self.egresses();
        let Some(state) = egresses.get_mut(id).map(|egress| &mut egress.report.state) else { return Ok(()) };
        if !state.status.is_over() {
            state.status = EgressStatus::Complete;
            state.ended_at = Some(now());
            state.targets.iter_mut().for_each(|target| target.status = TargetStatus::Finished);
            state.time = time_after(state.time, state.status);
        }
        Ok(())
    }

    async fn egresses(&self, room: Option<&RoomName>) -> Result<Vec<ListedEgress>, MediaError> {
        let is_in = |egress: &&ListedEgress| room.is_none_or(|room| egress.room == room.as_str());
        Ok(self.egresses().values().filter(is_in).cloned().collect())
    }

    async fn egress(&self, id: &EgressId) -> Result<Option<ListedEgress>, MediaError> {
        Ok(self.egresses().get(id).cloned())
    }
}

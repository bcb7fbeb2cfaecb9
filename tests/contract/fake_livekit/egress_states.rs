//! What happens to egresses of the fake LiveKit: reports of their workers, and the death of a worker.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livestream_orchestrator::{
    domain::{
        EgressFile, EgressId, EgressKind, EgressOutputs, EgressReport, EgressState, EgressStateTime,
        EgressStatus, ParticipantKind, RoomName, RtmpAddress, TargetStatus,
    },
    media::{ListedEgress, MediaError},
    rooms::{RoomEvent, RoomEventKind},
};

use super::{
    FakeLiveKit,
    egresses::{set_status, state, target},
    state::State,
};

impl State {
    /// Queues the webhook of an egress as it is.
    pub(super) fn emit_egress(&mut self, id: &EgressId) {
        let ListedEgress { room, report } = self.egresses[id].clone();
        self.last_id += 1;
        self.webhooks.push(RoomEvent {
            id: Some(format!("EV_{}", self.last_id)),
            room: RoomName::parse(room).unwrap(),
            room_sid: None,
            at: None,
            kind: RoomEventKind::EgressChanged(Box::new(report)),
        });
    }
}

impl FakeLiveKit {
    fn set_egress(&self, id: &EgressId, status: EgressStatus) {
        self.update(|state, now| {
            let egress = state.egresses.get_mut(id).unwrap();
            set_status(&mut egress.report.state, status, now);
        });
    }

    /// Room, kind and status of each egress.
    pub fn egresses_present(&self) -> Vec<(String, EgressKind, EgressStatus)> {
        let state = self.state.lock().unwrap();
        let of = |one: &ListedEgress| (one.room.clone(), one.report.kind, one.report.state.status);
        state.egresses.values().map(of).collect()
    }

    /// The worker of an egress reports its next state. Its recorder joins with `active`, and leaves after it.
    pub fn report_egress(&self, id: &EgressId, status: EgressStatus) {
        let ListedEgress { room, report } = self.state.lock().unwrap().egresses[id].clone();
        match status {
            EgressStatus::Starting => {}
            EgressStatus::Active => self.connect_with(&room, id.as_str(), |session| {
                (session.kind, session.hidden) = (ParticipantKind::Egress, true);
            }),
            _ => self.disconnect(&room, id.as_str()),
        }
        self.set_egress(id, status);
        self.update(|state, _| {
            let results = &mut state.egresses.get_mut(id).unwrap().report.state.files;
            if let Some(path) = report.outputs.file.filter(|_| status == EgressStatus::Complete) {
                let location = Some(format!("https://store.example/{path}"));
                results.push(EgressFile { path, size: 4_096, duration: Duration::from_secs(2), location });
            }
            state.emit_egress(id);
        });
    }

    /// The worker of an egress dies: its recorder leaves, and LiveKit goes on calling it active.
    pub fn kill_egress_worker(&self, id: &EgressId) {
        let room = self.state.lock().unwrap().egresses[id].room.clone();
        self.disconnect(&room, id.as_str());
    }

    /// Starts an egress as another tool does, or LiveKit for a request that has given up.
    pub fn start_foreign_egress(&self, room: &str, outputs: EgressOutputs) -> EgressId {
        let room_sid = self.room_state(room).map(|room| room.sid);
        self.update(|livekit, now| {
            livekit.last_id += 1;
            let id: EgressId = format!("EG_{}", livekit.last_id).into();
            let kind = EgressKind::of(&outputs);
            let state: EgressState = state(EgressStatus::Starting, now);
            let report = EgressReport { id: id.clone(), room_sid, kind, outputs, state };
            livekit.egresses.insert(id.clone(), ListedEgress { room: room.to_owned(), report });
            livekit.emit_egress(&id);
            id
        })
    }

    /// Makes the worker of each egress ignore stops, or answer them again.
    pub fn fail_stops(&self, fails: bool) {
        self.update(|state, _| state.egress_faults.fails_stops = fails);
    }

    /// Makes reads of an egress wait for ever, or answers them again.
    pub fn hold_egress_reads(&self, holds: bool) {
        self.update(|state, _| state.egress_faults.holds_reads = holds);
    }

    /// Makes a stopped egress complete at once.
    pub fn complete_stops(&self, completes: bool) {
        self.update(|state, _| state.egress_faults.completes_stops = completes);
    }

    /// Makes changes of targets fail, or succeed again.
    pub fn fail_target_changes(&self, failure: Option<MediaError>) {
        self.update(|state, _| state.egress_faults.target_failure = failure);
    }

    /// Makes changes of targets that fail take effect.
    pub fn lose_target_answers(&self, loses: bool) {
        self.update(|state, _| state.egress_faults.loses_target_answers = loses);
    }

    /// Adds a target to an egress, as a request does whose instance dies.
    pub fn add_target(&self, id: &EgressId, address: &RtmpAddress) {
        self.update(|state, now| {
            let egress = &mut state.egresses.get_mut(id).unwrap().report.state;
            egress.targets.push(target(address));
            egress.time = EgressStateTime::of(egress.status, now * 1_000_000);
        });
    }

    /// States of the targets of an egress.
    pub fn egress_targets(&self, id: &EgressId) -> Vec<TargetStatus> {
        let state = self.state.lock().unwrap();
        state.egresses[id].report.state.targets.iter().map(|target| target.status).collect()
    }

    /// Removes an egress, as LiveKit does after a day.
    pub fn forget_egress(&self, id: &EgressId) {
        self.update(|state, _| {
            state.egresses.remove(id);
        });
    }

    /// Ids of the egresses that take media, in the order of their start.
    pub fn running_egresses(&self) -> Vec<EgressId> {
        let takes_media = |one: &&ListedEgress| {
            matches!(one.report.state.status, EgressStatus::Starting | EgressStatus::Active)
        };
        let state = self.state.lock().unwrap();
        state.egresses.values().filter(takes_media).map(|one| one.report.id.clone()).collect()
    }
}

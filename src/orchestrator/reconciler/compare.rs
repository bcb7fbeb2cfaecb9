//! Comparison of one stream with its room.

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::{AtomicU64, Ordering},
};

use super::{
    report::{Repairs, count},
    service::Reconciler,
};
use crate::{
    domain::{
        Change, Identity, LeaveReason, Participant, ParticipantKind, ParticipantSid, ParticipantState, Role,
        Session, Stream, StreamStatus, Timestamp, change::Effect,
    },
    orchestrator::error::Error,
    rooms::{Occupants, Room},
    store::{Guard, KindFilter, Lease, ParticipantFilter, StoreError},
};

/// Maximum participants in one read.
const PARTICIPANTS_PAGE: usize = 1_000;

impl Reconciler {
    /// Compares one stream. A room whose LiveKit node does not answer and an unreadable entry are counted as failed, so
    /// that the comparison of other streams goes on.
    pub(super) async fn compare_or_skip(
        &self,
        stream: Stream,
        room: Room,
        before: Timestamp,
        lease: &Lease,
        repairs: &Repairs,
        failed: &AtomicU64,
    ) -> Result<(), Error> {
        let id = stream.id;
        match self.compare(stream, room, before, lease, repairs).await {
            Err(error @ (Error::Rooms(_) | Error::Store(StoreError::Corrupt(_)))) => {
                tracing::warn!(stream = %id, %error, "stream not compared with its room");
                count(failed);
                Ok(())
            }
            other => other,
        }
    }

    /// Compares one stream with its room.
    async fn compare(
        &self,
        stream: Stream,
        room: Room,
        before: Timestamp,
        lease: &Lease,
        repairs: &Repairs,
    ) -> Result<(), Error> {
        if room.metadata != stream.metadata.as_text() {
            self.repair_metadata(&stream, &room, repairs).await?;
        }
        let differences = differences(&stream, &room);
        if !differences.is_empty() {
            tracing::warn!(stream = %stream.id, ?differences, "room has other settings than its stream");
            count(&repairs.other_settings);
        }
        let Some(occupants) = self.occupants_of(&stream, &room).await? else { return Ok(()) };
        let mut known = self.present(&stream).await?;
        let sessions = occupants.sessions.iter();
        let listed: Vec<_> =
            sessions.clone().map(|session| (session.identity.clone(), session.sid.clone())).collect();
        let present: HashSet<_> =
            sessions.map(|session| (session.identity.clone(), session.is_listed())).collect();
        for session in occupants.sessions {
            let recorded = known.remove(&session.sid);
            if let Some(recorded) = recorded.as_ref().filter(|recorded| is_up_to_date(recorded, &session)) {
                let is_recent = recorded.changed_at >= before;
                self.align(&stream, recorded, session.role, is_recent, lease, repairs).await?;
                continue;
            }
            let (sid, role) = (session.sid.clone(), session.role);
            let counter = if recorded.is_some() { &repairs.updated } else { &repairs.joined };
            let observe = Change::Observe { session, before };
            let observed = self.repair(&stream, observe, lease, counter, &repairs.undecided).await?;
            if let Some(entry) = observed.filter(|entry| entry.sid == Some(sid)) {
                self.align(&stream, &entry, role, false, lease, repairs).await?;
            }
        }
        let is_present = |sid: &ParticipantSid, entry: &Participant| {
            present.contains(&(entry.identity.clone(), entry.is_listed()))
                || occupants.unsettled.iter().any(|session| session.sid == *sid)
        };
        for (sid, entry) in known {
            if is_present(&sid, &entry) {
                continue;
            }
            let lose = Change::Lose { identity: entry.identity, sid, before };
            self.repair(&stream, lose, lease, &repairs.left, &repairs.undecided).await?;
        }
        self.exclude_denied(&stream, &listed, lease, repairs).await
    }

    /// Makes LiveKit follow the record of a listed session, where a call was lost or an older token was used: ends a
    /// session that a removal ends, and sends a recorded role. A record that may be newer than the list is compared
    /// again later.
    async fn align(
        &self,
        stream: &Stream,
        entry: &Participant,
        reported: Option<Role>,
        is_recent: bool,
        lease: &Lease,
        repairs: &Repairs,
    ) -> Result<(), Error> {
        if !entry.removals.end_session() && !entry.overrides(reported) {
            return Ok(());
        }
        let is_removed = match self.orchestrator.denial(stream, entry).await? {
            None => false,
            Some(LeaveReason::Removed) => true,
            // The comparison ends with the exclusion of these participants.
            Some(LeaveReason::Blocked | LeaveReason::Backstage) => return Ok(()),
        };
        if is_recent {
            count(&repairs.undecided);
            return Ok(());
        }
        if is_removed {
            if self.orchestrator.exclude_one(stream, &entry.identity, Some(lease.clone())).await? {
                count(&repairs.removed);
            }
            return Ok(());
        }
        count(&repairs.role);
        self.orchestrator.send_role(stream, entry.clone()).await
    }

    /// Excludes participants without access that are still connected. Reads the stream again first, because it may have
    /// gone live since the streams were listed.
    async fn exclude_denied(
        &self,
        stream: &Stream,
        listed: &[(Identity, ParticipantSid)],
        lease: &Lease,
        repairs: &Repairs,
    ) -> Result<(), Error> {
        let current = self.store.get(stream.id).await?;
        let Some(current) = current.filter(|current| current.status == StreamStatus::Active) else {
            return Ok(());
        };
        let blocked = self.orchestrator.exclude_blocked(&current, listed, Some(lease)).await?;
        let audience = self.orchestrator.exclude_audience(&current, Some(lease)).await?;
        repairs.removed.fetch_add(blocked + audience, Ordering::Relaxed);
        Ok(())
    }

    /// Lists the participants of the stream's own room. Returns `None` if the room was deleted or replaced after the
    /// listing, which the next reconciliation finds.
    async fn occupants_of(&self, stream: &Stream, room: &Room) -> Result<Option<Occupants>, Error> {
        // LiveKit's count omits agents and recorders, so participants are listed even if it is 0.
        let is_empty = room.participants == 0 && !stream.is_occupied();
        let occupants = if is_empty {
            Some(self.rooms.occupants_of(&stream.room_name, &room.sid).await?)
        } else {
            self.rooms.occupants(&stream.room_name).await?
        };
        Ok(occupants.filter(|occupants| stream.room_sid.as_ref() == Some(&occupants.room_sid)))
    }

    /// Sends metadata to LiveKit that a lost call left out. Reads the stream again first, because its metadata may have
    /// changed since the streams were listed.
    async fn repair_metadata(&self, stream: &Stream, room: &Room, repairs: &Repairs) -> Result<(), Error> {
        let current = self.store.get(stream.id).await?;
        // Metadata that changed in the meantime is being sent to LiveKit by its own request.
        let overdue = |current: &Stream| {
            current.metadata == stream.metadata && room.metadata != current.metadata.as_text()
        };
        match current.filter(overdue) {
            Some(current) => {
                count(&repairs.metadata);
                self.orchestrator.copy_metadata(&current).await;
            }
            None => count(&repairs.undecided),
        }
        Ok(())
    }

    /// Returns all participants that are recorded as connected, by session id.
    async fn present(&self, stream: &Stream) -> Result<HashMap<ParticipantSid, Participant>, Error> {
        let mut all = HashMap::new();
        let listed = ParticipantFilter::state(ParticipantState::Active);
        self.add_present(stream, listed, &mut all).await?;
        if stream.uncounted > 0 {
            for kind in [KindFilter::Hidden, KindFilter::Kind(ParticipantKind::Egress)] {
                let unlisted = ParticipantFilter { kind: Some(kind), shows_hidden: true, ..listed };
                self.add_present(stream, unlisted, &mut all).await?;
            }
        }
        Ok(all)
    }

    async fn add_present(
        &self,
        stream: &Stream,
        filter: ParticipantFilter,
        all: &mut HashMap<ParticipantSid, Participant>,
    ) -> Result<(), Error> {
        let mut after = None;
        loop {
            let page = self.store.participants(stream.id, filter, PARTICIPANTS_PAGE, after.as_deref()).await;
            let page = match page {
                // The stream has ended in the meantime.
                Err(StoreError::NotFound) => return Ok(()),
                other => other?,
            };
            let by_session = |entry: Participant| Some((entry.sid.clone()?, entry));
            all.extend(page.items.into_iter().filter_map(by_session));
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Makes one change and returns the participant after it. Counts it as a repair, or as undecided if the record may
    /// be newer than the list.
    async fn repair(
        &self,
        stream: &Stream,
        change: Change,
        lease: &Lease,
        repaired: &AtomicU64,
        undecided: &AtomicU64,
    ) -> Result<Option<Participant>, Error> {
        let guard = Guard { lease: Some(lease.clone()), ..Guard::default() };
        match self.store.apply(&stream.reference(), change, guard).await {
            Ok(applied) if applied.effect == Effect::Changed => {
                count(repaired);
                return Ok(applied.participant);
            }
            Ok(_) => count(undecided),
            // The stream has ended in the meantime.
            Err(StoreError::NotFound | StoreError::Rejected(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(None)
    }
}

/// Reports whether a recorded participant equals LiveKit's session.
fn is_up_to_date(recorded: &Participant, session: &Session) -> bool {
    recorded.sid.as_ref() == Some(&session.sid)
        && recorded.tracks == session.tracks
        && recorded.name == session.name
        && (recorded.role_recorded || session.role.is_none_or(|role| recorded.role == role))
        && recorded.metadata == session.metadata.clone().unwrap_or_default()
        && recorded.attributes == session.attributes
        && recorded.is_listed() == session.is_listed()
}

/// Returns the settings of a room that differ from those of its stream.
fn differences(stream: &Stream, room: &Room) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(wanted) = stream.max_participants.filter(|wanted| *wanted != room.max_participants) {
        found.push(format!("maxParticipants is {} instead of {wanted}", room.max_participants));
    }
    let shortest = u64::from(room.empty_timeout.min(room.departure_timeout));
    if let Some(wanted) = stream.idle_after.map(|after| after.as_secs()).filter(|wanted| shortest < *wanted) {
        found.push(format!("emptyTimeout is {shortest} instead of {wanted}"));
    }
    found
}

//! Join tokens: entries of participants that have not connected yet.

use super::{
    recorder::{Applied, Recorder, UNCHANGED},
    state::Aggregate,
};
use crate::domain::{
    Change, Identity, Participant, ParticipantState, Rejection, Role, StreamStatus, Timestamp,
    change::{CLOSE_BATCH, Effect},
    event::EventKind,
};

impl Aggregate {
    /// Records a joining entry for the identity of [`Change::IssueToken`], unless the identity is connected.
    pub(super) fn issue_token(&mut self, change: Change, now: Timestamp) -> Applied {
        let Change::IssueToken { identity, name, role, metadata, attributes, joining_ttl } = change else {
            return UNCHANGED;
        };
        if self.stream.status != StreamStatus::Active {
            return Err(Rejection::NotActive { status: self.stream.status });
        }
        if self.blocks.contains_key(&identity) {
            return Err(Rejection::Blocked);
        }
        let known = self.participants.get(&identity);
        let recorded = role.or_else(|| self.recorded_role(&identity));
        let role = recorded.unwrap_or(Role::Host);
        if self.stream.backstage && role == Role::Viewer {
            return Err(Rejection::Backstage);
        }
        if known.is_some_and(Participant::is_active) {
            return UNCHANGED;
        }
        if let Some(max) = self.stream.max_participants.filter(|max| self.tally.counts.total() >= *max) {
            return Err(Rejection::Full { max });
        }
        let mut entry = Participant::joining(identity.clone(), role, now);
        entry.role_recorded = recorded.is_some();
        if let Some(known) = known {
            entry.name.clone_from(&known.name);
            entry.metadata = known.metadata.clone();
            entry.attributes = known.attributes.clone();
            entry.session_at = known.session_at;
            entry.hand_raised_at = known.hand_raised_at.filter(|_| role == Role::Viewer);
            entry.removals = known.removals.without_session();
            entry.last_visit = known.left_at.map(|left| (known.joined_at, left)).or(known.last_visit);
        }
        entry.name = name.or(entry.name);
        entry.metadata = metadata.map_or(entry.metadata, Into::into);
        entry.attributes = attributes.unwrap_or(entry.attributes);
        entry.expires_at = Some(now.plus(joining_ttl));
        let known = self.participants.insert(identity, entry.clone());
        self.recorded(now, |recorder| {
            let was_told = known.is_some_and(|known| recorder.is_told(&known));
            recorder.tell(EventKind::ParticipantUpdated, &entry, was_told);
        })
    }

    /// Returns the role that a caller has set for an identity.
    pub(super) fn recorded_role(&self, identity: &Identity) -> Option<Role> {
        match self.participants.get(identity) {
            Some(known) => Some(known.role).filter(|_| known.role_recorded),
            None => self.roles.get(identity).copied(),
        }
    }

    /// Ends joining entries whose time has passed, at most [`CLOSE_BATCH`] of them.
    pub(super) fn expire_joining(&mut self, now: Timestamp) -> Applied {
        let due = |entry: &&Participant| entry.expires_at.is_some_and(|at| at <= now);
        let mut expired: Vec<_> = self.participants.values().filter(due).cloned().collect();
        expired.sort_by(|a, b| (a.expires_at, &a.identity).cmp(&(b.expires_at, &b.identity)));
        let more = expired.len() > CLOSE_BATCH;
        let mut recorder = Recorder::new(&mut self.stream, &mut self.tally, now);
        for mut entry in expired.iter().take(CLOSE_BATCH).cloned() {
            let is_told = recorder.is_told(&entry);
            entry.state = ParticipantState::Disconnected;
            (entry.expires_at, entry.hand_raised_at) = (None, None);
            match entry.last_visit.take() {
                Some((joined, left)) => {
                    (entry.joined_at, entry.left_at, entry.changed_at) = (joined, Some(left), now);
                    self.participants.insert(entry.identity.clone(), entry.clone());
                    recorder.tell(EventKind::ParticipantUpdated, &entry, is_told);
                }
                None => {
                    entry.left_at = Some(now);
                    self.participants.remove(&entry.identity);
                    if entry.role_recorded {
                        self.roles.insert(entry.identity.clone(), entry.role);
                    }
                    if is_told {
                        recorder.record_removal(EventKind::ParticipantUpdated, &entry);
                    }
                }
            }
        }
        let drafts = recorder.drafts;
        let effect = match (expired.is_empty(), more) {
            (true, _) => Effect::Unchanged,
            (false, true) => Effect::Partial,
            (false, false) => Effect::Changed,
        };
        Ok((effect, drafts))
    }
}

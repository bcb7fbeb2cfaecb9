//! What must hold after a reconciliation: LiveKit, the record and the events are one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use livestream_orchestrator::{
    domain::{
        Audience, Change, Event, EventKind, Identity, Participant, ParticipantCounts, ParticipantState, Role,
        StreamStatus, Topic,
    },
    store::{EventFeed, Guard, KindFilter, ParticipantFilter, StreamStore},
};
use serde_json::json;

use super::{Fixture, ROOM};
use crate::backend::RETENTION;

impl Fixture {
    /// Asserts that the recorded state equals LiveKit's.
    pub async fn assert_state_matches_livekit(&self) {
        self.livekit.advance(RETENTION.count_interval);
        self.tell_counts().await;
        let view = self.store.view(self.stream).await.unwrap().expect("the stream is retained");
        let active: Vec<_> = self.participants().await.into_iter().filter(Participant::is_active).collect();
        let mut counts = ParticipantCounts::default();
        active.iter().for_each(|one| *counts.of_mut(one.role) += 1);
        assert_eq!(view.stream.counts, counts);
        let shown: Vec<_> =
            active.into_iter().map(|one| (one.identity.to_string(), one.sid.unwrap(), one.tracks)).collect();
        match self.livekit.room_state(ROOM) {
            Some(room) => {
                assert_eq!(view.stream.status, StreamStatus::Active);
                assert_eq!(self.hidden().await, room.hidden);
                assert_eq!(view.stream.room_sid, Some(room.sid));
                let mut shown = shown;
                shown.sort_by(|one, other| one.0.cmp(&other.0));
                assert_eq!(shown, room.present);
                self.assert_livekit_enforces_record().await;
            }
            None => {
                assert_eq!(view.stream.status, StreamStatus::Stopped);
                assert!(shown.is_empty(), "{shown:?}");
            }
        }
        self.assert_log_is_consistent().await;
    }

    /// Makes an event of the counts of a counted stream.
    async fn tell_counts(&self) {
        let stream = self.store.get(self.stream).await.unwrap().unwrap().reference();
        self.store.apply(&stream, Change::TellCounts, Guard::default()).await.unwrap();
    }

    /// Asserts that replaying the log gives the recorded counts and participants.
    pub async fn assert_log_is_consistent(&self) {
        let view = self.store.view(self.stream).await.unwrap().unwrap();
        let log = self.store.newest(Topic::Stream(self.stream), 10_000).await.unwrap().unwrap();
        let mut participants: BTreeMap<String, Participant> = BTreeMap::new();
        let (mut active, mut blocked) = (0_i64, BTreeSet::new());
        for (position, event) in log.iter().enumerate() {
            let draft = &event.draft;
            assert_eq!(event.seq(), position as u64 + 1);
            fold(&mut participants, event);
            match draft.kind {
                EventKind::ParticipantJoined => active += 1,
                EventKind::ParticipantLeft => active -= 1,
                EventKind::ParticipantBlocked => assert!(blocked.insert(draft.identity.clone())),
                EventKind::ParticipantUnblocked => assert!(blocked.remove(&draft.identity)),
                _ => {}
            }
            assert_departure_is_explained(event, &blocked);
            // In a counted stream, participants come to the stage and leave it within a session.
            let is_listed = draft.stream.audience == Audience::Listed;
            assert!(!is_listed || i64::from(draft.stream.participant_count()) == active);
            assert!(draft.stream.peak_participant_count >= draft.stream.participant_count());
            assert_eq!(event.is_last(), position + 1 == log.len() && view.stream.status.is_final());
        }
        let document = |stream| serde_json::to_value(stream).unwrap();
        let mut last = document(&log.last().unwrap().draft.stream);
        last["metadata"] = json!({});
        assert_eq!(last, document(&view.stream.clone().map_metadata(Some)));
        // Some changes of an entry are not shown and have no event.
        let shown = |one: &Participant| (one.identity.to_string(), serde_json::to_value(one).unwrap());
        let in_events: BTreeMap<_, _> = participants.values().map(shown).collect();
        assert_eq!(view.participants.iter().map(shown).collect::<BTreeMap<_, _>>(), in_events);
        let recorded = self.store.blocks(self.stream, 1_000, None).await.unwrap().items;
        let recorded: BTreeSet<_> = recorded.into_iter().map(|block| Some(block.identity)).collect();
        if view.stream.status == StreamStatus::Active {
            assert_eq!(recorded, blocked);
            assert_eq!(view.stream.blocks as usize, recorded.len());
        }
    }

    /// Identities of the connected hidden participants.
    async fn hidden(&self) -> Vec<String> {
        let kind = Some(KindFilter::Hidden);
        let filter = ParticipantFilter { state: None, kind, shows_hidden: true };
        let hidden = self.store.participants(self.stream, filter, 1_000, None).await.unwrap().items;
        let mut hidden: Vec<_> = hidden.into_iter().map(|one| one.identity.to_string()).collect();
        hidden.sort();
        hidden
    }

    /// Returns all participants, of a counted stream also those off stage.
    pub async fn participants(&self) -> Vec<Participant> {
        let all = self.store.participants(self.stream, ParticipantFilter::default(), 1_000, None).await;
        all.unwrap().items
    }

    /// Asserts that LiveKit enforces what is recorded.
    pub async fn assert_livekit_enforces_record(&self) {
        let stream = self.store.get(self.stream).await.unwrap().unwrap();
        for entry in self.participants().await {
            let who = entry.identity.as_str();
            let is_present = entry.state != ParticipantState::Disconnected;
            let may_raise_hand = is_present && entry.role == Role::Viewer;
            assert!(entry.hand_raised_at.is_none() || may_raise_hand, "{entry:?}");
            if entry.is_active() {
                assert_eq!(self.livekit.role_of(ROOM, who), Some(entry.role), "{who}");
                let is_blocked = self.store.block(self.stream, who).await.unwrap().is_some();
                assert_eq!(stream.denial(&entry, is_blocked), None, "{who} is in the room");
                assert!(entry.removals.pending.is_none(), "{who} is being removed");
            }
        }
        for who in self.hidden().await {
            assert_eq!(self.store.block(self.stream, &who).await.unwrap(), None, "{who} is in the room");
        }
    }
}

/// Asserts that the reason of a departure was true when the event was recorded.
fn assert_departure_is_explained(event: &Event, blocked: &BTreeSet<Option<Identity>>) {
    let draft = &event.draft;
    let (Some(one), Some(reason)) = (&draft.participant, draft.reason.as_deref()) else { return };
    match reason {
        "blocked" => assert!(blocked.contains(&Some(one.identity.clone())), "{draft:?}"),
        "backstage" => assert!(draft.stream.backstage && one.role == Role::Viewer, "{draft:?}"),
        "removed" => assert!(one.removals.count > 0, "{draft:?}"),
        _ => assert_ne!(draft.kind, EventKind::ParticipantLeft, "{draft:?}"),
    }
}

/// Folds an event into the participants of a document.
fn fold(participants: &mut BTreeMap<String, Participant>, event: &Event) {
    let draft = &event.draft;
    if let Some(one) = &draft.participant {
        participants.insert(one.identity.to_string(), one.clone());
        if draft.removed {
            participants.remove(one.identity.as_str());
        }
    }
    participants.retain(|_, one| draft.stream.audience == Audience::Listed || one.is_on_stage());
}

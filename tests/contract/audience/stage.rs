//! Moves onto the stage of a counted stream and off it: of one participant, and of all viewers of a listed stream.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livestream_orchestrator::domain::{Audience, AudienceMode, Change, EventKind, Role, Timestamp};

use super::{HOUR, active, backends, connected, counts, present, recorded, shown, viewer_token};
use crate::backend::{identity, kinds, left, token};

/// LiveKit's list shows the role of a connected participant.
fn listed(who: &str, role: Role) -> Change {
    Change::Observe { session: present(who, role), before: Timestamp::from_millis(i64::MAX / 2_000) }
}

#[tokio::test]
async fn viewer_above_the_bound_makes_an_auto_stream_counted_for_good() {
    for backend in backends(HOUR) {
        let stream = active(&backend, AudienceMode::Auto, None).await;
        backend.change(&stream, connected("eve", Role::Host)).await;
        for who in ["ann", "bob", "cid"] {
            backend.change(&stream, connected(who, Role::Viewer)).await;
        }
        let log = backend.log(stream.id).await;
        let [.., last, flip] = &log[..] else { panic!("{log:?}") };
        assert_eq!(
            (last.draft.kind, last.draft.stream.audience, last.draft.stream.counts.viewers),
            (EventKind::ParticipantJoined, Audience::Listed, 3)
        );
        assert_eq!(
            (flip.draft.kind, flip.draft.stream.audience),
            (EventKind::StreamUpdated, Audience::Counted)
        );
        assert_eq!(flip.draft.previous_status, None);
        assert_eq!(
            (shown(&backend, &stream).await, recorded(&backend, &stream).await),
            (vec!["eve".into()], 4)
        );
        for who in ["ann", "bob", "cid"] {
            backend.change(&stream, left(who, None)).await;
        }
        backend.change(&stream, connected("dan", Role::Viewer)).await;
        assert_eq!(backend.log(stream.id).await.len(), log.len(), "few viewers do not make it listed again");
    }
}

#[tokio::test]
async fn role_change_within_a_session_is_a_participant_updated() {
    for backend in backends(HOUR) {
        let stream = active(&backend, AudienceMode::Counted, None).await;
        backend.change(&stream, connected("ann", Role::Viewer)).await;
        for (role, removed, told) in [(Role::Host, false, counts(1, 0)), (Role::Viewer, true, counts(0, 1))] {
            backend.change(&stream, listed("ann", role)).await;
            let log = backend.log(stream.id).await;
            let draft = &log.last().unwrap().draft;
            assert_eq!((draft.kind, draft.removed), (EventKind::ParticipantUpdated, removed));
            assert_eq!((draft.stream.counts, draft.participant.as_ref().unwrap().role), (told, role));
            assert_eq!(shown(&backend, &stream).await.is_empty(), removed);
        }
    }
}

#[tokio::test]
async fn token_for_another_role_moves_a_participant_onto_the_stage_and_off() {
    for backend in backends(HOUR) {
        let stream = active(&backend, AudienceMode::Counted, None).await;
        backend.change(&stream, viewer_token("ann", HOUR)).await;
        backend.change(&stream, token("ann", HOUR)).await;
        assert_eq!(shown(&backend, &stream).await, ["ann"]);
        backend.change(&stream, viewer_token("ann", HOUR)).await;
        assert!(shown(&backend, &stream).await.is_empty());
        backend.change(&stream, token("ann", Duration::ZERO)).await;
        backend.change(&stream, Change::ExpireJoining).await;
        assert!(backend.store.participant(stream.id, identity("ann").as_str()).await.unwrap().is_none());
        let log = backend.log(stream.id).await;
        let removed: Vec<_> = log[2..].iter().map(|event| event.draft.removed).collect();
        assert_eq!(removed, [false, true, false, true]);
    }
}

#[tokio::test]
async fn stop_of_counted_stream_tells_departures_of_the_stage_alone() {
    for backend in backends(Duration::ZERO) {
        let stream = active(&backend, AudienceMode::Counted, None).await;
        backend.change(&stream, connected("eve", Role::Host)).await;
        for who in ["ann", "bob"] {
            backend.change(&stream, connected(who, Role::Viewer)).await;
        }
        let before = backend.log(stream.id).await.len();
        let stopped = backend.stop(&stream).await;
        assert_eq!(stopped.counts, counts(0, 0));
        let log = backend.log(stream.id).await;
        let expected = [EventKind::StreamUpdated, EventKind::ParticipantLeft, EventKind::StreamStopped];
        assert_eq!(kinds(&log[before..]), expected);
        assert_eq!(backend.store.totals().await.unwrap().participants, 0);
        assert_eq!(
            (shown(&backend, &stream).await, recorded(&backend, &stream).await),
            (vec!["eve".into()], 3)
        );
    }
}

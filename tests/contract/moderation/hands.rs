//! Raised hands, in every store: who may raise one, what lowers it, and the stage of a counted stream.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livestream_orchestrator::{
    domain::{
        AudienceMode, Change, EventKind, ParticipantUpdate, Rejection, Role, Session, StreamRef, Timestamp,
        change::Effect, hand_rate::HANDS_OF_PARTICIPANT, participant::MAX_HANDS, stream::NewStream,
    },
    store::{CreateOutcome, StoreError},
};

use crate::backend::{Backend, identity, left, new_stream, on_every_backend, session};

on_every_backend!(
    hand_is_raised_and_lowered_once,
    hand_of_host_or_absent_participant_is_not_raised,
    promotion_and_departure_lower_the_hand,
    hand_of_unused_token_outlives_another_token_and_not_its_expiry,
    raised_hand_is_on_stage_of_counted_stream,
    departure_with_raised_hand_is_told_in_counted_stream,
    thousand_hands_are_raised_at_most,
    hand_that_is_raised_too_often_stays_down,
);

const HOUR: Duration = Duration::from_secs(3_600);

fn hand(who: &str, is_raised: bool) -> Change {
    Change::SetHand { identity: identity(who), is_raised, by: Some(identity("cy")) }
}

fn connect(who: &str, role: Role) -> Change {
    Change::Connect(Session { role: Some(role), ..session(who, &format!("PA_{who}"), 1) })
}

fn issue(who: &str, role: Option<Role>, joining_ttl: Duration) -> Change {
    let identity = identity(who);
    Change::IssueToken { identity, name: None, role, metadata: None, attributes: None, joining_ttl }
}

fn set_role(who: &str, role: Role) -> Change {
    let (identity, role) = (identity(who), Some(role));
    Change::UpdateParticipant(ParticipantUpdate { identity, role, name: None, metadata: None, by: None })
}

async fn counted(backend: &Backend) -> StreamRef {
    let new = NewStream { audience: AudienceMode::Counted.begin(0), ..new_stream("counted") };
    let CreateOutcome::Created(stream) = backend.store.create(backend.placed(new)).await.unwrap() else {
        panic!("taken")
    };
    let stream = stream.reference();
    backend.change(&stream, Change::Activate { room_sid: "RM_1".into() }).await;
    stream
}

async fn raised_at(backend: &Backend, stream: &StreamRef, who: &str) -> Option<Timestamp> {
    backend.store.participant(stream.id, who).await.unwrap().unwrap().hand_raised_at
}

/// Type and `removed` of the newest event, and their number.
async fn newest(backend: &Backend, stream: &StreamRef) -> (EventKind, bool, usize) {
    let log = backend.log(stream.id).await;
    let draft = &log.last().unwrap().draft;
    (draft.kind, draft.removed, log.len())
}

async fn shown(backend: &Backend, stream: &StreamRef) -> Vec<String> {
    let view = backend.store.view(stream.id).await.unwrap().unwrap();
    view.participants.iter().map(|one| one.identity.to_string()).collect()
}

async fn hand_is_raised_and_lowered_once(backend: Backend) {
    let stream = backend.active("hands").await;
    for who in ["eve", "ann"] {
        backend.change(&stream, connect(who, Role::Viewer)).await;
    }
    for is_raised in [true, false] {
        let set = backend.change(&stream, hand("eve", is_raised)).await;
        let entry = set.participant.unwrap();
        assert_eq!(entry.hand_raised_at.is_some(), is_raised);
        let log = backend.log(stream.id).await;
        let told = &log.last().unwrap().draft;
        assert_eq!((told.kind, told.by.clone()), (EventKind::ParticipantUpdated, Some(identity("cy"))));
        assert_eq!(told.participant, Some(entry));
        assert_eq!(backend.change(&stream, hand("eve", is_raised)).await.effect, Effect::Unchanged);
        assert_eq!(backend.log(stream.id).await.len(), log.len());
        assert_eq!(shown(&backend, &stream).await, if is_raised { ["eve", "ann"] } else { ["ann", "eve"] });
    }
    backend.stop(&stream).await;
    let ended = backend.apply(&stream, hand("eve", true)).await.unwrap_err();
    assert!(matches!(ended, StoreError::Rejected(Rejection::NotActive { .. })), "{ended}");
}

async fn hand_of_host_or_absent_participant_is_not_raised(backend: Backend) {
    let stream = backend.active("hands").await;
    backend.change(&stream, connect("host", Role::Host)).await;
    assert_eq!(backend.change(&stream, hand("host", true)).await.effect, Effect::Unchanged);
    let unknown = backend.apply(&stream, hand("ann", true)).await.unwrap_err();
    assert!(matches!(unknown, StoreError::Rejected(Rejection::NoParticipant)), "{unknown}");
    backend.change(&stream, connect("ann", Role::Viewer)).await;
    backend.change(&stream, left("ann", None)).await;
    let gone = backend.apply(&stream, hand("ann", true)).await.unwrap_err();
    assert!(matches!(gone, StoreError::Rejected(Rejection::NotPresent)), "{gone}");
    assert_eq!(backend.change(&stream, hand("ann", false)).await.effect, Effect::Unchanged);
}

async fn promotion_and_departure_lower_the_hand(backend: Backend) {
    let stream = backend.active("hands").await;
    let observed = Session { role: Some(Role::Host), ..session("ann", "PA_ann", 1) };
    let promoted_elsewhere =
        Change::Observe { session: observed, before: Timestamp::from_millis(i64::MAX / 2_000) };
    for lowers in [promoted_elsewhere, set_role("ann", Role::Host), left("ann", None)] {
        backend.change(&stream, connect("ann", Role::Viewer)).await;
        if lowers != left("ann", None) {
            backend.change(&stream, set_role("ann", Role::Viewer)).await;
        }
        backend.change(&stream, hand("ann", true)).await;
        backend.change(&stream, lowers.clone()).await;
        let is_recorded_elsewhere = matches!(lowers, Change::Observe { .. });
        assert_eq!(raised_at(&backend, &stream, "ann").await.is_some(), is_recorded_elsewhere, "{lowers:?}");
    }
}

async fn hand_of_unused_token_outlives_another_token_and_not_its_expiry(backend: Backend) {
    let stream = counted(&backend).await;
    backend.change(&stream, issue("ann", Some(Role::Viewer), HOUR)).await;
    backend.change(&stream, hand("ann", true)).await;
    backend.change(&stream, issue("ann", None, HOUR)).await;
    let raised = raised_at(&backend, &stream, "ann").await;
    assert!(raised.is_some());
    backend.change(&stream, connect("ann", Role::Viewer)).await;
    assert_eq!(newest(&backend, &stream).await.0, EventKind::ParticipantJoined, "on stage with its hand");
    assert_eq!(raised_at(&backend, &stream, "ann").await, raised);
    backend.change(&stream, left("ann", None)).await;
    for ttl in [HOUR, Duration::ZERO] {
        backend.change(&stream, issue("ann", None, ttl)).await;
        backend.change(&stream, hand("ann", true)).await;
    }
    assert_eq!(shown(&backend, &stream).await, ["ann"]);
    backend.change(&stream, Change::ExpireJoining).await;
    let (kind, removed, _) = newest(&backend, &stream).await;
    assert_eq!((kind, removed), (EventKind::ParticipantUpdated, true));
    assert_eq!(raised_at(&backend, &stream, "ann").await, None, "the earlier visit is shown");
    assert!(shown(&backend, &stream).await.is_empty());
}

async fn raised_hand_is_on_stage_of_counted_stream(backend: Backend) {
    let stream = counted(&backend).await;
    for (who, role) in [("ann", Role::Viewer), ("bob", Role::Viewer), ("host", Role::Host)] {
        backend.change(&stream, connect(who, role)).await;
    }
    let before = newest(&backend, &stream).await.2;
    backend.change(&stream, hand("ann", true)).await;
    assert_eq!(newest(&backend, &stream).await, (EventKind::ParticipantUpdated, false, before + 1));
    assert_eq!(shown(&backend, &stream).await, ["host", "ann"]);
    backend.change(&stream, set_role("ann", Role::Host)).await;
    assert_eq!(newest(&backend, &stream).await, (EventKind::ParticipantUpdated, false, before + 2));
    backend.change(&stream, set_role("ann", Role::Viewer)).await;
    assert_eq!(newest(&backend, &stream).await, (EventKind::ParticipantUpdated, true, before + 3));
    backend.change(&stream, hand("ann", true)).await;
    backend.change(&stream, hand("ann", false)).await;
    assert_eq!(newest(&backend, &stream).await, (EventKind::ParticipantUpdated, true, before + 5));
    assert_eq!(shown(&backend, &stream).await, ["host"]);
}

async fn departure_with_raised_hand_is_told_in_counted_stream(backend: Backend) {
    let stream = counted(&backend).await;
    for who in ["ann", "bob"] {
        backend.change(&stream, connect(who, Role::Viewer)).await;
        backend.change(&stream, hand(who, true)).await;
    }
    backend.change(&stream, left("ann", None)).await;
    let (kind, removed, _) = newest(&backend, &stream).await;
    assert_eq!((kind, removed), (EventKind::ParticipantLeft, true));
    assert_eq!(shown(&backend, &stream).await, ["bob"]);
    // A new session of the identity begins with its hand down.
    backend
        .change(&stream, Change::Connect(Session { role: Some(Role::Viewer), ..session("bob", "PA_2", 2) }))
        .await;
    let (kind, removed, _) = newest(&backend, &stream).await;
    assert_eq!((kind, removed), (EventKind::ParticipantLeft, true));
    backend.change(&stream, hand("bob", true)).await;
    backend.stop(&stream).await;
    assert!(shown(&backend, &stream).await.is_empty());
}

async fn thousand_hands_are_raised_at_most(backend: Backend) {
    let stream = backend.active("hands").await;
    for n in 0..=MAX_HANDS {
        let who = format!("p{n}");
        let joins =
            if n % 2 == 0 { issue(&who, Some(Role::Viewer), HOUR) } else { connect(&who, Role::Viewer) };
        backend.change(&stream, joins).await;
        if n < MAX_HANDS {
            backend.change(&stream, hand(&who, true)).await;
        }
    }
    let last = format!("p{MAX_HANDS}");
    let refused = backend.apply(&stream, hand(&last, true)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Rejected(Rejection::TooManyHands { max: 1_000 })), "{refused}");
    backend.change(&stream, left("p1", None)).await;
    backend.change(&stream, hand(&last, true)).await;
}

async fn hand_that_is_raised_too_often_stays_down(backend: Backend) {
    let stream = counted(&backend).await;
    for who in ["ann", "bob"] {
        backend.change(&stream, connect(who, Role::Viewer)).await;
    }
    for _ in 0..HANDS_OF_PARTICIPANT.burst {
        backend.change(&stream, hand("ann", true)).await;
        backend.change(&stream, hand("ann", false)).await;
    }
    let refused = async || {
        let refused = backend.apply(&stream, hand("ann", true)).await.unwrap_err();
        assert!(matches!(refused, StoreError::Rejected(Rejection::HandsTooFrequent)), "{refused}");
    };
    let told = newest(&backend, &stream).await.2;
    refused().await;
    assert_eq!((newest(&backend, &stream).await.2, raised_at(&backend, &stream, "ann").await), (told, None));
    // A new session, or another token, does not allow more.
    backend.change(&stream, left("ann", None)).await;
    backend.change(&stream, issue("ann", Some(Role::Viewer), HOUR)).await;
    refused().await;
    backend
        .change(&stream, Change::Connect(Session { role: Some(Role::Viewer), ..session("ann", "PA_2", 2) }))
        .await;
    refused().await;
    backend.change(&stream, hand("bob", true)).await;
}

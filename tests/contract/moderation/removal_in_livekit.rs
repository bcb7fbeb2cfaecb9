//! Removals with a fake LiveKit: older tokens, lost webhooks, a LiveKit that does not answer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use livestream_orchestrator::{
    access::Caller,
    domain::{EventKind, Participant, ParticipantState, StreamRef, TokenMark, Topic},
    orchestrator::{Error, JoinRequest, LeaveRequest},
    store::{EventFeed, LogRead, StreamStore},
};

use crate::{
    backend::identity,
    instance::{Fixture, LISTING_GRACE},
};

const ROOM: &str = "room";

/// A stream for which `ann` has a token.
async fn with_token() -> (Fixture, StreamRef, TokenMark) {
    let fixture = Fixture::new();
    let stream = fixture.create(ROOM).await.reference();
    let mark = token(&fixture, &stream).await;
    (fixture, stream, mark)
}

/// Creates a join token and returns its mark.
async fn token(fixture: &Fixture, stream: &StreamRef) -> TokenMark {
    let request = JoinRequest {
        identity: identity("ann"),
        name: None,
        role: None,
        metadata: None,
        attributes: None,
        dedup_key: None,
    };
    let joined = fixture.orchestrator.join(&Caller::unrestricted(), stream, request).await.unwrap();
    TokenMark::new(stream.id, joined.terms.removals)
}

async fn connect(fixture: &Fixture, mark: &TokenMark) {
    fixture.livekit.connect_marked(ROOM, "ann", mark);
    fixture.deliver_webhooks().await;
}

async fn remove(fixture: &Fixture, stream: &StreamRef) -> Result<Participant, Error> {
    let stream = fixture.store.get(stream.id).await.unwrap().unwrap();
    let request = LeaveRequest::of(identity("ann"));
    let removed = fixture.orchestrator.remove(&Caller::unrestricted(), stream, request).await?;
    Ok(removed.participant)
}

fn is_in_room(fixture: &Fixture) -> bool {
    !fixture.livekit.room_state(ROOM).unwrap().present.is_empty()
}

/// The numbers of arrivals and departures, and the reasons of the departures.
async fn told(fixture: &Fixture, stream: &StreamRef) -> (usize, Vec<Option<String>>) {
    let topic = Topic::Stream(stream.id);
    let before = fixture.store.before_newest(topic, 1_000).await.unwrap().unwrap();
    let LogRead::Events { events: log, .. } = fixture.store.read_after(topic, before, 1_000).await.unwrap()
    else {
        panic!("the log is complete")
    };
    let arrivals = log.iter().filter(|event| event.draft.kind == EventKind::ParticipantJoined).count();
    let departures = log.iter().filter(|event| event.draft.kind == EventKind::ParticipantLeft);
    (arrivals, departures.map(|event| event.draft.reason.clone()).collect())
}

fn removed() -> Option<String> {
    Some("removed".to_owned())
}

#[tokio::test]
async fn removed_participant_comes_back_with_new_token_only() {
    for loses_webhooks in [false, true] {
        let (fixture, stream, old) = with_token().await;
        connect(&fixture, &old).await;
        let participant = remove(&fixture, &stream).await.unwrap();
        assert_eq!((participant.state, is_in_room(&fixture)), (ParticipantState::Disconnected, false));
        fixture.deliver_webhooks().await;
        for attempt in 2..5 {
            fixture.livekit.connect_marked(ROOM, "ann", &old);
            if loses_webhooks {
                fixture.livekit.take_webhooks();
                fixture.livekit.advance(LISTING_GRACE);
                assert!(fixture.reconcile().await > 0);
            } else {
                fixture.deliver_webhooks().await;
            }
            assert!(!is_in_room(&fixture));
            assert_eq!(told(&fixture, &stream).await, (attempt, vec![removed(); attempt]));
            fixture.deliver_webhooks().await;
        }
        let new = token(&fixture, &stream).await;
        connect(&fixture, &new).await;
        fixture.livekit.advance(LISTING_GRACE);
        assert_eq!(fixture.reconcile().await, 0);
        assert!(is_in_room(&fixture));
    }
}

#[tokio::test]
async fn removal_that_livekit_does_not_make_is_not_recorded() {
    let (fixture, stream, old) = with_token().await;
    connect(&fixture, &old).await;
    fixture.livekit.set_available(false);
    let failed = remove(&fixture, &stream).await.unwrap_err();
    assert!(matches!(failed, Error::Rooms(_)), "{failed}");
    fixture.livekit.set_available(true);
    fixture.livekit.advance(LISTING_GRACE);
    assert_eq!((fixture.reconcile().await, is_in_room(&fixture)), (0, true));
    fixture.livekit.disconnect(ROOM, "ann");
    connect(&fixture, &old).await;
    assert!(is_in_room(&fixture), "the token still admits");
    assert_eq!(told(&fixture, &stream).await, (2, vec![None]));
}

#[tokio::test]
async fn removal_is_safe_to_repeat() {
    let (fixture, stream, old) = with_token().await;
    let missing = LeaveRequest::of(identity("bob"));
    let current = fixture.store.get(stream.id).await.unwrap().unwrap();
    let failed = fixture.orchestrator.remove(&Caller::unrestricted(), current, missing).await.unwrap_err();
    assert!(matches!(failed, Error::ParticipantNotFound), "{failed}");
    connect(&fixture, &old).await;
    for _ in 0..3 {
        assert_eq!(remove(&fixture, &stream).await.unwrap().state, ParticipantState::Disconnected);
        fixture.deliver_webhooks().await;
    }
    assert_eq!(told(&fixture, &stream).await, (1, vec![removed()]));
}

#[tokio::test]
async fn unused_token_of_removed_participant_does_not_admit() {
    let (fixture, stream, old) = with_token().await;
    assert_eq!(remove(&fixture, &stream).await.unwrap().state, ParticipantState::Disconnected);
    connect(&fixture, &old).await;
    assert!(!is_in_room(&fixture));
    assert_eq!(told(&fixture, &stream).await, (1, vec![removed()]));
}

#[tokio::test]
async fn participant_connected_without_webhook_is_removed() {
    let (fixture, stream, old) = with_token().await;
    fixture.livekit.connect_marked(ROOM, "ann", &old);
    let webhooks = fixture.livekit.take_webhooks();
    remove(&fixture, &stream).await.unwrap();
    assert!(!is_in_room(&fixture));
    // The webhooks of the arrival and of the departure are late.
    for webhook in webhooks.into_iter().chain(fixture.livekit.take_webhooks()) {
        fixture.orchestrator.process(webhook).await.unwrap();
    }
    assert_eq!(told(&fixture, &stream).await, (1, vec![removed()]));
}

//! Removals with a fake LiveKit: older tokens, lost webhooks, a LiveKit that does not answer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use livestream_orchestrator::{
    access::Caller,
    domain::{Participant, ParticipantState, StreamRef, TokenMark},
    orchestrator::{Error, LeaveRequest},
    store::StreamStore,
};

use super::room::{ROOM, in_room, reason, token, told};
use crate::{
    backend::identity,
    crashing_process::{CrashPoint, Process, crashing_service},
    instance::{Fixture, LISTING_GRACE},
};

/// A stream for which `ann` has a token.
async fn with_token() -> (Fixture, StreamRef, TokenMark) {
    let fixture = Fixture::new();
    let stream = fixture.create(ROOM).await.reference();
    let mark = token(&fixture, &stream).await;
    (fixture, stream, mark)
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

#[tokio::test]
async fn removed_participant_comes_back_with_new_token_only() {
    for loses_webhooks in [false, true] {
        let (fixture, stream, old) = with_token().await;
        connect(&fixture, &old).await;
        let participant = remove(&fixture, &stream).await.unwrap();
        assert_eq!((participant.state, in_room(&fixture).len()), (ParticipantState::Disconnected, 0));
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
            assert_eq!(in_room(&fixture), [""; 0]);
            assert_eq!(told(&fixture, &stream).await, (attempt, vec![reason("removed"); attempt]));
            fixture.deliver_webhooks().await;
        }
        let new = token(&fixture, &stream).await;
        connect(&fixture, &new).await;
        fixture.livekit.advance(LISTING_GRACE);
        assert_eq!(fixture.reconcile().await, 0);
        assert_eq!(in_room(&fixture), ["ann"]);
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
    assert_eq!((fixture.reconcile().await, in_room(&fixture).len()), (0, 1));
    fixture.livekit.disconnect(ROOM, "ann");
    connect(&fixture, &old).await;
    assert_eq!(in_room(&fixture), ["ann"], "the token still admits");
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
    assert_eq!(told(&fixture, &stream).await, (1, vec![reason("removed")]));
}

#[tokio::test]
async fn unused_token_of_removed_participant_does_not_admit() {
    let (fixture, stream, old) = with_token().await;
    assert_eq!(remove(&fixture, &stream).await.unwrap().state, ParticipantState::Disconnected);
    connect(&fixture, &old).await;
    assert_eq!(in_room(&fixture), [""; 0]);
    assert_eq!(told(&fixture, &stream).await, (1, vec![reason("removed")]));
}

#[tokio::test]
async fn participant_connected_without_webhook_is_removed() {
    let (fixture, stream, old) = with_token().await;
    fixture.livekit.connect_marked(ROOM, "ann", &old);
    let webhooks = fixture.livekit.take_webhooks();
    remove(&fixture, &stream).await.unwrap();
    assert_eq!(in_room(&fixture), [""; 0]);
    // The webhooks of the arrival and of the departure are late.
    for webhook in webhooks.into_iter().chain(fixture.livekit.take_webhooks()) {
        fixture.orchestrator.process(webhook).await.unwrap();
    }
    assert_eq!(told(&fixture, &stream).await, (1, vec![reason("removed")]));
}

#[tokio::test]
async fn removal_is_completed_or_not_begun_after_crash_at_any_call() {
    for after in [false, true] {
        for call in 0.. {
            let (fixture, stream, old) = with_token().await;
            connect(&fixture, &old).await;
            let process = Process::crashing_at(CrashPoint { call, after });
            let service = crashing_service(
                &process,
                fixture.store.clone(),
                (fixture.livekit.clone(), fixture.livekit.clone()),
            );
            let current = fixture.store.get(stream.id).await.unwrap().unwrap();
            let request = LeaveRequest::of(identity("ann"));
            let caller = Caller::unrestricted();
            let finished =
                process.run(async { drop(service.remove(&caller, current, request).await.unwrap()) }).await;
            let was_removed = in_room(&fixture).is_empty();
            // All webhooks are lost.
            fixture.livekit.take_webhooks();
            fixture.livekit.advance(LISTING_GRACE);
            fixture.reconcile().await;
            fixture.livekit.take_webhooks();
            let is_removed = in_room(&fixture).is_empty();
            let context = format!("call {call}, after {after}");
            assert!(is_removed || !was_removed, "{context}");
            let reasons = if is_removed { vec![reason("removed")] } else { vec![] };
            assert_eq!(told(&fixture, &stream).await, (1, reasons), "{context}");
            fixture.livekit.connect_marked(ROOM, "ann", &old);
            fixture.deliver_webhooks().await;
            assert_eq!(in_room(&fixture).is_empty(), is_removed, "{context}: the old token");
            if finished {
                assert!(call >= 4, "a removal has several calls");
                break;
            }
        }
    }
}

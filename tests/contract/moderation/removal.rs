//! Removals, in every store: the event, the tokens that they end, and reports in any order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livestream_orchestrator::{
    domain::{
        AudienceMode, Change, EventKind, Identity, LeaveReason, Participant, ParticipantState, Rejection,
        Removal, Role, Session, StreamRef, TokenMark, change::Effect, stream::NewStream,
    },
    store::{CreateOutcome, StoreError},
};

use crate::backend::{Backend, identity, left, new_stream, on_every_backend, session, token};

on_every_backend!(
    departure_of_pending_removal_is_the_removal,
    removal_without_report_is_told_once,
    withdrawn_removal_leaves_no_trace,
    removal_of_joining_participant_ends_its_token,
    token_from_before_removal_has_no_access,
    session_that_replaces_a_removed_one_stays_until_livekit_removes_it,
    removal_under_way_comes_before_block,
    removal_in_counted_stream_has_no_event,
    removal_of_absent_participant_is_rejected,
);

const HOUR: Duration = Duration::from_secs(3_600);

fn removal(who: &str, sid: Option<&str>) -> Removal {
    Removal { identity: identity(who), sid: sid.map(Into::into), by: Some(identity("cy")) }
}

fn begin(who: &str, sid: &str) -> Change {
    Change::BeginRemoval(removal(who, Some(sid)))
}

fn remove(who: &str, sid: Option<&str>) -> Change {
    Change::Remove(removal(who, sid))
}

/// A connection with a token that follows this number of removals; `None` for a token of another service.
fn connect(stream: &StreamRef, sid: &str, removals: Option<u32>) -> Change {
    let mark = removals.map(|removals| TokenMark::new(stream.id, removals));
    Change::Connect(Session { mark, role: Some(Role::Viewer), ..session("ann", sid, 1) })
}

async fn entry(backend: &Backend, stream: &StreamRef) -> Participant {
    backend.store.participant(stream.id, "ann").await.unwrap().unwrap()
}

/// The reasons and callers of all departures.
async fn departures(backend: &Backend, stream: &StreamRef) -> Vec<(Option<String>, Option<Identity>)> {
    let log = backend.log(stream.id).await;
    let departures = log.iter().filter(|event| event.draft.kind == EventKind::ParticipantLeft);
    departures.map(|event| (event.draft.reason.clone(), event.draft.by.clone())).collect()
}

fn removed_by_cy() -> (Option<String>, Option<Identity>) {
    (Some("removed".to_owned()), Some(identity("cy")))
}

async fn departure_of_pending_removal_is_the_removal(backend: Backend) {
    let stream = backend.active("webhook first").await;
    backend.change(&stream, connect(&stream, "PA_1", Some(0))).await;
    let version = backend.store.get(stream.id).await.unwrap().unwrap().version;
    let begun = backend.change(&stream, begin("ann", "PA_1")).await;
    assert_eq!((begun.effect, begun.stream.version), (Effect::Changed, version), "no event");
    assert_eq!(begun.stream.denial(&begun.participant.unwrap(), false), Some(LeaveReason::Removed));
    backend.change(&stream, left("ann", Some("PA_1"))).await;
    assert_eq!(backend.change(&stream, remove("ann", Some("PA_1"))).await.effect, Effect::Unchanged);
    assert_eq!(departures(&backend, &stream).await, [removed_by_cy()]);
    assert_eq!(entry(&backend, &stream).await.removals.count, 1);
}

async fn removal_without_report_is_told_once(backend: Backend) {
    let stream = backend.active("no webhook").await;
    backend.change(&stream, connect(&stream, "PA_1", Some(0))).await;
    backend.change(&stream, begin("ann", "PA_1")).await;
    let removed = backend.change(&stream, remove("ann", Some("PA_1"))).await;
    assert_eq!(removed.stream.counts.total(), 0);
    let version = removed.stream.version;
    // The late webhook, a repetition of the request, and a request about a participant that has left.
    for change in [left("ann", Some("PA_1")), remove("ann", Some("PA_1")), remove("ann", None)] {
        assert_eq!(backend.change(&stream, change).await.stream.version, version);
    }
    let late = backend.change(&stream, connect(&stream, "PA_1", Some(0))).await;
    assert_eq!(late.effect, Effect::Unchanged, "the webhook of the arrival is late");
    assert_eq!(departures(&backend, &stream).await, [removed_by_cy()]);
}

async fn withdrawn_removal_leaves_no_trace(backend: Backend) {
    let stream = backend.active("withdrawn").await;
    backend.change(&stream, connect(&stream, "PA_1", Some(0))).await;
    backend.change(&stream, begin("ann", "PA_1")).await;
    let cancel = || Change::CancelRemoval(removal("ann", Some("PA_1")));
    let cancelled = backend.change(&stream, cancel()).await;
    assert_eq!(cancelled.stream.denial(&cancelled.participant.unwrap(), false), None);
    backend.change(&stream, begin("ann", "PA_1")).await;
    let other = Change::CancelRemoval(removal("ann", Some("PA_0")));
    assert_eq!(backend.change(&stream, other).await.effect, Effect::Unchanged, "of another session");
    assert_eq!(backend.change(&stream, cancel()).await.effect, Effect::Changed);
    assert_eq!(backend.change(&stream, cancel()).await.effect, Effect::Unchanged);
    assert_eq!(backend.change(&stream, begin("ann", "PA_2")).await.effect, Effect::Unchanged);
    backend.change(&stream, left("ann", Some("PA_1"))).await;
    assert_eq!(departures(&backend, &stream).await, [(None, None)]);
    assert_eq!(entry(&backend, &stream).await.removals.count, 0);
}

async fn removal_of_joining_participant_ends_its_token(backend: Backend) {
    let stream = backend.active("joining").await;
    backend.change(&stream, token("ann", HOUR)).await;
    let removed = backend.change(&stream, remove("ann", None)).await;
    let participant = removed.participant.unwrap();
    assert_eq!((participant.state, participant.removals.count), (ParticipantState::Disconnected, 1));
    let last = backend.log(stream.id).await.pop().unwrap();
    assert_eq!(
        (last.draft.kind, last.draft.by.clone()),
        (EventKind::ParticipantUpdated, Some(identity("cy")))
    );
    let connected = backend.change(&stream, connect(&stream, "PA_1", Some(0))).await;
    assert_eq!(connected.stream.denial(&connected.participant.unwrap(), false), Some(LeaveReason::Removed));
}

async fn token_from_before_removal_has_no_access(backend: Backend) {
    let stream = backend.active("tokens").await;
    backend.change(&stream, connect(&stream, "PA_1", Some(0))).await;
    backend.change(&stream, remove("ann", Some("PA_1"))).await;
    // A new token, which expires unused. The number of removals stays.
    let issued = backend.change(&stream, token("ann", Duration::ZERO)).await.participant.unwrap();
    backend.change(&stream, Change::ExpireJoining).await;
    assert_eq!((issued.removals.count, entry(&backend, &stream).await.removals.count), (1, 1));
    let cases = [("PA_2", Some(0), true), ("PA_3", Some(1), false), ("PA_4", None, false)];
    for (sid, removals, is_denied) in cases {
        let connected = backend.change(&stream, connect(&stream, sid, removals)).await;
        let denied = connected.stream.denial(&connected.participant.unwrap(), false);
        assert_eq!(denied, is_denied.then_some(LeaveReason::Removed), "{removals:?}");
        backend.change(&stream, left("ann", Some(sid))).await;
    }
    // The mark of an earlier stream with the same room name.
    let other = TokenMark::new(livestream_orchestrator::domain::StreamId::generate(), 9);
    let connected = Change::Connect(Session { mark: Some(other), ..session("ann", "PA_5", 1) });
    let connected = backend.change(&stream, connected).await;
    assert_eq!(connected.stream.denial(&connected.participant.unwrap(), false), Some(LeaveReason::Removed));
    let reasons = departures(&backend, &stream).await.into_iter().map(|(reason, _)| reason);
    let removed = Some("removed".to_owned());
    assert_eq!(reasons.collect::<Vec<_>>(), [removed.clone(), removed, None, None]);
}

async fn session_that_replaces_a_removed_one_stays_until_livekit_removes_it(backend: Backend) {
    let stream = backend.active("replaced").await;
    backend.change(&stream, connect(&stream, "PA_1", Some(0))).await;
    backend.change(&stream, begin("ann", "PA_1")).await;
    // The participant connects again before the removal is recorded.
    let connected = backend.change(&stream, connect(&stream, "PA_2", Some(0))).await;
    let participant = connected.participant.unwrap();
    assert!(participant.is_active() && participant.removals.pending.is_none());
    assert_eq!(connected.stream.denial(&participant, false), Some(LeaveReason::Removed));
    assert_eq!(backend.change(&stream, remove("ann", Some("PA_1"))).await.effect, Effect::Unchanged);
    backend.change(&stream, left("ann", Some("PA_2"))).await;
    assert_eq!(departures(&backend, &stream).await, [removed_by_cy(), (Some("removed".to_owned()), None)]);
    assert_eq!(entry(&backend, &stream).await.removals.count, 1);
}

async fn removal_under_way_comes_before_block(backend: Backend) {
    let stream = backend.active("blocked").await;
    backend.change(&stream, connect(&stream, "PA_1", Some(0))).await;
    backend.change(&stream, begin("ann", "PA_1")).await;
    let block = Change::Block { identity: identity("ann"), reason: None, expires_in: None, by: None };
    backend.change(&stream, block).await;
    backend.change(&stream, left("ann", Some("PA_1"))).await;
    assert_eq!(departures(&backend, &stream).await, [removed_by_cy()]);
}

async fn removal_in_counted_stream_has_no_event(backend: Backend) {
    let new = NewStream { audience: AudienceMode::Counted.begin(0), ..new_stream("counted") };
    let CreateOutcome::Created(stream) = backend.store.create(backend.placed(new)).await.unwrap() else {
        panic!("a new stream")
    };
    let stream = stream.reference();
    backend.change(&stream, Change::Activate { room_sid: "RM_1".into() }).await;
    for (sid, is_reported) in [("PA_1", false), ("PA_2", true)] {
        let removals = entry_removals(&backend, &stream).await;
        backend.change(&stream, connect(&stream, sid, Some(removals))).await;
        backend.change(&stream, begin("ann", sid)).await;
        if is_reported {
            backend.change(&stream, left("ann", Some(sid))).await;
        }
        backend.change(&stream, remove("ann", Some(sid))).await;
        let participant = entry(&backend, &stream).await;
        assert_eq!((participant.is_active(), participant.removals.count), (false, removals + 1));
    }
    assert_eq!(departures(&backend, &stream).await, []);
}

async fn entry_removals(backend: &Backend, stream: &StreamRef) -> u32 {
    backend.store.participant(stream.id, "ann").await.unwrap().map_or(0, |entry| entry.removals.count)
}

async fn removal_of_absent_participant_is_rejected(backend: Backend) {
    let stream = backend.active("absent").await;
    for change in [begin("ann", "PA_1"), remove("ann", None)] {
        let error = backend.apply(&stream, change).await.unwrap_err();
        assert!(matches!(error, StoreError::Rejected(Rejection::NoParticipant)), "{error}");
    }
    backend.change(&stream, token("ann", HOUR)).await;
    backend.stop(&stream).await;
    for change in [begin("ann", "PA_1"), remove("ann", None)] {
        let error = backend.apply(&stream, change).await.unwrap_err();
        assert!(matches!(error, StoreError::Rejected(Rejection::NotActive { .. })), "{error}");
    }
}

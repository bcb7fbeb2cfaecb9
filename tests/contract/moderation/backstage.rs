//! Backstage, in every store: the events, the access of viewers, and the reason of departures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livestream_orchestrator::{
    domain::{
        Change, EventKind, LeaveReason, ParticipantKind, Rejection, Role, Session, StopReason, StreamRef,
        StreamStatus, change::Effect, stream::NewStream,
    },
    store::{CreateOutcome, StoreError},
};

use crate::backend::{Backend, identity, left, new_stream, on_every_backend, session, token};

on_every_backend!(
    stream_goes_live_and_backstage_once,
    stream_that_is_not_active_changes_nothing,
    token_of_viewer_is_rejected_while_backstage,
    departure_of_viewer_while_backstage_has_reason,
);

fn set(backstage: bool) -> Change {
    Change::SetBackstage { backstage, by: Some(identity("cy")) }
}

fn in_role(role: Role, who: &str, sid: &str) -> Session {
    Session { role: Some(role), ..session(who, sid, 1) }
}

async fn backstage(backend: &Backend, room: &str) -> StreamRef {
    let new = NewStream { backstage: true, ..new_stream(room) };
    let CreateOutcome::Created(stream) = backend.store.create(backend.placed(new)).await.unwrap() else {
        panic!("{room}")
    };
    assert!(stream.backstage && stream.live_at.is_none());
    stream.reference()
}

async fn stream_goes_live_and_backstage_once(backend: Backend) {
    let stream = backstage(&backend, "live").await;
    let active = backend.change(&stream, Change::Activate { room_sid: "RM_1".into() }).await.stream;
    assert_eq!((active.backstage, active.live_at), (true, None));
    assert_eq!(backend.change(&stream, set(true)).await.effect, Effect::Unchanged);
    let live = backend.change(&stream, set(false)).await.stream;
    assert!(!live.backstage && live.live_at.is_some_and(|at| at >= live.started_at.unwrap()));
    assert_eq!(backend.change(&stream, set(false)).await.effect, Effect::Unchanged);
    let stopped = backend.change(&stream, set(true)).await.stream;
    assert_eq!(
        (stopped.backstage, stopped.live_at, stopped.status),
        (true, live.live_at, StreamStatus::Active)
    );

    let log = backend.log(stream.id).await;
    let told: Vec<_> = log[2..].iter().map(|event| (event.draft.kind, event.draft.by.clone())).collect();
    let by = Some(identity("cy"));
    assert_eq!(told, [(EventKind::StreamLiveStarted, by.clone()), (EventKind::StreamLiveStopped, by)]);
    assert_eq!(backend.store.get(stream.id).await.unwrap().unwrap(), stopped);
}

async fn stream_that_is_not_active_changes_nothing(backend: Backend) {
    let stream = backend.create("not active").await.reference();
    let refused = async |status| {
        for backstage in [true, false] {
            let error = backend.apply(&stream, set(backstage)).await.unwrap_err();
            let is_refused =
                matches!(error, StoreError::Rejected(Rejection::NotActive { status: is }) if is == status);
            assert!(is_refused, "{error}");
        }
    };
    refused(StreamStatus::Creating).await;
    let active = backend.change(&stream, Change::Activate { room_sid: "RM_1".into() }).await.stream;
    assert_eq!((active.backstage, active.live_at), (false, active.started_at), "live from its start");
    backend.change(&stream, Change::BeginStop { reason: StopReason::Requested, room_sid: None }).await;
    refused(StreamStatus::Stopping).await;
    backend.stop(&stream).await;
    refused(StreamStatus::Stopped).await;
}

async fn token_of_viewer_is_rejected_while_backstage(backend: Backend) {
    let stream = backend.active("tokens").await;
    let of = |role, who: &str| match token(who, Duration::from_secs(60)) {
        Change::IssueToken { identity, joining_ttl, .. } => Change::IssueToken {
            identity,
            name: None,
            role: Some(role),
            metadata: None,
            attributes: None,
            joining_ttl,
        },
        other => other,
    };
    backend.change(&stream, Change::Connect(in_role(Role::Viewer, "bob", "PA_1"))).await;
    backend.change(&stream, set(true)).await;
    for viewer in ["ann", "bob"] {
        let error = backend.apply(&stream, of(Role::Viewer, viewer)).await.unwrap_err();
        assert!(matches!(error, StoreError::Rejected(Rejection::Backstage)), "{viewer}: {error}");
    }
    assert_eq!(backend.change(&stream, of(Role::Host, "ann")).await.effect, Effect::Changed);
    backend.change(&stream, set(false)).await;
    assert_eq!(backend.change(&stream, of(Role::Viewer, "cat")).await.effect, Effect::Changed);
}

async fn departure_of_viewer_while_backstage_has_reason(backend: Backend) {
    let stream = backend.active("departures").await;
    let agent = Session { kind: ParticipantKind::Agent, ..in_role(Role::Viewer, "agent", "PA_3") };
    for session in [in_role(Role::Host, "host", "PA_1"), in_role(Role::Viewer, "viewer", "PA_2"), agent] {
        backend.change(&stream, Change::Connect(session)).await;
    }
    backend.change(&stream, set(true)).await;
    // A viewer that connects with an older token is recorded, because it is in the room.
    let late = backend.change(&stream, Change::Connect(in_role(Role::Viewer, "late", "PA_4"))).await;
    let denied = late.stream.denial(&late.participant.unwrap(), false);
    assert_eq!((late.effect, denied), (Effect::Changed, Some(LeaveReason::Backstage)));
    for (who, sid) in [("host", "PA_1"), ("viewer", "PA_2"), ("agent", "PA_3")] {
        backend.change(&stream, left(who, Some(sid))).await;
    }
    backend.change(&stream, set(false)).await;
    // The request that removed the viewer records the departure after the stream went live.
    let removed = Change::Disconnect {
        identity: identity("late"),
        sid: Some("PA_4".into()),
        at: None,
        reason: Some(LeaveReason::Backstage),
    };
    backend.change(&stream, removed).await;
    let log = backend.log(stream.id).await;
    let departures = log.iter().filter(|event| event.draft.kind == EventKind::ParticipantLeft);
    let reasons: Vec<_> = departures.map(|event| event.draft.reason.as_deref()).collect();
    assert_eq!(reasons, [None, Some("backstage"), None, Some("backstage")]);
}

//! Counted streams: viewers that have no events, the events that tell their number, the stage, and the change from
//! listed to counted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod counts;
mod stage;

use std::time::Duration;

use livestream_orchestrator::{
    domain::{
        AudienceMode, Change, EventKind, ParticipantCounts, Rejection, Role, Session, StopReason, StreamRef,
        change::Effect, stream::NewStream,
    },
    store::{CreateOutcome, ParticipantFilter, Retention, StoreError},
};

use crate::backend::{Backend, RETENTION, left, new_stream, session, token, with_and_without_partitions};

/// An interval at whose end no test waits.
const HOUR: Duration = Duration::from_secs(3_600);

/// The backends with an interval between the events that tell counts.
fn backends(count_interval: Duration) -> [Backend; 3] {
    with_and_without_partitions("audience", Retention { count_interval, ..RETENTION })
}

/// Creates an active stream with the room sid `RM_1`.
async fn active(backend: &Backend, mode: AudienceMode, max_participants: Option<u32>) -> StreamRef {
    let new = NewStream { audience: mode.begin(2), max_participants, ..new_stream("room") };
    let CreateOutcome::Created(stream) = backend.store.create(backend.placed(new)).await.unwrap() else {
        panic!("taken")
    };
    let stream = stream.reference();
    backend.change(&stream, Change::Activate { room_sid: "RM_1".into() }).await;
    stream
}

fn present(who: &str, role: Role) -> Session {
    Session { role: Some(role), ..session(who, &format!("PA_{who}"), 1) }
}

fn connected(who: &str, role: Role) -> Change {
    Change::Connect(present(who, role))
}

fn viewer_token(who: &str, joining_ttl: Duration) -> Change {
    match token(who, joining_ttl) {
        Change::IssueToken { identity, name, metadata, attributes, joining_ttl, .. } => {
            Change::IssueToken { identity, name, role: Some(Role::Viewer), metadata, attributes, joining_ttl }
        }
        other => other,
    }
}

async fn shown(backend: &Backend, stream: &StreamRef) -> Vec<String> {
    let view = backend.store.view(stream.id).await.unwrap().unwrap();
    view.participants.iter().map(|one| one.identity.to_string()).collect()
}

async fn recorded(backend: &Backend, stream: &StreamRef) -> usize {
    let page = backend.store.participants(stream.id, ParticipantFilter::default(), 1_000, None).await;
    page.unwrap().items.len()
}

const fn counts(hosts: u32, viewers: u32) -> ParticipantCounts {
    ParticipantCounts { hosts, viewers }
}

#[tokio::test]
async fn visit_of_counted_viewer_is_recorded_without_event_or_version() {
    for backend in backends(HOUR) {
        let stream = active(&backend, AudienceMode::Counted, None).await;
        let before = backend.log(stream.id).await;
        for change in [
            viewer_token("ann", HOUR),
            connected("ann", Role::Viewer),
            viewer_token("bob", Duration::ZERO),
            Change::ExpireJoining,
        ] {
            let applied = backend.change(&stream, change.clone()).await;
            assert_eq!((applied.effect, applied.stream.version), (Effect::Changed, 2), "{change:?}");
            assert_eq!(applied.stream.counts, counts(0, 0), "documents are as of the newest event");
        }
        assert_eq!(backend.log(stream.id).await, before);
        assert_eq!((shown(&backend, &stream).await.len(), recorded(&backend, &stream).await), (0, 1));
        let known = backend.store.participant(stream.id, "ann").await.unwrap().unwrap();
        assert!(known.is_active() && known.role == Role::Viewer);
        backend.change(&stream, left("ann", None)).await;
        assert_eq!(backend.log(stream.id).await, before);
    }
}

#[tokio::test]
async fn event_of_host_tells_the_viewers() {
    for backend in backends(HOUR) {
        let stream = active(&backend, AudienceMode::Counted, None).await;
        backend.change(&stream, connected("ann", Role::Viewer)).await;
        backend.change(&stream, connected("bob", Role::Viewer)).await;
        backend.change(&stream, left("bob", None)).await;
        backend.change(&stream, connected("eve", Role::Host)).await;
        let log = backend.log(stream.id).await;
        let joined = &log.last().unwrap().draft;
        assert_eq!((joined.kind, joined.stream.counts), (EventKind::ParticipantJoined, counts(1, 1)));
        assert_eq!(joined.stream.peak_participant_count, 2, "the peak between two events is told");
        assert_eq!(backend.store.totals().await.unwrap().participants, 2, "totals are of told counts");
        assert_eq!(shown(&backend, &stream).await, ["eve"]);
        backend.change(&stream, left("eve", None)).await;
        assert_eq!(shown(&backend, &stream).await, ["eve"], "a host who has left stays on stage");
    }
}

#[tokio::test]
async fn limit_of_participants_holds_for_viewers_that_are_not_told() {
    for backend in backends(HOUR) {
        let stream = active(&backend, AudienceMode::Counted, Some(2)).await;
        for who in ["ann", "bob"] {
            backend.change(&stream, connected(who, Role::Viewer)).await;
        }
        let refused = backend.apply(&stream, viewer_token("eve", HOUR)).await;
        assert!(matches!(refused, Err(StoreError::Rejected(Rejection::Full { max: 2 }))));
        backend.change(&stream, left("bob", None)).await;
        backend.change(&stream, viewer_token("eve", HOUR)).await;
    }
}

#[tokio::test]
async fn empty_counted_stream_becomes_idle_when_its_last_viewer_leaves() {
    for backend in backends(HOUR) {
        let new = NewStream {
            audience: AudienceMode::Counted.begin(0),
            idle_after: Some(Duration::ZERO),
            ..new_stream("room")
        };
        let CreateOutcome::Created(stream) = backend.store.create(backend.placed(new)).await.unwrap() else {
            panic!("taken")
        };
        let stream = stream.reference();
        backend.change(&stream, Change::Activate { room_sid: "RM_1".into() }).await;
        let idle = || Change::BeginStop { reason: StopReason::Idle, room_sid: None };
        backend.change(&stream, connected("ann", Role::Viewer)).await;
        assert_eq!(backend.change(&stream, idle()).await.effect, Effect::Unchanged);
        assert!(backend.scheduled_jobs(10).await.is_empty());
        backend.change(&stream, left("ann", None)).await;
        assert_eq!(backend.scheduled_jobs(10).await.len(), 1);
        assert_eq!(backend.change(&stream, idle()).await.effect, Effect::Changed);
    }
}

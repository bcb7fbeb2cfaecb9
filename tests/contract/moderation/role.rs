//! Recorded roles, in every store: for every token of an identity, after the entry has expired, in a counted stream.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livestream_orchestrator::{
    domain::{
        AudienceMode, Change, DisplayName, EventKind, Metadata, MetadataUpdate, ParticipantMetadata,
        ParticipantUpdate, Rejection, Role, Session, StreamRef, change::Effect, stream::NewStream,
    },
    store::{CreateOutcome, StoreError},
};

use crate::backend::{Backend, identity, left, new_stream, on_every_backend, session};

on_every_backend!(
    recorded_role_holds_for_other_tokens,
    recorded_role_outlives_its_joining_entry,
    change_of_participant_is_told_once_with_its_caller,
    role_in_counted_stream_moves_participant_on_and_off_stage,
);

const HOUR: Duration = Duration::from_secs(3_600);

fn update(who: &str, role: Option<Role>) -> ParticipantUpdate {
    let by = Some(identity("cy"));
    ParticipantUpdate { identity: identity(who), role, name: None, metadata: None, by }
}

fn set_role(who: &str, role: Role) -> Change {
    Change::UpdateParticipant(update(who, Some(role)))
}

fn issue(who: &str, role: Option<Role>, joining_ttl: Duration) -> Change {
    let identity = identity(who);
    Change::IssueToken { identity, name: None, role, metadata: None, attributes: None, joining_ttl }
}

fn connect(who: &str, role: Role, sid: &str) -> Change {
    Change::Connect(Session { role: Some(role), ..session(who, sid, 1) })
}

/// The role of an entry, and whether it is recorded.
async fn role_of(backend: &Backend, stream: &StreamRef, who: &str) -> (Role, bool) {
    let entry = backend.store.participant(stream.id, who).await.unwrap().unwrap();
    (entry.role, entry.role_recorded)
}

async fn recorded_role_holds_for_other_tokens(backend: Backend) {
    let stream = backend.active("roles").await;
    backend.change(&stream, issue("ann", None, HOUR)).await;
    assert_eq!(role_of(&backend, &stream, "ann").await, (Role::Host, false), "the default is not recorded");
    let joined = backend.change(&stream, connect("ann", Role::Viewer, "PA_1")).await;
    assert_eq!(joined.participant.unwrap().role, Role::Viewer, "LiveKit's report counts without a record");
    let promoted = backend.change(&stream, set_role("ann", Role::Host)).await;
    assert_eq!((promoted.stream.counts.hosts, promoted.stream.counts.viewers), (1, 0));
    backend.change(&stream, left("ann", None)).await;
    let back = backend.change(&stream, connect("ann", Role::Viewer, "PA_2")).await;
    let entry = back.participant.unwrap();
    assert_eq!((entry.role, entry.overrides(Some(Role::Viewer))), (Role::Host, true));
    assert!(!entry.overrides(Some(Role::Host)) && !entry.overrides(None));
    let listed = Session { role: Some(Role::Viewer), ..session("ann", "PA_2", 1) };
    let before = backend.partitions[0].now().await.unwrap().plus(HOUR);
    let observed = backend.change(&stream, Change::Observe { session: listed, before }).await;
    assert_eq!(observed.effect, Effect::Unchanged, "a list does not change a recorded role");
    backend.change(&stream, left("ann", None)).await;
    backend.change(&stream, issue("ann", None, HOUR)).await;
    assert_eq!(role_of(&backend, &stream, "ann").await, (Role::Host, true));
    backend.change(&stream, issue("ann", Some(Role::Viewer), HOUR)).await;
    assert_eq!(role_of(&backend, &stream, "ann").await, (Role::Viewer, true));
}

async fn recorded_role_outlives_its_joining_entry(backend: Backend) {
    let stream = backend.active("expiry").await;
    for who in ["ann", "bob"] {
        backend.change(&stream, issue(who, Some(Role::Viewer), Duration::ZERO)).await;
    }
    backend.change(&stream, Change::ExpireJoining).await;
    assert!(backend.store.participant(stream.id, "ann").await.unwrap().is_none());
    let joined = backend.change(&stream, connect("ann", Role::Host, "PA_1")).await;
    assert_eq!(joined.participant.unwrap().role, Role::Viewer);
    backend.change(&stream, issue("bob", None, HOUR)).await;
    assert_eq!(role_of(&backend, &stream, "bob").await, (Role::Viewer, true));
}

async fn change_of_participant_is_told_once_with_its_caller(backend: Backend) {
    let stream = backend.active("changes").await;
    let absent = backend.apply(&stream, set_role("ann", Role::Host)).await.unwrap_err();
    assert!(matches!(absent, StoreError::Rejected(Rejection::NoParticipant)), "{absent}");
    backend.change(&stream, connect("ann", Role::Host, "PA_1")).await;
    let expected = ParticipantMetadata::reported("{}");
    let new = Metadata::parse(r#"{"a":1}"#).unwrap();
    let change = ParticipantUpdate {
        metadata: Some(MetadataUpdate { expected, new: new.clone() }),
        ..update("ann", Some(Role::Viewer))
    };
    let changed = backend.change(&stream, Change::UpdateParticipant(change.clone())).await;
    let entry = changed.participant.unwrap();
    assert_eq!((entry.role, entry.metadata.as_text()), (Role::Viewer, new.as_text()));
    let stale = backend.apply(&stream, Change::UpdateParticipant(change)).await.unwrap_err();
    assert!(matches!(stale, StoreError::Rejected(Rejection::MetadataChanged)), "{stale}");
    assert_eq!(backend.change(&stream, set_role("ann", Role::Viewer)).await.effect, Effect::Unchanged);
    let log = backend.log(stream.id).await;
    let told = &log.last().unwrap().draft;
    assert_eq!(
        (log.len(), told.kind, told.by.clone()),
        (4, EventKind::ParticipantUpdated, Some(identity("cy")))
    );
    backend.stop(&stream).await;
    let ended = backend.apply(&stream, set_role("ann", Role::Host)).await.unwrap_err();
    assert!(matches!(ended, StoreError::Rejected(Rejection::NotActive { .. })), "{ended}");
}

async fn role_in_counted_stream_moves_participant_on_and_off_stage(backend: Backend) {
    let new = NewStream { audience: AudienceMode::Counted.begin(0), ..new_stream("counted") };
    let CreateOutcome::Created(stream) = backend.store.create(backend.placed(new)).await.unwrap() else {
        panic!("taken")
    };
    let stream = stream.reference();
    backend.change(&stream, Change::Activate { room_sid: "RM_1".into() }).await;
    backend.change(&stream, connect("ann", Role::Viewer, "PA_1")).await;
    let before = backend.log(stream.id).await.len();
    let off_stage = ParticipantUpdate {
        name: Some(DisplayName::parse("Ann").unwrap()),
        ..update("ann", Some(Role::Viewer))
    };
    backend.change(&stream, Change::UpdateParticipant(off_stage)).await;
    assert_eq!(backend.log(stream.id).await.len(), before, "a viewer has no event");
    for (role, removed) in [(Role::Host, false), (Role::Viewer, true)] {
        backend.change(&stream, set_role("ann", role)).await;
        let log = backend.log(stream.id).await;
        let told = &log.last().unwrap().draft;
        assert_eq!((told.kind, told.removed), (EventKind::ParticipantUpdated, removed));
        assert_eq!(told.by, Some(identity("cy")));
    }
}

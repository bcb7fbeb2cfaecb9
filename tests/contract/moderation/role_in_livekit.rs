//! Recorded roles with a fake LiveKit, which has the recorded role after old tokens, lost webhooks and failures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures_util::FutureExt;
use livestream_orchestrator::{
    access::Caller,
    domain::{MetadataPatch, Participant, Role, StreamRef},
    orchestrator::{Error, JoinRequest, ParticipantPatch},
    rooms::{Rooms, SessionUpdate},
    store::{Guard, StreamStore},
};

use crate::{
    backend::identity,
    fake_livekit::Meanwhile,
    instance::{Fixture, LISTING_GRACE},
};

const ROOM: &str = "room";

/// A stream with a connected participant.
async fn connected(role: Role) -> (Fixture, StreamRef) {
    let fixture = Fixture::new();
    let stream = fixture.create(ROOM).await.reference();
    fixture.livekit.connect_as(ROOM, "ann", role);
    fixture.deliver_webhooks().await;
    (fixture, stream)
}

fn patch(role: Option<Role>) -> ParticipantPatch {
    ParticipantPatch { identity: identity("ann"), role, name: None, metadata: None, dedup_key: None }
}

async fn set_role(fixture: &Fixture, stream: &StreamRef, role: Role) -> Result<Participant, Error> {
    let changed =
        fixture.orchestrator.patch_participant(&Caller::unrestricted(), stream, patch(Some(role))).await?;
    Ok(changed.participant)
}

async fn recorded(fixture: &Fixture, stream: &StreamRef) -> Participant {
    fixture.store.participant(stream.id, "ann").await.unwrap().unwrap()
}

#[tokio::test]
async fn role_is_recorded_and_sent_to_livekit() {
    let (fixture, stream) = connected(Role::Viewer).await;
    for role in [Role::Host, Role::Viewer, Role::Viewer] {
        assert_eq!(set_role(&fixture, &stream, role).await.unwrap().role, role);
        assert_eq!(fixture.livekit.role_of(ROOM, "ann"), Some(role));
    }
    let metadata = Some(MetadataPatch::parse(r#"{"a":1}"#).unwrap());
    let change = ParticipantPatch { metadata, ..patch(None) };
    let changed =
        fixture.orchestrator.patch_participant(&Caller::unrestricted(), &stream, change).await.unwrap();
    assert_eq!(changed.participant.metadata.as_text(), r#"{"a":1}"#);
    fixture.livekit.advance(LISTING_GRACE);
    assert_eq!(fixture.reconcile().await, 0, "LiveKit has the same role and metadata");
}

#[tokio::test]
async fn role_that_livekit_does_not_take_is_not_recorded() {
    let (fixture, stream) = connected(Role::Viewer).await;
    fixture.livekit.set_available(false);
    let failed = set_role(&fixture, &stream, Role::Host).await.unwrap_err();
    assert!(matches!(failed, Error::Rooms(_)), "{failed}");
    let entry = recorded(&fixture, &stream).await;
    assert_eq!((entry.role, entry.role_recorded), (Role::Viewer, false));
}

#[tokio::test]
async fn older_token_gets_the_recorded_role() {
    for loses_webhooks in [false, true] {
        let (fixture, stream) = connected(Role::Host).await;
        set_role(&fixture, &stream, Role::Viewer).await.unwrap();
        // Another session, with the permission of the older token.
        fixture.livekit.connect_as(ROOM, "ann", Role::Host);
        if loses_webhooks {
            fixture.livekit.take_webhooks();
            fixture.livekit.advance(LISTING_GRACE);
            assert!(fixture.reconcile().await > 0);
        } else {
            fixture.deliver_webhooks().await;
        }
        assert_eq!(fixture.livekit.role_of(ROOM, "ann"), Some(Role::Viewer));
        let entry = recorded(&fixture, &stream).await;
        assert!(entry.is_active() && entry.role == Role::Viewer);
    }
}

#[tokio::test]
async fn reconciler_sends_recorded_role_after_lost_call() {
    let (fixture, stream) = connected(Role::Host).await;
    set_role(&fixture, &stream, Role::Viewer).await.unwrap();
    // The instance ended between the call to LiveKit and the record, or another tool has changed the permission.
    let update = SessionUpdate { role: Some(Role::Host), ..SessionUpdate::default() };
    let room = stream.room_name.clone();
    fixture.livekit.update_participant(&room, &identity("ann"), &update).await.unwrap();
    fixture.livekit.advance(LISTING_GRACE);
    assert_eq!(fixture.reconcile().await, 1);
    assert_eq!(fixture.livekit.role_of(ROOM, "ann"), Some(Role::Viewer));
    assert_eq!(fixture.reconcile().await, 0);
}

#[tokio::test]
async fn older_role_sent_before_the_record_is_replaced() {
    let (fixture, stream) = connected(Role::Viewer).await;
    let (livekit, room) = (fixture.livekit.clone(), stream.room_name.clone());
    // A comparison that has read the older record sends its role after the request's own call.
    let compare = async move {
        let older = SessionUpdate { role: Some(Role::Viewer), ..SessionUpdate::default() };
        livekit.update_participant(&room, &identity("ann"), &older).await.unwrap();
    };
    fixture.livekit.during_next_update(Meanwhile::After(compare.boxed()));
    assert_eq!(set_role(&fixture, &stream, Role::Host).await.unwrap().role, Role::Host);
    assert_eq!(fixture.livekit.role_of(ROOM, "ann"), Some(Role::Host));
}

#[tokio::test]
async fn older_role_sent_after_the_record_is_replaced() {
    let (fixture, stream) = connected(Role::Viewer).await;
    let update = SessionUpdate { role: Some(Role::Host), ..SessionUpdate::default() };
    let room = stream.room_name.clone();
    fixture.livekit.update_participant(&room, &identity("ann"), &update).await.unwrap();
    fixture.livekit.advance(LISTING_GRACE);
    // Another instance makes a change while the reconciler's call with the older role is on its way.
    let (other, changed) = (fixture.livekit.orchestrator(fixture.store.clone()), stream.clone());
    let promote = async move {
        let host = patch(Some(Role::Host));
        other.patch_participant(&Caller::unrestricted(), &changed, host).await.unwrap();
    };
    fixture.livekit.during_next_update(Meanwhile::Before(promote.boxed()));
    assert_eq!(fixture.reconcile().await, 1);
    assert_eq!(recorded(&fixture, &stream).await.role, Role::Host);
    assert_eq!(fixture.livekit.role_of(ROOM, "ann"), Some(Role::Host));
}

#[tokio::test]
async fn host_demoted_while_backstage_is_removed() {
    let (fixture, stream) = connected(Role::Host).await;
    fixture.orchestrator.stop_live(&Caller::unrestricted(), &stream, Guard::default()).await.unwrap();
    assert!(recorded(&fixture, &stream).await.is_active());
    let demoted = set_role(&fixture, &stream, Role::Viewer).await.unwrap();
    assert!(!demoted.is_active() && fixture.livekit.role_of(ROOM, "ann").is_none());
    // A promoted viewer may come.
    set_role(&fixture, &stream, Role::Host).await.unwrap();
    fixture.livekit.connect_as(ROOM, "ann", Role::Viewer);
    fixture.deliver_webhooks().await;
    assert!(recorded(&fixture, &stream).await.is_active());
    assert_eq!(fixture.livekit.role_of(ROOM, "ann"), Some(Role::Host));
}

#[tokio::test]
async fn join_with_role_changes_connected_participant() {
    let (fixture, stream) = connected(Role::Viewer).await;
    let join = |role| JoinRequest {
        identity: identity("ann"),
        name: None,
        role,
        metadata: None,
        attributes: None,
        dedup_key: None,
    };
    for (requested, expected) in [(None, Role::Viewer), (Some(Role::Host), Role::Host), (None, Role::Host)] {
        let caller = Caller::unrestricted();
        let joined = fixture.orchestrator.join(&caller, &stream, join(requested)).await.unwrap();
        assert_eq!(joined.terms.role, expected, "{requested:?}");
        assert_eq!(fixture.livekit.role_of(ROOM, "ann"), Some(expected));
    }
}

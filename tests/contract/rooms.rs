//! Contract of every rooms backend: a real LiveKit server and the simulation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use livestream_orchestrator::{
    access::token::ApiKey,
    domain::{Attributes, Identity, Metadata, Role, RoomName, StreamId, TokenMark},
    rooms::{
        Room, RoomSpec, Rooms, RoomsError, TokenRequest, TokenValidity, livekit::LiveKitRooms,
        simulated::SimulatedRooms,
    },
    telemetry::Metrics,
};

use crate::support::{
    eventually,
    servers::{KEY, SECRET, free_port, shared_livekit},
    unique,
};

fn key(secret: &str) -> ApiKey {
    ApiKey { key: KEY.to_owned(), secret: secret.into() }
}

fn livekit(url: &str, secret: &str) -> Arc<dyn Rooms> {
    Arc::new(LiveKitRooms::new(&url.parse().unwrap(), key(secret), Arc::new(Metrics::new().unwrap())))
}

fn spec(name: &RoomName) -> RoomSpec {
    RoomSpec {
        name: name.clone(),
        metadata: Metadata::parse(r#"{"title":"é"}"#).unwrap(),
        max_participants: Some(5),
        empty_timeout: Duration::from_secs(300),
    }
}

macro_rules! suite {
    ($($test:ident),* $(,)?) => {
        mod simulated {
            $(#[tokio::test]
            async fn $test() {
                let (rooms, _room_events) = super::SimulatedRooms::new(super::key(super::SECRET));
                super::$test(std::sync::Arc::new(rooms)).await;
            })*
        }
        mod livekit {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::livekit(super::shared_livekit(), super::SECRET)).await;
            })*
        }
    };
}

suite!(
    created_room_is_listed_once,
    missing_room_or_participant_is_deleted_without_error,
    metadata_is_listed_after_set,
    room_names_of_any_printable_text_work,
    token_is_signed_for_its_room,
);

fn room() -> RoomName {
    RoomName::parse(unique("room")).unwrap()
}

async fn created_room_is_listed_once(rooms: Arc<dyn Rooms>) {
    let name = room();
    let Room { sid, .. } = rooms.create(&spec(&name)).await.unwrap();
    assert_eq!(rooms.create(&spec(&name)).await.unwrap().sid, sid, "the same room");
    let listed = rooms.list(&[name.clone(), room()]).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].name.as_str(), &listed[0].sid), (name.as_str(), &sid));
    assert_eq!(listed[0].metadata, spec(&name).metadata.as_text());
    assert!(rooms.list(&[]).await.unwrap().is_empty(), "no names list no rooms");
    assert!(rooms.occupants(&name).await.unwrap().unwrap().sessions.is_empty());
    rooms.ping().await.unwrap();
    rooms.delete(&name).await.unwrap();
    assert!(rooms.list(std::slice::from_ref(&name)).await.unwrap().is_empty());
    assert_ne!(rooms.create(&spec(&name)).await.unwrap().sid, sid, "another room of the same name");
    rooms.delete(&name).await.unwrap();
}

async fn missing_room_or_participant_is_deleted_without_error(rooms: Arc<dyn Rooms>) {
    let (missing, unknown) = (room(), Identity::parse("nobody").unwrap());
    rooms.delete(&missing).await.unwrap();
    rooms.remove_participant(&missing, &unknown).await.unwrap();
    assert_eq!(rooms.occupants(&missing).await.unwrap(), None);
    rooms.create(&spec(&missing)).await.unwrap();
    rooms.remove_participant(&missing, &unknown).await.unwrap();
    rooms.delete(&missing).await.unwrap();
}

async fn metadata_is_listed_after_set(rooms: Arc<dyn Rooms>) {
    let name = room();
    rooms.create(&spec(&name)).await.unwrap();
    let changed = Metadata::parse(r#"{"title":"two"}"#).unwrap();
    rooms.set_metadata(&name, &changed).await.unwrap();
    // LiveKit answers before its listings and the node of the room have the metadata.
    eventually("the metadata in a list", async || {
        let listed = rooms.list(std::slice::from_ref(&name)).await.unwrap();
        listed.first().is_some_and(|room| room.metadata == changed.as_text()).then_some(())
    })
    .await;
    rooms.delete(&name).await.unwrap();
    eventually("a refusal", async || {
        matches!(rooms.set_metadata(&name, &changed).await, Err(RoomsError::Refused(_))).then_some(())
    })
    .await;
}

async fn room_names_of_any_printable_text_work(rooms: Arc<dyn Rooms>) {
    let base = unique("x");
    for text in [format!("{base} /?#%é\u{1F600}"), format!("{base}{}", "y".repeat(256 - base.len()))] {
        let name = RoomName::parse(text).unwrap();
        rooms.create(&spec(&name)).await.unwrap();
        assert_eq!(rooms.list(std::slice::from_ref(&name)).await.unwrap().len(), 1);
        rooms.delete(&name).await.unwrap();
    }
}

async fn token_is_signed_for_its_room(rooms: Arc<dyn Rooms>) {
    let request = TokenRequest {
        room: room(),
        identity: Identity::parse("ann").unwrap(),
        name: None,
        role: Role::Viewer,
        metadata: None,
        attributes: Some(Attributes::reported([("seat".to_owned(), "1".to_owned())])),
        mark: TokenMark::new(StreamId::generate(), 1),
        validity: TokenValidity::from_now(Duration::from_secs(60)),
    };
    let token = rooms.token(&request).unwrap();
    let claims =
        livekit_api::access_token::TokenVerifier::with_api_key(KEY, SECRET).verify(&token.jwt).unwrap();
    assert_eq!(claims.attributes["seat"], "1");
    assert_eq!((claims.sub.as_str(), claims.video.room.as_str()), ("ann", request.room.as_str()));
    assert_eq!(rooms.token_again(&request).unwrap().jwt, token.jwt);
}

#[tokio::test]
async fn unreachable_livekit_and_refusing_livekit_are_distinct_errors() {
    let unreachable = livekit(&format!("ws://127.0.0.1:{}", free_port()), SECRET);
    assert!(matches!(unreachable.create(&spec(&room())).await, Err(RoomsError::Unavailable(_))));
    let wrong_secret = livekit(shared_livekit(), "not the secret");
    assert!(matches!(wrong_secret.create(&spec(&room())).await, Err(RoomsError::Refused(_))));
    assert!(matches!(wrong_secret.ping().await, Err(RoomsError::Refused(_))));
}

//! What every rooms backend must hold.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use livestream_orchestrator::{
    domain::{Attributes, Identity, Metadata, Role, RoomName},
    rooms::{
        Room, RoomSpec, Rooms, RoomsError, TokenRequest, livekit::LiveKitRooms, simulated::SimulatedRooms,
        tokens::ApiKey,
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
                let (rooms, _happenings) = super::SimulatedRooms::new(super::key(super::SECRET));
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
    a_room_is_made_once_and_listed,
    what_is_not_there_is_as_good_as_deleted,
    metadata_is_set,
    names_may_be_anything_printable,
    a_token_is_signed_for_the_room,
);

fn room() -> RoomName {
    RoomName::parse(unique("room")).unwrap()
}

async fn a_room_is_made_once_and_listed(rooms: Arc<dyn Rooms>) {
    let name = room();
    let Room { sid, .. } = rooms.create(&spec(&name)).await.unwrap();
    assert_eq!(rooms.create(&spec(&name)).await.unwrap().sid, sid, "the same room");
    let listed = rooms.list(&[name.clone(), room()]).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].name.as_str(), &listed[0].sid), (name.as_str(), &sid));
    assert_eq!(listed[0].metadata, spec(&name).metadata.as_text());
    assert!(rooms.list(&[]).await.unwrap().is_empty(), "no names are no rooms");
    assert!(rooms.occupants(&name).await.unwrap().unwrap().sessions.is_empty());
    rooms.ping().await.unwrap();
    rooms.delete(&name).await.unwrap();
    assert!(rooms.list(std::slice::from_ref(&name)).await.unwrap().is_empty());
    assert_ne!(rooms.create(&spec(&name)).await.unwrap().sid, sid, "another room of the same name");
    rooms.delete(&name).await.unwrap();
}

async fn what_is_not_there_is_as_good_as_deleted(rooms: Arc<dyn Rooms>) {
    let (nowhere, nobody) = (room(), Identity::parse("nobody").unwrap());
    rooms.delete(&nowhere).await.unwrap();
    rooms.remove(&nowhere, &nobody).await.unwrap();
    assert_eq!(rooms.occupants(&nowhere).await.unwrap(), None);
    rooms.create(&spec(&nowhere)).await.unwrap();
    rooms.remove(&nowhere, &nobody).await.unwrap();
    rooms.delete(&nowhere).await.unwrap();
}

async fn metadata_is_set(rooms: Arc<dyn Rooms>) {
    let name = room();
    rooms.create(&spec(&name)).await.unwrap();
    let changed = Metadata::parse(r#"{"title":"two"}"#).unwrap();
    rooms.set_metadata(&name, &changed).await.unwrap();
    // LiveKit answers before its lists, and whoever serves the room, have it.
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

async fn names_may_be_anything_printable(rooms: Arc<dyn Rooms>) {
    let base = unique("x");
    for text in [format!("{base} /?#%é\u{1F600}"), format!("{base}{}", "y".repeat(256 - base.len()))] {
        let name = RoomName::parse(text).unwrap();
        rooms.create(&spec(&name)).await.unwrap();
        assert_eq!(rooms.list(std::slice::from_ref(&name)).await.unwrap().len(), 1);
        rooms.delete(&name).await.unwrap();
    }
}

async fn a_token_is_signed_for_the_room(rooms: Arc<dyn Rooms>) {
    let request = TokenRequest {
        room: room(),
        identity: Identity::parse("ann").unwrap(),
        name: None,
        role: Role::Viewer,
        metadata: None,
        attributes: Some(Attributes::reported([("seat".to_owned(), "1".to_owned())])),
        ttl: Duration::from_secs(60),
    };
    let token = rooms.token(&request).unwrap();
    let claims =
        livekit_api::access_token::TokenVerifier::with_api_key(KEY, SECRET).verify(&token.jwt).unwrap();
    assert_eq!(claims.attributes["seat"], "1");
    assert_eq!((claims.sub.as_str(), claims.video.room.as_str()), ("ann", request.room.as_str()));
}

#[tokio::test]
async fn a_livekit_that_does_not_answer_is_told_from_one_that_refuses() {
    let nowhere = livekit(&format!("ws://127.0.0.1:{}", free_port()), SECRET);
    assert!(matches!(nowhere.create(&spec(&room())).await, Err(RoomsError::Unavailable(_))));
    let wrong_secret = livekit(shared_livekit(), "not the secret");
    assert!(matches!(wrong_secret.create(&spec(&room())).await, Err(RoomsError::Refused(_))));
    assert!(matches!(wrong_secret.ping().await, Err(RoomsError::Refused(_))));
}

//! Creation of a stream whose room name another tool uses in LiveKit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use livekit_api::services::room::CreateRoomOptions;
use livekit_protocol::participant_info::State;
use livestream_orchestrator::settings::Arguments;
use serde_json::json;

use crate::{
    livekit_fixture::{LiveKitFixture, connect, publisher, signed},
    support::{eventually, unique},
};

async fn start(change: impl FnOnce(&mut Arguments)) -> LiveKitFixture {
    LiveKitFixture::start(1, change).await
}

#[tokio::test]
async fn empty_room_of_another_tool_is_replaced() {
    let fixture = start(|_| {}).await;
    let name = unique("foreign");
    let options =
        CreateRoomOptions { max_participants: 9, empty_timeout: 77, ..CreateRoomOptions::default() };
    let foreign = fixture.rooms().create_room(&name, options).await.unwrap();
    let body = json!({"roomName": name, "maxParticipants": 3, "emptyTimeout": 120, "metadata": {"a": 1}});
    let stream = fixture.first().create(body).await;
    assert_ne!(stream["roomSid"], foreign.sid.as_str());
    let room = fixture.rooms().list_rooms(vec![name]).await.unwrap().pop().unwrap();
    assert_eq!((room.max_participants, room.empty_timeout, room.departure_timeout), (3, 120, 120));
    assert_eq!(
        (room.sid.as_str(), room.metadata.as_str()),
        (stream["roomSid"].as_str().unwrap(), r#"{"a":1}"#)
    );
}

#[tokio::test]
async fn occupied_room_with_same_settings_is_taken_over() {
    let fixture = start(|arguments| arguments.reconcile_interval = Some("10m".to_owned())).await;
    let name = unique("foreign");
    let options = CreateRoomOptions {
        max_participants: 3,
        empty_timeout: 120,
        departure_timeout: 120,
        ..CreateRoomOptions::default()
    };
    let foreign = fixture.rooms().create_room(&name, options).await.unwrap();
    let _ann = connect(&fixture, &name, signed("ann").with_attributes([("seat", "1")]), publisher()).await;
    let body = json!({"roomName": name, "maxParticipants": 3, "emptyTimeout": 120, "metadata": {"a": 1}});
    let stream = eventually("ann in LiveKit's list", || async {
        let listed = fixture.rooms().list_participants(&name).await.unwrap();
        listed.iter().any(|one| one.state() == State::Active).then_some(())
    });
    stream.await;
    let stream = fixture.first().create(body).await;
    assert_eq!((&stream["roomSid"], &stream["participantCount"]), (&json!(foreign.sid), &json!(1)));
    assert_eq!(stream["participants"][0]["attributes"], json!({"seat": "1"}));
    let room = fixture.rooms().list_rooms(vec![name]).await.unwrap().pop().unwrap();
    assert_eq!(room.metadata, r#"{"a":1}"#);
}

#[tokio::test]
async fn occupied_room_with_other_settings_returns_409() {
    let fixture = start(|_| {}).await;
    let name = unique("foreign");
    // A room that a participant's connection opens has LiveKit's default settings.
    let mut ann = connect(&fixture, &name, signed("ann"), publisher()).await;
    let body = json!({"roomName": name, "maxParticipants": 3});
    let problem = fixture.first().post("/streams", body).await.expect_problem(409, "room_exists");
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("maxParticipants is 0 instead of 3") && detail.contains("emptyTimeout"),
        "{detail}"
    );
    // Webhooks and several reconciliations do not change the room, and the name is not reserved.
    let mut bob = connect(&fixture, &name, signed("bob"), publisher()).await;
    let reconciliations = async || {
        let metrics = fixture.first().get("/metrics").await.text;
        let line =
            metrics.lines().find(|line| line.starts_with("lso_reconciliations_total{outcome=\"done\"}"));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).unwrap_or_default()
    };
    let before = reconciliations().await;
    eventually("three reconciliations", || async { (reconciliations().await >= before + 3).then_some(()) })
        .await;
    assert_eq!(fixture.rooms().list_participants(&name).await.unwrap().len(), 2);
    for participant in [&mut ann, &mut bob] {
        participant.send("leave").await;
        participant.wait_for("left").await;
    }
    eventually("an empty room", || async {
        fixture.rooms().list_participants(&name).await.unwrap().is_empty().then_some(())
    })
    .await;
    fixture.first().create(json!({"roomName": name, "maxParticipants": 3})).await;
}

//! Backstage with real participants: viewers are out of the LiveKit room, also with older tokens and without webhooks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    livekit_fixture::{LiveKitFixture, present, wait_until_in_room},
    participant::{JoinToken, Participant},
    support::{app::TestApp, unique},
};

async fn change(app: &TestApp, stream: &Value, action: &str) -> Value {
    let path = format!("/streams/{}/{action}", stream["id"].as_str().unwrap());
    app.post(&path, json!({})).await.expect(StatusCode::OK)
}

#[tokio::test]
async fn viewers_are_out_of_the_room_while_stream_is_backstage() {
    for drops in [false, true] {
        let fixture = LiveKitFixture::start(2, |_| {}).await;
        let stream = fixture.first().create(json!({"roomName": unique("room")})).await;
        let id = stream["id"].as_str().unwrap();
        let mut events = fixture.last().follow(&format!("/events?streamId={id}")).await;
        let mut host = Participant::join(fixture.first(), &stream, "host", "host").await;
        let token = JoinToken::request(fixture.last(), &stream, "ann", "viewer").await;
        let mut viewer = Participant::connect(&token).await;
        fixture.wait_for_state("both", &stream, |state| present(state) == ["ann", "host"]).await;
        fixture.webhooks.drop_webhooks(drops);

        change(fixture.last(), &stream, "stop_live").await;
        viewer.wait_for("disconnected").await;
        let left = events.wait_for("participant_left").await;
        let data = &left["data"];
        assert_eq!((&data["participant"]["identity"], &data["reason"]), (&json!("ann"), &json!("backstage")));
        // With the older token the viewer gets into the room, and out again.
        let mut returning = Participant::start_connecting(&token);
        returning.wait_until_out().await;
        wait_until_in_room(&fixture, &stream, &["host"]).await;
        fixture.wait_for_state("the host alone", &stream, |state| present(state) == ["host"]).await;
        host.send("publish").await;
        host.wait_for("published").await;

        fixture.webhooks.drop_webhooks(false);
        change(fixture.first(), &stream, "go_live").await;
        let mut back = Participant::join(fixture.first(), &stream, "ann", "viewer").await;
        back.wait_for("frames").await;
        fixture.wait_for_state("both again", &stream, |state| present(state) == ["ann", "host"]).await;
        let log = fixture.last().get(&format!("/events/{id}?limit=1000")).await.expect(StatusCode::OK);
        let count = |kind: &str| log.as_array().unwrap().iter().filter(|event| event["type"] == kind).count();
        let (joined, left) = (count("participant_joined"), count("participant_left"));
        assert_eq!(joined - left, 2, "arrivals and departures balance");
        assert_eq!((count("stream_live_stopped"), count("stream_live_started")), (1, 1));
    }
}

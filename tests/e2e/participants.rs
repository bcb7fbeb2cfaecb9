//! Real participants that join and leave, reported by LiveKit's own webhooks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::StatusCode;
use serde_json::json;

use super::{InstancePair, participant::Participant};

#[tokio::test]
async fn participant_webhooks_update_presence() {
    let InstancePair { one, two, livekit: _livekit } = InstancePair::start().await;
    let stream = one.create(json!({"roomName": "a room/é"})).await;
    let id = stream["id"].as_str().unwrap();
    let mut events = two.follow(&format!("/events?streamId={id}")).await;
    let mut states = two.follow(&format!("/sse/{id}/updates")).await;

    let mut host = Participant::join(&one, &stream, "ann", "host").await;
    let joined = events.wait_for("participant_joined").await;
    let participant = &joined["data"]["participant"];
    assert_eq!((&participant["identity"], &participant["state"]), (&json!("ann"), &json!("active")));
    assert!(participant["sid"].as_str().unwrap().starts_with("PA_"));
    states.wait_until("ann", |state| state["participantCount"] == 1).await;

    let mut viewer = Participant::join(&two, &stream, "bob", "viewer").await;
    let joined = events.wait_for("participant_joined").await;
    assert_eq!(joined["data"]["participant"]["role"], "viewer");
    host.send("publish").await;
    host.wait_for("published").await;
    viewer.wait_for("frames").await;
    viewer.wait_for("frames").await;
    viewer.send("try_publish").await;
    viewer.wait_for("refused").await;

    // Three departures: by the participant, by the API, and by the end of the stream.
    host.send("leave").await;
    let left = events.wait_for("participant_left").await;
    assert_eq!(left["data"]["participant"]["identity"], "ann");
    let leave = one.post(&format!("/streams/{id}/leave"), json!({"identity": "bob"})).await;
    assert_eq!(leave.expect(StatusCode::OK)["participant"]["state"], "disconnected");
    let left = events.wait_for("participant_left").await;
    assert_eq!(left["data"]["participant"]["identity"], "bob");
    viewer.wait_for("disconnected").await;

    let mut last = Participant::join(&two, &stream, "ann", "host").await;
    events.wait_for("participant_joined").await;
    two.delete(&format!("/streams/{id}")).await.expect(StatusCode::OK);
    events.wait_for("participant_left").await;
    let stopped = events.wait_for("stream_stopped").await;
    assert_eq!((&stopped["data"]["reason"], events.message().await), (&json!("requested"), None));
    last.wait_for("disconnected").await;
    let state = states.wait_until("the end", |state| state["status"] == "stopped").await;
    assert_eq!(state["participantCount"], 0);
    assert!(state["participants"].as_array().unwrap().iter().all(|one| one["state"] == "disconnected"));

    let history = one.get(&format!("/events/{id}")).await.expect(StatusCode::OK);
    let count = |kind: &str| history.as_array().unwrap().iter().filter(|event| event["type"] == kind).count();
    assert_eq!((count("participant_joined"), count("participant_left"), count("stream_stopped")), (3, 3, 1));
}

#[tokio::test]
async fn killed_participant_is_recorded_as_left() {
    let InstancePair { one, two, livekit: _livekit } = InstancePair::start().await;
    let stream = one.create(json!({})).await;
    let mut events = two.follow(&format!("/events?streamId={}", stream["id"].as_str().unwrap())).await;
    let mut participant = Participant::join(&one, &stream, "ann", "host").await;
    events.wait_for("participant_joined").await;
    participant.kill().await;
    // LiveKit detects a dead client after about 15 s.
    events.wait_for("participant_left").await;
    let state = one.get(&format!("/streams/{}/state", stream["id"].as_str().unwrap())).await;
    assert_eq!(state.expect(StatusCode::OK)["participantCount"], 0);
}

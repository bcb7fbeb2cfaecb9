//! Presence although webhooks are lost: real LiveKit, real participants, and a proxy that drops webhooks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    livekit_fixture::{LiveKitFixture, present, wait_until_no_rooms},
    participant::{JoinToken, Participant},
    support::{eventually, unique, webhook_proxy::CapturedWebhook},
    webdriver::Driver,
};

async fn start() -> LiveKitFixture {
    LiveKitFixture::start(2, |_| {}).await
}

async fn create(fixture: &LiveKitFixture) -> Value {
    fixture.first().create(json!({"roomName": unique("room")})).await
}

/// Checks that joins and departures in the log add up to the state, and that the version is the number of events.
async fn assert_log_matches_state(fixture: &LiveKitFixture, stream: &Value) {
    let id = stream["id"].as_str().unwrap();
    let log = fixture.last().get(&format!("/events/{id}?limit=1000")).await.expect(StatusCode::OK);
    let log = log.as_array().unwrap();
    let state = fixture.state(stream).await;
    let count = |kind: &str| log.iter().filter(|event| event["type"] == kind).count() as u64;
    assert_eq!(state["participantCount"], count("participant_joined") - count("participant_left"));
    assert_eq!(state["version"].as_u64(), Some(log.len() as u64));
}

#[tokio::test]
async fn presence_without_webhooks_is_reconciled() {
    let fixture = start().await;
    fixture.webhooks.drop_webhooks(true);
    let stream = create(&fixture).await;
    let mut events =
        fixture.last().follow(&format!("/events?streamId={}", stream["id"].as_str().unwrap())).await;
    let mut ann = Participant::join(fixture.first(), &stream, "ann", "host").await;
    let joined = events.wait_for("participant_joined").await;
    assert_eq!(joined["data"]["participant"]["identity"], "ann");
    ann.send("publish").await;
    ann.wait_for("published").await;
    let state = fixture
        .wait_for_state("ann's camera", &stream, |state| {
            let tracks = state["participants"][0]["tracks"].as_array();
            tracks.is_some_and(|tracks| tracks.iter().any(|track| track["source"] == "camera"))
        })
        .await;
    assert_eq!(present(&state), ["ann"]);
    let _bob = Participant::join(fixture.last(), &stream, "bob", "viewer").await;
    let state = fixture.wait_for_state("both", &stream, |state| state["participantCount"] == 2).await;
    assert_eq!(state["participants"][1]["role"], "viewer");
    ann.send("leave").await;
    let left = events.wait_for("participant_left").await;
    assert_eq!(left["data"]["participant"]["identity"], "ann");

    // Webhooks arrive again.
    fixture.webhooks.drop_webhooks(false);
    let _cat = Participant::join(fixture.first(), &stream, "cat", "host").await;
    let state = fixture.wait_for_state("cat", &stream, |state| state["participantCount"] == 2).await;
    assert_eq!(present(&state), ["bob", "cat"]);
    assert_log_matches_state(&fixture, &stream).await;
}

#[tokio::test]
async fn killed_participant_without_webhook_is_recorded_as_left() {
    let fixture = start().await;
    let stream = create(&fixture).await;
    let mut ann = Participant::join(fixture.first(), &stream, "ann", "host").await;
    fixture.wait_for_state("ann", &stream, |state| present(state) == ["ann"]).await;
    fixture.webhooks.drop_webhooks(true);
    ann.kill().await;
    fixture.wait_for_state("no participant", &stream, |state| present(state).is_empty()).await;
    assert_log_matches_state(&fixture, &stream).await;
}

#[tokio::test]
async fn livekit_restart_without_rooms_stops_streams() {
    let mut fixture = start().await;
    let streams = [create(&fixture).await, create(&fixture).await];
    let _ann = Participant::join(fixture.first(), &streams[0], "ann", "host").await;
    fixture.wait_for_state("ann", &streams[0], |state| present(state) == ["ann"]).await;
    fixture.livekit.kill();
    // No departure is recorded while LiveKit does not answer.
    eventually("a failed reconciliation", || async {
        let metrics = fixture.first().get("/metrics").await.text + &fixture.last().get("/metrics").await.text;
        metrics.contains("lso_reconciliations_total{outcome=\"failed\"}").then_some(())
    })
    .await;
    for (stream, count) in streams.iter().zip([1, 0]) {
        let path = format!("/streams/{}/state", stream["id"].as_str().unwrap());
        let state = fixture.last().get(&path).await.expect(StatusCode::OK);
        assert_eq!((&state["status"], &state["participantCount"]), (&json!("active"), &json!(count)));
    }
    fixture.livekit.restart();
    for stream in &streams {
        let state = fixture.wait_for_state("the end", stream, |state| state["status"] == "stopped").await;
        assert!(present(&state).is_empty());
        assert_log_matches_state(&fixture, stream).await;
        let path = format!("/events/{}?limit=1", stream["id"].as_str().unwrap());
        let last = fixture.last().get(&path).await.expect(StatusCode::OK);
        assert_eq!(
            (&last[0]["type"], &last[0]["data"]["reason"]),
            (&json!("stream_stopped"), &json!("room_gone"))
        );
    }
    // The client reconnects with its old token, and the reopened room is deleted.
    wait_until_no_rooms(&fixture).await;
}

#[tokio::test]
async fn room_deleted_in_livekit_stops_its_stream() {
    let fixture = start().await;
    let (deleted, other) = (create(&fixture).await, create(&fixture).await);
    let _ann = Participant::join(fixture.first(), &deleted, "ann", "host").await;
    fixture.wait_for_state("ann", &deleted, |state| present(state) == ["ann"]).await;
    fixture.webhooks.drop_webhooks(true);
    fixture.rooms().delete_room(deleted["roomName"].as_str().unwrap()).await.unwrap();
    let state = fixture.wait_for_state("the end", &deleted, |state| state["status"] == "stopped").await;
    assert!(present(&state).is_empty());
    assert_log_matches_state(&fixture, &deleted).await;
    let path = format!("/streams/{}/state", other["id"].as_str().unwrap());
    assert_eq!(fixture.last().get(&path).await.expect(StatusCode::OK)["status"], "active");
}

#[tokio::test]
async fn participant_removed_in_livekit_is_recorded_as_left() {
    let fixture = start().await;
    let stream = create(&fixture).await;
    let mut ann = Participant::join(fixture.first(), &stream, "ann", "host").await;
    let _bob = Participant::join(fixture.first(), &stream, "bob", "host").await;
    fixture.wait_for_state("both", &stream, |state| present(state) == ["ann", "bob"]).await;
    fixture.webhooks.drop_webhooks(true);
    fixture.rooms().remove_participant(stream["roomName"].as_str().unwrap(), "ann").await.unwrap();
    ann.wait_for("disconnected").await;
    fixture.wait_for_state("bob alone", &stream, |state| present(state) == ["bob"]).await;
    assert_log_matches_state(&fixture, &stream).await;
}

#[tokio::test]
async fn second_session_of_identity_replaces_first() {
    for drops in [false, true] {
        let fixture = start().await;
        let stream = create(&fixture).await;
        let token = JoinToken::request(fixture.first(), &stream, "ann", "host").await;
        let mut first = Participant::connect(&token).await;
        let before = fixture.wait_for_state("ann", &stream, |state| present(state) == ["ann"]).await;
        fixture.webhooks.drop_webhooks(drops);
        let _second = Participant::connect(&token).await;
        first.wait_for("disconnected").await;
        let sid = before["participants"][0]["sid"].clone();
        fixture
            .wait_for_state("ann's second session", &stream, |state| {
                present(state) == ["ann"] && state["participants"][0]["sid"] != sid
            })
            .await;
        assert_log_matches_state(&fixture, &stream).await;
    }
}

#[tokio::test]
async fn room_reopened_by_old_token_is_deleted() {
    for drops in [false, true] {
        let fixture = start().await;
        let stream = create(&fixture).await;
        let id = stream["id"].as_str().unwrap();
        let token = JoinToken::request(fixture.first(), &stream, "ann", "host").await;
        let mut ann = Participant::connect(&token).await;
        fixture.wait_for_state("ann", &stream, |state| present(state) == ["ann"]).await;
        fixture.first().delete(&format!("/streams/{id}")).await.expect(StatusCode::OK);
        ann.wait_for("disconnected").await;
        fixture.webhooks.drop_webhooks(drops);
        // LiveKit reopens the room for the old token, possibly several times. Each room is deleted.
        let mut returning = Participant::start_connecting(&token);
        let opened = |webhook: &CapturedWebhook| webhook.event() == "room_started";
        eventually("a reopened room", || async {
            let rooms = fixture.webhooks.captured().into_iter().filter(opened).count();
            (rooms >= 2).then_some(())
        })
        .await;
        returning.kill().await;
        wait_until_no_rooms(&fixture).await;
        let state = fixture.last().get(&format!("/streams/{id}/state")).await.expect(StatusCode::OK);
        assert_eq!((&state["status"], &state["participantCount"]), (&json!("stopped"), &json!(0)));
        assert_log_matches_state(&fixture, &stream).await;
    }
}

/// A full reconnect of livekit-client leaves the room and joins again with the same identity.
#[tokio::test]
async fn full_reconnect_is_recorded_as_new_session() {
    for drops in [false, true] {
        let fixture = start().await;
        fixture.webhooks.drop_webhooks(drops);
        let stream = create(&fixture).await;
        let id = stream["id"].as_str().unwrap();
        let driver = Driver::start();
        let browser = driver.browser().await;
        let page = fixture.first().base.replace("127.0.0.1", "localhost");
        browser.open(&format!("{page}/room.html?streamId={id}")).await;
        let token = JoinToken::request(fixture.first(), &stream, "ann", "host").await;
        let load = "const tag = document.createElement('script'); tag.src = '/vendor/livekit-client.umd.js'; \
                    document.head.append(tag)";
        browser.script(load).await;
        browser
            .until("the library", || async { browser.script("return !!window.LivekitClient").await == true })
            .await;
        let connect = format!(
            "window.clientRoom = new LivekitClient.Room(); clientRoom.connect({}, {})",
            json!(token.url),
            json!(token.token)
        );
        browser.script(&connect).await;
        let first = fixture.wait_for_state("ann", &stream, |state| present(state) == ["ann"]).await;
        let sid = first["participants"][0]["sid"].clone();
        browser.script("clientRoom.simulateScenario('full-reconnect')").await;
        let again = fixture
            .wait_for_state("ann again", &stream, |state| {
                present(state) == ["ann"] && state["participants"][0]["sid"] != sid
            })
            .await;
        assert_eq!(again["participantCount"], 1);
        assert_log_matches_state(&fixture, &stream).await;
        browser.close().await;
    }
}

//! The webhooks of a real LiveKit server: each kind is handled, repeated webhooks have no effect, changed ones are
//! refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    livekit_fixture::{LiveKitFixture, present},
    participant::{JoinToken, Participant},
    support::{eventually, unique, webhook_proxy::CapturedWebhook, within},
};

/// Every kind of webhook that LiveKit sends, as it sends them.
#[tokio::test]
async fn every_webhook_kind_of_livekit_is_handled() {
    let fixture = LiveKitFixture::start(2, |_| {}).await;
    let stream = fixture.first().create(json!({"roomName": unique("room")})).await;
    let id = stream["id"].as_str().unwrap();
    let mut ann = Participant::join(fixture.first(), &stream, "ann", "host").await;
    ann.send("publish").await;
    ann.wait_for("published").await;
    let tracks = |state: &Value| state["participants"][0]["tracks"].as_array().map_or(0, Vec::len);
    fixture.wait_for_state("a track", &stream, |state| tracks(state) == 1).await;
    ann.send("unpublish").await;
    ann.wait_for("unpublished").await;
    fixture.wait_for_state("no track", &stream, |state| tracks(state) == 0).await;
    ann.send("leave").await;
    fixture.wait_for_state("no participant", &stream, |state| present(state).is_empty()).await;
    // A participant that disconnects before its media connection.
    let token = JoinToken::request(fixture.first(), &stream, "bob", "host").await;
    let url = format!("{}/rtc?access_token={}&protocol=15&sdk=js&version=2.0.0", token.url, token.token);
    let (socket, _) = within("LiveKit's signalling", tokio_tungstenite::connect_async(url)).await.unwrap();
    drop(socket);
    eventually("an aborted connection", || async {
        let aborted = |webhook: &CapturedWebhook| webhook.event() == "participant_connection_aborted";
        fixture.webhooks.captured().iter().any(aborted).then_some(())
    })
    .await;
    fixture.first().delete(&format!("/streams/{id}")).await.expect(StatusCode::OK);
    let kinds = [
        "participant_connection_aborted",
        "room_started",
        "participant_joined",
        "track_published",
        "track_unpublished",
        "participant_left",
        "room_finished",
    ];
    let received = eventually("all kinds", || async {
        let received: Vec<_> = fixture.webhooks.captured().iter().map(|webhook| webhook.event()).collect();
        kinds.iter().all(|kind| received.iter().any(|one| one == kind)).then_some(received)
    })
    .await;
    assert!(received.iter().all(|kind| kinds.contains(&kind.as_str())), "{received:?}");
    let captured = fixture.webhooks.captured();
    assert!(captured.iter().all(|webhook| webhook.content_type == "application/webhook+json"));
    assert_repeats_have_no_effect(&fixture, id, &captured).await;
    assert_changed_webhooks_are_refused(&fixture, &captured).await;
}

/// Posts a captured webhook again.
async fn post(fixture: &LiveKitFixture, webhook: &CapturedWebhook) -> StatusCode {
    let request = fixture.first().request(Method::POST, "/webhooks/livekit");
    let request = request.header("authorization", &webhook.authorization).body(webhook.body.clone());
    request.send().await.unwrap().status()
}

/// Posts all webhooks again, as LiveKit does after a lost response: each is accepted and applied once.
async fn assert_repeats_have_no_effect(fixture: &LiveKitFixture, stream: &str, captured: &[CapturedWebhook]) {
    let log =
        async || fixture.last().get(&format!("/events/{stream}?limit=1000")).await.expect(StatusCode::OK);
    let before = log().await;
    for webhook in captured {
        assert_eq!(post(fixture, webhook).await, StatusCode::OK);
    }
    assert_eq!(log().await, before);
    let metrics = fixture.first().get("/metrics").await.text;
    for kind in ["participant_joined", "track_published", "track_unpublished", "participant_left"] {
        for outcome in ["applied", "duplicate"] {
            let line = format!("lso_webhooks_total{{event=\"{kind}\",outcome=\"{outcome}\"}} 1");
            assert!(metrics.lines().any(|found| found == line), "{line} in {metrics}");
        }
    }
}

/// Posts all webhooks with one changed byte in the body or a shortened signature.
async fn assert_changed_webhooks_are_refused(fixture: &LiveKitFixture, captured: &[CapturedWebhook]) {
    for webhook in captured {
        let mut changed = webhook.clone();
        let middle = changed.body.len() / 2;
        changed.body[middle] ^= 1;
        let mut wrong_signature = webhook.clone();
        wrong_signature.authorization.pop();
        for forged in [changed, wrong_signature] {
            assert_eq!(post(fixture, &forged).await, StatusCode::UNAUTHORIZED);
        }
    }
}

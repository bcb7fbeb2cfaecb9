//! WHIP into LiveKit's own endpoint with a join token of this service. The client is aiortc.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    page_fixture::PageFixture,
    participant::{JoinToken, Participant},
    support::eventually,
};

/// Requests a join token for the identity `obs`.
async fn join(fixture: &PageFixture, stream: &Value, role: &str) -> JoinToken {
    let path = format!("/streams/{}/join", stream["id"].as_str().unwrap());
    let wanted = json!({"identity": "obs", "name": "OBS", "role": role});
    JoinToken::from_response(&fixture.request(Method::POST, &path, Some(wanted)).await)
}

/// Waits until the participant `obs` is in this state.
async fn wait_for_state(fixture: &PageFixture, stream: &Value, state: &str) -> Value {
    let path = format!("/streams/{}/participants/obs", stream["id"].as_str().unwrap());
    eventually(state, || async {
        let participant: Value = fixture.get(&path).await.json().await.ok()?;
        (participant["state"] == state).then_some(participant)
    })
    .await
}

#[tokio::test]
async fn whip_client_with_join_token_publishes_until_it_deletes_its_session() {
    let fixture = PageFixture::start().await;
    let stream = fixture.create(json!({"metadata": {"title": "Concert"}})).await;
    let viewer = fixture.driver.browser().await;
    fixture.join_room(&viewer, &stream, "Vera", "viewer").await;
    let token = join(&fixture, &stream, "host").await;
    let mut encoder = Participant::start_whip(&token);
    encoder.wait_for("published").await;
    viewer.shown("#tiles .tile[data-identity=obs] video").await;
    viewer.more_frames("#tiles .tile[data-identity=obs] video", 20).await;
    let participant = wait_for_state(&fixture, &stream, "active").await;
    assert_eq!((&participant["role"], &participant["kind"]), (&json!("host"), &Value::Null));
    encoder.send("leave").await;
    encoder.wait_for("left").await;
    wait_for_state(&fixture, &stream, "disconnected").await;
    viewer.until_gone("#tiles .tile[data-identity=obs]").await;
    viewer.close().await;
}

#[tokio::test]
async fn whip_client_of_removed_participant_does_not_come_back() {
    let fixture = PageFixture::start().await;
    let stream = fixture.create(json!({})).await;
    let token = join(&fixture, &stream, "host").await;
    let mut encoder = Participant::start_whip(&token);
    encoder.wait_for("published").await;
    wait_for_state(&fixture, &stream, "active").await;
    let path = format!("/streams/{}/participants/obs", stream["id"].as_str().unwrap());
    fixture.request(Method::DELETE, &path, None).await;
    wait_for_state(&fixture, &stream, "disconnected").await;
    encoder.wait_for("disconnected").await;
    // An encoder reconnects with the token that it has.
    Participant::start_whip(&token).wait_for("disconnected").await;
    wait_for_state(&fixture, &stream, "disconnected").await;
}

#[tokio::test]
async fn whip_client_without_valid_token_is_refused() {
    let fixture = PageFixture::start().await;
    let stream = fixture.create(json!({})).await;
    let mut token = join(&fixture, &stream, "host").await;
    token.token.push('x');
    Participant::start_whip(&token).wait_for("refused").await;
}

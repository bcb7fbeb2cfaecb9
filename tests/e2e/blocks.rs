//! Blocks with real participants: each connection with an older token ends, also without webhooks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    livekit_fixture::{LiveKitFixture, present, wait_until_in_room},
    participant::{JoinToken, Participant},
    support::unique,
};

/// Connections with a token from before the block.
const ATTEMPTS: usize = 20;

fn path(stream: &Value) -> String {
    format!("/streams/{}/blocks/ann", stream["id"].as_str().unwrap())
}

#[tokio::test]
async fn blocked_participant_is_out_until_it_is_unblocked() {
    for drops in [false, true] {
        let fixture = LiveKitFixture::start(2, |_| {}).await;
        let stream = fixture.first().create(json!({"roomName": unique("room")})).await;
        let _host = Participant::join(fixture.first(), &stream, "host", "host").await;
        let token = JoinToken::request(fixture.last(), &stream, "ann", "viewer").await;
        let mut ann = Participant::connect(&token).await;
        fixture.wait_for_state("both", &stream, |state| present(state) == ["ann", "host"]).await;
        fixture.webhooks.drop_webhooks(drops);

        let blocked = fixture.last().send(Method::PUT, &path(&stream), Some(json!({}))).await;
        blocked.expect(StatusCode::OK);
        ann.wait_for("disconnected").await;
        for _ in 0..ATTEMPTS {
            Participant::start_connecting(&token).wait_until_out().await;
            wait_until_in_room(&fixture, &stream, &["host"]).await;
        }
        fixture.wait_for_state("the host alone", &stream, |state| present(state) == ["host"]).await;
        let join = format!("/streams/{}/join", stream["id"].as_str().unwrap());
        let refused = fixture.first().post(&join, json!({"identity": "ann"})).await;
        refused.expect_problem(403, "participant_blocked");
        let ended = fixture.last().delete(&path(&stream)).await;
        assert_eq!(ended.status, StatusCode::NO_CONTENT);
        let _back = Participant::connect(&token).await;
        fixture.wait_for_state("both again", &stream, |state| present(state) == ["ann", "host"]).await;
    }
}

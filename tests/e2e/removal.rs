//! Removal of real participants: an older token does not admit a participant again, also without webhooks; a new one does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    livekit_fixture::{LiveKitFixture, present, wait_until_in_room},
    participant::{JoinToken, Participant},
    support::unique,
};

/// Connections with a token from before the removal.
const ATTEMPTS: usize = 3;

async fn remove(fixture: &LiveKitFixture, stream: &Value) {
    let path = format!("/streams/{}/participants/ann", stream["id"].as_str().unwrap());
    let removed = fixture.last().delete(&path).await.expect(StatusCode::OK);
    assert_eq!((&removed["identity"], &removed["state"]), (&json!("ann"), &json!("disconnected")));
}

#[tokio::test]
async fn removed_participant_is_out_until_it_has_a_new_token() {
    for drops in [false, true] {
        let fixture = LiveKitFixture::start(2, |_| {}).await;
        let stream = fixture.first().create(json!({"roomName": unique("room")})).await;
        let id = stream["id"].as_str().unwrap();
        let mut events = fixture.last().follow(&format!("/events?streamId={id}")).await;
        let _host = Participant::join(fixture.first(), &stream, "host", "host").await;
        let token = JoinToken::request(fixture.last(), &stream, "ann", "viewer").await;
        let mut ann = Participant::connect(&token).await;
        let both = fixture.wait_for_state("both", &stream, |state| present(state) == ["ann", "host"]).await;
        let shown = both["participants"].as_array().unwrap().iter();
        assert!(shown.clone().all(|one| one["attributes"] == json!({})), "the mark of tokens is not shown");
        fixture.webhooks.drop_webhooks(drops);

        remove(&fixture, &stream).await;
        ann.wait_for("disconnected").await;
        let left = events.wait_for("participant_left").await;
        let data = &left["data"];
        assert_eq!((&data["participant"]["identity"], &data["reason"]), (&json!("ann"), &json!("removed")));
        for _ in 0..ATTEMPTS {
            Participant::start_connecting(&token).wait_until_out().await;
            wait_until_in_room(&fixture, &stream, &["host"]).await;
            fixture.wait_for_state("the host alone", &stream, |state| present(state) == ["host"]).await;
        }
        remove(&fixture, &stream).await;
        let _back = Participant::join(fixture.first(), &stream, "ann", "viewer").await;
        fixture.wait_for_state("both again", &stream, |state| present(state) == ["ann", "host"]).await;
        let log = fixture.last().get(&format!("/events/{id}?limit=1000")).await.expect(StatusCode::OK);
        let of_ann = |event: &&Value| event["data"]["participant"]["identity"] == "ann";
        let count = |kind: &str| {
            log.as_array().unwrap().iter().filter(of_ann).filter(|event| event["type"] == kind).count()
        };
        assert_eq!(
            count("participant_joined"),
            count("participant_left") + 1,
            "arrivals and departures balance"
        );
    }
}

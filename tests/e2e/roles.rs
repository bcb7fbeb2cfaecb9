//! Roles with real participants: promotion and demotion while connected, and after a reconnect with the old token.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    livekit_fixture::{LiveKitFixture, present},
    participant::{JoinToken, Participant},
    support::{eventually, unique},
};

/// Maximum time from a demotion until LiveKit has ended the participant's tracks.
const MAX_DEMOTION: Duration = Duration::from_secs(1);

async fn set_role(fixture: &LiveKitFixture, stream: &Value, role: &str) {
    let path = format!("/streams/{}/participants/ann", stream["id"].as_str().unwrap());
    let changed = fixture.last().patch(&path, json!({"role": role})).await.expect(StatusCode::OK);
    assert_eq!((&changed["identity"], &changed["role"]), (&json!("ann"), &json!(role)));
}

/// Whether LiveKit permits publishing, and the number of published tracks.
async fn in_livekit(fixture: &LiveKitFixture, stream: &Value) -> Option<(bool, usize)> {
    let listed = fixture.rooms().list_participants(stream["roomName"].as_str().unwrap()).await.ok()?;
    let ann = listed.into_iter().find(|one| one.identity == "ann")?;
    Some((ann.permission?.can_publish, ann.tracks.len()))
}

async fn wait_until_in_livekit(fixture: &LiveKitFixture, stream: &Value, expected: (bool, usize)) {
    eventually("LiveKit's permission and tracks", || async {
        (in_livekit(fixture, stream).await == Some(expected)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn role_holds_while_connected_and_for_older_tokens() {
    for drops in [false, true] {
        let fixture = LiveKitFixture::start(2, |_| {}).await;
        let stream = fixture.first().create(json!({"roomName": unique("room")})).await;
        let viewer_token = JoinToken::request(fixture.first(), &stream, "ann", "viewer").await;
        let mut ann = Participant::connect(&viewer_token).await;
        fixture.wait_for_state("ann", &stream, |state| present(state) == ["ann"]).await;
        ann.send("try_publish").await;
        ann.wait_for("refused").await;
        fixture.webhooks.drop_webhooks(drops);

        set_role(&fixture, &stream, "host").await;
        ann.send("publish").await;
        ann.wait_for("published").await;
        wait_until_in_livekit(&fixture, &stream, (true, 1)).await;
        let demoted_at = Instant::now();
        set_role(&fixture, &stream, "viewer").await;
        wait_until_in_livekit(&fixture, &stream, (false, 0)).await;
        assert!(demoted_at.elapsed() < MAX_DEMOTION, "{:?}", demoted_at.elapsed());
        ann.kill().await;

        // A host's token from before does not give the old permission back.
        set_role(&fixture, &stream, "host").await;
        let host_token = JoinToken::request(fixture.first(), &stream, "ann", "host").await;
        set_role(&fixture, &stream, "viewer").await;
        let mut back = Participant::connect(&host_token).await;
        wait_until_in_livekit(&fixture, &stream, (false, 0)).await;
        back.send("try_publish").await;
        back.wait_for("refused").await;
        fixture
            .wait_for_state("ann as a viewer", &stream, |state| state["participants"][0]["role"] == "viewer")
            .await;

        // Another tool's change of the permission is replaced by the recorded role.
        let options = livekit_api::services::room::UpdateParticipantOptions {
            permission: Some(livekit_protocol::ParticipantPermission {
                can_subscribe: true,
                can_publish: true,
                ..Default::default()
            }),
            ..Default::default()
        };
        let room = stream["roomName"].as_str().unwrap();
        fixture.rooms().update_participant(room, "ann", options).await.unwrap();
        wait_until_in_livekit(&fixture, &stream, (false, 0)).await;
    }
}

//! Muting of a real participant's track.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::StatusCode;
use serde_json::json;

use crate::{
    livekit_fixture::LiveKitFixture,
    participant::Participant,
    support::{eventually, unique},
};

#[tokio::test]
async fn muted_track_is_muted_in_livekit_and_shown() {
    let fixture = LiveKitFixture::start(1, |_| {}).await;
    let app = fixture.first();
    let stream = app.create(json!({"roomName": unique("room")})).await;
    let path = format!("/streams/{}", stream["id"].as_str().unwrap());
    let mute = format!("{path}/participants/ann/mute");
    app.post(&mute, json!({})).await.expect_problem(404, "participant_not_found");
    let mut ann = Participant::join(app, &stream, "ann", "host").await;
    ann.send("publish").await;
    ann.wait_for("published").await;
    fixture
        .wait_for_state("ann's camera", &stream, |state| {
            state["participants"][0]["tracks"].as_array().is_some_and(|tracks| tracks.len() == 1)
        })
        .await;
    // LiveKit answers an unknown track with an empty message, which livekit-api does not accept.
    app.post(&mute, json!({"trackSid": "TR_absent"})).await.expect_problem(404, "track_not_found");
    let unchanged = app.post(&mute, json!({})).await.expect(StatusCode::OK);
    assert_eq!(unchanged["tracks"][0]["muted"], false, "ann has no microphone");
    let muted = app.post(&mute, json!({"source": "camera"})).await.expect(StatusCode::OK);
    assert_eq!(muted["tracks"][0]["muted"], true);
    eventually("a muted track in LiveKit", || async {
        let listed = fixture.rooms().list_participants(stream["roomName"].as_str().unwrap()).await.ok()?;
        listed.first()?.tracks.first()?.muted.then_some(())
    })
    .await;
    app.post(&format!("{path}/mute"), json!({"source": "camera", "except": []})).await.expect(StatusCode::OK);
}

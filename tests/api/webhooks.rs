//! Webhooks as they come in: signed or not, twice, late, about rooms that are not ours.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::Pair;
use crate::support::app::{Answer, participant_event};

#[tokio::test]
async fn only_signed_webhooks_count() {
    let Pair(app, _other) = Pair::start().await;
    let stream = app.create(json!({})).await;
    let body = participant_event("participant_joined", &stream, "ann", "PA_1").to_string();
    for path in ["/webhooks/livekit", "/webhook"] {
        for authorization in ["", "Bearer nonsense"] {
            let request =
                app.request(Method::POST, path).header("authorization", authorization).body(body.clone());
            Answer::of(request.send().await.unwrap()).await.expect_problem(401, "invalid_signature");
        }
    }
    let state = app.get(&format!("/streams/{}/state", stream["id"].as_str().unwrap())).await;
    assert_eq!(state.expect(StatusCode::OK)["participantCount"], 0);
}

#[tokio::test]
async fn each_event_counts_once_and_strangers_do_not() {
    let Pair(one, two) = Pair::start().await;
    let stream = one.create(json!({})).await;
    let outcome = |answer: Answer| answer.expect(StatusCode::OK)["outcome"].as_str().unwrap().to_owned();
    let joined = participant_event("participant_joined", &stream, "ann", "PA_1");
    assert_eq!(outcome(one.webhook(&joined).await), "applied");
    assert_eq!(outcome(two.webhook(&joined).await), "duplicate");
    let stranger = json!({"roomSid": "RM_x", "roomName": "not ours"});
    assert_eq!(
        outcome(one.webhook(&participant_event("participant_joined", &stranger, "ann", "PA_1")).await),
        "ignored"
    );
    assert_eq!(
        outcome(one.webhook(&json!({"event": "from_the_future", "id": "EV_f", "x": {}})).await),
        "ignored"
    );
    let late = participant_event("participant_left", &stream, "ann", "PA_0");
    assert_eq!(outcome(one.webhook(&late).await), "unchanged");
    let room = json!({"sid": "RM_old", "name": stream["roomName"]});
    assert_eq!(
        outcome(one.webhook(&json!({"event": "room_finished", "id": "EV_o", "room": room})).await),
        "unchanged"
    );
    let room = json!({"sid": stream["roomSid"], "name": stream["roomName"]});
    assert_eq!(
        outcome(two.webhook(&json!({"event": "room_finished", "id": "EV_r", "room": room})).await),
        "applied"
    );
    let document =
        one.get(&format!("/streams/{}", stream["id"].as_str().unwrap())).await.expect(StatusCode::OK);
    assert_eq!((&document["status"], &document["participantCount"]), (&json!("stopped"), &json!(0)));
    assert_eq!(document["participants"][0]["state"], "disconnected");
}

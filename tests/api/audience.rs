//! Counted streams over the API: the request, the documents, and the event that tells the counts on every transport.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::Pair;
use crate::support::{
    app::{TestApp, TestResponse, participant_webhook},
    grpc::Client,
    unique, within,
};

/// LiveKit reports that a viewer has connected.
async fn viewer_connects(app: &TestApp, stream: &Value, identity: &str) {
    let mut webhook = participant_webhook("participant_joined", stream, identity, &format!("PA_{identity}"));
    webhook["participant"]["permission"]["canPublish"] = json!(false);
    app.webhook(&webhook).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn audience_is_requested_at_creation_and_never_changed() {
    let Pair(one, two) = Pair::start().await;
    for (requested, expected) in [
        (json!("counted"), "counted"),
        (json!("listed"), "listed"),
        (json!("auto"), "listed"),
        (Value::Null, "listed"),
    ] {
        let stream = one.create(json!({"audience": requested})).await;
        assert_eq!(stream["audience"], expected, "{requested}");
        assert_eq!(stream["participantCounts"], json!({"hosts": 0, "viewers": 0}));
    }
    let problem =
        one.post("/streams", json!({"audience": "Counted"})).await.expect_problem(400, "validation_failed");
    assert_eq!(problem["errors"][0]["field"], "audience");

    let room = unique("room");
    let stream = one.create(json!({"roomName": room, "audience": "counted"})).await;
    let existing = two.post("/streams", json!({"roomName": room, "audience": "listed"})).await;
    assert_eq!(existing.expect(StatusCode::OK)["audience"], "counted", "a live stream keeps its audience");
    let path = format!("/streams/{}", stream["id"].as_str().unwrap());
    for other in [json!("listed"), json!("counted"), Value::Null] {
        let patch = two.patch(&path, json!({"audience": other, "metadata": {"a": 1}})).await;
        let problem = patch.expect_problem(400, "validation_failed");
        assert_eq!(problem["errors"][0]["field"], "audience");
    }
    assert_eq!(one.get(&path).await.expect(StatusCode::OK), stream);
}

#[tokio::test]
async fn viewer_of_counted_stream_is_told_as_a_number_on_every_transport() {
    let Pair(one, two) = Pair::start().await;
    let stream = one.create(json!({"audience": "counted", "metadata": {"a": 1}})).await;
    let id = stream["id"].as_str().unwrap();
    let path = format!("/streams/{id}");
    let mut events = two.follow(&format!("/events?streamId={id}")).await;
    let mut states = two.follow(&format!("/sse/{id}/updates")).await;
    let mut client = Client::of(&two).await;
    let mut subscription = client.subscribe(id, "").await.unwrap();

    viewer_connects(&one, &stream, "ann").await;
    let told = events.wait_for("participant_count_updated").await;
    let data = &told["data"];
    assert_eq!(data["counts"], json!({"hosts": 0, "viewers": 1}));
    assert_eq!(
        (&data["stream"]["participantCounts"], &data["stream"]["audience"]),
        (&data["counts"], &json!("counted"))
    );
    assert!(data["stream"].get("metadata").is_none() && data.get("participant").is_none(), "{data}");
    let state = states.wait_until("one viewer", |state| state["participantCount"] == 1).await;
    assert_eq!((&state["participants"], &state["metadata"]), (&json!([]), &json!({"a": 1})));
    let event = within("a gRPC event", subscription.message()).await.unwrap().unwrap();
    assert_eq!((json!(event.seq), event.event_type), (told["seq"].clone(), 22));

    let document = one.get(&path).await.expect(StatusCode::OK);
    assert_eq!((&document["participants"], &document["participantCounts"]), (&json!([]), &data["counts"]));
    let viewers = one.get(&format!("{path}/participants")).await.expect(StatusCode::OK);
    assert_eq!((&viewers[0]["identity"], &viewers[0]["role"]), (&json!("ann"), &json!("viewer")));
    let request = one.request(Method::PATCH, &path).header("if-match", format!("\"{}\"", stream["version"]));
    let patched = request.json(&json!({"metadata": {"a": 2}})).send().await.unwrap();
    TestResponse::read(patched).await.expect(StatusCode::OK);
}

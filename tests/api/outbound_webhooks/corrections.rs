//! Corrections of an endpoint whose deliveries wait for their next attempts.

use reqwest::StatusCode;
use serde_json::json;

use super::{change_stream, create_endpoint, first_seqs, setup};
use crate::support::{
    app::TestApp,
    endpoint::{Reply, TestEndpoint},
    eventually,
};

/// Refuses, and asks for an hour without attempts.
const UNAVAILABLE: Reply = Reply::Status(503, "retry-after: 3600\r\n");

/// Waits until the endpoint has failed, and the failure is recorded.
async fn wait_for_failure(app: &TestApp, path: &str) {
    eventually("the failure", || async {
        let shown = app.get(path).await.expect(StatusCode::OK);
        (shown["failingSince"].is_string() && shown["lastAnswer"]["status"] == 503).then_some(())
    })
    .await;
}

#[tokio::test]
async fn corrected_url_gets_waiting_deliveries_at_once() {
    let (app, failing) = (setup().start().await, TestEndpoint::with(|_| UNAVAILABLE).await);
    let endpoint = create_endpoint(&app, json!({"url": failing.url})).await;
    let path = format!("/webhook-endpoints/{}", endpoint["id"].as_str().unwrap());
    let stream = change_stream(&app, 1).await;
    wait_for_failure(&app, &path).await;
    let corrected = TestEndpoint::start().await;
    app.patch(&path, json!({"url": corrected.url})).await.expect(StatusCode::OK);
    corrected.wait_for("all events", |received| first_seqs(received, &stream) == [1, 2, 3]).await;
    eventually("the end of the failure", || async {
        app.get(&path).await.expect(StatusCode::OK)["failingSince"].is_null().then_some(())
    })
    .await;
    app.stop().await;
}

#[tokio::test]
async fn replay_makes_waiting_deliveries_due_at_once() {
    let (app, receiver) = (setup().start().await, TestEndpoint::start().await);
    let endpoint = create_endpoint(&app, json!({"url": receiver.url})).await;
    let path = format!("/webhook-endpoints/{}", endpoint["id"].as_str().unwrap());
    let stream = change_stream(&app, 0).await;
    receiver.wait_for("the first events", |received| first_seqs(received, &stream) == [1, 2]).await;
    receiver.decide(|_| UNAVAILABLE);
    app.patch(&format!("/streams/{stream}"), json!({"metadata": {"a": 1}})).await.expect(StatusCode::OK);
    wait_for_failure(&app, &path).await;
    receiver.decide(|_| Reply::Status(200, ""));
    let history = app.get(&format!("/events/{stream}")).await.expect(StatusCode::OK);
    let replay = json!({"after": history[0]["cursor"]});
    app.post(&format!("{path}/replay"), replay).await.expect(StatusCode::ACCEPTED);
    eventually("the end of the failure", || async {
        let shown = app.get(&path).await.expect(StatusCode::OK);
        (shown["failingSince"].is_null() && shown["lag"]["events"] == 0).then_some(())
    })
    .await;
    let third = receiver.received().into_iter().filter(|one| one.json()["seq"] == 3);
    assert!(third.count() >= 2, "the refused attempt, and the one that the replay made due");
    app.stop().await;
}

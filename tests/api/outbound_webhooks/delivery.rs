//! Deliveries: order, signatures, retries, and endpoints that hang or misbehave.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;

use super::{PROMPT, change_stream, create_endpoint, first_seqs, setup};
use crate::support::{
    endpoint::{Received, Reply, TestEndpoint},
    eventually,
};

#[tokio::test]
async fn events_after_the_creation_arrive_in_order_and_signed() {
    let (app, receiver) = (setup().start().await, TestEndpoint::start().await);
    change_stream(&app, 2).await;
    let endpoint = create_endpoint(&app, json!({"url": receiver.url})).await;
    let first = change_stream(&app, 5).await;
    let second = change_stream(&app, 5).await;
    let history = app.get(&format!("/events/{first}")).await.expect(StatusCode::OK);
    let expected: Vec<_> = (1..=7).collect();
    let has_all = |received: &[Received]| {
        first_seqs(received, &first) == expected && first_seqs(received, &second) == expected
    };
    let received = receiver.wait_for("all events", has_all).await;
    let of_first = received.iter().filter(|one| one.json()["streamId"] == *first);
    for (event, one) in history.as_array().unwrap().iter().zip(of_first) {
        assert_eq!(&one.json(), event, "the body is the event as feeds show it");
        assert_eq!(one.id, format!("msg_{}", event["cursor"].as_str().unwrap()));
    }
    let secret = endpoint["secret"].as_str().unwrap();
    assert!(received.iter().all(|one| one.is_signed_by(secret)));
    assert_eq!(received.len(), 14, "nothing of before the creation");
    let path = format!("/webhook-endpoints/{}", endpoint["id"].as_str().unwrap());
    eventually("the last answer", || async {
        let shown = app.get(&path).await.expect(StatusCode::OK);
        (shown["lastAnswer"]["status"] == 200 && shown["lag"]["events"] == 0).then_some(())
    })
    .await;
    app.stop().await;
}

#[tokio::test]
async fn filter_by_type_and_stream_is_applied() {
    let (app, of_type, of_stream) =
        (setup().start().await, TestEndpoint::start().await, TestEndpoint::start().await);
    let stream = change_stream(&app, 0).await;
    create_endpoint(&app, json!({"url": of_type.url, "events": ["stream_created"]})).await;
    create_endpoint(&app, json!({"url": of_stream.url, "streamId": stream})).await;
    change_stream(&app, 1).await;
    app.delete(&format!("/streams/{stream}")).await.expect(StatusCode::OK);
    of_stream.wait_for_kind("stream_stopped").await;
    of_type.wait_for_kind("stream_created").await;
    assert!(of_stream.received().iter().all(|one| one.json()["streamId"] == *stream));
    assert!(of_type.received().iter().all(|one| one.kind() == "stream_created"));
    app.stop().await;
}

#[tokio::test]
async fn failed_delivery_is_repeated_and_its_stream_waits_while_others_continue() {
    let (app, receiver) = (setup().start().await, TestEndpoint::start().await);
    let endpoint = create_endpoint(&app, json!({"url": receiver.url})).await;
    let failing = change_stream(&app, 0).await;
    receiver.wait_for("a delivery", |received| first_seqs(received, &failing) == [1, 2]).await;
    let (refused, other_status) = (failing.clone(), 500);
    receiver.decide(move |one| match one.json() {
        event if event["streamId"] == *refused => Reply::Status(other_status, ""),
        _ => Reply::Status(200, ""),
    });
    for n in 0..3 {
        let path = format!("/streams/{failing}");
        app.patch(&path, json!({"metadata": {"m": n}})).await.expect(StatusCode::OK);
    }
    let third = |received: &[Received]| first_seqs(received, &failing) == [1, 2, 3];
    receiver.wait_for("the refused delivery", third).await;
    let other = change_stream(&app, 3).await;
    let has_other = |received: &[Received]| first_seqs(received, &other) == [1, 2, 3, 4, 5];
    receiver.wait_for("the other stream", has_other).await;
    assert!(third(&receiver.received()), "later events of the stream wait");
    let path = format!("/webhook-endpoints/{}", endpoint["id"].as_str().unwrap());
    eventually("the failure", || async {
        let shown = app.get(&path).await.expect(StatusCode::OK);
        (shown["failingSince"].is_string() && shown["lag"]["events"] == 3).then_some(())
    })
    .await;
    receiver.decide(|_| Reply::Status(200, ""));
    let all = |received: &[Received]| first_seqs(received, &failing) == [1, 2, 3, 4, 5];
    let received = receiver.wait_for("the repetition", all).await;
    let attempts: Vec<_> =
        received.iter().filter(|one| one.json()["seq"] == 3 && one.json()["streamId"] == *failing).collect();
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[0].id, attempts[1].id);
    assert!(attempts[1].at - attempts[0].at >= Duration::from_secs(5));
    app.stop().await;
}

#[tokio::test]
async fn hanging_redirecting_and_failing_endpoints_hold_up_no_other() {
    let (app, fast) = (setup().start().await, TestEndpoint::start().await);
    let hanging = TestEndpoint::with(|_| Reply::Hang).await;
    let failing = TestEndpoint::with(|_| Reply::Status(500, "")).await;
    let redirecting =
        TestEndpoint::with(|_| Reply::Status(307, "location: http://169.254.169.254/latest\r\n")).await;
    let one_hangs = TestEndpoint::start().await;
    for receiver in [&fast, &hanging, &failing, &redirecting, &one_hangs] {
        create_endpoint(&app, json!({"url": receiver.url})).await;
    }
    let stuck = change_stream(&app, 0).await;
    let of_stuck = stuck.clone();
    one_hangs.decide(move |one| match one.json()["streamId"] == *of_stuck {
        true => Reply::Hang,
        false => Reply::Status(200, ""),
    });
    app.patch(&format!("/streams/{stuck}"), json!({"metadata": {"a": 1}})).await.expect(StatusCode::OK);
    let started = tokio::time::Instant::now();
    let streams = [change_stream(&app, 3).await, change_stream(&app, 3).await];
    let has_all = |received: &[Received]| streams.iter().all(|id| first_seqs(received, id).len() == 5);
    fast.wait_for("the fast endpoint", has_all).await;
    one_hangs.wait_for("streams beside a hanging one", has_all).await;
    assert!(started.elapsed() < PROMPT, "{:?}", started.elapsed());
    for receiver in [&hanging, &failing, &redirecting] {
        receiver.wait_for("an attempt", |received| !received.is_empty()).await;
    }
    app.stop().await;
}

/// Streams that are behind are read from their own logs, through the few connections that all endpoints share.
#[tokio::test]
async fn all_streams_of_many_slow_endpoints_are_delivered() {
    let app = setup().start().await;
    let slow = || TestEndpoint::with(|_| Reply::Late(Duration::from_millis(1_500)));
    let receivers = futures_util::future::join_all((0..10).map(|_| slow())).await;
    for receiver in &receivers {
        create_endpoint(&app, json!({"url": receiver.url})).await;
    }
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(change_stream(&app, 2).await);
    }
    for receiver in &receivers {
        receiver
            .wait_for("the first delivery of each stream", |received| {
                streams.iter().all(|stream| !first_seqs(received, stream).is_empty())
            })
            .await;
    }
    for receiver in &receivers {
        receiver.decide(|_| Reply::Status(200, ""));
    }
    for receiver in &receivers {
        let has_all =
            |received: &[Received]| streams.iter().all(|stream| first_seqs(received, stream) == [1, 2, 3, 4]);
        receiver.wait_for("all events", has_all).await;
    }
    app.stop().await;
}

#[tokio::test]
async fn endpoint_that_is_gone_is_disabled_and_continues_after_it_is_enabled() {
    let (app, receiver) = (setup().start().await, TestEndpoint::with(|_| Reply::Status(410, "")).await);
    let endpoint = create_endpoint(&app, json!({"url": receiver.url})).await;
    let path = format!("/webhook-endpoints/{}", endpoint["id"].as_str().unwrap());
    let stream = change_stream(&app, 2).await;
    let disabled = eventually("the end of deliveries", || async {
        let shown = app.get(&path).await.expect(StatusCode::OK);
        shown["disabled"].as_bool().unwrap().then_some(shown)
    })
    .await;
    assert_eq!(disabled["disabledReason"], "gone");
    receiver.decide(|_| Reply::Status(204, ""));
    app.patch(&path, json!({"disabled": false})).await.expect(StatusCode::OK);
    receiver.wait_for("all events", |received| first_seqs(received, &stream) == [1, 2, 3, 4]).await;
    app.stop().await;
}

#[tokio::test]
async fn replay_delivers_again_with_the_same_ids() {
    let (app, receiver) = (setup().start().await, TestEndpoint::start().await);
    let endpoint = create_endpoint(&app, json!({"url": receiver.url})).await;
    let stream = change_stream(&app, 2).await;
    let first = receiver.wait_for("all events", |received| received.len() == 4).await;
    let path = format!("/webhook-endpoints/{}/replay", endpoint["id"].as_str().unwrap());
    let history = app.get(&format!("/events/{stream}")).await.expect(StatusCode::OK);
    app.post(&path, json!({"after": history[0]["cursor"]})).await.expect(StatusCode::ACCEPTED);
    let ids = |received: &[Received]| received.iter().map(|one| one.id.clone()).collect::<Vec<_>>();
    // The first event comes again if the position before the replay was not saved yet.
    let is_replayed =
        |received: &[Received]| received.len() >= 7 && ids(received).ends_with(&ids(&first[1..]));
    receiver.wait_for("the replay", is_replayed).await;
    app.post(&path, json!({"after": "99999999999999-0"})).await.expect_problem(400, "invalid_cursor");
    app.post(&path, json!({"after": "x"})).await.expect_problem(400, "validation_failed");
    app.post(&path, json!({"after": "1-0"})).await.expect_problem(409, "cursor_not_kept");
    app.stop().await;
}

#[tokio::test]
async fn old_secrets_sign_beside_the_new_one_after_rotations() {
    let (app, receiver) = (setup().start().await, TestEndpoint::start().await);
    let endpoint = create_endpoint(&app, json!({"url": receiver.url})).await;
    let path = format!("/webhook-endpoints/{}/rotate-secret", endpoint["id"].as_str().unwrap());
    let rotated = app.post(&path, json!({})).await.expect(StatusCode::OK);
    let again = app.post(&path, json!({})).await.expect(StatusCode::OK);
    let secrets = [&endpoint["secret"], &rotated["secret"], &again["secret"]];
    let secrets = secrets.map(|secret| secret.as_str().unwrap().to_owned());
    let test = path.replace("rotate-secret", "test");
    app.post(&test, json!({})).await.expect(StatusCode::OK);
    let received = receiver.wait_for_kind("test").await;
    assert!(secrets.iter().all(|secret| received.is_signed_by(secret)));
    app.stop().await;
}

//! Raised hands over the API: whose hand a token may raise, and the events on every transport.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use livestream_orchestrator::access::Grant;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    Pair,
    auth_fixture::{CALLER, create, only_grant, send, start_with_auth, token},
    websocket::Socket,
};
use crate::support::{
    app::{TestApp, participant_webhook},
    grpc::Client,
    unique, within,
};

fn path(stream: &Value, rest: &str) -> String {
    format!("/streams/{}{rest}", stream["id"].as_str().unwrap())
}

fn hand(stream: &Value, identity: &str) -> String {
    path(stream, &format!("/participants/{identity}/hand"))
}

/// Connects a viewer, as LiveKit reports it.
async fn connect(app: &TestApp, stream: &Value, identity: &str) {
    let mut webhook = participant_webhook("participant_joined", stream, identity, &format!("PA_{identity}"));
    webhook["participant"]["permission"]["canPublish"] = json!(false);
    app.webhook(&webhook).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn join_token_raises_its_own_hand_alone() {
    let Pair(one, two) = start_with_auth().await;
    let room = unique("room");
    let stream = create(&one, &room).await;
    for identity in [CALLER, "bob"] {
        connect(&one, &stream, identity).await;
    }
    let joined = token(only_grant(Grant::RoomJoin, &room));
    let admin = token(only_grant(Grant::RoomAdmin, &room));
    for method in [Method::PUT, Method::DELETE] {
        let own = send(&two, &joined, method.clone(), &hand(&stream, CALLER), None).await;
        own.expect(StatusCode::OK);
        let others = send(&two, &joined, method.clone(), &hand(&stream, "bob"), None).await;
        others.expect_problem(403, "forbidden");
        send(&two, &admin, method.clone(), &hand(&stream, "bob"), None).await.expect(StatusCode::OK);
        let unknown = send(&two, &admin, method, &hand(&stream, "eve"), None).await;
        unknown.expect_problem(404, "participant_not_found");
    }
}

#[tokio::test]
async fn raised_hand_is_told_once_on_every_transport() {
    let Pair(one, two) = start_with_auth().await;
    let room = unique("room");
    let stream = create(&one, &room).await;
    let id = stream["id"].as_str().unwrap();
    connect(&one, &stream, CALLER).await;
    let joined = token(only_grant(Grant::RoomJoin, &room));
    let mut socket = Socket::open(&two, &format!("/ws?access_token={joined}")).await;
    socket.subscribe(id, None).await;
    let mut client = Client::of(&two).await.with_token(&joined);
    let mut subscription = client.subscribe(id, "").await.unwrap();
    let mut updates = client.updates(id).await.unwrap();
    within("the present state", updates.message()).await.unwrap().unwrap();

    for (method, is_raised) in [(Method::PUT, true), (Method::DELETE, false)] {
        let first = send(&one, &joined, method.clone(), &hand(&stream, CALLER), None).await;
        let entry = first.expect(StatusCode::OK);
        assert_eq!(entry.get("handRaisedAt").is_some(), is_raised);
        let again = send(&two, &joined, method, &hand(&stream, CALLER), None).await;
        assert_eq!(again.expect(StatusCode::OK), entry);
        let told = socket.next().await;
        assert_eq!((&told["type"], &told["data"]["by"]), (&json!("participant_updated"), &json!(CALLER)));
        assert_eq!(told["data"]["participant"], entry);
        let event = within("a gRPC event", subscription.message()).await.unwrap().unwrap();
        let update = within("a gRPC update", updates.message()).await.unwrap().unwrap();
        assert_eq!((event.event_type, update.update_type), (21, 21));
        let told = event.participant_updated.unwrap().participant.unwrap();
        let millis = |raised_at: &Value| {
            let text = raised_at.as_str()?;
            Some(chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis())
        };
        assert_eq!(told.hand_raised_at, millis(&entry["handRaisedAt"]).unwrap_or_default());
        assert_eq!(update.participant.as_ref(), Some(&told));
        assert_eq!(update.participants, [told], "no second event came in between");
    }
}

#[tokio::test]
async fn hand_of_participant_that_has_left_is_refused() {
    let Pair(one, two) = Pair::start().await;
    let stream = one.create(json!({"audience": "counted"})).await;
    connect(&one, &stream, "ann").await;
    let stage = async || {
        let document = two.get(&path(&stream, "")).await.expect(StatusCode::OK);
        document["participants"].as_array().unwrap().len()
    };
    assert_eq!(stage().await, 0);
    one.send(Method::PUT, &hand(&stream, "ann"), None).await.expect(StatusCode::OK);
    assert_eq!(stage().await, 1);
    one.post(&path(&stream, "/leave"), json!({"identity": "ann"})).await.expect(StatusCode::OK);
    assert_eq!(stage().await, 0);
    let gone = two.send(Method::PUT, &hand(&stream, "ann"), None).await;
    gone.expect_problem(409, "participant_not_present");
    two.delete(&hand(&stream, "ann")).await.expect(StatusCode::OK);
    one.delete(&path(&stream, "")).await.expect(StatusCode::OK);
    two.delete(&hand(&stream, "ann")).await.expect_problem(409, "stream_not_active");
}

#[tokio::test]
async fn raising_a_hand_costs_ten_units_of_the_write_limit() {
    let Pair(one, two) =
        Pair::with(|arguments| arguments.admission.rate_limit_write = Some("12/h".to_owned())).await;
    let stream = one.create(json!({"roomName": unique("room")})).await;
    connect(&one, &stream, "vic").await;
    let set_hand = async |method| two.send(method, &hand(&stream, "vic"), None).await;
    let raised = set_hand(Method::PUT).await;
    let remaining = raised.headers["ratelimit-remaining"].to_str().unwrap().to_owned();
    assert_eq!((raised.status, remaining.as_str()), (StatusCode::OK, "1"));
    set_hand(Method::DELETE).await.expect(StatusCode::OK);
    set_hand(Method::DELETE).await.expect_problem(429, "rate_limited");
}

#[tokio::test]
async fn hand_that_is_raised_too_often_is_refused_on_every_instance() {
    let Pair(one, two) = Pair::start().await;
    let stream = one.create(json!({})).await;
    for identity in ["ann", "bob"] {
        connect(&one, &stream, identity).await;
    }
    for app in [&one, &two, &one, &two, &one] {
        for method in [Method::PUT, Method::DELETE] {
            app.send(method, &hand(&stream, "ann"), None).await.expect(StatusCode::OK);
        }
    }
    let version = async || one.get(&path(&stream, "")).await.body["version"].clone();
    let before = version().await;
    let refused = two.send(Method::PUT, &hand(&stream, "ann"), None).await;
    assert_eq!(refused.header("retry-after").unwrap(), "10");
    refused.expect_problem(429, "hands_too_frequent");
    assert_eq!(version().await, before, "no event");
    two.send(Method::PUT, &hand(&stream, "bob"), None).await.expect(StatusCode::OK);
}

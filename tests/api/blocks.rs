//! Blocks over the API: the routes, the events on every transport, and the access of a blocked participant.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use livestream_orchestrator::access::Grant;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tonic::{Code, Status, Streaming};

use super::{
    Pair,
    auth_fixture::{CALLER, create, only_grant, send, start_with_auth, token},
    websocket::Socket,
};
use crate::support::{app::participant_webhook, grpc::Client, sse::EventStream, unique, within};

fn path(stream: &Value, rest: &str) -> String {
    format!("/streams/{}{rest}", stream["id"].as_str().unwrap())
}

#[tokio::test]
async fn block_is_set_listed_and_ended() {
    let Pair(one, two) = Pair::start().await;
    let stream = one.create(json!({})).await;
    let set = async |identity: &str, body: Value| {
        one.send(Method::PUT, &path(&stream, &format!("/blocks/{identity}")), Some(body)).await
    };
    let ann = set("ann", json!({"reason": "spam", "expiresIn": 600})).await.expect(StatusCode::OK);
    assert_eq!((&ann["identity"], &ann["reason"], &ann["by"]), (&json!("ann"), &json!("spam"), &Value::Null));
    assert!(ann["expiresAt"].as_str() > ann["blockedAt"].as_str());
    let other = set("a%2Fb%20c%3F", json!({})).await.expect(StatusCode::OK);
    assert_eq!((&other["identity"], &other["expiresAt"]), (&json!("a/b c?"), &Value::Null));
    let all = two.get(&path(&stream, "/blocks")).await.expect(StatusCode::OK);
    assert_eq!(all, json!([ann, other]));
    let first = two.get(&path(&stream, "/blocks?limit=1")).await;
    assert_eq!(first.body, json!([ann]));
    let link = first.header("link").unwrap();
    let next = link.split(['<', '>']).nth(1).unwrap().to_owned();
    assert_eq!(two.get(&next).await.expect(StatusCode::OK), json!([other]));

    let version = one.get(&path(&stream, "")).await.body["version"].clone();
    let again = set("ann", json!({"reason": "abuse"})).await.expect(StatusCode::OK);
    assert_eq!((&again["reason"], &again["expiresAt"]), (&json!("abuse"), &Value::Null));
    assert_eq!(again["blockedAt"], ann["blockedAt"]);
    assert_eq!(one.get(&path(&stream, "")).await.body["version"], version, "no second event");
    let join = json!({"identity": "ann"});
    two.post(&path(&stream, "/join"), join.clone()).await.expect_problem(403, "participant_blocked");
    for _ in 0..2 {
        let ended = two.delete(&path(&stream, "/blocks/ann")).await;
        assert_eq!((ended.status, ended.text.as_str()), (StatusCode::NO_CONTENT, ""));
    }
    two.post(&path(&stream, "/join"), join).await.expect(StatusCode::OK);

    let wrong = json!({"reason": "", "expiresIn": 0});
    let problem = set("ann", wrong).await.expect_problem(400, "validation_failed");
    assert_eq!(problem["errors"].as_array().unwrap().len(), 2);
    let problem = set(&"a".repeat(257), json!({})).await.expect_problem(400, "validation_failed");
    assert_eq!(problem["errors"][0]["field"], "identity");
    one.delete(&path(&stream, "")).await.expect(StatusCode::OK);
    assert_eq!(two.get(&path(&stream, "/blocks")).await.expect(StatusCode::OK), json!([]));
    set("ann", json!({})).await.expect_problem(409, "stream_not_active");
    two.delete(&path(&stream, "/blocks/ann")).await.expect_problem(409, "stream_not_active");
}

/// Reads a feed up to the comment with the reason of its end.
async fn last_comment(mut feed: EventStream) -> String {
    while let Some(block) = feed.block().await {
        if let Some(comment) = block.comment.filter(|comment| comment != "heartbeat") {
            return comment;
        }
    }
    panic!("the feed ends without a reason")
}

/// Reads a WebSocket up to the end of a subscription, and returns its reason.
async fn unsubscribed_reason(socket: &mut Socket) -> Value {
    loop {
        let message = socket.next().await;
        if message["type"] == "unsubscribed" {
            return message["reason"].clone();
        }
    }
}

/// Reads a call up to its final status, which must be an error.
async fn final_status<T>(call: &mut Streaming<T>) -> Status {
    let end = async {
        loop {
            if let Err(status) = call.message().await {
                return status;
            }
        }
    };
    within("the end of a call", end).await
}

#[tokio::test]
async fn blocked_participant_neither_reads_nor_follows() {
    let Pair(one, two) = start_with_auth().await;
    let room = unique("room");
    let stream = create(&one, &room).await;
    let id = stream["id"].as_str().unwrap();
    let (admin, own) =
        (token(only_grant(Grant::RoomAdmin, &room)), token(only_grant(Grant::RoomJoin, &room)));
    let reads = ["", "/state", "/participants"].map(|rest| path(&stream, rest));
    let reads = reads.into_iter().chain([format!("/events/{id}")]).collect::<Vec<_>>();
    let follows = [format!("/events?streamId={id}"), format!("/sse/{id}/updates")];
    let mut feeds = Vec::new();
    for follow in &follows {
        let mut feed = EventStream::open_with(&two.base, follow, None, Some(&own)).await;
        assert_eq!(feed.status, StatusCode::OK);
        feed.block().await.unwrap();
        feeds.push(feed);
    }
    let mut socket = Socket::open(&two, &format!("/ws?access_token={own}")).await;
    socket.subscribe(id, None).await;
    let mut client = Client::of(&two).await.with_token(&own);
    let mut subscription = client.subscribe(id, "").await.unwrap();
    let mut updates = client.updates(id).await.unwrap();

    let block = path(&stream, &format!("/blocks/{CALLER}"));
    send(&one, &admin, Method::PUT, &block, Some(&json!({}))).await.expect(StatusCode::OK);
    for feed in feeds {
        assert_eq!(within("the end of a feed", last_comment(feed)).await.trim(), "participant_blocked");
    }
    assert_eq!(unsubscribed_reason(&mut socket).await, "participant_blocked");
    for end in [final_status(&mut subscription).await, final_status(&mut updates).await] {
        assert_eq!(end.code(), Code::PermissionDenied);
    }

    for read in reads.iter().chain(&follows) {
        let refused = send(&two, &own, Method::GET, read, None).await;
        refused.expect_problem(403, "participant_blocked");
    }
    assert_eq!(client.state(id).await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(client.subscribe(id, "").await.unwrap_err().code(), Code::PermissionDenied);
    send(&two, &admin, Method::GET, &path(&stream, ""), None).await.expect(StatusCode::OK);
    let ended = send(&one, &admin, Method::DELETE, &block, None).await;
    assert_eq!(ended.status, StatusCode::NO_CONTENT);
    for read in &reads {
        send(&two, &own, Method::GET, read, None).await.expect(StatusCode::OK);
    }
}

#[tokio::test]
async fn events_of_block_have_identity_and_caller_on_every_transport() {
    let Pair(one, two) = start_with_auth().await;
    let room = unique("room");
    let stream = create(&one, &room).await;
    let id = stream["id"].as_str().unwrap();
    let admin = token(only_grant(Grant::RoomAdmin, &room));
    let mut socket = Socket::open(&two, &format!("/ws?access_token={admin}")).await;
    socket.subscribe(id, None).await;
    let mut client = Client::of(&two).await.with_token(&admin);
    let mut subscription = client.subscribe(id, "").await.unwrap();
    let mut updates = client.updates(id).await.unwrap();
    within("the present state", updates.message()).await.unwrap().unwrap();
    let block = path(&stream, "/blocks/bob");
    for (method, kind, number) in
        [(Method::PUT, "participant_blocked", 28), (Method::DELETE, "participant_unblocked", 29)]
    {
        let body = (method == Method::PUT).then(|| json!({"reason": "a secret reason"}));
        let done = send(&one, &admin, method, &block, body.as_ref()).await;
        assert!(done.status.is_success(), "{}", done.text);
        let told = socket.next().await;
        assert_eq!((&told["type"], &told["data"]["by"]), (&json!(kind), &json!(CALLER)));
        assert_eq!(told["data"]["identity"], "bob");
        assert!(!told.to_string().contains("secret"));
        let event = within("a gRPC event", subscription.message()).await.unwrap().unwrap();
        let update = within("a gRPC update", updates.message()).await.unwrap().unwrap();
        assert_eq!((event.event_type, update.update_type), (number, number));
        assert_eq!((event.by.as_str(), update.by.as_str()), (CALLER, CALLER));
        let data = event.blocked.or(event.unblocked).unwrap();
        assert_eq!((data.room_name.as_str(), update.identity.as_str()), ("bob", "bob"));
    }
}

#[tokio::test]
async fn blocked_participant_is_put_out_and_its_replayed_join_is_refused() {
    let Pair(one, two) = Pair::start().await;
    let stream = one.create(json!({})).await;
    let join = async || {
        let request = two.request(Method::POST, &path(&stream, "/join")).header("idempotency-key", "join");
        request.json(&json!({"identity": "ann"})).send().await.unwrap().status()
    };
    assert_eq!(join().await, StatusCode::OK);
    let arrive = async |sid: &str| {
        let webhook = participant_webhook("participant_joined", &stream, "ann", sid);
        one.webhook(&webhook).await.expect(StatusCode::OK);
    };
    arrive("PA_1").await;
    one.send(Method::PUT, &path(&stream, "/blocks/ann"), Some(json!({}))).await.expect(StatusCode::OK);
    assert_eq!(join().await, StatusCode::FORBIDDEN);
    arrive("PA_2").await;
    let id = stream["id"].as_str().unwrap();
    let log = two.get(&format!("/events/{id}?limit=1000")).await.expect(StatusCode::OK);
    let reasons = log.as_array().unwrap().iter().filter(|event| event["type"] == "participant_left");
    let reasons: Vec<_> = reasons.map(|event| event["data"]["reason"].clone()).collect();
    assert_eq!(reasons, [json!("blocked"), json!("blocked")]);
}

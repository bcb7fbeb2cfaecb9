//! Backstage over the API: the request, the documents, and the events on every transport.
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

async fn join(app: &TestApp, stream: &Value, role: &str) -> crate::support::app::TestResponse {
    app.post(&path(stream, "/join"), json!({"identity": role, "role": role})).await
}

#[tokio::test]
async fn stream_created_backstage_admits_viewers_after_it_goes_live() {
    let Pair(one, two) = Pair::start().await;
    let stream = one.create(json!({"backstage": true})).await;
    assert_eq!((&stream["backstage"], &stream["liveAt"]), (&json!(true), &Value::Null));
    let problem = join(&two, &stream, "viewer").await.expect_problem(409, "stream_backstage");
    assert!(problem["detail"].as_str().unwrap().contains("backstage"));
    join(&two, &stream, "host").await.expect(StatusCode::OK);
    let live = two.post(&path(&stream, "/go_live"), json!({})).await.expect(StatusCode::OK);
    assert_eq!((&live["backstage"], &live["status"]), (&json!(false), &json!("active")));
    assert_eq!(live["liveAt"], live["updatedAt"]);
    let again = one.send(Method::POST, &path(&stream, "/go_live"), None).await.expect(StatusCode::OK);
    assert_eq!(again, live, "no second event");
    join(&one, &stream, "viewer").await.expect(StatusCode::OK);

    let immediate = one.create(json!({"backstage": null})).await;
    assert_eq!((&immediate["backstage"], &immediate["liveAt"]), (&json!(false), &immediate["startedAt"]));
    for wrong in [json!("true"), json!(1)] {
        let problem =
            one.post("/streams", json!({"backstage": wrong})).await.expect_problem(400, "validation_failed");
        assert_eq!(problem["errors"][0]["field"], "backstage");
    }
    let patch = one.patch(&path(&stream, ""), json!({"backstage": true})).await;
    assert_eq!(patch.expect_problem(400, "validation_failed")["errors"][0]["field"], "backstage");
    one.delete(&path(&stream, "")).await.expect(StatusCode::OK);
    for change in ["/go_live", "/stop_live"] {
        one.post(&path(&stream, change), json!({})).await.expect_problem(409, "stream_not_active");
        one.post(&format!("/streams/absent{change}"), json!({}))
            .await
            .expect_problem(404, "stream_not_found");
    }
}

#[tokio::test]
async fn live_events_name_the_caller_on_every_transport() {
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
    let present = within("the present state", updates.message()).await.unwrap().unwrap();
    assert!(!present.backstage && present.live_at > 0);

    for (change, kind, number) in
        [("/stop_live", "stream_live_stopped", 24), ("/go_live", "stream_live_started", 23)]
    {
        let done = send(&one, &admin, Method::POST, &path(&stream, change), None).await;
        let document = done.expect(StatusCode::OK);
        let told = socket.next().await;
        assert_eq!((&told["type"], &told["data"]["by"]), (&json!(kind), &json!(CALLER)));
        for field in ["backstage", "liveAt", "status", "version"] {
            assert_eq!(told["data"]["stream"][field], document[field], "{field}");
        }
        let event = within("a gRPC event", subscription.message()).await.unwrap().unwrap();
        let update = within("a gRPC update", updates.message()).await.unwrap().unwrap();
        assert_eq!((event.event_type, update.update_type), (number, number));
        assert_eq!((event.by.as_str(), update.by.as_str()), (CALLER, CALLER));
        let is_backstage = number == 24;
        assert_eq!((event.backstage, update.backstage), (is_backstage, is_backstage));
        assert_eq!(
            (event.live_stopped.is_some(), event.live_started.is_some()),
            (is_backstage, !is_backstage)
        );
        let state = client.state(id).await.unwrap();
        assert_eq!((state.backstage, state.live_at), (is_backstage, update.live_at));
        assert_eq!(event.live_at, update.live_at);
        let state = send(&two, &admin, Method::GET, &path(&stream, "/state"), None).await;
        let state = state.expect(StatusCode::OK);
        assert_eq!((&state["backstage"], &state["liveAt"]), (&document["backstage"], &document["liveAt"]));
    }
}

#[tokio::test]
async fn viewers_are_told_as_removed_when_stream_goes_backstage() {
    let Pair(one, two) = Pair::start().await;
    let stream = one.create(json!({})).await;
    let id = stream["id"].as_str().unwrap();
    let mut events = two.follow(&format!("/events?streamId={id}")).await;
    let mut client = Client::of(&two).await;
    let mut subscription = client.subscribe(id, "").await.unwrap();
    let viewer = |identity: &str| {
        let mut webhook =
            participant_webhook("participant_joined", &stream, identity, &format!("PA_{identity}"));
        webhook["participant"]["permission"]["canPublish"] = json!(false);
        webhook
    };
    one.webhook(&viewer("ann")).await.expect(StatusCode::OK);
    events.wait_for("participant_joined").await;
    two.post(&path(&stream, "/stop_live"), json!({})).await.expect(StatusCode::OK);
    let stopped = events.message().await.unwrap();
    assert_eq!(stopped.event.as_deref(), Some("stream_live_stopped"));
    assert!(stopped.data.unwrap()["data"].get("by").is_none(), "no token, no identity");
    let left = events.wait_for("participant_left").await;
    let data = &left["data"];
    assert_eq!((&data["participant"]["identity"], &data["reason"]), (&json!("ann"), &json!("backstage")));
    // A viewer with an older token is put out on arrival, before LiveKit has the response to its webhook.
    one.webhook(&viewer("bob")).await.expect(StatusCode::OK);
    let document = one.get(&path(&stream, "")).await.expect(StatusCode::OK);
    assert_eq!(document["participantCount"], 0);
    events.wait_for("participant_joined").await;
    assert_eq!(events.wait_for("participant_left").await["data"]["reason"], "backstage");
    let reason = loop {
        let event = within("a departure over gRPC", subscription.message()).await.unwrap().unwrap();
        if let Some(left) = event.left {
            break left.reason;
        }
    };
    assert_eq!(reason, "backstage");
}

//! One participant over the API: reading, changing, the recorded role, and the events of a change.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use livestream_orchestrator::access::Grant;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    Pair,
    auth_fixture::{CALLER, create, join, only_grant, send, start_with_auth, token},
};
use crate::support::{
    app::{TestApp, participant_webhook},
    grpc::Client,
    unique, within,
};

fn path(stream: &Value, identity: &str) -> String {
    format!("/streams/{}/participants/{identity}", stream["id"].as_str().unwrap())
}

async fn role_of_join(app: &TestApp, stream: &Value, body: Value) -> Value {
    let path = format!("/streams/{}/join", stream["id"].as_str().unwrap());
    app.post(&path, body).await.expect(StatusCode::OK)["role"].clone()
}

#[tokio::test]
async fn participant_is_read_and_changed_by_any_identity() {
    let Pair(one, two) = Pair::start().await;
    let stream = one.create(json!({})).await;
    for (identity, encoded) in [("ann", "ann"), ("a/b c?é%", "a%2Fb%20c%3F%C3%A9%25")] {
        one.get(&path(&stream, encoded)).await.expect_problem(404, "participant_not_found");
        one.patch(&path(&stream, encoded), json!({"role": "viewer"}))
            .await
            .expect_problem(404, "participant_not_found");
        role_of_join(&one, &stream, json!({"identity": identity})).await;
        let read = two.get(&path(&stream, encoded)).await.expect(StatusCode::OK);
        assert_eq!((&read["identity"], &read["role"]), (&json!(identity), &json!("host")));
        let change = json!({"role": "Viewer", "name": "Ann", "metadata": {"a": 1}});
        let changed = two.patch(&path(&stream, encoded), change.clone()).await.expect(StatusCode::OK);
        assert_eq!((&changed["role"], &changed["name"]), (&json!("viewer"), &json!("Ann")));
        let version =
            one.get(&format!("/streams/{}", stream["id"].as_str().unwrap())).await.body["version"].clone();
        let again = two.patch(&path(&stream, encoded), change).await.expect(StatusCode::OK);
        assert_eq!(again, changed);
        let merged = json!({"metadata": {"b": 2, "a": null}});
        let merged = one.patch(&path(&stream, encoded), merged).await.expect(StatusCode::OK);
        assert_eq!(merged["metadata"], json!({"b": 2}));
        let after =
            one.get(&format!("/streams/{}", stream["id"].as_str().unwrap())).await.body["version"].clone();
        assert_eq!(
            after.as_u64(),
            version.as_u64().map(|version| version + 1),
            "only the second change has an event"
        );
    }
    let problem = one
        .patch(&path(&stream, "ann"), json!({"role": "admin", "name": "", "metadata": []}))
        .await
        .expect_problem(400, "validation_failed");
    assert_eq!(problem["errors"].as_array().unwrap().len(), 3);
    one.delete(&format!("/streams/{}", stream["id"].as_str().unwrap())).await.expect(StatusCode::OK);
    one.patch(&path(&stream, "ann"), json!({"role": "host"})).await.expect_problem(409, "stream_not_active");
    one.get(&path(&stream, "ann")).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn recorded_role_decides_later_tokens_and_reports() {
    let Pair(one, two) = Pair::start().await;
    let stream = one.create(json!({})).await;
    assert_eq!(role_of_join(&one, &stream, json!({"identity": "ann", "role": "viewer"})).await, "viewer");
    assert_eq!(role_of_join(&two, &stream, json!({"identity": "ann"})).await, "viewer");
    assert_eq!(role_of_join(&two, &stream, json!({"identity": "bob"})).await, "host");
    one.patch(&path(&stream, "ann"), json!({"role": "host"})).await.expect(StatusCode::OK);
    assert_eq!(role_of_join(&two, &stream, json!({"identity": "ann"})).await, "host");
    // A webhook about a session with the permission of a viewer.
    let mut webhook = participant_webhook("participant_joined", &stream, "ann", "PA_1");
    webhook["participant"]["permission"]["canPublish"] = json!(false);
    one.webhook(&webhook).await.expect(StatusCode::OK);
    let read = two.get(&path(&stream, "ann")).await.expect(StatusCode::OK);
    assert_eq!((&read["state"], &read["role"]), (&json!("active"), &json!("host")));
}

#[tokio::test]
async fn change_of_participant_names_its_caller() {
    let Pair(one, two) = start_with_auth().await;
    let room = unique("room");
    let stream = create(&one, &room).await;
    let id = stream["id"].as_str().unwrap();
    join(&one, &room, "bob").await;
    let admin = token(only_grant(Grant::RoomAdmin, &room));
    let mut client = Client::of(&two).await.with_token(&admin);
    let mut subscription = client.subscribe(id, "").await.unwrap();
    let body = json!({"role": "viewer"});
    send(&one, &admin, Method::PATCH, &path(&stream, "bob"), Some(&body)).await.expect(StatusCode::OK);
    let event = within("a gRPC event", subscription.message()).await.unwrap().unwrap();
    assert_eq!((event.event_type, event.by.as_str()), (21, CALLER));
    let history = send(&two, &admin, Method::GET, &format!("/events/{id}?limit=1"), None).await;
    let history = history.expect(StatusCode::OK);
    assert_eq!(
        (&history[0]["type"], &history[0]["data"]["by"]),
        (&json!("participant_updated"), &json!(CALLER))
    );
}

#[tokio::test]
async fn mute_with_invalid_fields_names_each_of_them() {
    let Pair(app, _) = Pair::start().await;
    let stream = app.create(json!({})).await;
    let all = format!("/streams/{}/mute", stream["id"].as_str().unwrap());
    let refused = app.post(&all, json!({"source": "tv", "except": "ann"})).await;
    let detail = refused.expect_problem(400, "validation_failed").to_string();
    assert!(detail.contains("source") && detail.contains("except"), "{detail}");
    app.post(&all, json!({"except": ["ann", "ann"]})).await.expect(StatusCode::OK);
    let one = format!("{}/mute", path(&stream, "ann"));
    let refused = app.post(&one, json!({"source": 1, "trackSid": 2})).await;
    let detail = refused.expect_problem(400, "validation_failed").to_string();
    assert!(detail.contains("source") && detail.contains("trackSid"), "{detail}");
    app.delete(&format!("/streams/{}", stream["id"].as_str().unwrap())).await.expect(StatusCode::OK);
    app.post(&all, json!({})).await.expect_problem(409, "stream_not_active");
}

#[tokio::test]
async fn removal_names_its_caller_and_ends_older_tokens() {
    let Pair(one, two) = start_with_auth().await;
    let room = unique("room");
    let stream = create(&one, &room).await;
    let id = stream["id"].as_str().unwrap();
    let admin = token(only_grant(Grant::RoomAdmin, &room));
    let ask =
        async |method: Method, path: &str, body: Option<&Value>| send(&two, &admin, method, path, body).await;
    ask(Method::DELETE, &path(&stream, "bob"), None).await.expect_problem(404, "participant_not_found");
    join(&one, &room, "bob").await;
    let connect = async |sid: &str, mark: &Value| {
        let mut webhook = participant_webhook("participant_joined", &stream, "bob", sid);
        webhook["participant"]["attributes"] = json!({"seat": "1", "lso.token": mark});
        one.webhook(&webhook).await.expect(StatusCode::OK);
        let read = ask(Method::GET, &path(&stream, "bob"), None).await.expect(StatusCode::OK);
        assert_eq!(read["attributes"], json!({"seat": "1"}), "without the mark");
        read["state"] == "active"
    };
    let short = id.rsplit('-').next().unwrap();
    let mark = |removals: u32| json!(format!("{short}.{removals}"));
    assert!(connect("PA_1", &mark(0)).await);
    let removed = ask(Method::DELETE, &path(&stream, "bob"), None).await.expect(StatusCode::OK);
    assert_eq!((&removed["identity"], &removed["state"]), (&json!("bob"), &json!("disconnected")));
    let last = ask(Method::GET, &format!("/events/{id}?limit=1"), None).await.expect(StatusCode::OK);
    let data = &last[0]["data"];
    assert_eq!(last[0]["type"], "participant_left");
    assert_eq!((&data["reason"], &data["by"]), (&json!("removed"), &json!(CALLER)));
    let again = ask(Method::DELETE, &path(&stream, "bob"), None).await.expect(StatusCode::OK);
    assert_eq!(again, removed);
    assert!(!connect("PA_2", &mark(0)).await, "an older token");
    join(&one, &room, "bob").await;
    assert!(connect("PA_3", &mark(9)).await, "a newer token");

    let reserved = json!({"identity": "eve", "attributes": {"lso.token": "x"}});
    let refused = ask(Method::POST, &format!("/streams/{id}/join"), Some(&reserved)).await;
    let problem = refused.expect_problem(400, "validation_failed");
    assert_eq!(problem["errors"][0]["field"], "attributes");
    ask(Method::DELETE, &format!("/streams/{id}"), None).await.expect(StatusCode::OK);
    ask(Method::DELETE, &path(&stream, "bob"), None).await.expect_problem(409, "stream_not_active");
}

//! Streams and participants over HTTP, with requests to alternating instances.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashSet;

use futures_util::future::join_all;
use livekit_api::access_token::TokenVerifier;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::Pair;
use crate::support::{
    app::participant_webhook,
    eventually,
    servers::{KEY, SECRET, shared_livekit},
    unique,
};

#[tokio::test]
async fn unchanged_list_page_returns_304() {
    let Pair(one, two) = Pair::start().await;
    let stream = one.create(json!({})).await;
    let participants = format!("/streams/{}/participants", stream["id"].as_str().unwrap());
    for path in ["/streams", &participants] {
        let page = one.get(path).await;
        let tag = page.header("etag").unwrap().to_owned();
        assert!(tag.starts_with("W/\""), "{tag}");
        let again = || two.request(Method::GET, path).header("if-none-match", &tag).send();
        assert_eq!(again().await.unwrap().status(), StatusCode::NOT_MODIFIED);
        one.post(&format!("/streams/{}/join", stream["id"].as_str().unwrap()), json!({"identity": "ann"}))
            .await
            .expect(StatusCode::OK);
        assert_eq!(again().await.unwrap().status(), StatusCode::OK, "{path} has changed");
    }
}

#[tokio::test]
async fn stream_is_created_read_updated_and_stopped_through_any_instance() {
    let Pair(one, two) = Pair::start().await;
    let room = unique("room /é");
    let created =
        one.post("/streams", json!({"roomName": room, "metadata": {"title": "T"}, "future": 1})).await;
    assert_eq!((created.status, created.header("etag")), (StatusCode::CREATED, Some("\"2\"")));
    let location = created.header("location").unwrap().to_owned();
    let stream = created.body;
    assert_eq!(
        (&stream["status"], &stream["id"], &stream["version"]),
        (&json!("active"), &stream["streamId"], &json!(2))
    );
    assert!(stream["roomSid"].as_str().unwrap().starts_with("RM_"));
    assert_eq!(two.get(&location).await.expect(StatusCode::OK), stream);
    let by_name: String =
        url::form_urlencoded::byte_serialize(room.as_bytes()).collect::<String>().replace('+', "%20");
    assert_eq!(two.get(&format!("/streams/{by_name}")).await.expect(StatusCode::OK), stream);

    let again = two.post("/streams", json!({"name": room})).await;
    assert_eq!(again.expect(StatusCode::OK), stream, "the live stream owns the room name");

    let patched = two.patch(&location, json!({"metadata": {"title": null, "n": {"a": [1]}}})).await;
    assert_eq!(patched.expect(StatusCode::OK)["metadata"], json!({"n": {"a": [1]}}));
    let state = one.get(&format!("{location}/state")).await.expect(StatusCode::OK);
    assert_eq!(
        (&state["streamId"], &state["version"], &state["metadata"]["n"]["a"]),
        (&stream["id"], &json!(3), &json!([1]))
    );

    let stopped = one.delete(&location).await.expect(StatusCode::OK);
    assert_eq!((&stopped["status"], &stopped["version"]), (&json!("stopped"), &json!(5)));
    assert_eq!(two.delete(&location).await.expect(StatusCode::OK), stopped, "no second event");
    assert_eq!(two.get(&location).await.expect(StatusCode::OK), stopped);
    let next = two.create(json!({"roomName": room})).await;
    assert_ne!(next["id"], stream["id"], "the room name is free after the stop");
    two.delete(&format!("/streams/{}", next["id"].as_str().unwrap())).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn concurrent_creations_of_one_name_return_one_stream() {
    let Pair(one, two) = Pair::start().await;
    let room = unique("race");
    let create =
        |n: usize| if n.is_multiple_of(2) { &one } else { &two }.post("/streams", json!({"name": room}));
    let answers = join_all((0..20).map(create)).await;
    let created = answers.iter().filter(|answer| answer.status == StatusCode::CREATED).count();
    let ids: HashSet<_> = answers.iter().map(|answer| answer.body["id"].to_string()).collect();
    assert_eq!((created, ids.len()), (1, 1));
    assert!(
        answers.iter().all(|answer| answer.body["status"] == "active"),
        "every response has an active stream"
    );
}

#[tokio::test]
async fn if_match_guards_updates_and_if_none_match_returns_304() {
    let Pair(one, two) = Pair::start().await;
    let path = format!("/streams/{}", one.create(json!({})).await["id"].as_str().unwrap());
    let send_with = async |method: Method, path: &str, header: &str, value: &str| {
        let request =
            two.request(method, path).header(header, value).json(&json!({"metadata": {"a": value}}));
        crate::support::app::TestResponse::read(request.send().await.unwrap()).await
    };
    for path in [path.clone(), format!("{path}/state")] {
        assert_eq!(
            send_with(Method::GET, &path, "if-none-match", "W/\"2\"").await.status,
            StatusCode::NOT_MODIFIED
        );
        assert_eq!(send_with(Method::GET, &path, "if-none-match", "\"1\"").await.status, StatusCode::OK);
    }
    send_with(Method::PATCH, &path, "if-match", "\"1\"").await.expect_problem(412, "version_mismatch");
    send_with(Method::PATCH, &path, "if-match", "W/\"2\"").await.expect_problem(412, "version_mismatch");
    let patched = send_with(Method::PATCH, &path, "if-match", "\"7\", \"2\"").await;
    assert_eq!(patched.header("etag"), Some("\"3\""));
    one.patch(&path, json!({"version": 2, "metadata": {}})).await.expect_problem(412, "version_mismatch");
    one.patch(&path, json!({"version": 3, "metadata": {"b": 1}})).await.expect(StatusCode::OK);
    send_with(Method::DELETE, &path, "if-match", "\"3\"").await.expect_problem(412, "version_mismatch");

    let patches =
        join_all((0..10).map(|n| one.patch(&path, json!({"metadata": {format!("k{n}"): n}})))).await;
    assert!(
        patches.iter().all(|answer| answer.status == StatusCode::OK),
        "updates without a version are merged"
    );
    let merged = two.get(&path).await.expect(StatusCode::OK);
    assert!((0..10).all(|n| merged["metadata"][format!("k{n}")] == n), "no update is lost: {merged}");
}

#[tokio::test]
async fn invalid_status_transition_returns_409() {
    let Pair(one, two) = Pair::start().await;
    let path = format!("/streams/{}", one.create(json!({})).await["id"].as_str().unwrap());
    two.patch(&path, json!({"status": "active"})).await.expect(StatusCode::OK);
    two.patch(&path, json!({"status": "error"})).await.expect_problem(409, "invalid_transition");
    let stopped = two
        .patch(&path, json!({"status": "stopped", "metadata": {"last": "change"}}))
        .await
        .expect(StatusCode::OK);
    assert_eq!((&stopped["status"], &stopped["metadata"]["last"]), (&json!("stopped"), &json!("change")));
    assert_eq!(one.patch(&path, json!({"status": "stopped"})).await.expect(StatusCode::OK), stopped);
    one.patch(&path, json!({"status": "active"})).await.expect_problem(409, "invalid_transition");
    one.patch(&path, json!({"metadata": {"a": 1}})).await.expect_problem(409, "stream_not_active");
}

#[tokio::test]
async fn join_returns_token_with_grants_of_role() {
    let Pair(one, two) = Pair::start().await;
    let stream = one.create(json!({})).await;
    let path = format!("/streams/{}", stream["id"].as_str().unwrap());
    for (field, role, may_publish) in
        [("participantName", None, true), ("userId", Some("VIEWER"), false), ("identity", Some("host"), true)]
    {
        let body = json!({field: field, "role": role, "name": "Näme", "metadata": {"a": 1}});
        let joined = two.post(&format!("{path}/join"), body).await.expect(StatusCode::OK);
        let claims =
            TokenVerifier::with_api_key(KEY, SECRET).verify(joined["token"].as_str().unwrap()).unwrap();
        assert_eq!(claims.video.can_publish(), may_publish);
        assert_eq!(
            (claims.sub.as_str(), claims.name.as_str(), claims.metadata.as_str()),
            (field, "Näme", r#"{"a":1}"#)
        );
        assert_eq!((&joined["identity"], &joined["participantName"]), (&json!(field), &json!(field)));
        assert_eq!((&joined["streamId"], &joined["wsUrl"]), (&stream["id"], &json!(shared_livekit())));
        assert!(joined["expiresAt"].as_str().unwrap().ends_with('Z'));
    }
    let participants = one.get(&format!("{path}/participants?state=joining")).await.expect(StatusCode::OK);
    assert_eq!(participants.as_array().unwrap().len(), 3);
    let state = one.get(&format!("{path}/state")).await.expect(StatusCode::OK);
    assert_eq!(state["participantCount"], 0, "a participant with an unused token is not counted");

    for _ in 0..2 {
        let left =
            one.post(&format!("{path}/leave"), json!({"userId": "userId"})).await.expect(StatusCode::OK);
        assert_eq!(left["participant"]["state"], "disconnected");
    }
    one.post(&format!("{path}/leave"), json!({"identity": "never-joined"})).await.expect(StatusCode::OK);
    one.delete(&path).await.expect(StatusCode::OK);
    two.post(&format!("{path}/join"), json!({"identity": "late"}))
        .await
        .expect_problem(409, "stream_not_active");
    two.post(&format!("{path}/leave"), json!({"identity": "late"})).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn join_on_full_stream_returns_409() {
    let Pair(one, two) = Pair::start().await;
    let stream = one.create(json!({"maxParticipants": 1})).await;
    let path = format!("/streams/{}", stream["id"].as_str().unwrap());
    one.webhook(&participant_webhook("participant_joined", &stream, "ann", "PA_1"))
        .await
        .expect(StatusCode::OK);
    two.post(&format!("{path}/join"), json!({"identity": "bob"})).await.expect_problem(409, "stream_full");
    two.post(&format!("{path}/join"), json!({"identity": "ann"})).await.expect(StatusCode::OK);
}

/// Reads all pages by their `Link` headers.
async fn all_pages(app: &crate::support::app::TestApp, first: &str) -> Vec<Value> {
    let (mut items, mut path) = (Vec::new(), first.to_owned());
    loop {
        let page = app.get(&path).await;
        let link = page.header("link").map(str::to_owned);
        items.extend(page.expect(StatusCode::OK).as_array().unwrap().clone());
        let Some(link) = link else { return items };
        let (target, rel) = link.split_once('>').unwrap();
        assert_eq!(rel, "; rel=\"next\"");
        path = target.trim_start_matches('<').to_owned();
    }
}

#[tokio::test]
async fn list_pages_follow_link_header() {
    let Pair(one, two) = Pair::start().await;
    let mut ids = Vec::new();
    for _ in 0..7 {
        ids.push(one.create(json!({})).await["id"].clone());
    }
    one.delete(&format!("/streams/{}", ids[2].as_str().unwrap())).await.expect(StatusCode::OK);
    ids.reverse();
    let ids_of = |items: Vec<Value>| items.into_iter().map(|item| item["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids_of(all_pages(&two, "/streams?status=all&limit=3").await), ids);
    let live = all_pages(&two, "/streams").await;
    assert_eq!(live.len(), 6);
    assert!(
        live[0].get("participants").is_none()
            && live[0]["participantCount"] == 0
            && live[0]["streamId"].is_string()
    );
    assert_eq!(all_pages(&two, "/streams?status=stopped").await.len(), 1);

    let stream = live[0].clone();
    for n in 0..7 {
        let event = participant_webhook("participant_joined", &stream, &format!("p{n}"), &format!("PA_{n}"));
        two.webhook(&event).await.expect(StatusCode::OK);
    }
    let path = format!("/streams/{}/participants", stream["id"].as_str().unwrap());
    assert_eq!(all_pages(&one, &format!("{path}?limit=2")).await.len(), 7);
    assert_eq!(all_pages(&one, &format!("{path}?limit=2&state=joining")).await.len(), 0);
}

#[tokio::test]
async fn unused_token_idle_stream_and_stopped_stream_expire() {
    let Pair(one, two) = Pair::with(|arguments| {
        arguments.joining_ttl = Some("1s".to_owned());
        arguments.idle_timeout = Some("2s".to_owned());
        arguments.stopped_ttl = Some("2s".to_owned());
    })
    .await;
    let stream = one.create(json!({})).await;
    let path = format!("/streams/{}", stream["id"].as_str().unwrap());
    one.post(&format!("{path}/join"), json!({"identity": "ann"})).await.expect(StatusCode::OK);
    let mut events = two.follow(&format!("/events?streamId={}", stream["id"].as_str().unwrap())).await;
    let expired = events.wait_for("participant_updated").await;
    assert_eq!((&expired["data"]["participant"]["state"]), (&json!("disconnected")));
    assert_eq!(two.get(&format!("{path}/participants")).await.expect(StatusCode::OK), json!([]));
    let stopped = events.wait_for("stream_stopped").await;
    assert_eq!((&stopped["data"]["reason"], events.message().await), (&json!("idle"), None));
    eventually("the expiry of the stream", || async {
        let gone = two.get(&path).await.status == StatusCode::NOT_FOUND;
        (gone && two.get("/streams?status=all").await.body == json!([])).then_some(())
    })
    .await;
}

//! Access tokens: invalid tokens, tokens in the query, expiry, key rotation, and tokens of LiveKit's SDK.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livekit_api::access_token::{AccessToken, VideoGrants};
use livestream_orchestrator::access::Grant;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Error, Message},
};
use tonic::Code;

use super::{
    Pair,
    auth_fixture::{CALLER, create, only_grant, routes, send, start_with_auth, token},
};
use crate::support::{
    grpc::{Client, subscribe_request},
    servers::{KEY, SECRET},
    sse::EventStream,
    tokens::{accepted_for, jwt},
    within,
};

#[tokio::test]
async fn invalid_token_returns_401_on_every_route_and_transport() {
    let Pair(app, _other) = start_with_auth().await;
    let room = crate::support::unique("room");
    let stream = create(&app, &room).await;
    let id = stream["id"].as_str().unwrap();
    let grants = VideoGrants { room_admin: true, room: room.clone(), ..VideoGrants::default() };
    let signed = |key: &str, secret: &str| {
        let token =
            AccessToken::with_api_key(key, secret).with_identity(CALLER).with_ttl(Duration::from_secs(60));
        token.with_grants(grants.clone()).to_jwt().unwrap()
    };
    let valid = signed(KEY, SECRET);
    let (head, signature) = valid.rsplit_once('.').unwrap();
    let now = chrono::Utc::now().timestamp();
    let claims = |exp: i64, nbf: i64| {
        json!({"iss": KEY, "sub": CALLER, "exp": exp, "nbf": nbf,
        "video": {"roomAdmin": true, "room": room}})
    };
    let bad = [
        ("none", String::new()),
        ("nonsense", "nonsense".to_owned()),
        ("another key", signed("other", SECRET)),
        ("another secret", signed(KEY, "another secret")),
        ("no signature", format!("{head}.")),
        ("a cut signature", format!("{head}.{}", &signature[1..])),
        ("alg none", jwt(&claims(now + 60, now), "none", SECRET)),
        ("alg HS512", jwt(&claims(now + 60, now), "HS512", SECRET)),
        ("expired", jwt(&claims(now - 90, now - 120), "HS256", SECRET)),
        ("not valid yet", jwt(&claims(now + 240, now + 120), "HS256", SECRET)),
    ];
    for (what, bearer) in &bad {
        for (method, path, body, _) in routes(id) {
            let answer = send(&app, bearer, method.clone(), &path, body.as_ref()).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what}: {method} {path}");
            assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"), "{what}");
            assert!(
                bearer.is_empty() || !answer.text.contains(bearer.as_str()),
                "the response contains the token"
            );
        }
        for path in [format!("/events?streamId={id}"), "/events".to_owned(), format!("/sse/{id}/updates")] {
            let opened = EventStream::open_with(&app.base, &path, None, Some(bearer)).await;
            assert_eq!(opened.status, StatusCode::UNAUTHORIZED, "{what}: {path}");
        }
        let mut client = Client::of(&app).await.with_token(bearer);
        assert_eq!(client.state(id).await.unwrap_err().code(), Code::Unauthenticated, "{what}: gRPC");
        let url = format!("{}/ws?access_token={bearer}", app.base.replacen("http", "ws", 1));
        let Err(Error::Http(refused)) = connect_async(url).await else { panic!("{what}: WebSocket") };
        assert_eq!(refused.status(), 401, "{what}: WebSocket");
    }
    let without_grants = jwt(&json!({"iss": KEY, "sub": CALLER, "exp": now + 60}), "HS256", SECRET);
    for (method, path, body, _) in routes(id) {
        let answer = send(&app, &without_grants, method.clone(), &path, body.as_ref()).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "no grant at all: {method} {path}");
    }
}

#[tokio::test]
async fn token_in_query_is_accepted_for_feeds_only() {
    let Pair(app, _other) = start_with_auth().await;
    let room = crate::support::unique("room");
    let stream = create(&app, &room).await;
    let id = stream["id"].as_str().unwrap();
    let bearer = token(only_grant(Grant::RoomJoin, &room));
    for path in [
        format!("/events?streamId={id}&access_token={bearer}"),
        format!("/sse/{id}/updates?access_token={bearer}"),
    ] {
        assert_eq!(app.follow(&path).await.status, StatusCode::OK);
    }
    let url = format!("{}/ws?access_token={bearer}", app.base.replacen("http", "ws", 1));
    assert!(connect_async(url).await.is_ok());
    app.get(&format!("/streams/{id}?access_token={bearer}")).await.expect_problem(401, "unauthenticated");
    // A valid token in the query does not replace an invalid header.
    let path = format!("/events?streamId={id}&access_token={bearer}");
    let both = app.request(Method::GET, &path).header("authorization", "Bearer x").send().await.unwrap();
    assert_eq!(both.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn feed_ends_at_token_expiry_with_reason() {
    let Pair(app, _other) = start_with_auth().await;
    let room = crate::support::unique("room");
    create(&app, &room).await;
    let expiring = accepted_for(Duration::from_secs(6), CALLER, &only_grant(Grant::RoomJoin, &room));
    let mut events =
        EventStream::open_with(&app.base, &format!("/events?streamId={room}"), None, Some(&expiring)).await;
    let mut states =
        EventStream::open_with(&app.base, &format!("/sse/{room}/updates"), None, Some(&expiring)).await;
    let mut client = Client::of(&app).await.with_token(&expiring);
    let mut calls = client.call(subscribe_request(&room, "")).await.unwrap().into_inner();
    let url = format!("{}/ws?access_token={expiring}", app.base.replacen("http", "ws", 1));
    let (mut socket, _) = connect_async(url).await.unwrap();

    for feed in [&mut events, &mut states] {
        let mut last = None;
        while let Some(block) = feed.block().await {
            last = block.comment.or(last);
        }
        assert_eq!(last.as_deref(), Some("token_expired"));
    }
    let status = within("the end of a call", calls.message()).await.unwrap_err();
    assert_eq!(
        (status.code(), status.metadata().get("code").unwrap().to_str().unwrap()),
        (Code::Unauthenticated, "token_expired")
    );
    loop {
        if let Message::Close(Some(close)) = super::websocket::message(&mut socket).await {
            assert_eq!(u16::from(close.code), 1008);
            assert!(close.reason.contains("token_expired"), "{}", close.reason);
            break;
        }
    }
    let again =
        EventStream::open_with(&app.base, &format!("/events?streamId={room}"), None, Some(&expiring)).await;
    assert_eq!(again.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn tokens_of_two_api_keys_are_accepted() {
    let Pair(app, _other) = Pair::with(|arguments| {
        arguments.admission.auth = Some("livekit".to_owned());
        arguments.admission.livekit_api_keys = Some("next: the next secret".into());
    })
    .await;
    for (key, secret) in [(KEY, SECRET), ("next", "the next secret")] {
        let grants = VideoGrants { room_list: true, ..VideoGrants::default() };
        let bearer = AccessToken::with_api_key(key, secret).with_grants(grants).to_jwt().unwrap();
        send(&app, &bearer, Method::GET, "/streams", None).await.expect(StatusCode::OK);
    }
    let crossed = AccessToken::with_api_key("next", SECRET).with_grants(only_grant(Grant::RoomList, ""));
    let answer = send(&app, &crossed.to_jwt().unwrap(), Method::GET, "/streams", None).await;
    answer.expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn tokens_of_livekit_sdk_and_join_tokens_are_accepted() {
    let Pair(app, _other) = start_with_auth().await;
    let room = crate::support::unique("room");
    create(&app, &room).await;
    let python_token = |grants: &str| {
        let python = std::env::var("LIVEKIT_PYTHON").expect("scripts/test sets LIVEKIT_PYTHON");
        let script = format!(
            "from livekit import api\nprint(api.AccessToken('{KEY}', '{SECRET}').with_identity('{CALLER}')\
             .with_grants(api.VideoGrants({grants})).to_jwt())"
        );
        crate::support::servers::run(&python, &["-c", &script], "").trim().to_owned()
    };
    let (list, admin) =
        (python_token("room_list=True"), python_token(&format!("room_admin=True, room='{room}'")));
    send(&app, &list, Method::GET, "/streams", None).await.expect(StatusCode::OK);
    send(&app, &list, Method::POST, "/streams", Some(&json!({}))).await.expect_problem(403, "forbidden");
    let join = format!("/streams/{room}/join");
    let joined =
        send(&app, &admin, Method::POST, &join, Some(&json!({"identity": "bob", "role": "viewer"}))).await;
    let joined = joined.expect(StatusCode::OK);
    let bob = joined["token"].as_str().unwrap();
    send(&app, bob, Method::GET, &format!("/streams/{room}/state"), None).await.expect(StatusCode::OK);
    let leave = format!("/streams/{room}/leave");
    send(&app, bob, Method::POST, &leave, Some(&json!({"identity": CALLER})))
        .await
        .expect_problem(403, "forbidden");
    send(&app, bob, Method::POST, &leave, Some(&json!({"identity": "bob"}))).await.expect(StatusCode::OK);
}

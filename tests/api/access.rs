//! Who may do what: every grant on every route of every transport, as the one table has it; and tokens that are no good.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use futures_util::SinkExt;
use livekit_api::access_token::{AccessToken, VideoGrants};
use livestream_orchestrator::access::{Action, Grant};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest},
};
use tonic::Code;

use super::Pair;
use crate::support::{
    app::{Answer, TestApp},
    grpc::{Client, asked},
    servers::{KEY, SECRET},
    sse::Events,
    within,
};

const ME: &str = "ann";

/// A token that is good for a minute.
fn token(grants: VideoGrants) -> String {
    let token = AccessToken::with_api_key(KEY, SECRET).with_identity(ME).with_ttl(Duration::from_secs(60));
    token.with_grants(grants).to_jwt().unwrap()
}

fn granting(grant: Grant, room: &str) -> VideoGrants {
    let room = room.to_owned();
    match grant {
        Grant::RoomCreate => VideoGrants { room_create: true, ..VideoGrants::default() },
        Grant::RoomList => VideoGrants { room_list: true, ..VideoGrants::default() },
        Grant::RoomAdmin => VideoGrants { room_admin: true, room, ..VideoGrants::default() },
        Grant::RoomJoin => VideoGrants { room_join: true, room, ..VideoGrants::default() },
    }
}

/// Everything, to one room.
fn everything(room: &str) -> String {
    let room = room.to_owned();
    token(VideoGrants {
        room_create: true,
        room_list: true,
        room_admin: true,
        room,
        ..VideoGrants::default()
    })
}

async fn guarded() -> Pair {
    Pair::with(|arguments| arguments.admission.auth = Some("livekit".to_owned())).await
}

async fn send(app: &TestApp, bearer: &str, method: Method, path: &str, body: Option<&Value>) -> Answer {
    let request = app.request(method, path).header("authorization", format!("Bearer {bearer}"));
    let request = if let Some(body) = body { request.json(body) } else { request };
    Answer::of(request.send().await.unwrap()).await
}

async fn create(app: &TestApp, room: &str) -> Value {
    let body = json!({"roomName": room});
    send(app, &everything(room), Method::POST, "/streams", Some(&body)).await.expect(StatusCode::CREATED)
}

/// How somebody fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Served,
    Forbidden,
    Unknown,
}

impl Fate {
    fn of(status: u16) -> Self {
        match status {
            200..=299 => Self::Served,
            403 => Self::Forbidden,
            404 => Self::Unknown,
            other => panic!("neither served nor refused: {other}"),
        }
    }

    /// What the table says, read here once more: who has none of the grants is refused whatever the stream; who has one for
    /// another room does not learn that the stream exists, unless they may read it.
    fn expected(grant: Grant, action: Action, own_room: bool) -> Self {
        let covers =
            |action: Action| action.rule().grants.contains(&grant) && (own_room || !grant.is_of_a_room());
        if covers(action) {
            Self::Served
        } else if action.rule().grants.contains(&grant) && !covers(Action::Read) {
            Self::Unknown
        } else {
            Self::Forbidden
        }
    }
}

/// Every route for one stream and what it is; those that end the stream last.
fn routes(id: &str) -> Vec<(Method, String, Option<Value>, Action)> {
    let stream = format!("/streams/{id}");
    let at = |rest: &str| format!("{stream}{rest}");
    vec![
        (Method::GET, stream.clone(), None, Action::Read),
        (Method::HEAD, stream.clone(), None, Action::Read),
        (Method::GET, at("/state"), None, Action::Read),
        (Method::GET, at("/participants"), None, Action::Read),
        (Method::GET, format!("/events/{id}"), None, Action::Read),
        (Method::PATCH, stream.clone(), Some(json!({"metadata": {"a": 1}})), Action::Update),
        (Method::POST, at("/join"), Some(json!({"identity": "bob"})), Action::Join),
        (Method::POST, at("/leave"), Some(json!({"identity": ME})), Action::Leave),
        (Method::POST, at("/leave"), Some(json!({"identity": "bob"})), Action::Remove),
        (Method::PATCH, stream.clone(), Some(json!({"status": "stopped"})), Action::Stop),
        (Method::DELETE, stream, None, Action::Stop),
    ]
}

/// How a request to follow fares; what is opened is closed again.
async fn follow(app: &TestApp, bearer: &str, path: &str) -> Fate {
    Fate::of(Events::open_with(&app.base, path, None, Some(bearer)).await.status.as_u16())
}

async fn socket(app: &TestApp, bearer: &str, path: &str, topic: &str) -> Fate {
    let mut request = format!("{}{path}", app.base.replacen("http", "ws", 1)).into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {bearer}").parse().unwrap());
    let mut socket = match within("a handshake", connect_async(request)).await {
        Ok((socket, _)) => socket,
        Err(Error::Http(answer)) => return Fate::of(answer.status().as_u16()),
        Err(other) => panic!("{other}"),
    };
    socket.send(Message::text(json!({"type": "subscribe", "streamId": topic}).to_string())).await.unwrap();
    loop {
        let Message::Text(text) = super::websocket::message(&mut socket).await else { continue };
        let said: Value = serde_json::from_str(&text).unwrap();
        match said["type"].as_str().unwrap() {
            "connected" => {}
            "subscribed" => return Fate::Served,
            "error" => return Fate::of(u16::try_from(said["status"].as_u64().unwrap()).unwrap()),
            other => panic!("{other}"),
        }
    }
}

fn fate_of<T>(answer: Result<T, tonic::Status>) -> Fate {
    match answer.map_err(|status| status.code()) {
        Ok(_) => Fate::Served,
        Err(Code::PermissionDenied) => Fate::Forbidden,
        Err(Code::NotFound) => Fate::Unknown,
        Err(other) => panic!("{other:?}"),
    }
}

async fn grpc(app: &TestApp, bearer: &str, topic: &str) -> [Fate; 3] {
    let mut client = Client::of(app).await.with_token(bearer);
    let subscribed = fate_of(client.subscribe(topic, "").await);
    let updates = fate_of(client.updates(topic).await);
    // There is no state of all streams.
    let state = if topic.is_empty() { subscribed } else { fate_of(client.state(topic).await) };
    [subscribed, updates, state]
}

#[tokio::test]
async fn every_grant_opens_what_the_table_says_on_every_transport() {
    let Pair(app, _other) = guarded().await;
    for grant in Grant::ALL {
        for own_room in [true, false] {
            let room = crate::support::unique("room");
            let stream = create(&app, &room).await;
            let id = stream["id"].as_str().unwrap();
            let bearer = token(granting(grant, if own_room { &room } else { "another room" }));
            let expected = |action| Fate::expected(grant, action, own_room);
            let case = format!("{grant:?}, own room {own_room}");

            for name in [id, room.as_str()] {
                for path in [format!("/events?streamId={name}"), format!("/sse/{name}/updates")] {
                    assert_eq!(follow(&app, &bearer, &path).await, expected(Action::Read), "{case}: {path}");
                }
                let found = socket(&app, &bearer, "/ws", name).await;
                assert_eq!(found, expected(Action::Read), "{case}: websocket");
                for found in grpc(&app, &bearer, name).await {
                    assert_eq!(found, expected(Action::Read), "{case}: gRPC");
                }
            }
            let all = expected(Action::FollowAll);
            assert_eq!(follow(&app, &bearer, "/events").await, all, "{case}: all, SSE");
            assert_eq!(socket(&app, &bearer, "/", "*").await, all, "{case}: all, WebSocket");
            assert_eq!(grpc(&app, &bearer, "").await, [all; 3], "{case}: all, gRPC");

            let list = send(&app, &bearer, Method::GET, "/streams", None).await;
            assert_eq!(Fate::of(list.status.as_u16()), expected(Action::List), "{case}: list");
            let new = send(&app, &bearer, Method::POST, "/streams", Some(&json!({}))).await;
            assert_eq!(Fate::of(new.status.as_u16()), expected(Action::Create), "{case}: create");
            for (method, path, body, action) in routes(id) {
                let answer = send(&app, &bearer, method.clone(), &path, body.as_ref()).await;
                assert_eq!(
                    Fate::of(answer.status.as_u16()),
                    expected(action),
                    "{case}: {method} {path} {body:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_stream_that_may_not_be_seen_is_like_one_that_is_not_there() {
    let Pair(app, _other) = guarded().await;
    let room = crate::support::unique("room");
    create(&app, &room).await;
    let stranger = token(granting(Grant::RoomJoin, "another room"));
    let answer = |path: String| {
        let (app, stranger) = (&app, &stranger);
        async move { send(app, stranger, Method::GET, &path, None).await.expect_problem(404, "stream_not_found") }
    };
    for rest in ["", "/state", "/participants"] {
        let (there, absent) =
            (answer(format!("/streams/{room}{rest}")).await, answer(format!("/streams/absent{rest}")).await);
        assert_eq!(there, absent, "{rest}");
    }
    let stop = send(&app, &stranger, Method::DELETE, &format!("/streams/{room}"), None).await;
    stop.expect_problem(403, "forbidden");
}

#[tokio::test]
async fn tokens_that_are_no_good_open_nothing() {
    let Pair(app, _other) = guarded().await;
    let room = crate::support::unique("room");
    let stream = create(&app, &room).await;
    let id = stream["id"].as_str().unwrap();
    let grants = VideoGrants { room_admin: true, room: room.clone(), ..VideoGrants::default() };
    let signed = |key: &str, secret: &str| {
        let token =
            AccessToken::with_api_key(key, secret).with_identity(ME).with_ttl(Duration::from_secs(60));
        token.with_grants(grants.clone()).to_jwt().unwrap()
    };
    let good = signed(KEY, SECRET);
    let (head, signature) = good.rsplit_once('.').unwrap();
    let now = chrono::Utc::now().timestamp();
    let claims = |exp: i64, nbf: i64| {
        json!({"iss": KEY, "sub": ME, "exp": exp, "nbf": nbf,
        "video": {"roomAdmin": true, "room": room}})
    };
    let jwt = super::webhooks::jwt;
    let bad = [
        ("none", String::new()),
        ("nonsense", "nonsense".to_owned()),
        ("another key", signed("other", SECRET)),
        ("another secret", signed(KEY, "another secret")),
        ("no signature", format!("{head}.")),
        ("a cut signature", format!("{head}.{}", &signature[1..])),
        ("alg none", jwt(&claims(now + 60, now), "none", SECRET)),
        ("alg HS512", jwt(&claims(now + 60, now), "HS512", SECRET)),
        ("expired", jwt(&claims(now - 10, now - 60), "HS256", SECRET)),
        ("not good yet", jwt(&claims(now + 120, now + 60), "HS256", SECRET)),
        (
            "no expiry",
            jwt(&json!({"iss": KEY, "sub": ME, "video": {"roomAdmin": true, "room": room}}), "HS256", SECRET),
        ),
    ];
    for (what, bearer) in &bad {
        for (method, path, body, _) in routes(id) {
            let answer = send(&app, bearer, method.clone(), &path, body.as_ref()).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what}: {method} {path}");
            assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"), "{what}");
            assert!(bearer.is_empty() || !answer.text.contains(bearer.as_str()), "a token in an answer");
        }
        for path in [format!("/events?streamId={id}"), "/events".to_owned(), format!("/sse/{id}/updates")] {
            let opened = Events::open_with(&app.base, &path, None, Some(bearer)).await;
            assert_eq!(opened.status, StatusCode::UNAUTHORIZED, "{what}: {path}");
        }
        let mut client = Client::of(&app).await.with_token(bearer);
        assert_eq!(client.state(id).await.unwrap_err().code(), Code::Unauthenticated, "{what}: gRPC");
        let url = format!("{}/ws?access_token={bearer}", app.base.replacen("http", "ws", 1));
        let Err(Error::Http(refused)) = connect_async(url).await else { panic!("{what}: WebSocket") };
        assert_eq!(refused.status(), 401, "{what}: WebSocket");
    }
    let nobody = jwt(&json!({"iss": KEY, "sub": ME, "exp": now + 60}), "HS256", SECRET);
    for (method, path, body, _) in routes(id) {
        let answer = send(&app, &nobody, method.clone(), &path, body.as_ref()).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "no grant at all: {method} {path}");
    }
    let slightly_late = jwt(&claims(now - 1, now - 60), "HS256", SECRET);
    send(&app, &slightly_late, Method::GET, &format!("/streams/{id}"), None).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_token_in_the_query_is_for_feeds_alone() {
    let Pair(app, _other) = guarded().await;
    let room = crate::support::unique("room");
    let stream = create(&app, &room).await;
    let id = stream["id"].as_str().unwrap();
    let bearer = token(granting(Grant::RoomJoin, &room));
    for path in [
        format!("/events?streamId={id}&access_token={bearer}"),
        format!("/sse/{id}/updates?access_token={bearer}"),
    ] {
        assert_eq!(app.follow(&path).await.status, StatusCode::OK);
    }
    let url = format!("{}/ws?access_token={bearer}", app.base.replacen("http", "ws", 1));
    assert!(connect_async(url).await.is_ok());
    app.get(&format!("/streams/{id}?access_token={bearer}")).await.expect_problem(401, "unauthenticated");
    // A header that is no good is not made up for.
    let path = format!("/events?streamId={id}&access_token={bearer}");
    let both = app.request(Method::GET, &path).header("authorization", "Bearer x").send().await.unwrap();
    assert_eq!(both.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn feeds_end_with_their_token_and_say_so() {
    let Pair(app, _other) = guarded().await;
    let room = crate::support::unique("room");
    create(&app, &room).await;
    let short = AccessToken::with_api_key(KEY, SECRET).with_identity(ME).with_ttl(Duration::from_secs(1));
    let short = short.with_grants(granting(Grant::RoomJoin, &room)).to_jwt().unwrap();
    let mut events =
        Events::open_with(&app.base, &format!("/events?streamId={room}"), None, Some(&short)).await;
    let mut states = Events::open_with(&app.base, &format!("/sse/{room}/updates"), None, Some(&short)).await;
    let mut client = Client::of(&app).await.with_token(&short);
    let mut calls = client.call(asked(&room, "")).await.unwrap().into_inner();
    let url = format!("{}/ws?access_token={short}", app.base.replacen("http", "ws", 1));
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
    let again = Events::open_with(&app.base, &format!("/events?streamId={room}"), None, Some(&short)).await;
    assert_eq!(again.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn keys_can_be_changed_without_a_gap() {
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
    let crossed = AccessToken::with_api_key("next", SECRET).with_grants(granting(Grant::RoomList, ""));
    let answer = send(&app, &crossed.to_jwt().unwrap(), Method::GET, "/streams", None).await;
    answer.expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn tokens_of_livekits_own_sdk_are_taken_and_join_tokens_of_this_service_too() {
    let Pair(app, _other) = guarded().await;
    let room = crate::support::unique("room");
    create(&app, &room).await;
    let made = |grants: &str| {
        let python = std::env::var("LIVEKIT_PYTHON").expect("scripts/test sets LIVEKIT_PYTHON");
        let script = format!(
            "from livekit import api\nprint(api.AccessToken('{KEY}', '{SECRET}').with_identity('{ME}')\
             .with_grants(api.VideoGrants({grants})).to_jwt())"
        );
        crate::support::servers::run(&python, &["-c", &script], "").trim().to_owned()
    };
    let (list, admin) = (made("room_list=True"), made(&format!("room_admin=True, room='{room}'")));
    send(&app, &list, Method::GET, "/streams", None).await.expect(StatusCode::OK);
    send(&app, &list, Method::POST, "/streams", Some(&json!({}))).await.expect_problem(403, "forbidden");
    let join = format!("/streams/{room}/join");
    let joined =
        send(&app, &admin, Method::POST, &join, Some(&json!({"identity": "bob", "role": "viewer"}))).await;
    let joined = joined.expect(StatusCode::OK);
    let bob = joined["token"].as_str().unwrap();
    send(&app, bob, Method::GET, &format!("/streams/{room}/state"), None).await.expect(StatusCode::OK);
    let leave = format!("/streams/{room}/leave");
    send(&app, bob, Method::POST, &leave, Some(&json!({"identity": ME})))
        .await
        .expect_problem(403, "forbidden");
    send(&app, bob, Method::POST, &leave, Some(&json!({"identity": "bob"}))).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn what_is_open_stays_open() {
    let Pair(app, _other) = guarded().await;
    for path in ["/", "/index.html", "/room.html", "/health", "/health/live", "/health/ready", "/metrics"] {
        assert_eq!(app.get(path).await.status, StatusCode::OK, "{path}");
    }
    app.get("/absent").await.expect_problem(404, "route_not_found");
    app.post("/webhooks/livekit", json!({})).await.expect_problem(401, "invalid_signature");
    assert!(app.webhook(&json!({"event": "room_started"})).await.status.is_success());
}

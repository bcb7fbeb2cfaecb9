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
    app::{TestApp, TestResponse, participant_webhook},
    grpc::Client,
    servers::{KEY, SECRET},
    sse::EventStream,
    within,
};

pub const ME: &str = "ann";

/// A token that is good for a minute.
pub fn token(grants: VideoGrants) -> String {
    let token = AccessToken::with_api_key(KEY, SECRET).with_identity(ME).with_ttl(Duration::from_secs(60));
    token.with_grants(grants).to_jwt().unwrap()
}

pub fn granting(grant: Grant, room: &str) -> VideoGrants {
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

pub async fn guarded() -> Pair {
    Pair::with(|arguments| arguments.admission.auth = Some("livekit".to_owned())).await
}

pub async fn send(
    app: &TestApp,
    bearer: &str,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> TestResponse {
    let request = app.request(method, path).header("authorization", format!("Bearer {bearer}"));
    let request = if let Some(body) = body { request.json(body) } else { request };
    TestResponse::read(request.send().await.unwrap()).await
}

pub async fn create(app: &TestApp, room: &str) -> Value {
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
pub fn routes(id: &str) -> Vec<(Method, String, Option<Value>, Action)> {
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
    Fate::of(EventStream::open_with(&app.base, path, None, Some(bearer)).await.status.as_u16())
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
async fn grant_on_every_route_and_transport_matches_permission_table() {
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
async fn read_of_stream_without_grant_returns_same_404_as_absent_stream() {
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
async fn change_without_read_grant_shows_no_participants() {
    let Pair(app, _other) = guarded().await;
    let creating = |room: Option<&str>, list: bool| {
        let (room, joins) = (room.unwrap_or_default().to_owned(), room.is_some());
        token(VideoGrants {
            room_create: true,
            room_list: list,
            room_join: joins,
            room,
            ..VideoGrants::default()
        })
    };
    for method in [Method::POST, Method::PATCH, Method::DELETE] {
        let room = crate::support::unique("room");
        let body = json!({"roomName": room});
        let new = send(&app, &creating(None, false), Method::POST, "/streams", Some(&body)).await;
        let stream = new.expect(StatusCode::CREATED);
        assert_eq!(stream["participants"], json!([]), "a new stream has nobody to hide");
        app.webhook(&participant_webhook("participant_joined", &stream, "ann", "PA_1"))
            .await
            .expect(StatusCode::OK);
        let (path, body) = match method {
            Method::POST => ("/streams".to_owned(), Some(body)),
            Method::PATCH => (format!("/streams/{room}"), Some(json!({"status": "stopped"}))),
            _ => (format!("/streams/{room}"), None),
        };
        for (bearer, shown) in [
            (creating(None, false), false),
            (creating(Some("another room"), false), false),
            (creating(Some(&room), false), true),
            (creating(None, true), true),
        ] {
            let answer = send(&app, &bearer, method.clone(), &path, body.as_ref()).await;
            let document = answer.expect(StatusCode::OK);
            assert_eq!((&document["id"], &document["peakParticipantCount"]), (&stream["id"], &json!(1)));
            let found = document["participants"][0]["identity"].as_str();
            assert_eq!(found, shown.then_some("ann"), "{method}: {document}");
            assert_eq!(document.get("participants").is_some(), shown, "{method}: {document}");
        }
    }
}

#[tokio::test]
async fn public_route_without_token_is_served() {
    let Pair(app, _other) = guarded().await;
    for path in ["/", "/index.html", "/room.html", "/health", "/health/live", "/health/ready", "/metrics"] {
        assert_eq!(app.get(path).await.status, StatusCode::OK, "{path}");
    }
    app.get("/absent").await.expect_problem(404, "route_not_found");
    app.post("/webhooks/livekit", json!({})).await.expect_problem(401, "invalid_signature");
    assert!(app.webhook(&json!({"event": "room_started"})).await.status.is_success());
}

//! Permissions: every grant on every route of every transport, compared with the permission table.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures_util::SinkExt;
use livekit_api::access_token::VideoGrants;
use livestream_orchestrator::access::{Action, Grant};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest},
};
use tonic::Code;

use super::{
    Pair,
    auth_fixture::{CALLER, create, join, only_grant, routes, send, start_with_auth, token},
};
use crate::support::{
    app::{TestApp, TestResponse, participant_webhook},
    grpc::Client,
    sse::EventStream,
    within,
};

/// Result of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Served,
    Forbidden,
    NotFound,
}

impl Outcome {
    fn of_status(status: u16) -> Self {
        match status {
            200..=299 => Self::Served,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            other => panic!("unexpected status {other}"),
        }
    }

    /// An authorised request about an absent recording or broadcast, or without storage, is served with an error of
    /// its own.
    fn of(answer: &TestResponse) -> Self {
        match answer.body["code"].as_str() {
            Some("recording_not_found" | "broadcast_not_found" | "storage_not_configured") => Self::Served,
            _ => Self::of_status(answer.status.as_u16()),
        }
    }

    /// The outcome that the permission table requires, derived independently.
    ///
    /// A caller without any of the grants is refused for every stream. A caller whose grant is for another room gets
    /// 404, so that the response does not reveal the stream, unless the caller may read it.
    fn expected(grant: Grant, action: Action, own_room: bool) -> Self {
        let covers = |action: Action| {
            action.permission().grants.contains(&grant) && (own_room || !grant.is_room_scoped())
        };
        if covers(action) {
            Self::Served
        } else if action.permission().grants.contains(&grant) && !covers(Action::Read) {
            Self::NotFound
        } else {
            Self::Forbidden
        }
    }
}

/// Outcome of opening and closing an SSE feed.
async fn open_feed(app: &TestApp, bearer: &str, path: &str) -> Outcome {
    Outcome::of_status(EventStream::open_with(&app.base, path, None, Some(bearer)).await.status.as_u16())
}

/// Outcome of subscribing over WebSocket.
async fn subscribe_websocket(app: &TestApp, bearer: &str, path: &str, topic: &str) -> Outcome {
    let mut request = format!("{}{path}", app.base.replacen("http", "ws", 1)).into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {bearer}").parse().unwrap());
    let mut socket = match within("a handshake", connect_async(request)).await {
        Ok((socket, _)) => socket,
        Err(Error::Http(answer)) => return Outcome::of_status(answer.status().as_u16()),
        Err(other) => panic!("{other}"),
    };
    socket.send(Message::text(json!({"type": "subscribe", "streamId": topic}).to_string())).await.unwrap();
    loop {
        let Message::Text(text) = super::websocket::message(&mut socket).await else { continue };
        let message: Value = serde_json::from_str(&text).unwrap();
        match message["type"].as_str().unwrap() {
            "connected" => {}
            "subscribed" => return Outcome::Served,
            "error" => {
                return Outcome::of_status(u16::try_from(message["status"].as_u64().unwrap()).unwrap());
            }
            other => panic!("{other}"),
        }
    }
}

fn outcome_of<T>(answer: Result<T, tonic::Status>) -> Outcome {
    match answer.map_err(|status| status.code()) {
        Ok(_) => Outcome::Served,
        Err(Code::PermissionDenied) => Outcome::Forbidden,
        Err(Code::NotFound) => Outcome::NotFound,
        Err(other) => panic!("{other:?}"),
    }
}

/// Outcomes of the three gRPC calls.
async fn call_grpc(app: &TestApp, bearer: &str, topic: &str) -> [Outcome; 3] {
    let mut client = Client::of(app).await.with_token(bearer);
    let subscribed = outcome_of(client.subscribe(topic, "").await);
    let updates = outcome_of(client.updates(topic).await);
    // GetStreamState needs one stream.
    let state = if topic.is_empty() { subscribed } else { outcome_of(client.state(topic).await) };
    [subscribed, updates, state]
}

#[tokio::test]
async fn grant_on_every_route_and_transport_matches_permission_table() {
    let Pair(app, _other) = start_with_auth().await;
    for grant in Grant::ALL {
        for own_room in [true, false] {
            let room = crate::support::unique("room");
            let stream = create(&app, &room).await;
            let id = stream["id"].as_str().unwrap();
            let bearer = token(only_grant(grant, if own_room { &room } else { "another room" }));
            let expected = |action| Outcome::expected(grant, action, own_room);
            let case = format!("{grant:?}, own room {own_room}");

            for name in [id, room.as_str()] {
                for path in [format!("/events?streamId={name}"), format!("/sse/{name}/updates")] {
                    assert_eq!(
                        open_feed(&app, &bearer, &path).await,
                        expected(Action::Read),
                        "{case}: {path}"
                    );
                }
                let found = subscribe_websocket(&app, &bearer, "/ws", name).await;
                assert_eq!(found, expected(Action::Read), "{case}: websocket");
                for found in call_grpc(&app, &bearer, name).await {
                    assert_eq!(found, expected(Action::Read), "{case}: gRPC");
                }
            }
            let all = expected(Action::FollowAll);
            assert_eq!(open_feed(&app, &bearer, "/events").await, all, "{case}: all, SSE");
            assert_eq!(subscribe_websocket(&app, &bearer, "/", "*").await, all, "{case}: all, WebSocket");
            assert_eq!(call_grpc(&app, &bearer, "").await, [all; 3], "{case}: all, gRPC");

            let list = send(&app, &bearer, Method::GET, "/streams", None).await;
            assert_eq!(Outcome::of_status(list.status.as_u16()), expected(Action::List), "{case}: list");
            let new = send(&app, &bearer, Method::POST, "/streams", Some(&json!({}))).await;
            assert_eq!(Outcome::of_status(new.status.as_u16()), expected(Action::Create), "{case}: create");
            for who in ["bob", CALLER] {
                join(&app, &room, who).await;
            }
            for (method, path, body, action) in routes(id) {
                let answer = send(&app, &bearer, method.clone(), &path, body.as_ref()).await;
                assert_eq!(Outcome::of(&answer), expected(action), "{case}: {method} {path} {body:?}");
            }
        }
    }
}

#[tokio::test]
async fn read_of_stream_without_grant_returns_same_404_as_absent_stream() {
    let Pair(app, _other) = start_with_auth().await;
    let room = crate::support::unique("room");
    create(&app, &room).await;
    let other_room = token(only_grant(Grant::RoomJoin, "another room"));
    let answer = |path: String| {
        let (app, other_room) = (&app, &other_room);
        async move {
            send(app, other_room, Method::GET, &path, None).await.expect_problem(404, "stream_not_found")
        }
    };
    for rest in ["", "/state", "/participants"] {
        let (existing, absent) =
            (answer(format!("/streams/{room}{rest}")).await, answer(format!("/streams/absent{rest}")).await);
        assert_eq!(existing, absent, "{rest}");
    }
    let stop = send(&app, &other_room, Method::DELETE, &format!("/streams/{room}"), None).await;
    stop.expect_problem(403, "forbidden");
}

#[tokio::test]
async fn change_without_read_grant_shows_no_participants() {
    let Pair(app, _other) = start_with_auth().await;
    let creator_token = |room: Option<&str>, list: bool| {
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
        let new = send(&app, &creator_token(None, false), Method::POST, "/streams", Some(&body)).await;
        let stream = new.expect(StatusCode::CREATED);
        assert_eq!(stream["participants"], json!([]), "a new stream has no participants");
        app.webhook(&participant_webhook("participant_joined", &stream, "ann", "PA_1"))
            .await
            .expect(StatusCode::OK);
        let (path, body) = match method {
            Method::POST => ("/streams".to_owned(), Some(body)),
            Method::PATCH => (format!("/streams/{room}"), Some(json!({"status": "stopped"}))),
            _ => (format!("/streams/{room}"), None),
        };
        for (bearer, shown) in [
            (creator_token(None, false), false),
            (creator_token(Some("another room"), false), false),
            (creator_token(Some(&room), false), true),
            (creator_token(None, true), true),
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
    let Pair(app, _other) = start_with_auth().await;
    for path in [
        "/",
        "/index.html",
        "/room.html",
        "/history.html",
        "/health",
        "/health/live",
        "/health/ready",
        "/metrics",
    ] {
        assert_eq!(app.get(path).await.status, StatusCode::OK, "{path}");
    }
    app.get("/absent").await.expect_problem(404, "route_not_found");
    app.post("/webhooks/livekit", json!({})).await.expect_problem(401, "invalid_signature");
    assert!(app.webhook(&json!({"event": "room_started"})).await.status.is_success());
}

//! Instances with authentication, tokens with single grants, and the routes that need them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livekit_api::access_token::{AccessToken, VideoGrants};
use livestream_orchestrator::access::{Action, Grant};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::Pair;
use crate::support::{
    app::{Setup, TestApp, TestResponse},
    servers::{KEY, SECRET, shared_livekit_with_redis, shared_redis},
};

/// Identity of the tokens.
pub const CALLER: &str = "ann";

/// A token that is valid for a minute.
pub fn token(grants: VideoGrants) -> String {
    let token =
        AccessToken::with_api_key(KEY, SECRET).with_identity(CALLER).with_ttl(Duration::from_secs(60));
    token.with_grants(grants).to_jwt().unwrap()
}

/// Grants that contain only `grant`.
pub fn only_grant(grant: Grant, room: &str) -> VideoGrants {
    let room = room.to_owned();
    match grant {
        Grant::RoomCreate => VideoGrants { room_create: true, ..VideoGrants::default() },
        Grant::RoomList => VideoGrants { room_list: true, ..VideoGrants::default() },
        Grant::RoomAdmin => VideoGrants { room_admin: true, room, ..VideoGrants::default() },
        Grant::RoomJoin => VideoGrants { room_join: true, room, ..VideoGrants::default() },
        Grant::IngressAdmin => VideoGrants { ingress_admin: true, ..VideoGrants::default() },
        Grant::RoomRecord => VideoGrants { room_record: true, ..VideoGrants::default() },
    }
}

/// A token with every grant for one room.
fn token_with_all_grants(room: &str) -> String {
    let room = room.to_owned();
    token(VideoGrants {
        room_create: true,
        room_list: true,
        room_admin: true,
        room,
        ..VideoGrants::default()
    })
}

/// Two instances with `AUTH=livekit`.
pub async fn start_with_auth() -> Pair {
    let setup = Setup::new(shared_redis(), shared_livekit_with_redis());
    let setup = setup.with(|arguments| arguments.admission.auth = Some("livekit".to_owned()));
    Pair(setup.start().await, setup.start().await)
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
    send(app, &token_with_all_grants(room), Method::POST, "/streams", Some(&body))
        .await
        .expect(StatusCode::CREATED)
}

/// Makes an identity known to a stream.
pub async fn join(app: &TestApp, room: &str, identity: &str) {
    let (path, body) = (format!("/streams/{room}/join"), json!({"identity": identity}));
    send(app, &token_with_all_grants(room), Method::POST, &path, Some(&body)).await.expect(StatusCode::OK);
}

/// Every route of one stream with its action. Routes that end the stream come last.
pub fn routes(id: &str) -> Vec<(Method, String, Option<Value>, Action)> {
    let stream = format!("/streams/{id}");
    let at = |rest: &str| format!("{stream}{rest}");
    vec![
        (Method::GET, stream.clone(), None, Action::Read),
        (Method::HEAD, stream.clone(), None, Action::Read),
        (Method::GET, at("/state"), None, Action::Read),
        (Method::GET, at("/participants"), None, Action::Read),
        (Method::PATCH, stream.clone(), Some(json!({"metadata": {"a": 1}})), Action::Update),
        (Method::POST, at("/stop_live"), None, Action::SetLive),
        (Method::POST, at("/go_live"), None, Action::SetLive),
        (Method::POST, at("/join"), Some(json!({"identity": "bob"})), Action::Join),
        (Method::GET, at("/participants/bob"), None, Action::Read),
        (Method::PATCH, at("/participants/bob"), Some(json!({"role": "viewer"})), Action::Moderate),
        (Method::PUT, at("/participants/bob/hand"), None, Action::Moderate),
        (Method::DELETE, at("/participants/bob/hand"), None, Action::Moderate),
        (Method::PUT, at(&format!("/participants/{CALLER}/hand")), None, Action::RaiseHand),
        (Method::DELETE, at(&format!("/participants/{CALLER}/hand")), None, Action::RaiseHand),
        (Method::POST, at("/participants/bob/mute"), Some(json!({})), Action::Moderate),
        (Method::POST, at("/mute"), None, Action::Moderate),
        (Method::DELETE, at("/participants/bob"), None, Action::Remove),
        (Method::PUT, at("/blocks/eve"), Some(json!({"reason": "spam"})), Action::Moderate),
        (Method::GET, at("/blocks"), None, Action::Moderate),
        (Method::DELETE, at("/blocks/eve"), None, Action::Moderate),
        (
            Method::POST,
            at("/ingresses"),
            Some(json!({"type": "rtmp", "identity": "obs"})),
            Action::ManageIngresses,
        ),
        (Method::GET, at("/ingresses"), None, Action::ReadIngresses),
        (Method::DELETE, at("/ingresses/IN_absent"), None, Action::ManageIngresses),
        (Method::POST, at("/recordings"), Some(json!({})), Action::Record),
        (Method::GET, at("/recordings"), None, Action::ReadEgresses),
        (Method::GET, at("/recordings/EG_absent"), None, Action::ReadEgresses),
        (Method::DELETE, at("/recordings/EG_absent"), None, Action::Record),
        (Method::POST, at("/broadcasts"), Some(json!({"hls": {}})), Action::Record),
        (Method::GET, at("/broadcasts"), None, Action::ReadEgresses),
        (Method::GET, at("/broadcasts/EG_absent"), None, Action::ReadEgresses),
        (Method::PATCH, at("/broadcasts/EG_absent"), Some(json!({})), Action::Record),
        (Method::DELETE, at("/broadcasts/EG_absent"), None, Action::Record),
        (Method::GET, format!("/events/{id}"), None, Action::Read),
        (Method::POST, at("/leave"), Some(json!({"identity": CALLER})), Action::Leave),
        (Method::POST, at("/leave"), Some(json!({"identity": "bob"})), Action::Remove),
        (Method::PATCH, stream.clone(), Some(json!({"status": "stopped"})), Action::Stop),
        (Method::DELETE, stream, None, Action::Stop),
    ]
}

//! Who may read the history and erase persons, and a deployment without a history.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use livekit_api::access_token::VideoGrants;
use livestream_orchestrator::access::Grant;
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{
    Pair,
    auth_fixture::{only_grant, send, start_with_auth, token},
    history_reads::{start_with_history, visit},
};
use crate::support::{app::TestApp, eventually, unique};

/// A token for everything that making an archived stream needs, and the history.
async fn archived_with_auth(app: &TestApp, room: &str) -> String {
    let grants = VideoGrants {
        room_create: true,
        room_list: true,
        room_admin: true,
        room: room.to_owned(),
        ..VideoGrants::default()
    };
    let all = token(grants);
    let created = send(app, &all, Method::POST, "/streams", Some(&json!({"roomName": room}))).await;
    let stream = created.expect(StatusCode::CREATED);
    let path = format!("/history/streams/{}", stream["id"].as_str().unwrap());
    eventually("the history", || async {
        send(app, &all, Method::GET, &path, None).await.status.is_success().then_some(())
    })
    .await;
    path
}

#[tokio::test]
async fn grants_on_every_route_match_the_permission_table() {
    let app = start_with_history(true).await;
    let room = unique("room");
    let path = archived_with_auth(&app, &room).await;
    archived_with_auth(&app, &unique("other")).await;
    for grant in Grant::ALL {
        for own_room in [true, false] {
            let bearer = token(only_grant(grant, if own_room { &room } else { "another room" }));
            let of_stream = match (grant, own_room) {
                (Grant::RoomList, _) | (Grant::RoomAdmin, true) => 200,
                (Grant::RoomAdmin, false) => 404,
                (Grant::RoomCreate | Grant::RoomJoin | Grant::IngressAdmin | Grant::RoomRecord, _) => 403,
            };
            for rest in ["", "/visits", "/events", "/viewers"] {
                let answer = send(&app, &bearer, Method::GET, &format!("{path}{rest}"), None).await;
                assert_eq!(answer.status.as_u16(), of_stream, "{grant:?} {own_room} {rest}: {}", answer.text);
            }
            let listed = async |query: &str| {
                let path = format!("/history/streams{query}");
                let answer = send(&app, &bearer, Method::GET, &path, None).await;
                answer.status.is_success().then(|| answer.body.as_array().unwrap().len())
            };
            let expected = match (grant, own_room) {
                (Grant::RoomList, _) => (Some(2), Some(1)),
                (Grant::RoomAdmin, true) => (Some(1), Some(1)),
                (Grant::RoomAdmin, false) => (Some(0), Some(0)),
                (Grant::RoomCreate | Grant::RoomJoin | Grant::IngressAdmin | Grant::RoomRecord, _) => {
                    (None, None)
                }
            };
            let found = (listed("").await, listed(&format!("?roomName={room}")).await);
            assert_eq!(found, expected, "{grant:?} {own_room}");
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn person_is_erased_with_both_service_wide_grants_only() {
    let app = start_with_history(true).await;
    let room = unique("room");
    let path = archived_with_auth(&app, &room).await;
    let erasure = "/history/participants/ann%2Fsmith";
    for grant in Grant::ALL {
        let bearer = token(only_grant(grant, &room));
        send(&app, &bearer, Method::DELETE, erasure, None).await.expect_problem(403, "forbidden");
    }
    let both = token(VideoGrants { room_create: true, room_list: true, ..VideoGrants::default() });
    let stream = send(&app, &both, Method::GET, &format!("/streams/{room}"), None).await.body;
    visit(&app, &stream, ("ann/smith", "viewer", 0, 10)).await;
    let visits = format!("{path}/visits");
    let visitor = async || send(&app, &both, Method::GET, &visits, None).await.body[0]["identity"].clone();
    eventually("the visit", || async { (visitor().await == "ann/smith").then_some(()) }).await;
    for _ in 0..2 {
        let answer = send(&app, &both, Method::DELETE, erasure, None).await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::NO_CONTENT, ""));
    }
    let events = send(&app, &both, Method::GET, &format!("{path}/events"), None).await;
    assert!(
        !events.text.contains("\"ann/smith\"") && events.text.contains("\"participant_left\""),
        "{}",
        events.text
    );
    assert!(visitor().await.as_str().unwrap().starts_with("erased-"));
    app.stop().await;
}

#[tokio::test]
async fn deployment_without_a_database_has_no_history() {
    let Pair(app, _other) = start_with_auth().await;
    let bearer = token(only_grant(Grant::RoomList, ""));
    for path in ["", "/absent", "/absent/visits", "/absent/events", "/absent/viewers"] {
        let path = format!("/history/streams{path}");
        send(&app, &bearer, Method::GET, &path, None).await.expect_problem(501, "history_disabled");
        app.get(&path).await.expect_problem(401, "unauthenticated");
    }
}

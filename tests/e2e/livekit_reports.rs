//! Unusual participants that LiveKit reports: identities that the API would refuse, recorders, agents, hidden
//! participants.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use livekit_api::access_token::VideoGrants;
use livestream_orchestrator::settings::Arguments;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    livekit_fixture::{LiveKitFixture, connect, identities, publisher, signed},
    participant::{JoinToken, Participant},
    support::{
        app::{TestApp, TestResponse},
        eventually,
        sse::EventStream,
        unique,
    },
};

/// An identity with control and bidirectional characters.
const UNUSUAL_IDENTITY: &str = "ann\nO'Neil\u{7}\u{202e}";

async fn start(change: impl FnOnce(&mut Arguments)) -> LiveKitFixture {
    LiveKitFixture::start(1, change).await
}

async fn listed(fixture: &LiveKitFixture, stream: &Value, query: &str) -> Vec<String> {
    let path = format!("/streams/{}/participants{query}", stream["id"].as_str().unwrap());
    identities(&fixture.first().get(&path).await.expect(StatusCode::OK))
}

/// Checks count, state, pages, idle time and removal, with webhooks or with the reconciler alone.
async fn unusual_identity_is_recorded_unchanged(drops_webhooks: bool) {
    let fixture = start(|arguments| arguments.idle_timeout = Some("2s".to_owned())).await;
    fixture.webhooks.drop_webhooks(drops_webhooks);
    let stream = fixture.first().create(json!({"roomName": unique("room")})).await;
    let room = stream["roomName"].as_str().unwrap();
    let token = signed(UNUSUAL_IDENTITY)
        .with_name("A\tB")
        .with_metadata("plain \"words\"\n")
        .with_attributes([("k", "v\n")]);
    let mut participant = connect(&fixture, room, token, publisher()).await;
    let state =
        fixture.wait_for_state("the participant", &stream, |state| state["participantCount"] == 1).await;
    let shown = &state["participants"][0];
    assert_eq!(shown["identity"], UNUSUAL_IDENTITY);
    assert_eq!(shown["name"], "A\tB");
    assert_eq!(shown["metadata"], "plain \"words\"\n");
    assert_eq!(shown["attributes"], json!({"k": "v\n"}));
    assert_eq!(shown["role"], "host");

    // The idle timeout passes, and the stream does not end.
    let mut events = EventStream::open(&fixture.first().base, "/events", None).await;
    let _other = connect(&fixture, room, signed("bob"), VideoGrants::default()).await;
    events.wait_for("participant_joined").await;
    let path = format!("/streams/{}/participants?limit=1", stream["id"].as_str().unwrap());
    let first = fixture.first().get(&path).await;
    let link = first.header("link").expect("a second page").to_owned();
    let next = link.split(['<', '>']).nth(1).unwrap();
    let second = fixture.first().get(next).await.expect(StatusCode::OK);
    let mut paged = identities(&first.body);
    paged.extend(identities(&second));
    paged.sort();
    assert_eq!(paged, [UNUSUAL_IDENTITY, "bob"]);

    let leave = format!("/streams/{}/leave", stream["id"].as_str().unwrap());
    let left =
        fixture.first().post(&leave, json!({"identity": UNUSUAL_IDENTITY})).await.expect(StatusCode::OK);
    assert_eq!(left["participant"]["state"], "disconnected");
    participant.wait_for("disconnected").await;
    fixture
        .first()
        .post(&leave, json!({"identity": "no\none"}))
        .await
        .expect_problem(400, "validation_failed");
}

#[tokio::test]
async fn unusual_identity_in_webhook_is_recorded_unchanged() {
    unusual_identity_is_recorded_unchanged(false).await;
}

#[tokio::test]
async fn unusual_identity_in_livekit_list_is_recorded_unchanged() {
    unusual_identity_is_recorded_unchanged(true).await;
}

#[tokio::test]
async fn stream_with_unusual_identity_is_not_idle() {
    let fixture = start(|arguments| arguments.idle_timeout = Some("1s".to_owned())).await;
    // Without webhooks, the sweeper asks LiveKit before it stops the stream.
    fixture.webhooks.drop_webhooks(true);
    let stream = fixture.first().create(json!({})).await;
    let room = stream["roomName"].as_str().unwrap();
    let mut participant = connect(&fixture, room, signed("\u{1}"), publisher()).await;
    fixture.wait_for_state("the participant", &stream, |state| state["participantCount"] == 1).await;
    participant.send("leave").await;
    let state = fixture.wait_for_state("the end", &stream, |state| state["status"] == "stopped").await;
    let history = format!("/events/{}", stream["id"].as_str().unwrap());
    let history = fixture.first().get(&history).await.expect(StatusCode::OK);
    let reasons: Vec<_> =
        history.as_array().unwrap().iter().filter_map(|event| event["data"]["reason"].as_str()).collect();
    assert!(reasons.iter().all(|reason| *reason == "idle"), "{reasons:?} {state}");
}

#[tokio::test]
async fn recorder_and_agent_are_not_counted() {
    let fixture = start(|arguments| arguments.idle_timeout = Some("15s".to_owned())).await;
    let stream = fixture.first().create(json!({"maxParticipants": 2})).await;
    let (id, room) = (stream["id"].as_str().unwrap(), stream["roomName"].as_str().unwrap());
    let mut events = fixture.first().follow(&format!("/events?streamId={id}")).await;
    let recorder = VideoGrants { recorder: true, hidden: true, ..VideoGrants::default() };
    let _recorder = connect(&fixture, room, signed("EG_1").with_kind("egress"), recorder.clone()).await;
    let _older = connect(&fixture, room, signed("old-recorder"), recorder).await;
    let mut agent = connect(&fixture, room, signed("agent").with_kind("agent"), publisher()).await;
    let joined = events.wait_for("participant_joined").await;
    assert_eq!(joined["data"]["participant"]["kind"], "agent", "recorders have no events");
    assert_eq!(joined["data"]["stream"]["participantCount"], 0);
    let ann = Participant::join(fixture.first(), &stream, "ann", "host").await;
    fixture.wait_for_state("ann", &stream, |state| state["participantCount"] == 1).await;
    // LiveKit counts only ann and accepts a second participant.
    let _bob = Participant::join(fixture.first(), &stream, "bob", "viewer").await;
    let state = fixture.wait_for_state("bob", &stream, |state| state["participantCount"] == 2).await;
    let full = fixture.first().post(&format!("/streams/{id}/join"), json!({"identity": "cat"})).await;
    full.expect_problem(409, "stream_full");

    assert_eq!(identities(&state["participants"]), ["agent", "ann", "bob"]);
    assert_eq!(
        state["participants"].as_array().unwrap().iter().filter(|one| one["kind"].is_null()).count(),
        2
    );
    assert_eq!(listed(&fixture, &stream, "").await, ["agent", "ann", "bob"]);
    assert_eq!(listed(&fixture, &stream, "?kind=agent").await, ["agent"]);
    assert_eq!(listed(&fixture, &stream, "?kind=egress").await, ["EG_1", "old-recorder"]);
    fixture
        .first()
        .get(&format!("/streams/{id}/participants?kind=bots"))
        .await
        .expect_problem(400, "validation_failed");
    let history =
        fixture.first().get(&format!("/events/{id}?limit=1000")).await.expect(StatusCode::OK).to_string();
    assert!(!history.contains("EG_1") && !history.contains("old-recorder"));

    // Recorders and agents do not prevent the idle timeout.
    drop((ann, _bob));
    agent.send("publish").await;
    fixture.wait_for_state("the end", &stream, |state| state["status"] == "stopped").await;
    assert!(
        listed(&fixture, &stream, "?kind=egress").await.is_empty(),
        "a stopped stream has no participants"
    );
}

#[tokio::test]
async fn lone_agent_is_recorded_without_webhook() {
    let fixture = start(|_| {}).await;
    fixture.webhooks.drop_webhooks(true);
    let stream = fixture.first().create(json!({})).await;
    let room = stream["roomName"].as_str().unwrap();
    // LiveKit does not count agents and recorders in its list of rooms.
    let mut agent = connect(&fixture, room, signed("agent").with_kind("agent"), publisher()).await;
    let recorder = VideoGrants { recorder: true, hidden: true, ..VideoGrants::default() };
    let _recorder = connect(&fixture, room, signed("EG_1").with_kind("egress"), recorder).await;
    eventually("agent and recorder", || async {
        let listed = (listed(&fixture, &stream, "").await, listed(&fixture, &stream, "?kind=egress").await);
        (listed == (vec!["agent".to_owned()], vec!["EG_1".to_owned()])).then_some(())
    })
    .await;
    agent.send("leave").await;
    fixture
        .wait_for_state("the agent's departure", &stream, |state| {
            state["participants"][0]["state"] == "disconnected"
        })
        .await;
}

#[tokio::test]
async fn second_visit_does_not_show_name_and_metadata_of_first() {
    let fixture = start(|_| {}).await;
    let stream = fixture.first().create(json!({})).await;
    let (id, room) = (stream["id"].as_str().unwrap(), stream["roomName"].as_str().unwrap());
    let body = json!({"identity": "ann", "name": "Ann A", "metadata": {"a": 1}, "attributes": {"b": "2"}});
    let joined = fixture.first().post(&format!("/streams/{id}/join"), body).await.expect(StatusCode::OK);
    let mut ann = Participant::connect(&JoinToken::from_response(&joined)).await;
    let state = fixture.wait_for_state("ann", &stream, |state| state["participantCount"] == 1).await;
    let shown = &state["participants"][0];
    assert_eq!(
        (&shown["name"], &shown["metadata"], &shown["attributes"]),
        (&json!("Ann A"), &json!({"a": 1}), &json!({"b": "2"}))
    );
    ann.send("leave").await;
    fixture.wait_for_state("ann's departure", &stream, |state| state["participantCount"] == 0).await;
    let _second_visit = connect(&fixture, room, signed("ann"), publisher()).await;
    let state = fixture.wait_for_state("ann again", &stream, |state| state["participantCount"] == 1).await;
    let shown = &state["participants"][0];
    assert_eq!(
        (&shown["name"], &shown["metadata"], &shown["attributes"]),
        (&Value::Null, &json!({}), &json!({}))
    );
}

/// Sends a GET request with a token that has these grants.
async fn get_with_grants(app: &TestApp, grants: VideoGrants, path: &str) -> TestResponse {
    let token = signed("caller").with_grants(grants).to_jwt().unwrap();
    let request = app.request(Method::GET, path).bearer_auth(token);
    TestResponse::read(request.send().await.unwrap()).await
}

#[tokio::test]
async fn hidden_participant_is_shown_to_admins_only() {
    let fixture = start(|arguments| arguments.admission.auth = Some("livekit".to_owned())).await;
    let create = VideoGrants { room_create: true, ..VideoGrants::default() };
    let token = signed("backend").with_grants(create).to_jwt().unwrap();
    let request = fixture.first().request(Method::POST, "/streams").bearer_auth(token).json(&json!({}));
    let stream = TestResponse::read(request.send().await.unwrap()).await.expect(StatusCode::CREATED);
    let (id, room) = (stream["id"].as_str().unwrap(), stream["roomName"].as_str().unwrap().to_owned());
    let hidden = VideoGrants { hidden: true, ..publisher() };
    let moderator = signed("moderator").with_name("Secret Name").with_metadata(r#"{"secret":"metadata"}"#);
    let mut moderator = connect(&fixture, &room, moderator, hidden).await;
    let admin = VideoGrants { room_admin: true, room: room.clone(), ..VideoGrants::default() };
    let list = VideoGrants { room_list: true, ..VideoGrants::default() };
    let viewer = VideoGrants { room_join: true, room, ..VideoGrants::default() };
    let of_kind = |kind: &str| format!("/streams/{id}/participants?kind={kind}");
    eventually("the hidden participant", || async {
        let shown =
            get_with_grants(fixture.first(), admin.clone(), &of_kind("hidden")).await.expect(StatusCode::OK);
        (identities(&shown) == ["moderator"]).then_some(())
    })
    .await;
    for grants in [&admin, &list] {
        for kind in ["hidden", "standard"] {
            let shown =
                get_with_grants(fixture.first(), grants.clone(), &of_kind(kind)).await.expect(StatusCode::OK);
            assert_eq!(
                (identities(&shown), &shown[0]["hidden"]),
                (vec!["moderator".to_owned()], &json!(true))
            );
        }
    }
    for path in [
        of_kind("hidden"),
        of_kind("standard"),
        of_kind("egress"),
        format!("/streams/{id}"),
        format!("/streams/{id}/state"),
        format!("/streams/{id}/participants"),
        format!("/events/{id}"),
    ] {
        let shown = get_with_grants(fixture.first(), viewer.clone(), &path).await;
        assert_eq!(shown.status, StatusCode::OK);
        assert!(
            !shown.text.to_lowercase().contains("moderator") && !shown.text.contains("ecret"),
            "{path}: {}",
            shown.text
        );
    }
    // The hidden participant disappears from the lists when it leaves.
    moderator.send("leave").await;
    eventually("the departure", || async {
        let shown =
            get_with_grants(fixture.first(), admin.clone(), &of_kind("hidden")).await.expect(StatusCode::OK);
        identities(&shown).is_empty().then_some(())
    })
    .await;
}

//! What LiveKit reports is taken as it is: identities, kinds and rooms that the API itself would not make.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use livekit_api::{
    access_token::{AccessToken, VideoGrants},
    services::room::{CreateRoomOptions, RoomClient},
};
use livestream_orchestrator::settings::Arguments;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::Duration;

use super::participant::{JoinToken, Participant};
use crate::support::{
    app::{Setup, TestApp, TestResponse},
    eventually,
    servers::{KEY, LiveKit, SECRET, shared_redis},
    sse::EventStream,
    unique,
    webhook_proxy::WebhookProxy,
};

const STRANGE: &str = "ann\nO'Neil\u{7}\u{202e}";

/// An instance, and LiveKit whose webhooks pass a gate to it.
struct LiveKitFixture {
    app: TestApp,
    webhooks: WebhookProxy,
    livekit: LiveKit,
}

impl LiveKitFixture {
    async fn start(change: impl FnOnce(&mut Arguments)) -> Self {
        let webhooks = WebhookProxy::start().await;
        let livekit = LiveKit::start(Some(&webhooks.url));
        let mut setup = Setup::new(shared_redis(), &livekit.url()).with(|arguments| {
            arguments.reconcile_interval = Some("1s".to_owned());
            change(arguments);
        });
        setup.listing_grace = Duration::from_secs(2);
        let app = setup.start().await;
        webhooks.forward_to(&app.base);
        Self { app, webhooks, livekit }
    }

    fn rooms(&self) -> RoomClient {
        RoomClient::with_api_key(&self.livekit.url().replace("ws:", "http:"), KEY, SECRET)
    }

    /// Connects a participant with a token that this test signs.
    async fn enter(&self, room: &str, token: AccessToken, grants: VideoGrants) -> Participant {
        let grants = VideoGrants { room_join: true, room: room.to_owned(), ..grants };
        let token = token.with_grants(grants).to_jwt().unwrap();
        Participant::connect(&JoinToken { url: self.livekit.url(), token }).await
    }

    async fn state(&self, stream: &Value) -> Value {
        let path = format!("/streams/{}/state", stream["id"].as_str().unwrap());
        self.app.get(&path).await.expect(StatusCode::OK)
    }

    async fn until(&self, what: &str, stream: &Value, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || async { Some(self.state(stream).await).filter(&wanted) }).await
    }

    async fn listed(&self, stream: &Value, query: &str) -> Vec<String> {
        let path = format!("/streams/{}/participants{query}", stream["id"].as_str().unwrap());
        identities(&self.app.get(&path).await.expect(StatusCode::OK))
    }
}

fn identities(listed: &Value) -> Vec<String> {
    let mut all: Vec<_> =
        listed.as_array().unwrap().iter().map(|one| one["identity"].as_str().unwrap().to_owned()).collect();
    all.sort();
    all
}

fn signed(identity: &str) -> AccessToken {
    AccessToken::with_api_key(KEY, SECRET).with_identity(identity).with_ttl(Duration::from_secs(600))
}

fn publisher() -> VideoGrants {
    VideoGrants { can_publish: Some(true), can_subscribe: Some(true), ..VideoGrants::default() }
}

/// Counted, shown, paged, kept from being idle and removed, whether webhooks arrive or only the reconciler tells.
async fn unusual_identity_is_recorded_unchanged(loses: bool) {
    let fixture = LiveKitFixture::start(|arguments| arguments.idle_timeout = Some("2s".to_owned())).await;
    fixture.webhooks.drop_webhooks(loses);
    let stream = fixture.app.create(json!({"roomName": unique("room")})).await;
    let room = stream["roomName"].as_str().unwrap();
    let token =
        signed(STRANGE).with_name("A\tB").with_metadata("plain \"words\"\n").with_attributes([("k", "v\n")]);
    let mut strange = fixture.enter(room, token, publisher()).await;
    let state = fixture.until("the participant", &stream, |state| state["participantCount"] == 1).await;
    let shown = &state["participants"][0];
    assert_eq!(shown["identity"], STRANGE);
    assert_eq!(shown["name"], "A\tB");
    assert_eq!(shown["metadata"], "plain \"words\"\n");
    assert_eq!(shown["attributes"], json!({"k": "v\n"}));
    assert_eq!(shown["role"], "host");

    // The sweeper would have ended an idle stream in this time; LiveKit closes no occupied room.
    let mut events = EventStream::open(&fixture.app.base, "/events", None).await;
    let _other = fixture.enter(room, signed("bob"), VideoGrants::default()).await;
    events.wait_for("participant_joined").await;
    let path = format!("/streams/{}/participants?limit=1", stream["id"].as_str().unwrap());
    let first = fixture.app.get(&path).await;
    let link = first.header("link").expect("a second page").to_owned();
    let next = link.split(['<', '>']).nth(1).unwrap();
    let second = fixture.app.get(next).await.expect(StatusCode::OK);
    let mut paged = identities(&first.body);
    paged.extend(identities(&second));
    paged.sort();
    assert_eq!(paged, [STRANGE, "bob"]);

    let leave = format!("/streams/{}/leave", stream["id"].as_str().unwrap());
    let left = fixture.app.post(&leave, json!({"identity": STRANGE})).await.expect(StatusCode::OK);
    assert_eq!(left["participant"]["state"], "disconnected");
    strange.wait_for("disconnected").await;
    fixture.app.post(&leave, json!({"identity": "no\none"})).await.expect_problem(400, "validation_failed");
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
    let fixture = LiveKitFixture::start(|arguments| arguments.idle_timeout = Some("1s".to_owned())).await;
    // Nothing tells of the participant: the sweeper asks LiveKit before it stops the stream.
    fixture.webhooks.drop_webhooks(true);
    let stream = fixture.app.create(json!({})).await;
    let room = stream["roomName"].as_str().unwrap();
    let mut strange = fixture.enter(room, signed("\u{1}"), publisher()).await;
    fixture.until("the participant", &stream, |state| state["participantCount"] == 1).await;
    strange.send("leave").await;
    let state = fixture.until("the end", &stream, |state| state["status"] == "stopped").await;
    let history = format!("/events/{}", stream["id"].as_str().unwrap());
    let history = fixture.app.get(&history).await.expect(StatusCode::OK);
    let reasons: Vec<_> =
        history.as_array().unwrap().iter().filter_map(|event| event["data"]["reason"].as_str()).collect();
    assert!(reasons.iter().all(|reason| *reason == "idle"), "{reasons:?} {state}");
}

#[tokio::test]
async fn recorder_and_agent_are_not_counted() {
    let fixture = LiveKitFixture::start(|arguments| arguments.idle_timeout = Some("3s".to_owned())).await;
    let stream = fixture.app.create(json!({"maxParticipants": 2})).await;
    let (id, room) = (stream["id"].as_str().unwrap(), stream["roomName"].as_str().unwrap());
    let mut events = fixture.app.follow(&format!("/events?streamId={id}")).await;
    let recorder = VideoGrants { recorder: true, hidden: true, ..VideoGrants::default() };
    let _recorder = fixture.enter(room, signed("EG_1").with_kind("egress"), recorder.clone()).await;
    let _older = fixture.enter(room, signed("old-recorder"), recorder).await;
    let mut agent = fixture.enter(room, signed("agent").with_kind("agent"), publisher()).await;
    let joined = events.wait_for("participant_joined").await;
    assert_eq!(joined["data"]["participant"]["kind"], "agent", "recorders have no events");
    assert_eq!(joined["data"]["stream"]["participantCount"], 0);
    let ann = Participant::join(&fixture.app, &stream, "ann", "host").await;
    fixture.until("ann", &stream, |state| state["participantCount"] == 1).await;
    // LiveKit lets a second one in, so this service does.
    let _bob = Participant::join(&fixture.app, &stream, "bob", "viewer").await;
    let state = fixture.until("bob", &stream, |state| state["participantCount"] == 2).await;
    let full = fixture.app.post(&format!("/streams/{id}/join"), json!({"identity": "cat"})).await;
    full.expect_problem(409, "stream_full");

    assert_eq!(identities(&state["participants"]), ["agent", "ann", "bob"]);
    assert_eq!(
        state["participants"].as_array().unwrap().iter().filter(|one| one["kind"].is_null()).count(),
        2
    );
    assert_eq!(fixture.listed(&stream, "").await, ["agent", "ann", "bob"]);
    assert_eq!(fixture.listed(&stream, "?kind=agent").await, ["agent"]);
    assert_eq!(fixture.listed(&stream, "?kind=egress").await, ["EG_1", "old-recorder"]);
    fixture
        .app
        .get(&format!("/streams/{id}/participants?kind=bots"))
        .await
        .expect_problem(400, "validation_failed");
    let history =
        fixture.app.get(&format!("/events/{id}?limit=1000")).await.expect(StatusCode::OK).to_string();
    assert!(!history.contains("EG_1") && !history.contains("old-recorder"));

    // Neither keeps the stream open.
    drop((ann, _bob));
    agent.send("publish").await;
    fixture.until("the end", &stream, |state| state["status"] == "stopped").await;
    assert!(
        fixture.listed(&stream, "?kind=egress").await.is_empty(),
        "nobody is present in a stopped stream"
    );
}

#[tokio::test]
async fn lone_agent_is_recorded_without_webhook() {
    let fixture = LiveKitFixture::start(|_| {}).await;
    fixture.webhooks.drop_webhooks(true);
    let stream = fixture.app.create(json!({})).await;
    let room = stream["roomName"].as_str().unwrap();
    // LiveKit counts neither in its list of rooms.
    let mut agent = fixture.enter(room, signed("agent").with_kind("agent"), publisher()).await;
    let recorder = VideoGrants { recorder: true, hidden: true, ..VideoGrants::default() };
    let _recorder = fixture.enter(room, signed("EG_1").with_kind("egress"), recorder).await;
    eventually("both", || async {
        let listed = (fixture.listed(&stream, "").await, fixture.listed(&stream, "?kind=egress").await);
        (listed == (vec!["agent".to_owned()], vec!["EG_1".to_owned()])).then_some(())
    })
    .await;
    agent.send("leave").await;
    fixture
        .until("the agent's end", &stream, |state| state["participants"][0]["state"] == "disconnected")
        .await;
}

#[tokio::test]
async fn second_visit_does_not_show_name_and_metadata_of_first() {
    let fixture = LiveKitFixture::start(|_| {}).await;
    let stream = fixture.app.create(json!({})).await;
    let (id, room) = (stream["id"].as_str().unwrap(), stream["roomName"].as_str().unwrap());
    let wanted = json!({"identity": "ann", "name": "Ann A", "metadata": {"a": 1}, "attributes": {"b": "2"}});
    let joined = fixture.app.post(&format!("/streams/{id}/join"), wanted).await.expect(StatusCode::OK);
    let mut ann = Participant::connect(&JoinToken::from_response(&joined)).await;
    let state = fixture.until("ann", &stream, |state| state["participantCount"] == 1).await;
    let shown = &state["participants"][0];
    assert_eq!(
        (&shown["name"], &shown["metadata"], &shown["attributes"]),
        (&json!("Ann A"), &json!({"a": 1}), &json!({"b": "2"}))
    );
    ann.send("leave").await;
    fixture.until("her end", &stream, |state| state["participantCount"] == 0).await;
    let _again = fixture.enter(room, signed("ann"), publisher()).await;
    let state = fixture.until("ann again", &stream, |state| state["participantCount"] == 1).await;
    let shown = &state["participants"][0];
    assert_eq!(
        (&shown["name"], &shown["metadata"], &shown["attributes"]),
        (&Value::Null, &json!({}), &json!({}))
    );
}

async fn as_token(app: &TestApp, grants: VideoGrants, path: &str) -> TestResponse {
    let token = signed("caller").with_grants(grants).to_jwt().unwrap();
    let request = app.request(reqwest::Method::GET, path).bearer_auth(token);
    TestResponse::read(request.send().await.unwrap()).await
}

#[tokio::test]
async fn hidden_participant_is_shown_to_admins_only() {
    let fixture =
        LiveKitFixture::start(|arguments| arguments.admission.auth = Some("livekit".to_owned())).await;
    let create = VideoGrants { room_create: true, ..VideoGrants::default() };
    let token = signed("backend").with_grants(create).to_jwt().unwrap();
    let request = fixture.app.request(reqwest::Method::POST, "/streams").bearer_auth(token).json(&json!({}));
    let stream = TestResponse::read(request.send().await.unwrap()).await.expect(StatusCode::CREATED);
    let (id, room) = (stream["id"].as_str().unwrap(), stream["roomName"].as_str().unwrap().to_owned());
    let hidden = VideoGrants { hidden: true, ..publisher() };
    let moderator = signed("moderator").with_name("Secret Name").with_metadata(r#"{"secret":"metadata"}"#);
    let mut moderator = fixture.enter(&room, moderator, hidden).await;
    let admin = VideoGrants { room_admin: true, room: room.clone(), ..VideoGrants::default() };
    let list = VideoGrants { room_list: true, ..VideoGrants::default() };
    let viewer = VideoGrants { room_join: true, room, ..VideoGrants::default() };
    let of_kind = |kind: &str| format!("/streams/{id}/participants?kind={kind}");
    eventually("the hidden participant", || async {
        let shown = as_token(&fixture.app, admin.clone(), &of_kind("hidden")).await.expect(StatusCode::OK);
        (identities(&shown) == ["moderator"]).then_some(())
    })
    .await;
    for grants in [&admin, &list] {
        for kind in ["hidden", "standard"] {
            let shown = as_token(&fixture.app, grants.clone(), &of_kind(kind)).await.expect(StatusCode::OK);
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
        let shown = as_token(&fixture.app, viewer.clone(), &path).await;
        assert_eq!(shown.status, StatusCode::OK);
        assert!(
            !shown.text.to_lowercase().contains("moderator") && !shown.text.contains("ecret"),
            "{path}: {}",
            shown.text
        );
    }
    // Whom the lists of admins show leaves them again.
    moderator.send("leave").await;
    eventually("the end of the visit", || async {
        let shown = as_token(&fixture.app, admin.clone(), &of_kind("hidden")).await.expect(StatusCode::OK);
        identities(&shown).is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn empty_room_of_another_tool_is_replaced() {
    let fixture = LiveKitFixture::start(|_| {}).await;
    let name = unique("foreign");
    let options =
        CreateRoomOptions { max_participants: 9, empty_timeout: 77, ..CreateRoomOptions::default() };
    let foreign = fixture.rooms().create_room(&name, options).await.unwrap();
    let body = json!({"roomName": name, "maxParticipants": 3, "emptyTimeout": 120, "metadata": {"a": 1}});
    let stream = fixture.app.create(body).await;
    assert_ne!(stream["roomSid"], foreign.sid.as_str());
    let room = fixture.rooms().list_rooms(vec![name]).await.unwrap().pop().unwrap();
    assert_eq!((room.max_participants, room.empty_timeout, room.departure_timeout), (3, 120, 120));
    assert_eq!(
        (room.sid.as_str(), room.metadata.as_str()),
        (stream["roomSid"].as_str().unwrap(), r#"{"a":1}"#)
    );
}

#[tokio::test]
async fn occupied_room_with_same_settings_is_taken_over() {
    let fixture =
        LiveKitFixture::start(|arguments| arguments.reconcile_interval = Some("10m".to_owned())).await;
    let name = unique("foreign");
    let options = CreateRoomOptions {
        max_participants: 3,
        empty_timeout: 120,
        departure_timeout: 120,
        ..CreateRoomOptions::default()
    };
    let foreign = fixture.rooms().create_room(&name, options).await.unwrap();
    let _ann = fixture.enter(&name, signed("ann").with_attributes([("seat", "1")]), publisher()).await;
    let body = json!({"roomName": name, "maxParticipants": 3, "emptyTimeout": 120, "metadata": {"a": 1}});
    let stream = eventually("ann in LiveKit's list", || async {
        let listed = fixture.rooms().list_participants(&name).await.unwrap();
        listed
            .iter()
            .any(|one| one.state() == livekit_protocol::participant_info::State::Active)
            .then_some(())
    });
    stream.await;
    let stream = fixture.app.create(body).await;
    assert_eq!((&stream["roomSid"], &stream["participantCount"]), (&json!(foreign.sid), &json!(1)));
    assert_eq!(stream["participants"][0]["attributes"], json!({"seat": "1"}));
    let room = fixture.rooms().list_rooms(vec![name]).await.unwrap().pop().unwrap();
    assert_eq!(room.metadata, r#"{"a":1}"#);
}

#[tokio::test]
async fn occupied_room_with_other_settings_returns_409() {
    let fixture = LiveKitFixture::start(|_| {}).await;
    let name = unique("foreign");
    // A room that a join token opened has LiveKit's default settings.
    let mut ann = fixture.enter(&name, signed("ann"), publisher()).await;
    let body = json!({"roomName": name, "maxParticipants": 3});
    let problem = fixture.app.post("/streams", body).await.expect_problem(409, "room_exists");
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("maxParticipants is 0 instead of 3") && detail.contains("emptyTimeout"),
        "{detail}"
    );
    // The room is left alone, also when webhooks and several reconciliations tell of it, and the name is not taken.
    let mut bob = fixture.enter(&name, signed("bob"), publisher()).await;
    let reconciliations = async || {
        let metrics = fixture.app.get("/metrics").await.text;
        let line =
            metrics.lines().find(|line| line.starts_with("lso_reconciliations_total{outcome=\"done\"}"));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).unwrap_or_default()
    };
    let before = reconciliations().await;
    eventually("three reconciliations", || async { (reconciliations().await >= before + 3).then_some(()) })
        .await;
    assert_eq!(fixture.rooms().list_participants(&name).await.unwrap().len(), 2);
    for person in [&mut ann, &mut bob] {
        person.send("leave").await;
        person.wait_for("left").await;
    }
    eventually("an empty room", || async {
        fixture.rooms().list_participants(&name).await.unwrap().is_empty().then_some(())
    })
    .await;
    fixture.app.create(json!({"roomName": name, "maxParticipants": 3})).await;
}

//! What is shown is what is true, although webhooks are lost: real LiveKit, real participants, a gate between.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livekit_api::services::room::RoomClient;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{
    participant::{JoinToken, Participant},
    webdriver::Driver,
};
use crate::support::{
    app::{Setup, TestApp},
    eventually,
    servers::{KEY, LiveKit, SECRET, shared_redis},
    unique,
    webhook_proxy::{CapturedWebhook, WebhookProxy},
    within,
};

/// Two instances that reconcile every second, and LiveKit with its webhooks going through a gate to the first.
struct LiveKitFixture {
    one: TestApp,
    two: TestApp,
    webhooks: WebhookProxy,
    livekit: LiveKit,
}

impl LiveKitFixture {
    async fn start() -> Self {
        let webhooks = WebhookProxy::start().await;
        let livekit = LiveKit::start(Some(&webhooks.url));
        let mut setup = Setup::new(shared_redis(), &livekit.url())
            .with(|arguments| arguments.reconcile_interval = Some("1s".to_owned()));
        // The lists of one server on one machine are hardly late.
        setup.listing_grace = Duration::from_secs(2);
        let (one, two) = (setup.start().await, setup.start().await);
        webhooks.forward_to(&one.base);
        Self { one, two, webhooks, livekit }
    }

    async fn create(&self) -> Value {
        self.one.create(json!({"roomName": unique("room")})).await
    }

    /// Waits until the state is as wanted.
    async fn until(&self, what: &str, stream: &Value, wanted: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/streams/{}/state", stream["id"].as_str().unwrap());
        eventually(what, || async {
            let state = self.two.get(&path).await.expect(StatusCode::OK);
            wanted(&state).then_some(state)
        })
        .await
    }

    fn rooms(&self) -> RoomClient {
        RoomClient::with_api_key(&self.livekit.url().replace("ws:", "http:"), KEY, SECRET)
    }

    /// Joined and left balance, and the last event is as the state.
    async fn adds_up(&self, stream: &Value) {
        let id = stream["id"].as_str().unwrap();
        let log = self.two.get(&format!("/events/{id}?limit=1000")).await.expect(StatusCode::OK);
        let log = log.as_array().unwrap();
        let state = self.two.get(&format!("/streams/{id}/state")).await.expect(StatusCode::OK);
        let count = |kind: &str| log.iter().filter(|event| event["type"] == kind).count() as u64;
        let there = count("participant_joined") - count("participant_left");
        assert_eq!(state["participantCount"], there);
        assert_eq!(state["version"].as_u64(), Some(log.len() as u64));
    }
}

fn present(state: &Value) -> Vec<String> {
    let people = state["participants"].as_array().unwrap().iter();
    let mut active: Vec<_> = people
        .filter(|one| one["state"] == "active")
        .map(|one| one["identity"].as_str().unwrap().to_owned())
        .collect();
    active.sort();
    active
}

#[tokio::test]
async fn presence_without_webhooks_is_reconciled() {
    let fixture = LiveKitFixture::start().await;
    fixture.webhooks.drop_webhooks(true);
    let stream = fixture.create().await;
    let mut events =
        fixture.two.follow(&format!("/events?streamId={}", stream["id"].as_str().unwrap())).await;
    let mut ann = Participant::join(&fixture.one, &stream, "ann", "host").await;
    let joined = events.wait_for("participant_joined").await;
    assert_eq!(joined["data"]["participant"]["identity"], "ann");
    ann.send("publish").await;
    ann.wait_for("published").await;
    let state = fixture
        .until("ann's camera", &stream, |state| {
            let tracks = state["participants"][0]["tracks"].as_array();
            tracks.is_some_and(|tracks| tracks.iter().any(|track| track["source"] == "camera"))
        })
        .await;
    assert_eq!(present(&state), ["ann"]);
    let _bob = Participant::join(&fixture.two, &stream, "bob", "viewer").await;
    let state = fixture.until("both", &stream, |state| state["participantCount"] == 2).await;
    assert_eq!(state["participants"][1]["role"], "viewer");
    ann.send("leave").await;
    let left = events.wait_for("participant_left").await;
    assert_eq!(left["data"]["participant"]["identity"], "ann");

    // And then they come again.
    fixture.webhooks.drop_webhooks(false);
    let _cat = Participant::join(&fixture.one, &stream, "cat", "host").await;
    let state = fixture.until("cat", &stream, |state| state["participantCount"] == 2).await;
    assert_eq!(present(&state), ["bob", "cat"]);
    fixture.adds_up(&stream).await;
}

#[tokio::test]
async fn killed_participant_without_webhook_is_recorded_as_left() {
    let fixture = LiveKitFixture::start().await;
    let stream = fixture.create().await;
    let mut ann = Participant::join(&fixture.one, &stream, "ann", "host").await;
    fixture.until("ann", &stream, |state| present(state) == ["ann"]).await;
    fixture.webhooks.drop_webhooks(true);
    ann.kill().await;
    fixture.until("nobody", &stream, |state| present(state).is_empty()).await;
    fixture.adds_up(&stream).await;
}

#[tokio::test]
async fn livekit_restart_without_rooms_stops_streams() {
    let mut fixture = LiveKitFixture::start().await;
    let streams = [fixture.create().await, fixture.create().await];
    let _ann = Participant::join(&fixture.one, &streams[0], "ann", "host").await;
    fixture.until("ann", &streams[0], |state| present(state) == ["ann"]).await;
    fixture.livekit.kill();
    // Nobody is said to have left while it does not answer.
    eventually("an instance that cannot compare", || async {
        let metrics = fixture.one.get("/metrics").await.text + &fixture.two.get("/metrics").await.text;
        metrics.contains("lso_reconciliations_total{outcome=\"failed\"}").then_some(())
    })
    .await;
    for (stream, count) in streams.iter().zip([1, 0]) {
        let path = format!("/streams/{}/state", stream["id"].as_str().unwrap());
        let state = fixture.two.get(&path).await.expect(StatusCode::OK);
        assert_eq!((&state["status"], &state["participantCount"]), (&json!("active"), &json!(count)));
    }
    fixture.livekit.restart();
    for stream in &streams {
        let state = fixture.until("the end", stream, |state| state["status"] == "stopped").await;
        assert!(present(&state).is_empty());
        fixture.adds_up(stream).await;
        let path = format!("/events/{}?limit=1", stream["id"].as_str().unwrap());
        let last = fixture.two.get(&path).await.expect(StatusCode::OK);
        assert_eq!(
            (&last[0]["type"], &last[0]["data"]["reason"]),
            (&json!("stream_stopped"), &json!("room_gone"))
        );
    }
    // With the token from before she would come back by herself: nobody is brought back into what is over.
    eventually("no rooms", || async {
        fixture.rooms().list_rooms(Vec::new()).await.ok()?.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn room_deleted_in_livekit_stops_its_stream() {
    let fixture = LiveKitFixture::start().await;
    let (deleted, other) = (fixture.create().await, fixture.create().await);
    let _ann = Participant::join(&fixture.one, &deleted, "ann", "host").await;
    fixture.until("ann", &deleted, |state| present(state) == ["ann"]).await;
    fixture.webhooks.drop_webhooks(true);
    fixture.rooms().delete_room(deleted["roomName"].as_str().unwrap()).await.unwrap();
    let state = fixture.until("the end", &deleted, |state| state["status"] == "stopped").await;
    assert!(present(&state).is_empty());
    fixture.adds_up(&deleted).await;
    let path = format!("/streams/{}/state", other["id"].as_str().unwrap());
    assert_eq!(fixture.two.get(&path).await.expect(StatusCode::OK)["status"], "active");
}

#[tokio::test]
async fn participant_removed_in_livekit_is_recorded_as_left() {
    let fixture = LiveKitFixture::start().await;
    let stream = fixture.create().await;
    let mut ann = Participant::join(&fixture.one, &stream, "ann", "host").await;
    let _bob = Participant::join(&fixture.one, &stream, "bob", "host").await;
    fixture.until("both", &stream, |state| present(state) == ["ann", "bob"]).await;
    fixture.webhooks.drop_webhooks(true);
    fixture.rooms().remove_participant(stream["roomName"].as_str().unwrap(), "ann").await.unwrap();
    ann.wait_for("disconnected").await;
    fixture.until("bob alone", &stream, |state| present(state) == ["bob"]).await;
    fixture.adds_up(&stream).await;
}

#[tokio::test]
async fn second_session_of_identity_replaces_first() {
    for loses in [false, true] {
        let fixture = LiveKitFixture::start().await;
        let stream = fixture.create().await;
        let token = JoinToken::request(&fixture.one, &stream, "ann", "host").await;
        let mut first = Participant::connect(&token).await;
        let before = fixture.until("ann", &stream, |state| present(state) == ["ann"]).await;
        fixture.webhooks.drop_webhooks(loses);
        let _second = Participant::connect(&token).await;
        first.wait_for("disconnected").await;
        let sid = before["participants"][0]["sid"].clone();
        fixture
            .until("ann in her second session", &stream, |state| {
                present(state) == ["ann"] && state["participants"][0]["sid"] != sid
            })
            .await;
        fixture.adds_up(&stream).await;
    }
}

#[tokio::test]
async fn room_reopened_by_old_token_is_deleted() {
    for loses in [false, true] {
        let fixture = LiveKitFixture::start().await;
        let stream = fixture.create().await;
        let id = stream["id"].as_str().unwrap();
        let token = JoinToken::request(&fixture.one, &stream, "ann", "host").await;
        let mut ann = Participant::connect(&token).await;
        fixture.until("ann", &stream, |state| present(state) == ["ann"]).await;
        fixture.one.delete(&format!("/streams/{id}")).await.expect(StatusCode::OK);
        ann.wait_for("disconnected").await;
        fixture.webhooks.drop_webhooks(loses);
        // LiveKit opens a room of that name again for her, and perhaps again and again; it does not last.
        let mut again = Participant::start_connecting(&token);
        let opened = |webhook: &CapturedWebhook| webhook.event() == "room_started";
        eventually("a room that comes back", || async {
            let rooms = fixture.webhooks.captured().into_iter().filter(opened).count();
            (rooms >= 2).then_some(())
        })
        .await;
        again.kill().await;
        eventually("no rooms", || async {
            fixture.rooms().list_rooms(Vec::new()).await.ok()?.is_empty().then_some(())
        })
        .await;
        let state = fixture.two.get(&format!("/streams/{id}/state")).await.expect(StatusCode::OK);
        assert_eq!((&state["status"], &state["participantCount"]), (&json!("stopped"), &json!(0)));
        fixture.adds_up(&stream).await;
    }
}

/// The kinds of webhook that this server sends, as it sends them: each is understood, and none is taken for another.
#[tokio::test]
async fn every_webhook_kind_of_livekit_is_handled() {
    let fixture = LiveKitFixture::start().await;
    let stream = fixture.create().await;
    let id = stream["id"].as_str().unwrap();
    let mut ann = Participant::join(&fixture.one, &stream, "ann", "host").await;
    ann.send("publish").await;
    ann.wait_for("published").await;
    let tracks = |state: &Value| state["participants"][0]["tracks"].as_array().map_or(0, Vec::len);
    fixture.until("a track", &stream, |state| tracks(state) == 1).await;
    ann.send("unpublish").await;
    ann.wait_for("unpublished").await;
    fixture.until("no track", &stream, |state| tracks(state) == 0).await;
    ann.send("leave").await;
    fixture.until("nobody", &stream, |state| present(state).is_empty()).await;
    // Somebody who never gets as far as media.
    let token = JoinToken::request(&fixture.one, &stream, "bob", "host").await;
    let url = format!("{}/rtc?access_token={}&protocol=15&sdk=js&version=2.0.0", token.url, token.token);
    let (socket, _) = within("LiveKit's signalling", tokio_tungstenite::connect_async(url)).await.unwrap();
    drop(socket);
    eventually("a connection that came to nothing", || async {
        let aborted = |webhook: &CapturedWebhook| webhook.event() == "participant_connection_aborted";
        fixture.webhooks.captured().iter().any(aborted).then_some(())
    })
    .await;
    fixture.one.delete(&format!("/streams/{id}")).await.expect(StatusCode::OK);
    let kinds = [
        "participant_connection_aborted",
        "room_started",
        "participant_joined",
        "track_published",
        "track_unpublished",
        "participant_left",
        "room_finished",
    ];
    let seen = eventually("all kinds", || async {
        let seen: Vec<_> = fixture.webhooks.captured().iter().map(|webhook| webhook.event()).collect();
        kinds.iter().all(|kind| seen.iter().any(|one| one == kind)).then_some(seen)
    })
    .await;
    assert!(seen.iter().all(|kind| kinds.contains(&kind.as_str())), "{seen:?}");
    let captured = fixture.webhooks.captured();
    assert!(captured.iter().all(|webhook| webhook.content_type == "application/webhook+json"));
    come_again(&fixture, id, &captured).await;
    are_refused_when_changed(&fixture, &captured).await;
}

async fn post(fixture: &LiveKitFixture, webhook: &CapturedWebhook) -> StatusCode {
    let request = fixture.one.request(reqwest::Method::POST, "/webhooks/livekit");
    let request = request.header("authorization", &webhook.authorization).body(webhook.body.clone());
    request.send().await.unwrap().status()
}

/// As LiveKit does when it has not heard the answer: none counts twice, and none is refused.
async fn come_again(fixture: &LiveKitFixture, stream: &str, captured: &[CapturedWebhook]) {
    let log = async || fixture.two.get(&format!("/events/{stream}?limit=1000")).await.expect(StatusCode::OK);
    let before = log().await;
    for webhook in captured {
        assert_eq!(post(fixture, webhook).await, StatusCode::OK);
    }
    assert_eq!(log().await, before);
    let told = fixture.one.get("/metrics").await.text;
    for kind in ["participant_joined", "track_published", "track_unpublished", "participant_left"] {
        for outcome in ["applied", "duplicate"] {
            let line = format!("lso_webhooks_total{{event=\"{kind}\",outcome=\"{outcome}\"}} 1");
            assert!(told.lines().any(|found| found == line), "{line} in {told}");
        }
    }
}

/// One byte of a body, or one of a signature, and it is nobody's.
async fn are_refused_when_changed(fixture: &LiveKitFixture, captured: &[CapturedWebhook]) {
    for webhook in captured {
        let mut changed = webhook.clone();
        let middle = changed.body.len() / 2;
        changed.body[middle] ^= 1;
        let mut resigned = webhook.clone();
        resigned.authorization.pop();
        for forged in [changed, resigned] {
            assert_eq!(post(fixture, &forged).await, StatusCode::UNAUTHORIZED);
        }
    }
}

/// What livekit-client does when it cannot resume: it leaves and comes back with the same identity.
#[tokio::test]
async fn full_reconnect_is_recorded_as_new_session() {
    for loses in [false, true] {
        let fixture = LiveKitFixture::start().await;
        fixture.webhooks.drop_webhooks(loses);
        let stream = fixture.create().await;
        let id = stream["id"].as_str().unwrap();
        let driver = Driver::start();
        let browser = driver.browser().await;
        let page = fixture.one.base.replace("127.0.0.1", "localhost");
        browser.open(&format!("{page}/room.html?streamId={id}")).await;
        let token = JoinToken::request(&fixture.one, &stream, "ann", "host").await;
        let load = "const tag = document.createElement('script'); tag.src = '/vendor/livekit-client.umd.js'; \
                    document.head.append(tag)";
        browser.script(load).await;
        browser
            .until("the library", || async { browser.script("return !!window.LivekitClient").await == true })
            .await;
        let connect = format!(
            "window.mine = new LivekitClient.Room(); mine.connect({}, {})",
            json!(token.url),
            json!(token.token)
        );
        browser.script(&connect).await;
        let first = fixture.until("ann", &stream, |state| present(state) == ["ann"]).await;
        let sid = first["participants"][0]["sid"].clone();
        browser.script("mine.simulateScenario('full-reconnect')").await;
        let again = fixture
            .until("ann again", &stream, |state| {
                present(state) == ["ann"] && state["participants"][0]["sid"] != sid
            })
            .await;
        assert_eq!(again["participantCount"], 1);
        fixture.adds_up(&stream).await;
        browser.close().await;
    }
}

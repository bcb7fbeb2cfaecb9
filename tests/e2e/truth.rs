//! What is shown is what is true, although webhooks are lost: real LiveKit, real participants, a gate between.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livekit_api::services::room::RoomClient;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{
    person::{Person, Ticket},
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
struct Scene {
    one: TestApp,
    two: TestApp,
    webhooks: WebhookProxy,
    livekit: LiveKit,
}

impl Scene {
    async fn set() -> Self {
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
async fn without_any_webhook_presence_is_still_true() {
    let scene = Scene::set().await;
    scene.webhooks.drop_webhooks(true);
    let stream = scene.create().await;
    let mut events = scene.two.follow(&format!("/events?streamId={}", stream["id"].as_str().unwrap())).await;
    let mut ann = Person::enter(&scene.one, &stream, "ann", "host").await;
    let joined = events.wait_for("participant_joined").await;
    assert_eq!(joined["data"]["participant"]["identity"], "ann");
    ann.tell("publish").await;
    ann.wait_for("published").await;
    let state = scene
        .until("ann's camera", &stream, |state| {
            let tracks = state["participants"][0]["tracks"].as_array();
            tracks.is_some_and(|tracks| tracks.iter().any(|track| track["source"] == "camera"))
        })
        .await;
    assert_eq!(present(&state), ["ann"]);
    let _bob = Person::enter(&scene.two, &stream, "bob", "viewer").await;
    let state = scene.until("both", &stream, |state| state["participantCount"] == 2).await;
    assert_eq!(state["participants"][1]["role"], "viewer");
    ann.tell("leave").await;
    let left = events.wait_for("participant_left").await;
    assert_eq!(left["data"]["participant"]["identity"], "ann");

    // And then they come again.
    scene.webhooks.drop_webhooks(false);
    let _cat = Person::enter(&scene.one, &stream, "cat", "host").await;
    let state = scene.until("cat", &stream, |state| state["participantCount"] == 2).await;
    assert_eq!(present(&state), ["bob", "cat"]);
    scene.adds_up(&stream).await;
}

#[tokio::test]
async fn who_dies_is_missed_although_no_webhook_tells() {
    let scene = Scene::set().await;
    let stream = scene.create().await;
    let mut ann = Person::enter(&scene.one, &stream, "ann", "host").await;
    scene.until("ann", &stream, |state| present(state) == ["ann"]).await;
    scene.webhooks.drop_webhooks(true);
    ann.die().await;
    scene.until("nobody", &stream, |state| present(state).is_empty()).await;
    scene.adds_up(&stream).await;
}

#[tokio::test]
async fn livekit_that_forgets_everything_ends_what_was_there() {
    let mut scene = Scene::set().await;
    let streams = [scene.create().await, scene.create().await];
    let _ann = Person::enter(&scene.one, &streams[0], "ann", "host").await;
    scene.until("ann", &streams[0], |state| present(state) == ["ann"]).await;
    scene.livekit.kill();
    // Nobody is said to have left while it does not answer.
    eventually("an instance that cannot compare", || async {
        let metrics = scene.one.get("/metrics").await.text + &scene.two.get("/metrics").await.text;
        metrics.contains("lso_reconciliations_total{outcome=\"failed\"}").then_some(())
    })
    .await;
    for (stream, count) in streams.iter().zip([1, 0]) {
        let path = format!("/streams/{}/state", stream["id"].as_str().unwrap());
        let state = scene.two.get(&path).await.expect(StatusCode::OK);
        assert_eq!((&state["status"], &state["participantCount"]), (&json!("active"), &json!(count)));
    }
    scene.livekit.restart();
    for stream in &streams {
        let state = scene.until("the end", stream, |state| state["status"] == "stopped").await;
        assert!(present(&state).is_empty());
        scene.adds_up(stream).await;
        let path = format!("/events/{}?limit=1", stream["id"].as_str().unwrap());
        let last = scene.two.get(&path).await.expect(StatusCode::OK);
        assert_eq!(
            (&last[0]["type"], &last[0]["data"]["reason"]),
            (&json!("stream_stopped"), &json!("room_gone"))
        );
    }
    // With the token from before she would come back by herself: nobody is brought back into what is over.
    eventually("no rooms", || async {
        scene.rooms().list_rooms(Vec::new()).await.ok()?.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_room_deleted_behind_our_back_is_the_end_of_its_stream() {
    let scene = Scene::set().await;
    let (deleted, other) = (scene.create().await, scene.create().await);
    let _ann = Person::enter(&scene.one, &deleted, "ann", "host").await;
    scene.until("ann", &deleted, |state| present(state) == ["ann"]).await;
    scene.webhooks.drop_webhooks(true);
    scene.rooms().delete_room(deleted["roomName"].as_str().unwrap()).await.unwrap();
    let state = scene.until("the end", &deleted, |state| state["status"] == "stopped").await;
    assert!(present(&state).is_empty());
    scene.adds_up(&deleted).await;
    let path = format!("/streams/{}/state", other["id"].as_str().unwrap());
    assert_eq!(scene.two.get(&path).await.expect(StatusCode::OK)["status"], "active");
}

#[tokio::test]
async fn somebody_removed_behind_our_back_has_left() {
    let scene = Scene::set().await;
    let stream = scene.create().await;
    let mut ann = Person::enter(&scene.one, &stream, "ann", "host").await;
    let _bob = Person::enter(&scene.one, &stream, "bob", "host").await;
    scene.until("both", &stream, |state| present(state) == ["ann", "bob"]).await;
    scene.webhooks.drop_webhooks(true);
    scene.rooms().remove_participant(stream["roomName"].as_str().unwrap(), "ann").await.unwrap();
    ann.wait_for("disconnected").await;
    scene.until("bob alone", &stream, |state| present(state) == ["bob"]).await;
    scene.adds_up(&stream).await;
}

#[tokio::test]
async fn the_same_identity_twice_is_there_once_in_its_newest_session() {
    for loses in [false, true] {
        let scene = Scene::set().await;
        let stream = scene.create().await;
        let ticket = Ticket::of(&scene.one, &stream, "ann", "host").await;
        let mut first = Person::with(&ticket).await;
        let before = scene.until("ann", &stream, |state| present(state) == ["ann"]).await;
        scene.webhooks.drop_webhooks(loses);
        let _second = Person::with(&ticket).await;
        first.wait_for("disconnected").await;
        let sid = before["participants"][0]["sid"].clone();
        scene
            .until("ann in her second session", &stream, |state| {
                present(state) == ["ann"] && state["participants"][0]["sid"] != sid
            })
            .await;
        scene.adds_up(&stream).await;
    }
}

#[tokio::test]
async fn a_token_brings_nobody_back_after_the_stop() {
    for loses in [false, true] {
        let scene = Scene::set().await;
        let stream = scene.create().await;
        let id = stream["id"].as_str().unwrap();
        let ticket = Ticket::of(&scene.one, &stream, "ann", "host").await;
        let mut ann = Person::with(&ticket).await;
        scene.until("ann", &stream, |state| present(state) == ["ann"]).await;
        scene.one.delete(&format!("/streams/{id}")).await.expect(StatusCode::OK);
        ann.wait_for("disconnected").await;
        scene.webhooks.drop_webhooks(loses);
        // LiveKit opens a room of that name again for her, and perhaps again and again; it does not last.
        let mut again = Person::trying(&ticket);
        let opened = |webhook: &CapturedWebhook| webhook.event() == "room_started";
        eventually("a room that comes back", || async {
            let rooms = scene.webhooks.captured().into_iter().filter(opened).count();
            (rooms >= 2).then_some(())
        })
        .await;
        again.die().await;
        eventually("no rooms", || async {
            scene.rooms().list_rooms(Vec::new()).await.ok()?.is_empty().then_some(())
        })
        .await;
        let state = scene.two.get(&format!("/streams/{id}/state")).await.expect(StatusCode::OK);
        assert_eq!((&state["status"], &state["participantCount"]), (&json!("stopped"), &json!(0)));
        scene.adds_up(&stream).await;
    }
}

/// The kinds of webhook that this server sends, as it sends them: each is understood, and none is taken for another.
#[tokio::test]
async fn every_webhook_of_a_real_server_is_understood() {
    let scene = Scene::set().await;
    let stream = scene.create().await;
    let id = stream["id"].as_str().unwrap();
    let mut ann = Person::enter(&scene.one, &stream, "ann", "host").await;
    ann.tell("publish").await;
    ann.wait_for("published").await;
    let tracks = |state: &Value| state["participants"][0]["tracks"].as_array().map_or(0, Vec::len);
    scene.until("a track", &stream, |state| tracks(state) == 1).await;
    ann.tell("unpublish").await;
    ann.wait_for("unpublished").await;
    scene.until("no track", &stream, |state| tracks(state) == 0).await;
    ann.tell("leave").await;
    scene.until("nobody", &stream, |state| present(state).is_empty()).await;
    // Somebody who never gets as far as media.
    let ticket = Ticket::of(&scene.one, &stream, "bob", "host").await;
    let url = format!("{}/rtc?access_token={}&protocol=15&sdk=js&version=2.0.0", ticket.url, ticket.token);
    let (socket, _) = within("LiveKit's signalling", tokio_tungstenite::connect_async(url)).await.unwrap();
    drop(socket);
    eventually("a connection that came to nothing", || async {
        let aborted = |webhook: &CapturedWebhook| webhook.event() == "participant_connection_aborted";
        scene.webhooks.captured().iter().any(aborted).then_some(())
    })
    .await;
    scene.one.delete(&format!("/streams/{id}")).await.expect(StatusCode::OK);
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
        let seen: Vec<_> = scene.webhooks.captured().iter().map(|webhook| webhook.event()).collect();
        kinds.iter().all(|kind| seen.iter().any(|one| one == kind)).then_some(seen)
    })
    .await;
    assert!(seen.iter().all(|kind| kinds.contains(&kind.as_str())), "{seen:?}");
    let captured = scene.webhooks.captured();
    assert!(captured.iter().all(|webhook| webhook.content_type == "application/webhook+json"));
    come_again(&scene, id, &captured).await;
    are_refused_when_changed(&scene, &captured).await;
}

async fn post(scene: &Scene, webhook: &CapturedWebhook) -> StatusCode {
    let request = scene.one.request(reqwest::Method::POST, "/webhooks/livekit");
    let request = request.header("authorization", &webhook.authorization).body(webhook.body.clone());
    request.send().await.unwrap().status()
}

/// As LiveKit does when it has not heard the answer: none counts twice, and none is refused.
async fn come_again(scene: &Scene, stream: &str, captured: &[CapturedWebhook]) {
    let log = async || scene.two.get(&format!("/events/{stream}?limit=1000")).await.expect(StatusCode::OK);
    let before = log().await;
    for webhook in captured {
        assert_eq!(post(scene, webhook).await, StatusCode::OK);
    }
    assert_eq!(log().await, before);
    let told = scene.one.get("/metrics").await.text;
    for kind in ["participant_joined", "track_published", "track_unpublished", "participant_left"] {
        for outcome in ["applied", "duplicate"] {
            let line = format!("lso_webhooks_total{{event=\"{kind}\",outcome=\"{outcome}\"}} 1");
            assert!(told.lines().any(|found| found == line), "{line} in {told}");
        }
    }
}

/// One byte of a body, or one of a signature, and it is nobody's.
async fn are_refused_when_changed(scene: &Scene, captured: &[CapturedWebhook]) {
    for webhook in captured {
        let mut changed = webhook.clone();
        let middle = changed.body.len() / 2;
        changed.body[middle] ^= 1;
        let mut resigned = webhook.clone();
        resigned.authorization.pop();
        for forged in [changed, resigned] {
            assert_eq!(post(scene, &forged).await, StatusCode::UNAUTHORIZED);
        }
    }
}

/// What livekit-client does when it cannot resume: it leaves and comes back with the same identity.
#[tokio::test]
async fn a_full_reconnect_is_one_visit_after_another() {
    for loses in [false, true] {
        let scene = Scene::set().await;
        scene.webhooks.drop_webhooks(loses);
        let stream = scene.create().await;
        let id = stream["id"].as_str().unwrap();
        let driver = Driver::start();
        let browser = driver.browser().await;
        let page = scene.one.base.replace("127.0.0.1", "localhost");
        browser.open(&format!("{page}/room.html?streamId={id}")).await;
        let ticket = Ticket::of(&scene.one, &stream, "ann", "host").await;
        let load = "const tag = document.createElement('script'); tag.src = '/vendor/livekit-client.umd.js'; \
                    document.head.append(tag)";
        browser.script(load).await;
        browser
            .until("the library", || async { browser.script("return !!window.LivekitClient").await == true })
            .await;
        let connect = format!(
            "window.mine = new LivekitClient.Room(); mine.connect({}, {})",
            json!(ticket.url),
            json!(ticket.token)
        );
        browser.script(&connect).await;
        let first = scene.until("ann", &stream, |state| present(state) == ["ann"]).await;
        let sid = first["participants"][0]["sid"].clone();
        browser.script("mine.simulateScenario('full-reconnect')").await;
        let again = scene
            .until("ann again", &stream, |state| {
                present(state) == ["ann"] && state["participants"][0]["sid"] != sid
            })
            .await;
        assert_eq!(again["participantCount"], 1);
        scene.adds_up(&stream).await;
        browser.close().await;
    }
}

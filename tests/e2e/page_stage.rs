//! Hosts moderate a stream on its page: raised hands, the stage, backstage.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fantoccini::key::Key;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    page_fixture::PageFixture,
    support::{app::Setup, servers::free_port},
    webdriver::{Browser, Driver},
};

/// Selector of a participant's camera tile, by the start of the identity.
fn tile(name: &str) -> String {
    format!("#tiles .tile[data-source=camera][data-identity^='{name}-']")
}

/// Selector of a participant in the list, by the start of the identity.
fn row(name: &str) -> String {
    format!("#participants [data-identity^='{name}-']")
}

impl Browser {
    /// Chooses an action in the menu of a participant.
    async fn act_on(&self, name: &str, action: &str) {
        self.click(&format!("{} .more", row(name))).await;
        self.click(&format!("{} [data-action={action}]", row(name))).await;
    }

    async fn has_no(&self, css: &str) {
        let script = format!("return document.querySelectorAll({}).length", json!(css));
        self.until(&format!("no {css}"), || async { self.script(&script).await == 0 }).await;
    }
}

#[tokio::test]
async fn host_brings_raised_hand_on_stage_and_back_to_audience() {
    let fixture = PageFixture::start().await;
    let stream = fixture.create(json!({"metadata": {"title": "Product launch"}})).await;
    let driver = &fixture.driver;
    let (host, viewer, other) = (driver.browser().await, driver.browser().await, driver.browser().await);
    fixture.join_room(&host, &stream, "Ann", "host").await;
    fixture.join_room(&viewer, &stream, "Vic", "viewer").await;
    fixture.join_room(&other, &stream, "Tom", "viewer").await;

    viewer.text_is("#hand .label", |text| text == "Raise hand").await;
    viewer.until_gone("#hands").await;
    viewer.click("#hand").await;
    viewer.text_is("#hand .label", |text| text == "Lower hand").await;
    viewer.click("#hand").await;
    viewer.text_is("#hand .label", |text| text == "Raise hand").await;
    viewer.click("#hand").await;
    other.shown(&format!("{} .hand", row("vic"))).await;
    other.until_gone(".more").await;
    host.text_is("#hands-count", |text| text == "1").await;
    host.inspect("room-hands").await;

    host.click("#hands .invite").await;
    host.until_gone("#hands").await;
    viewer.shows_notice("You are on stage").await;
    viewer.until_gone("#hand").await;
    viewer.click("#camera").await;
    for page in [&host, &other] {
        page.frames(&format!("{} video", tile("vic")), 10).await;
    }
    // The connection is the one from before.
    let joined = fixture.get(&format!("/events/{}?limit=1000", stream["id"].as_str().unwrap())).await;
    let joined: Value = joined.json().await.unwrap();
    let of_viewer = |event: &&Value| {
        event["type"] == "participant_joined" && event["data"]["participant"]["name"] == "Vic"
    };
    assert_eq!(joined.as_array().unwrap().iter().filter(of_viewer).count(), 1);

    host.act_on("vic", "demote").await;
    viewer.shows_notice("You are in the audience again").await;
    viewer.shown("#hand").await;
    viewer.until_gone("#camera").await;
    for page in [&host, &viewer, &other] {
        page.has_no(&tile("vic")).await;
    }
    for page in [host, viewer, other] {
        assert_eq!(page.console_errors(true).await, Vec::<String>::new());
        page.close().await;
    }
}

#[tokio::test]
async fn host_mutes_a_speaker_by_keyboard() {
    let fixture = PageFixture::start().await;
    let stream = fixture.create(json!({})).await;
    let (host, speaker) = (fixture.driver.browser().await, fixture.driver.browser().await);
    fixture.join_room(&host, &stream, "Ann", "host").await;
    fixture.join_room(&speaker, &stream, "Sam", "host").await;
    host.shown(&format!("{} [data-source=microphone]", row("sam"))).await;
    let more = format!("{} .more", row("sam"));
    let focused = "return document.activeElement.dataset.action ?? document.activeElement.className";
    let press = async |key: Key, expected: &str| {
        host.client.active_element().await.unwrap().send_keys(&key.to_string()).await.unwrap();
        host.until(expected, || async { host.script(focused).await == expected }).await;
    };
    host.script(&format!("document.querySelector({}).focus()", json!(more))).await;
    press(Key::Enter, "mute").await;
    host.inspect("room-menu").await;
    press(Key::Up, "block").await;
    press(Key::Escape, "more").await;
    press(Key::Enter, "mute").await;
    press(Key::Down, "demote").await;
    press(Key::Home, "mute").await;
    press(Key::Enter, "more").await;
    speaker.text_is("#mic .label", |text| text == "Unmute").await;
    host.until_gone(&format!("{} [data-source=microphone]", row("sam"))).await;
    // The speaker may unmute.
    speaker.click("#mic").await;
    host.shown(&format!("{} [data-source=microphone]", row("sam"))).await;
    for page in [host, speaker] {
        page.close().await;
    }
}

#[tokio::test]
async fn stream_goes_backstage_and_live_on_its_page() {
    let fixture = PageFixture::start().await;
    let (host, viewer) = (fixture.driver.browser().await, fixture.driver.browser().await);
    host.open(&fixture.page("/")).await;
    host.fill("#start input[name=title]", "Product launch").await;
    host.click("#start summary").await;
    host.click("#start input[name=backstage]").await;
    host.inspect("index-backstage").await;
    host.click("#start button[type=submit]").await;
    host.text_is("#started", |text| text.contains("is backstage")).await;
    host.text_is("[data-stream-id] .status", |text| text == "Backstage").await;
    host.click("#started a.primary").await;
    host.join("Ann", "host").await;
    host.phase("live").await;
    let stream = fixture.request(Method::GET, "/streams", None).await[0].clone();
    host.text_is("#status", |text| text == "Backstage").await;
    host.inspect("room-backstage").await;
    viewer.open(&fixture.room(&stream)).await;
    viewer.join("Vic", "viewer").await;
    viewer.shows_notice("This stream is not live at the moment").await;
    host.click("#live-toggle").await;
    viewer.text_is("#status", |text| text == "Live").await;
    viewer.click("#join button[type=submit]").await;
    viewer.phase("live").await;
    assert_eq!(viewer.script("return document.querySelector('#live-toggle').hidden").await, true);
    host.text_is("#live-toggle .label", |text| text == "Backstage").await;
    host.shown(&row("vic")).await;
    host.click("#live-toggle").await;
    host.text_is("dialog", |text| text.contains("1 viewer is disconnected")).await;
    host.click("dialog button[value=yes]").await;
    viewer.phase("left").await;
    viewer.text_is("#end h2", |text| text == "This stream is backstage").await;
    viewer.inspect("room-left-backstage").await;
    host.click("#live-toggle").await;
    viewer.text_is("#end h2", |text| text == "This stream is live").await;
    viewer.click("#again").await;
    viewer.join("Vic", "viewer").await;
    viewer.phase("live").await;
    for page in [host, viewer] {
        page.close().await;
    }
}

#[tokio::test]
async fn host_copies_different_links_for_viewers_and_hosts() {
    let fixture = PageFixture::start().await;
    let stream = fixture.create(json!({})).await;
    let page = fixture.driver.browser().await;
    let collect = "window.copied = []; Object.defineProperty(navigator, 'clipboard', \
        {value: {writeText: async (text) => void copied.push(text)}})";
    page.before_pages(collect).await;
    fixture.join_room(&page, &stream, "Ann", "host").await;
    for (count, audience) in [(1, "viewers"), (2, "hosts")] {
        page.click("#invite").await;
        page.click(&format!("[data-action={audience}]")).await;
        page.until("the link", || async { page.script("return copied.length").await == count }).await;
    }
    let room = fixture.room(&stream);
    let links = page.script("return copied").await;
    assert_eq!(links, json!([format!("{room}&role=viewer"), format!("{room}&role=host")]));
    // A viewer copies the viewers' link at once.
    fixture.join_room(&page, &stream, "Vic", "viewer").await;
    page.click("#invite").await;
    page.until("the link", || async {
        page.script("return copied").await == json!([format!("{room}&role=viewer")])
    })
    .await;
    page.close().await;
}

#[tokio::test]
async fn removed_viewer_may_join_again() {
    let fixture = PageFixture::start().await;
    let stream = fixture.create(json!({"metadata": {"title": "Product launch"}})).await;
    let (host, viewer) = (fixture.driver.browser().await, fixture.driver.browser().await);
    fixture.join_room(&host, &stream, "Ann", "host").await;
    fixture.join_room(&viewer, &stream, "Vic", "viewer").await;
    host.act_on("vic", "remove").await;
    viewer.phase("left").await;
    viewer.text_is("#end h2", |text| text == "You were removed").await;
    viewer.inspect("room-removed").await;
    viewer.click("#again").await;
    viewer.join("Vic", "viewer").await;
    viewer.phase("live").await;
    for page in [host, viewer] {
        page.close().await;
    }
}

/// In a simulated room, which has no tracks.
#[tokio::test]
async fn simulated_room_has_hands_and_stage() {
    let nowhere = format!("ws://localhost:{}", free_port());
    let setup = Setup::new("unused", &nowhere).with(|arguments| {
        arguments.dev = true;
        arguments.redis_url = None;
    });
    let app = setup.start().await;
    let stream = app.create(json!({"audience": "counted"})).await;
    let join = format!("/streams/{}/join", stream["id"].as_str().unwrap());
    for identity in [".", ".."] {
        let refused = app.send(Method::POST, &join, Some(json!({"identity": identity}))).await;
        assert_eq!(refused.status, 400);
        assert_eq!(refused.body["errors"][0]["field"], "identity");
    }
    let url = format!(
        "{}/room.html?streamId={}",
        app.base.replace("127.0.0.1", "localhost"),
        stream["id"].as_str().unwrap()
    );
    let driver = Driver::start();
    let (host, viewer) = (driver.browser().await, driver.browser().await);
    for (page, name, role) in [(&host, "Ann", "host"), (&viewer, "Vic", "viewer")] {
        page.open(&url).await;
        page.join(name, role).await;
        page.phase("live").await;
    }
    host.has_no(&row("vic")).await;
    viewer.click("#hand").await;
    host.shown(&row("vic")).await;
    host.click("#hands .invite").await;
    viewer.shows_notice("You are on stage").await;
    for page in [&host, &viewer] {
        page.shown(&tile("vic")).await;
    }
    host.act_on("vic", "demote").await;
    viewer.shows_notice("You are in the audience again").await;
    host.has_no(&tile("vic")).await;
    host.confirm("#live-toggle").await;
    viewer.phase("left").await;
    viewer.text_is("#end h2", |text| text == "This stream is backstage").await;
    host.click("#live-toggle").await;
    for (action, title) in [("remove", "You were removed"), ("block", "You are blocked")] {
        viewer.click("#again").await;
        viewer.join("Vic", "viewer").await;
        viewer.phase("live").await;
        viewer.click("#hand").await;
        host.act_on("vic", action).await;
        if action == "block" {
            host.click("dialog button[value=yes]").await;
        }
        viewer.phase("left").await;
        viewer.text_is("#end h2", |text| text == title).await;
    }
    app.send(Method::DELETE, &format!("/streams/{}", stream["id"].as_str().unwrap()), None).await;
    for page in [host, viewer] {
        page.close().await;
    }
}

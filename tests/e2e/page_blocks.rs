//! Blocks on the page of a stream: the host's menu and its confirmation, and the page of the blocked participant.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fantoccini::key::Key;
use livekit_api::access_token::VideoGrants;
use serde_json::{Value, json};

use crate::{
    page_fixture::PageFixture,
    page_tokens::{create, enter_token, join_grants, start_with_auth, token},
    webdriver::Browser,
};

const VIC: &str = "#participants [data-identity=vic]";
const TILE: &str = "#tiles .tile[data-source=camera][data-identity=vic]";

impl Browser {
    /// Presses a key and waits for what then has the focus: an item of a menu, a button of a dialog, or a class.
    async fn press(&self, key: Key, expected: &str) {
        self.client.active_element().await.unwrap().send_keys(&key.to_string()).await.unwrap();
        let focused = "const {dataset, value, className} = document.activeElement; \
                       return dataset.action || value || className";
        self.until(expected, || async { self.script(focused).await == expected }).await;
    }

    async fn focus(&self, css: &str) {
        self.shown(css).await;
        self.script(&format!("document.querySelector({}).focus()", json!(css))).await;
    }

    /// Opens a stream's page with a token and joins.
    async fn join_with_token(&self, fixture: &PageFixture, stream: &Value, token: &str) {
        self.open(&fixture.room(stream)).await;
        enter_token(self, token).await;
        self.phase("lobby").await;
        self.click("#join button[type=submit]").await;
        self.phase("live").await;
    }

    async fn shows_end(&self, phase: &str, title: &str) {
        self.phase(phase).await;
        self.text_is("#end h2", |text| text == title).await;
    }
}

/// Cancels the confirmation of a block first. Cancel has the initial focus.
async fn block_by_keyboard(host: &Browser, vic: &Browser) {
    host.focus(&format!("{VIC} .more")).await;
    host.press(Key::Enter, "promote").await;
    host.press(Key::Up, "block").await;
    host.press(Key::Enter, "no").await;
    host.text_is("dialog h2", |text| text.starts_with("Block") && text.contains("vic")).await;
    host.inspect("room-block").await;
    host.press(Key::Escape, "more").await;
    assert_eq!(vic.script("return document.body.dataset.phase").await, "live", "a cancelled block");
    host.press(Key::Enter, "promote").await;
    host.press(Key::End, "block").await;
    host.press(Key::Enter, "no").await;
    host.press(Key::Tab, "yes").await;
    host.client.active_element().await.unwrap().send_keys(&Key::Enter.to_string()).await.unwrap();
    host.has_shown_notice("is blocked").await;
}

#[tokio::test]
async fn host_invites_a_hand_demotes_and_blocks_it_until_it_is_unblocked() {
    let fixture = start_with_auth().await;
    let stream = create(&fixture, "Product launch").await;
    let room = &stream["roomName"];
    let viewer = || VideoGrants { can_publish: Some(false), ..join_grants(room) };
    let driver = &fixture.driver;
    let (host, vic, tom) = (driver.browser().await, driver.browser().await, driver.browser().await);
    host.open(&fixture.room(&stream)).await;
    let admin =
        VideoGrants { room_admin: true, room: room.as_str().unwrap().to_owned(), ..VideoGrants::default() };
    enter_token(&host, &token("ann", admin)).await;
    host.join("Ann", "host").await;
    host.phase("live").await;
    vic.join_with_token(&fixture, &stream, &token("vic", viewer())).await;
    tom.join_with_token(&fixture, &stream, &token("tom", viewer())).await;

    vic.click("#hand").await;
    host.text_is("#hands-count", |text| text == "1").await;
    host.click("#hands .invite").await;
    vic.shows_notice("You are on stage").await;
    vic.click("#camera").await;
    tom.frames(&format!("{TILE} video"), 10).await;
    host.click(&format!("{VIC} .more")).await;
    host.click(&format!("{VIC} [data-action=demote]")).await;
    vic.shows_notice("You are in the audience again").await;
    tom.until_gone(TILE).await;

    block_by_keyboard(&host, &vic).await;
    vic.shows_end("left", "You are blocked").await;
    assert_eq!(vic.script("return document.querySelector('#again').hidden").await, true);
    vic.inspect("room-blocked").await;
    for page in [&host, &tom] {
        page.shown(&format!("{VIC}[data-state=disconnected]")).await;
    }

    // The page stays out with its old link and token.
    vic.open(&fixture.room(&stream)).await;
    vic.shows_end("error", "You are blocked").await;
    vic.inspect("room-blocked-reloaded").await;
    vic.click("#retry").await;
    vic.shows_end("error", "You are blocked").await;
    host.shown(&format!("{VIC}[data-state=disconnected]")).await;
    host.click(&format!("{VIC} .more")).await;
    host.click(&format!("{VIC} [data-action=unblock]")).await;
    host.has_shown_notice("may join again").await;
    vic.click("#retry").await;
    vic.phase("lobby").await;
    vic.click("#join button[type=submit]").await;
    vic.phase("live").await;
    host.shown(&format!("{VIC}[data-state=active]")).await;
    for page in [host, vic, tom] {
        assert_eq!(page.console_errors(false).await, Vec::<String>::new());
        page.close().await;
    }
}

#[tokio::test]
async fn blocked_page_without_token_stays_out_after_reload() {
    let fixture = PageFixture::start().await;
    let stream = fixture.create(json!({})).await;
    let (host, viewer) = (fixture.driver.browser().await, fixture.driver.browser().await);
    fixture.join_room(&host, &stream, "Ann", "host").await;
    fixture.join_room(&viewer, &stream, "Vic", "viewer").await;
    let row = "#participants [data-identity^='vic-']";
    host.click(&format!("{row} .more")).await;
    host.confirm(&format!("{row} [data-action=block]")).await;
    viewer.shows_end("left", "You are blocked").await;
    for name in ["Vic", "Victor"] {
        viewer.open(&fixture.room(&stream)).await;
        viewer.join(name, "viewer").await;
        viewer.shows_end("left", "You are blocked").await;
    }
    host.click(&format!("{row} .more")).await;
    host.click(&format!("{row} [data-action=unblock]")).await;
    host.has_shown_notice("may join again").await;
    fixture.join_room(&viewer, &stream, "Vic", "viewer").await;
    for page in [host, viewer] {
        page.close().await;
    }
}

#[tokio::test]
async fn block_before_the_user_has_joined_ends_the_page() {
    let fixture = start_with_auth().await;
    let stream = create(&fixture, "Product launch").await;
    let room = &stream["roomName"];
    let vic = fixture.driver.browser().await;
    vic.open(&fixture.room(&stream)).await;
    enter_token(&vic, &token("vic", join_grants(room))).await;
    vic.phase("lobby").await;
    vic.text_is("#feed", |text| text == "Up to date").await;
    let path = format!("/streams/{}/blocks/vic", stream["id"].as_str().unwrap());
    let admin =
        VideoGrants { room_admin: true, room: room.as_str().unwrap().to_owned(), ..VideoGrants::default() };
    let url = format!("{}{path}", fixture.instance.address().http);
    let request = reqwest::Client::new().put(url).bearer_auth(token("ann", admin)).json(&json!({}));
    assert!(request.send().await.unwrap().status().is_success());
    vic.shows_end("left", "You are blocked").await;
    vic.close().await;
}

/// The list of participants of a counted stream does not have its viewers.
#[tokio::test]
async fn host_blocks_viewer_of_counted_stream_by_identity_until_it_is_unblocked() {
    let fixture = PageFixture::start().await;
    let stream = fixture.create(json!({"audience": "counted"})).await;
    let (host, viewer) = (fixture.driver.browser().await, fixture.driver.browser().await);
    fixture.join_room(&host, &stream, "Ann", "host").await;
    fixture.join_room(&viewer, &stream, "Vic", "viewer").await;
    viewer.until_gone("#blocks").await;
    host.text_is("#viewers", |text| text == "1 watching").await;
    let listed = "return document.querySelectorAll('#participants li').length";
    assert_eq!(host.script(listed).await, 1);

    host.focus("#blocks > summary").await;
    host.client.active_element().await.unwrap().send_keys(&Key::Enter.to_string()).await.unwrap();
    host.text_is("#no-blocks", |text| text == "No one is blocked.").await;
    host.fill("#block [name=identity]", "..").await;
    host.click("#block [type=submit]").await;
    host.text_is("#blocks > .error", |text| text.contains("cannot be blocked")).await;
    let identity = viewer_identity(&fixture, &stream).await;
    host.fill("#block [name=identity]", &identity).await;
    host.client.active_element().await.unwrap().send_keys(&Key::Enter.to_string()).await.unwrap();
    host.text_is("dialog h2", |text| text.starts_with("Block") && text.contains(&identity)).await;
    host.click("dialog button[value=yes]").await;
    viewer.shows_end("left", "You are blocked").await;
    host.text_is("#blocks .jobs .name", |text| text == identity).await;
    host.text_is("#blocks-count", |text| text == "1").await;
    host.text_is("#blocks > .error", str::is_empty).await;
    host.inspect("room-blocks").await;

    host.focus("#blocks .unblock").await;
    host.client.active_element().await.unwrap().send_keys(&Key::Enter.to_string()).await.unwrap();
    host.has_shown_notice("may join again").await;
    host.until_gone("#blocks .jobs li").await;
    assert_eq!(host.script("return document.activeElement.parentElement.id").await, "blocks");
    fixture.join_room(&viewer, &stream, "Vic", "viewer").await;
    for page in [host, viewer] {
        assert_eq!(page.console_errors(false).await, Vec::<String>::new());
        page.close().await;
    }
}

/// Identity of the only viewer, which the pages of a counted stream do not list.
async fn viewer_identity(fixture: &PageFixture, stream: &Value) -> String {
    let path = format!("/streams/{}/participants", stream["id"].as_str().unwrap());
    let participants: Value = fixture.get(&path).await.json().await.unwrap();
    let is_viewer = |one: &&Value| one["role"] == "viewer";
    let viewer = participants.as_array().unwrap().iter().find(is_viewer).unwrap();
    viewer["identity"].as_str().unwrap().to_owned()
}

/// A feed that never opens.
const NO_FEED: &str = "window.EventSource = class extends EventTarget { \
    static CLOSED = 2; readyState = 0; close() { this.readyState = 2; } }";

#[tokio::test]
async fn hand_shows_its_state_while_the_feed_is_down() {
    let fixture = PageFixture::start().await;
    for audience in ["listed", "counted"] {
        let stream = fixture.create(json!({"audience": audience})).await;
        let viewer = fixture.driver.browser().await;
        viewer.before_pages(NO_FEED).await;
        fixture.join_room(&viewer, &stream, "Vic", "viewer").await;
        for label in ["Raise hand", "Lower hand", "Raise hand"] {
            viewer.text_is("#hand .label", |text| text == label).await;
            viewer.click("#hand").await;
        }
        viewer.text_is("#hand .label", |text| text == "Lower hand").await;
        assert_eq!(viewer.script("return document.querySelector('#feed').textContent").await, "Connecting…");
        viewer.close().await;
    }
}

//! Every state of both pages, on a desktop and a phone, light and dark: no violation of axe, no overflow.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::Method;
use serde_json::json;

use crate::{
    page_fixture::PageFixture,
    support::{app::Setup, servers::free_port},
    webdriver::Driver,
};

const LISTED: [(&str, &str, u32); 3] = [
    ("Product launch: spring collection", "launch", 500),
    ("Weekly engineering demo", "eng-demo", 25),
    ("Customer onboarding, group 4", "onboarding-4", 12),
];

#[tokio::test]
async fn every_state_of_list_page_is_accessible_and_fits() {
    let mut fixture = PageFixture::start().await;
    let page = fixture.driver.browser().await;
    let wait_for_state = async |state: &str| {
        let script = "return document.body.dataset.list";
        page.until(state, || async { page.script(script).await == state }).await;
    };

    page.hold(&["*/streams*", "*/events*"]).await;
    page.open(&fixture.page("/")).await;
    wait_for_state("loading").await;
    page.inspect("index-loading").await;
    page.devtools("Fetch.disable", json!({})).await;

    page.block(&["*/streams*"]).await;
    page.open(&fixture.page("/")).await;
    wait_for_state("failed").await;
    page.inspect("index-failed").await;
    page.block(&[]).await;
    page.click("#retry").await;
    wait_for_state("empty").await;
    page.inspect("index-empty").await;

    page.click("#start summary").await;
    page.fill("#start input[name=maxParticipants]", "-1").await;
    page.click("#start button[type=submit]").await;
    page.shown("#start-error").await;
    page.inspect("index-refused").await;
    page.fill("#start input[name=maxParticipants]", "12").await;
    page.fill("#start input[name=title]", "Company all-hands").await;
    page.click("#start button[type=submit]").await;
    page.shown("#started").await;
    page.inspect("index-started").await;

    for (title, room, limit) in LISTED {
        let room = format!("{room}-{}", fixture.prefix);
        let body = json!({"roomName": room, "metadata": {"title": title}, "maxParticipants": limit});
        let stream = fixture.create(body).await;
        page.shown(&format!("[data-stream-id='{}']", stream["id"].as_str().unwrap())).await;
    }
    page.open(&fixture.page("/")).await;
    wait_for_state("ready").await;
    page.text_is("#part-livekit", |text| text == "LiveKit server").await;
    page.inspect("index-ready").await;

    page.click("[data-stream-id] .stop").await;
    page.shown("dialog").await;
    page.inspect("index-confirm").await;
    page.click("dialog button[value=no]").await;

    page.fill("#search", "no such title").await;
    wait_for_state("nomatch").await;
    page.inspect("index-nomatch").await;
    page.fill("#search", "e").await;
    wait_for_state("ready").await;

    fixture.instance.kill();
    page.text_is("#connection", |text| text.contains("Reconnecting")).await;
    page.text_is("#instance", |text| text == "Not answering").await;
    page.inspect("index-reconnecting").await;
    page.close().await;
}

#[tokio::test]
async fn every_state_of_room_page_is_accessible_and_fits() {
    let mut fixture = PageFixture::start().await;
    let stream = fixture
        .create(json!({"metadata": {"title": "Product launch: spring collection"}, "maxParticipants": 3}))
        .await;
    let page = fixture.driver.browser().await;

    page.hold(&["*/streams/*"]).await;
    page.open(&fixture.room(&stream)).await;
    page.phase("loading").await;
    page.inspect("room-loading").await;
    page.devtools("Fetch.disable", json!({})).await;

    page.open(&fixture.room(&stream)).await;
    page.phase("lobby").await;
    page.frames("#preview", 5).await;
    page.fill("#join input[name=name]", "Ann Sørensen").await;
    page.inspect("room-lobby").await;
    page.choose("#join select[name=role]", "viewer").await;
    page.inspect("room-lobby-viewer").await;
    page.click("#join button[type=submit]").await;
    page.phase("live").await;
    page.shown("#no-video").await;
    page.inspect("room-quiet").await;
    page.click("#leave").await;
    page.phase("left").await;
    page.inspect("room-left").await;

    page.click("#again").await;
    page.join("Ann Sørensen", "host").await;
    page.phase("live").await;
    let mut jonas = fixture.participant(&stream, "Jonas Weber", "host").await;
    jonas.send("publish").await;
    let _sam = fixture.participant(&stream, "Sam Okafor", "viewer").await;
    page.frames("#tiles .tile:nth-child(2) video", 5).await;
    page.text_is("#count", |text| text == "3").await;
    page.click("#events summary").await;
    page.inspect("room-live").await;
    // Muting keeps the button that switches the view.
    page.click("#mic").await;
    page.text_is("#mic .label", |text| text == "Unmute").await;
    page.until("the microphone's button", || async {
        page.script("return document.querySelector('#mic').disabled").await == false
    })
    .await;
    assert_eq!(page.script("return document.querySelector('#view').hidden").await, false);
    page.click("#view").await;
    page.inspect("room-speaker").await;
    page.click("#stop").await;
    page.shown("dialog").await;
    page.inspect("room-confirm").await;
    page.click("dialog button[value=no]").await;

    let late = fixture.driver.browser().await;
    late.open(&fixture.room(&stream)).await;
    late.join("Kim", "viewer").await;
    late.shows_notice("This stream is full").await;
    late.inspect("room-full").await;
    late.open(&fixture.page("/room.html?streamId=absent")).await;
    late.phase("error").await;
    late.inspect("room-unknown").await;
    late.close().await;

    fixture.instance.kill();
    page.shows_notice("Reconnecting").await;
    page.inspect("room-reconnecting").await;
    fixture.instance.start().await;
    page.has_shown_notice("Nothing was missed").await;
    fixture.request(Method::DELETE, &format!("/streams/{}", stream["id"].as_str().unwrap()), None).await;
    page.phase("stopped").await;
    page.text_is("#end-message", |text| text.contains("stopped it")).await;
    page.inspect("room-stopped").await;
    page.close().await;
}

#[tokio::test]
async fn every_state_of_counted_room_page_is_accessible_and_fits() {
    let fixture = PageFixture::start().await;
    let metadata = json!({"title": "Product launch: spring collection"});
    let body = json!({"metadata": metadata, "maxParticipants": 50_000, "audience": "counted"});
    let stream = fixture.create(body).await;
    let page = fixture.driver.browser().await;
    page.open(&fixture.room(&stream)).await;
    page.join("Ann Sørensen", "viewer").await;
    page.phase("live").await;
    page.text_is("#viewers", |text| text == "1 watching").await;
    page.inspect("room-counted-without-host").await;
    let mut jonas = fixture.participant(&stream, "Jonas Weber", "host").await;
    jonas.send("publish").await;
    let _sam = fixture.participant(&stream, "Sam Okafor", "viewer").await;
    page.frames("#tiles .tile video", 5).await;
    page.text_is("#viewers", |text| text == "2 watching").await;
    page.click("#events summary").await;
    page.inspect("room-counted").await;
    page.open(&fixture.page("/")).await;
    page.text_is("[data-stream-id] .roles", |text| text == "1 host, 1 viewer").await;
    page.inspect("index-counted").await;
    page.close().await;
}

#[tokio::test]
async fn every_state_of_browser_without_a_feature_is_accessible_and_fits() {
    let fixture = PageFixture::start().await;
    let stream = fixture.create(json!({"metadata": {"title": "Weekly engineering demo"}})).await;

    let refusing = fixture
        .driver
        .browser_with(&["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream=deny"])
        .await;
    refusing.open(&fixture.room(&stream)).await;
    refusing.shows_notice("Your camera was refused").await;
    refusing.inspect("room-camera-refused").await;
    refusing.close().await;

    let old = fixture.driver.browser().await;
    old.before_pages("delete window.RTCPeerConnection").await;
    old.open(&fixture.room(&stream)).await;
    old.shows_notice("no WebRTC").await;
    old.inspect("room-no-webrtc").await;
    old.close().await;

    let without = fixture.driver.browser().await;
    let watch = "window.blocked = []; \
        addEventListener('securitypolicyviolation', (violation) => blocked.push(violation.blockedURI))";
    without.before_pages(watch).await;
    without.block(&["*/vendor/livekit-client*"]).await;
    without.open(&fixture.room(&stream)).await;
    without.shows_notice("The video library could not be loaded").await;
    without.inspect("room-no-library").await;
    // The page requests the library from the service and from the CDN, and from no other origin.
    let host = url::Url::parse(&fixture.page("/")).unwrap();
    let own_origin = format!("localhost:{}", host.port().unwrap());
    assert_eq!(
        without.origins().await.into_iter().collect::<Vec<_>>(),
        ["cdn.jsdelivr.net:443", &own_origin]
    );
    // The policy blocks the CDN, because the service has the library.
    let blocked = without.script("return window.blocked").await;
    assert!(blocked[0].as_str().unwrap().starts_with("https://cdn.jsdelivr.net/"), "{blocked}");
    without.close().await;
}

/// More than 25 hosts. Their rooms are simulated, because one machine cannot encode so many videos.
#[tokio::test]
async fn room_page_with_many_hosts_shows_25_tiles_that_fit() {
    let nowhere = format!("ws://localhost:{}", free_port());
    let setup = Setup::new("unused", &nowhere).with(|arguments| {
        arguments.dev = true;
        arguments.redis_url = None;
    });
    let app = setup.start().await;
    let stream = app.create(json!({"metadata": {"title": "All hands"}})).await;
    let path = format!("/streams/{}/join", stream["id"].as_str().unwrap());
    let driver = Driver::start();
    let page = driver.browser().await;
    page.open(&format!(
        "{}/room.html?streamId={}",
        app.base.replace("127.0.0.1", "localhost"),
        stream["id"].as_str().unwrap()
    ))
    .await;
    page.join("Ann", "host").await;
    page.phase("live").await;
    let mut present = 1;
    for wanted in [2, 3, 7, 25, 27] {
        while present < wanted {
            present += 1;
            app.post(
                &path,
                json!({"identity": format!("host-{present}"), "name": format!("Host {present}"), "role": "host"}),
            )
            .await;
        }
        page.text_is("#count", |text| text == wanted.to_string()).await;
        let tiles = "return document.querySelectorAll('#tiles .tile').length";
        page.until("the tiles", || async { page.script(tiles).await == wanted.min(25) }).await;
        // All tiles are visible, do not overlap and have the same width.
        let fit = "const area = document.querySelector('#tiles').getBoundingClientRect(); \
            const boxes = [...document.querySelectorAll('#tiles .tile')].map((tile) => tile.getBoundingClientRect()); \
            const inside = (box) => box.left >= area.left - 1 && box.right <= area.right + 1 \
                && box.top >= area.top - 1 && box.bottom <= area.bottom + 1; \
            const apart = (a, b) => a === b || a.right <= b.left || b.right <= a.left \
                || a.bottom <= b.top || b.bottom <= a.top; \
            return boxes.every((box) => inside(box) && box.width > 60 && box.width === boxes[0].width \
                && boxes.every((other) => apart(box, other)))";
        page.inspect(&format!("room-tiles-{wanted}")).await;
        page.until("the tiles to fit", || async { page.script(fit).await == true }).await;
    }
    page.text_is("#hidden-tiles", |text| text.starts_with("2 more")).await;
    page.click("#view").await;
    page.inspect("room-tiles-speaker").await;
    page.close().await;
}

//! Counted streams on the bundled pages: the stage is listed, the viewers are a number.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    page_fixture::PageFixture,
    support::{
        app::{Setup, TestApp},
        servers::free_port,
    },
    webdriver::{Browser, Driver},
};

/// Waits until the room page's list has exactly these names, in this order.
async fn wait_for_names(page: &Browser, wanted: &[&str]) {
    let names =
        "return [...document.querySelectorAll('#participants .name')].map((name) => name.textContent)";
    page.until("the names", || async { page.script(names).await == json!(wanted) }).await;
}

/// Waits until header and list of the room page show this number of viewers.
async fn wait_for_watching(page: &Browser, wanted: &str) {
    page.text_is("#watching", |text| text == wanted).await;
    page.text_is("#viewers", |text| text == wanted).await;
}

#[tokio::test]
async fn counted_room_page_lists_hosts_and_counts_viewers_as_they_come_and_go() {
    let fixture = PageFixture::start().await;
    let stream = fixture.create(json!({"audience": "counted", "metadata": {"title": "Friday demo"}})).await;
    let (page, list) = (fixture.driver.browser().await, fixture.driver.browser().await);
    list.open(&fixture.page("/")).await;
    page.open(&fixture.room(&stream)).await;
    page.text_is("#participants-heading", |text| text == "On stage").await;
    page.text_is("#no-participants", |text| text == "No host on stage yet.").await;
    wait_for_watching(&page, "0 watching").await;
    page.until_gone("#here").await;

    let mut ann = fixture.participant(&stream, "Ann", "host").await;
    let mut bob = fixture.participant(&stream, "Bob", "viewer").await;
    wait_for_watching(&page, "1 watching").await;
    wait_for_names(&page, &["Ann"]).await;
    list.text_is("[data-stream-id] .roles", |text| text == "1 host, 1 viewer").await;

    // The user is in the audience: not on the list, but named beside the number.
    page.join("Cy", "viewer").await;
    page.phase("live").await;
    wait_for_watching(&page, "2 watching").await;
    page.text_is("#own-presence", |text| text == "You are watching as Cy.").await;
    wait_for_names(&page, &["Ann"]).await;
    list.text_is("[data-stream-id] .roles", |text| text == "1 host, 2 viewers").await;
    list.text_is("[data-stream-id] h3", |text| text == "Friday demo").await;
    // A second host comes on stage.
    let _dan = fixture.participant(&stream, "Dan", "host").await;
    wait_for_names(&page, &["Dan", "Ann"]).await;

    bob.send("leave").await;
    wait_for_watching(&page, "1 watching").await;
    ann.send("leave").await;
    page.shown("#participants [data-state=disconnected] .left-at").await;
    wait_for_names(&page, &["Dan", "Ann"]).await;
    page.click("#leave").await;
    page.phase("left").await;
    wait_for_watching(&page, "0 watching").await;
    page.until_gone("#own-presence").await;
    list.text_is("[data-stream-id] .roles", |text| text == "1 host, 0 viewers").await;
    for page in [page, list] {
        assert_eq!(page.console_errors(false).await, Vec::<String>::new());
        page.close().await;
    }
}

#[tokio::test]
async fn room_page_of_stream_that_becomes_counted_removes_viewers_from_list() {
    let fixture = PageFixture::start_with(|instance| instance.with("AUDIENCE_LISTED_MAX", "1")).await;
    let stream =
        fixture.create(json!({"maxParticipants": 1_000, "metadata": {"notes": "x".repeat(2_000)}})).await;
    let page = fixture.driver.browser().await;
    fixture.join_room(&page, &stream, "Ann", "viewer").await;
    wait_for_names(&page, &["Ann (you)"]).await;
    let _dan = fixture.participant(&stream, "Dan", "host").await;
    wait_for_names(&page, &["Dan", "Ann (you)"]).await;
    page.text_is("#participants-heading", |text| text == "Participants").await;
    page.until_gone("#watching").await;

    // The second viewer crosses the bound.
    let mut bob = fixture.participant(&stream, "Bob", "viewer").await;
    wait_for_watching(&page, "2 watching").await;
    wait_for_names(&page, &["Dan"]).await;
    page.text_is("#participants-heading", |text| text == "On stage").await;
    page.text_is("#own-presence", |text| text == "You are watching as Ann.").await;
    page.text_is("#here", |text| text == "3 of 1,000 here").await;
    // The flip is for good.
    bob.send("leave").await;
    wait_for_watching(&page, "1 watching").await;
    wait_for_names(&page, &["Dan"]).await;

    // A page that opens later shows the same.
    let late = fixture.driver.browser().await;
    late.open(&fixture.room(&stream)).await;
    wait_for_watching(&late, "1 watching").await;
    wait_for_names(&late, &["Dan"]).await;
    for page in [page, late] {
        assert_eq!(page.console_errors(false).await, Vec::<String>::new());
        page.close().await;
    }
}

/// The service tells that an entry is not on the list anymore: `data.removed`.
#[tokio::test]
async fn room_page_takes_participant_off_list_who_left_the_stage() {
    let fixture = PageFixture::start().await;
    let stream = fixture.create(json!({"audience": "counted"})).await;
    let path = format!("/streams/{}/join", stream["id"].as_str().unwrap());
    let page = fixture.driver.browser().await;
    page.open(&fixture.room(&stream)).await;
    wait_for_watching(&page, "0 watching").await;
    let join = |role: &str| Some(json!({"identity": "ann", "name": "Ann", "role": role}));
    fixture.request(Method::POST, &path, join("host")).await;
    wait_for_names(&page, &["Ann"]).await;
    fixture.request(Method::POST, &path, join("viewer")).await;
    wait_for_names(&page, &[]).await;
    page.click("#events summary").await;
    page.text_is("#log", |text| text.contains("Ann\u{2069} left the stage")).await;
    page.close().await;
}

/// An instance with simulated rooms, because one machine cannot connect 1,234 LiveKit clients.
async fn simulated() -> TestApp {
    let nowhere = format!("ws://localhost:{}", free_port());
    let setup = Setup::new("unused", &nowhere).with(|arguments| {
        arguments.dev = true;
        arguments.redis_url = None;
    });
    setup.start().await
}

/// Adds the viewers with these numbers.
async fn add_viewers(app: &TestApp, stream: &Value, numbers: std::ops::RangeInclusive<u32>) {
    let path = format!("/streams/{}/join", stream["id"].as_str().unwrap());
    for number in numbers {
        let viewer = json!({"identity": format!("viewer-{number}"), "role": "viewer"});
        app.post(&path, viewer).await.expect(StatusCode::OK);
    }
}

/// Records when the live region of the room page changes.
const RECORD_ANNOUNCEMENTS: &str = "window.announcements = []; const region = \
    document.querySelector('#audience-announcement'); new MutationObserver(() => \
    announcements.push([performance.now(), region.textContent])) \
    .observe(region, {childList: true, characterData: true, subtree: true})";

#[tokio::test]
async fn counted_pages_format_numbers_and_announce_them_rarely() {
    let app = simulated().await;
    let stream = app.create(json!({"audience": "counted"})).await;
    let base = app.base.replace("127.0.0.1", "localhost");
    let driver = Driver::start();
    let (page, list) = (driver.browser().await, driver.browser().await);
    list.open(&base).await;
    page.open(&format!("{base}/room.html?streamId={}", stream["id"].as_str().unwrap())).await;
    let region = "return document.querySelector('#audience-announcement').textContent";
    page.until("the announcement", || async { page.script(region).await == "0 people are watching." }).await;
    page.script(RECORD_ANNOUNCEMENTS).await;

    add_viewers(&app, &stream, 1..=1).await;
    wait_for_watching(&page, "1 watching").await;
    list.text_is("[data-stream-id] .roles", |text| text == "0 hosts, 1 viewer").await;
    add_viewers(&app, &stream, 2..=1_234).await;
    wait_for_watching(&page, "1,234 watching").await;
    list.text_is("[data-stream-id] .count", |text| text == "1,234").await;
    list.text_is("[data-stream-id] .roles", |text| text == "0 hosts, 1,234 viewers").await;
    list.text_is("#totals", |text| text == "1 stream, 1,234 people here").await;
    wait_for_names(&page, &[]).await;

    // The last number is announced at last, without further changes.
    page.until("the announcement", || async { page.script(region).await == "1,234 people are watching." })
        .await;
    let announced = page.script("return announcements").await;
    let times: Vec<f64> = announced.as_array().unwrap().iter().map(|one| one[0].as_f64().unwrap()).collect();
    assert!(
        times.windows(2).all(|pair| pair[1] - pair[0] > 10_000.0),
        "each change is announced: {announced}"
    );
    // Several counts in a row are one row of the log.
    let rows = "return document.querySelectorAll('#log [data-type=participant_count_updated]').length";
    assert_eq!(page.script(rows).await, 1);
    for page in [page, list] {
        page.close().await;
    }
}

//! The page of the history, on an instance in dev mode with its SQLite history.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fantoccini::key::Key;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    page_fixture::PageFixture,
    support::{
        app::{Setup, TestApp},
        eventually,
        servers::free_port,
    },
    webdriver::{Browser, Driver},
};

/// An instance with simulated rooms, whose participants are connected by their tokens.
async fn simulated() -> TestApp {
    let nowhere = format!("ws://localhost:{}", free_port());
    let setup = Setup::new("unused", &nowhere).with(|arguments| {
        arguments.dev = true;
        arguments.redis_url = None;
        arguments.egress.egress_storage_url = Some("file:///recordings".to_owned());
    });
    setup.start().await
}

/// Creates a stream in which so many viewers come and go, stops it, and waits for its history.
async fn past_stream(app: &TestApp, room: &str, title: &str, viewers: usize) -> Value {
    let stream = app.create(json!({"roomName": room, "metadata": {"title": title}})).await;
    let path = format!("/streams/{}", stream["id"].as_str().unwrap());
    if viewers > 0 {
        let recording = json!({"path": "{room}/evening"});
        app.post(&format!("{path}/recordings"), recording).await.expect(StatusCode::CREATED);
    }
    for n in 0..viewers {
        let viewer =
            json!({"identity": format!("viewer-{n:03}"), "name": format!("Viewer {n}"), "role": "viewer"});
        app.post(&format!("{path}/join"), viewer).await.expect(StatusCode::OK);
    }
    app.delete(&path).await.expect(StatusCode::OK);
    let history = format!("/history{path}");
    eventually("the history", || async {
        let summary = app.get(&history).await.body;
        (summary["status"] == "stopped" && summary["uniqueViewers"] == viewers).then_some(())
    })
    .await;
    stream
}

async fn wait_for_page(page: &Browser, state: &str) {
    page.until(state, || async { page.script("return document.body.dataset.page").await == state }).await;
}

async fn texts(page: &Browser, css: &str) -> Value {
    page.script(&format!("return [...document.querySelectorAll('{css}')].map((one) => one.textContent)"))
        .await
}

/// Keeps the texts of downloads instead of saving them.
const KEEP_DOWNLOADS: &str = "window.saved = []; \
    URL.createObjectURL = (blob) => { blob.text().then((text) => saved.push(text)); return '#' }";

async fn download(page: &Browser, button: &str) -> String {
    page.script(KEEP_DOWNLOADS).await;
    page.click(button).await;
    page.until("a download", || async { page.script("return saved.length").await == 1 }).await;
    page.script("return saved[0]").await.as_str().unwrap().to_owned()
}

/// Downloads the visits and the events of the shown stream.
async fn assert_downloads(app: &TestApp, page: &Browser, stream: &Value) {
    let csv = download(page, "#download-visits").await;
    assert_eq!((csv.lines().count(), csv.matches("identity,name,").count()), (231, 1));
    assert!(csv.contains("viewer-229,Viewer 229,viewer,standard,"));
    let csv = download(page, "#download-events").await;
    let log =
        app.get(&format!("/history/streams/{}/events?limit=1000", stream["id"].as_str().unwrap())).await;
    assert_eq!(csv.lines().count(), log.body.as_array().unwrap().len() + 1);
}

/// Filters the list and opens its stream with the keyboard alone.
async fn open_launch_by_keyboard(page: &Browser) {
    page.client
        .find(fantoccini::Locator::Css("#filter [name=roomName]"))
        .await
        .unwrap()
        .send_keys("launch")
        .await
        .unwrap();
    page.client
        .active_element()
        .await
        .unwrap()
        .send_keys(&String::from(char::from(Key::Enter)))
        .await
        .unwrap();
    page.until("the filter", || async { texts(page, "#streams h2").await == json!(["<b>Launch</b>"]) }).await;
    page.script("document.querySelector('#streams a').focus()").await;
    page.client
        .active_element()
        .await
        .unwrap()
        .send_keys(&String::from(char::from(Key::Enter)))
        .await
        .unwrap();
}

#[tokio::test]
async fn history_page_shows_past_streams_with_chart_visits_and_downloads() {
    let app = simulated().await;
    past_stream(&app, "demo", "Friday demo", 0).await;
    let stream = past_stream(&app, "launch", "<b>Launch</b>", 230).await;
    let base = app.base.replace("127.0.0.1", "localhost");
    let driver = Driver::start();
    let page = driver.browser().await;
    page.open(&format!("{base}/history.html")).await;
    wait_for_page(&page, "list").await;
    assert_eq!(texts(&page, "#streams h2").await, json!(["<b>Launch</b>", "Friday demo"]));
    assert_eq!(texts(&page, "#streams .peak strong").await, json!(["230", "0"]));
    page.inspect("history-list").await;
    let csv = download(&page, "#download-streams").await;
    assert_eq!((csv.lines().count(), csv.starts_with("id,roomName,")), (3, true));

    open_launch_by_keyboard(&page).await;
    wait_for_page(&page, "stream").await;
    assert_eq!(texts(&page, "#stream-heading").await, json!(["<b>Launch</b>"]));
    assert_eq!(texts(&page, "#figures dt").await[1], "Different viewers");
    let figures = texts(&page, "#figures dd").await;
    assert_eq!((&figures[0], &figures[1], &figures[4]), (&json!("230"), &json!("230"), &json!("0")));

    assert_eq!(texts(&page, "#recordings td p").await, json!(["launch/evening.mp4"]));
    let recording = texts(&page, "#recordings td").await;
    assert_eq!((&recording[1], &recording[2]), (&json!("whole room"), &json!("saved")));

    // The chart has more than its background.
    let colors = "const canvas = document.querySelector('#chart canvas'); if (!canvas) return 0; \
        const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height); \
        return new Set(new Uint32Array(data.buffer)).size";
    page.until("a chart", || async { page.script(colors).await.as_u64().unwrap() > 2 }).await;
    page.text_is("#chart-summary", |text| text.starts_with("At most 230 viewers, first at ")).await;
    page.click("details summary").await;
    assert!(texts(&page, "#points td").await.as_array().unwrap().contains(&json!("230")));
    assert_eq!(page.script("return document.querySelectorAll('#visits tbody tr').length").await, 200);
    page.inspect("history-stream").await;
    page.click("#more-visits").await;
    page.until("more visits", || async {
        page.script("return document.querySelectorAll('#visits tbody tr').length").await == 230
    })
    .await;
    page.until_gone("#more-visits:not([hidden])").await;
    let names = texts(&page, "#visits td.name").await;
    assert!(names.as_array().unwrap().contains(&json!("Viewer 7 (\u{2068}viewer-007\u{2069})")), "{names}");
    assert_downloads(&app, &page, &stream).await;
    assert_eq!(page.console_errors(false).await, Vec::<String>::new());
    page.close().await;
    app.stop().await;
}

#[tokio::test]
async fn history_page_says_what_is_missing() {
    let fixture = PageFixture::start().await;
    let page = fixture.driver.browser().await;
    page.open(&fixture.page("/history.html")).await;
    wait_for_page(&page, "disabled").await;
    page.inspect("history-disabled").await;
    page.block(&["*/history/streams*"]).await;
    page.open(&fixture.page("/history.html")).await;
    wait_for_page(&page, "failed").await;
    page.text_is("#load-error", |text| text.contains("does not answer")).await;
    page.inspect("history-failed").await;
    page.block(&[]).await;
    page.click("#retry").await;
    wait_for_page(&page, "disabled").await;
    page.close().await;
    let app = simulated().await;
    let page = fixture.driver.browser().await;
    let base = app.base.replace("127.0.0.1", "localhost");
    page.open(&format!("{base}/history.html?roomName=absent")).await;
    wait_for_page(&page, "list").await;
    page.shown(".state.empty").await;
    page.inspect("history-empty").await;
    page.open(&format!("{base}/history.html?stream=absent")).await;
    wait_for_page(&page, "failed").await;
    page.text_is("#load-error", |text| text.contains("no such stream")).await;
    page.close().await;
    app.stop().await;
}

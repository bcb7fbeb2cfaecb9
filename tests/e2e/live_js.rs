//! `live.js` without the pages, as other applications use it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    page_fixture::PageFixture,
    support::{instance::Instance, servers::shared_redis, within},
    webdriver::Browser,
};

/// Opens a feed with `live.js` and records its callbacks in `window.recorded`.
async fn follow(page: &Browser, address: &str) {
    let script = format!(
        "const done = arguments[arguments.length - 1]; \
         window.recorded = {{events: [], resets: [], states: []}}; \
         import('/assets/live.js').then(({{follow}}) => {{ \
             window.feed = follow({}, {{ \
                 onEvent: (event) => recorded.events.push(event.seq), \
                 onReset: (reset) => recorded.resets.push([reset.reason, reset.snapshot?.version ?? null]), \
                 onState: (state, status) => recorded.states.push(status ? `${{state}} ${{status}}` : state), \
             }}); done(); }})",
        json!(address)
    );
    page.client.execute_async(&script, Vec::new()).await.unwrap();
}

/// Returns the recorded `events`, `resets` or `states`.
async fn recorded(page: &Browser, what: &str) -> Value {
    page.script(&format!("return recorded.{what}")).await
}

async fn wait_until_recorded(page: &Browser, what: &str, wanted: Value) {
    page.until(what, || async { recorded(page, what).await == wanted }).await;
}

/// Answers every request with 503 until it has refused the feed of a stream. The page itself opens another feed.
async fn refuse_feed(port: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    loop {
        let (mut connection, _) = within("a reconnecting client", listener.accept()).await.unwrap();
        let mut head = [0; 4096];
        let read = connection.read(&mut head).await.unwrap_or_default();
        let answer = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let _ = connection.write_all(answer).await;
        if head[..read].starts_with(b"GET /events?streamId=") {
            return;
        }
    }
}

#[tokio::test]
async fn live_js_after_refused_reconnects_resumes_without_loss() {
    let mut fixture = PageFixture::start().await;
    let mut other = Instance::new(shared_redis(), &fixture.livekit.url(), &fixture.prefix);
    other.start().await;
    let stream = fixture.create(json!({})).await;
    let id = stream["id"].as_str().unwrap();
    let page = fixture.driver.browser().await;
    page.open(&fixture.page("/")).await;
    follow(&page, &format!("/events?streamId={id}")).await;
    wait_until_recorded(&page, "states", json!(["connecting", "open"])).await;
    let first = stream["version"].as_u64().unwrap() + 1;
    let client = reqwest::Client::new();
    let change = async |n: u64| {
        let url = format!("{}/streams/{id}", other.address().http);
        let patch = json!({"metadata": {"n": n}});
        assert!(client.patch(url).json(&patch).send().await.unwrap().status().is_success());
    };
    change(0).await;
    wait_until_recorded(&page, "events", json!([first])).await;

    fixture.instance.kill();
    page.until("the disconnect", || async { recorded(&page, "states").await.as_array().unwrap().len() == 3 })
        .await;
    let port = url::Url::parse(&fixture.page("/")).unwrap().port().unwrap();
    refuse_feed(port).await;
    for n in 1..4 {
        change(n).await;
    }
    fixture.instance.start().await;
    wait_until_recorded(&page, "events", json!([first, first + 1, first + 2, first + 3])).await;
    change(4).await;
    wait_until_recorded(&page, "events", json!([first, first + 1, first + 2, first + 3, first + 4])).await;
    assert_eq!(recorded(&page, "resets").await, json!([]));
    assert_eq!(recorded(&page, "states").await, json!(["connecting", "open", "reconnecting", "open"]));

    // The feed ends with the stream.
    fixture.request(Method::DELETE, &format!("/streams/{id}"), None).await;
    wait_until_recorded(&page, "states", json!(["connecting", "open", "reconnecting", "open", "ended 204"]))
        .await;
    page.close().await;
}

#[tokio::test]
async fn live_js_reports_resets_and_final_statuses() {
    let fixture = PageFixture::start().await;
    let stream = fixture.create(json!({})).await;
    let id = stream["id"].as_str().unwrap();
    let page = fixture.driver.browser().await;
    page.open(&fixture.page("/")).await;
    follow(&page, &format!("/events?streamId={id}&lastEventId=nonsense")).await;
    wait_until_recorded(&page, "resets", json!([["cursor_unknown", stream["version"]]])).await;
    assert_eq!(recorded(&page, "events").await, json!([]));
    page.script("feed.close()").await;

    follow(&page, "/events?streamId=absent").await;
    wait_until_recorded(&page, "states", json!(["connecting", "ended 404"])).await;
    fixture.request(Method::DELETE, &format!("/streams/{id}"), None).await;
    follow(&page, &format!("/events?streamId={id}&limit=10")).await;
    wait_until_recorded(&page, "states", json!(["connecting", "open", "ended 204"])).await;
    let events: Vec<u64> = serde_json::from_value(recorded(&page, "events").await).unwrap();
    assert_eq!(events, (1..=events.len() as u64).collect::<Vec<_>>());
    page.close().await;
}

/// The feed is lost between the parts of a reset. Meanwhile streams stop, so that the next reset has one message.
#[tokio::test]
async fn live_js_discards_parts_of_interrupted_reset() {
    let fixture = PageFixture::start().await;
    let page = fixture.driver.browser().await;
    page.open(&fixture.page("/")).await;
    let script = "const done = arguments[arguments.length - 1]; \
         let source; const snapshots = []; \
         window.EventSource = class extends EventTarget { constructor() { super(); source = this; } close() {} }; \
         import('/assets/live.js').then(({follow}) => { \
             follow('/events', {onEvent() {}, onReset: ({snapshot}) => snapshots.push(snapshot)}); \
             for (const part of [ \
                 {part: 1, parts: 3, snapshot: ['old']}, {part: 2, parts: 3, snapshot: ['old']}, \
                 {cursor: '1-0', snapshot: ['new']}, \
                 {part: 1, parts: 2, snapshot: ['old']}, {cursor: '2-0', snapshot: null}, \
                 {part: 1, parts: 2, snapshot: ['one']}, {part: 2, parts: 2, cursor: '3-0', snapshot: ['two']}, \
             ]) source.dispatchEvent(new MessageEvent('reset', {data: JSON.stringify(part)})); \
             done(snapshots); })";
    let snapshots = page.client.execute_async(script, Vec::new()).await.unwrap();
    assert_eq!(snapshots, json!([["new"], null, ["one", "two"]]));
    page.close().await;
}

#[tokio::test]
async fn room_page_after_reset_shows_notice_and_continues() {
    let fixture = PageFixture::start().await;
    let stream = fixture.create(json!({"metadata": {"title": "Friday demo"}})).await;
    let _bob = fixture.participant(&stream, "Bob", "viewer").await;
    let page = fixture.driver.browser().await;
    // Simulates a page whose cursor has expired.
    page.before_pages(
        "const Source = EventSource; window.EventSource = class extends Source { constructor(input) { \
             const url = new URL(input); url.searchParams.set('lastEventId', 'nonsense'); super(url); } }",
    )
    .await;
    page.open(&fixture.room(&stream)).await;
    page.has_shown_notice("The stream was reloaded").await;
    page.click("#events summary").await;
    page.text_is("#log [data-note=resumed]", |text| {
        text.contains("Started again from a snapshot as of #") && text.contains("cursor_unknown")
    })
    .await;
    page.text_is("#count", |text| text == "1").await;
    let patch = json!({"metadata": {"title": "Monday demo"}});
    fixture
        .request(Method::PATCH, &format!("/streams/{}", stream["id"].as_str().unwrap()), Some(patch))
        .await;
    page.text_is("#title", |text| text == "Monday demo").await;
    page.close().await;
}

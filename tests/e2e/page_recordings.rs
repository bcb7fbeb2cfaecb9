//! Recordings and broadcasts on the page of a stream: the panel of hosts, and the badges that everyone sees.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fantoccini::key::Key;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    page_fixture::PageFixture, page_tokens::create, panel_fixture::PanelFixture, support::instance::Instance,
    webdriver::Browser,
};

const RECORDING: &str = "#recordings .jobs li:nth-child(1)";

/// Settings of a store. The scripted workers do not write to it.
fn with_storage(instance: Instance) -> Instance {
    instance
        .with("EGRESS_STORAGE_URL", "s3://recordings/live")
        .with("EGRESS_STORAGE_ENDPOINT", "http://store.test")
        .with("EGRESS_STORAGE_ACCESS_KEY", "store-key")
        .with("EGRESS_STORAGE_SECRET", "store-secret-0123456789")
        .with("EGRESS_PUBLIC_URL", "https://cdn.test/live")
}

impl Browser {
    /// Waits until a badge of the header shows how long its job has run.
    async fn shows_elapsed(&self, css: &str) {
        self.shown(css).await;
        let is_time = |text: &str| {
            text.split_once(':').is_some_and(|(minutes, seconds)| minutes == "0" && seconds.len() == 2)
        };
        self.text_is(&format!("{css} time"), is_time).await;
    }

    async fn state_is(&self, row: &str, expected: &str) {
        self.text_is(&format!("{row} .state"), |text| text.starts_with(expected)).await;
    }

    async fn add_target(&self, server: &str, key: &str) {
        self.fill("#add-output [name=server]", server).await;
        self.fill("#add-output [name=key]", key).await;
        self.press_on("#add-output [name=key]", Key::Enter).await;
    }
}

#[tokio::test]
async fn host_records_stream_which_viewers_see_until_it_stops() {
    let fixture = PanelFixture::start_with(with_storage).await;
    let stream = create(&fixture.page, "Product launch").await;
    let (host, viewer) = (fixture.host(&stream).await, fixture.viewer(&stream).await);
    viewer.until_gone("#recording").await;
    viewer.text_is("#live-time", |text| text.starts_with("0:")).await;
    host.press_on("#broadcast > summary", Key::Enter).await;
    host.press_on("#record", Key::Enter).await;
    host.text_is("#record", |text| text == "Stop recording").await;
    host.state_is(RECORDING, "recording").await;
    for page in [&host, &viewer] {
        page.shows_elapsed("#recording").await;
    }
    viewer.announces("This stream is being recorded.").await;
    viewer.click("#events > summary").await;
    viewer.text_is("#log", |text| text.contains("Recording: active")).await;
    // A page that is opened later has not seen the event.
    let late = fixture.viewer(&stream).await;
    late.shows_elapsed("#recording").await;
    late.announces("This stream is being recorded.").await;
    host.inspect("room-recording").await;
    host.press_on("#record", Key::Enter).await;
    host.text_is("#record", |text| text == "Start recording").await;
    host.state_is(RECORDING, "saved · 0:").await;
    for page in [&host, &viewer, &late] {
        page.until_gone("#recording").await;
    }
    viewer.announces("The recording has ended.").await;
    let link = host.shown(&format!("{RECORDING} .files a")).await;
    let href = link.attr("href").await.unwrap().unwrap();
    assert!(href.starts_with("http") && href.ends_with(".mp4"), "{href}");
    host.inspect("room-recorded").await;

    // The results come after the end of the stream.
    host.click("#record").await;
    host.state_is(RECORDING, "recording").await;
    host.confirm("#stop").await;
    host.phase("stopped").await;
    host.state_is(RECORDING, "saved").await;
    host.until("both links", || async {
        host.script("return document.querySelectorAll('#recordings .files a').length").await == 2
    })
    .await;
    host.until_gone("#outputs").await;
    host.inspect("room-stopped-recordings").await;
    for page in [host, viewer, late] {
        assert_eq!(page.console_errors(false).await, Vec::<String>::new());
        page.close().await;
    }
}

#[tokio::test]
async fn host_adds_and_removes_targets_and_starts_hls() {
    let fixture = PanelFixture::start_with(with_storage).await;
    let stream = create(&fixture.page, "Product launch").await;
    let (host, viewer) = (fixture.host(&stream).await, fixture.viewer(&stream).await);
    viewer.until_gone("#broadcasting").await;
    host.click("#broadcast > summary").await;
    host.add_target("rtmp://127.0.0.1/app/", "first-key-of-the-host").await;
    let names = "return [...document.querySelectorAll('#outputs .name')].map((name) => name.textContent)";
    let masked = "rtmp://127.0.0.1/app/***";
    host.until("the target", || async { host.script(names).await == json!([masked]) }).await;
    host.state_is("#outputs .jobs li:nth-child(1)", "sending").await;
    for page in [&host, &viewer] {
        page.shows_elapsed("#broadcasting").await;
        page.hides("first-key-of-the-host").await;
    }
    viewer.announces("This stream is being broadcast to other platforms.").await;
    host.add_target("rtmp://127.0.0.1/app", "second-key-of-the-host").await;
    host.until("both targets", || async { host.script(names).await == json!([masked, masked]) }).await;
    host.state_is("#outputs .jobs li:nth-child(2)", "sending").await;
    host.inspect("room-targets").await;
    host.press_on("#outputs .jobs li:nth-child(1) .remove", Key::Enter).await;
    host.until("one target", || async { host.script(names).await == json!([masked]) }).await;
    assert_eq!(fixture.workers.calls("StartEgress").await.len(), 1);
    assert_eq!(fixture.workers.calls("UpdateStream").await.len(), 2);
    viewer.shown("#broadcasting").await;
    // The last target ends the broadcast.
    host.click("#outputs .jobs .remove").await;
    host.until_gone("#outputs .jobs li").await;
    for page in [&host, &viewer] {
        page.until_gone("#broadcasting").await;
    }

    host.click("#start-hls").await;
    host.text_is("#outputs .name", |text| text == "HLS").await;
    host.until_gone("#start-hls").await;
    let broadcasts = fixture.request(Method::GET, &stream, "/broadcasts").await;
    let hls = &broadcasts[1]["hls"];
    for (nth, label) in [(2, "Live playlist"), (3, "Full playlist")] {
        host.click(&format!("#outputs .copy-field:nth-of-type({nth}) [data-verb=copy]")).await;
        host.announces(&format!("{label} copied.")).await;
    }
    host.has_copied(json!([hls["livePlaylist"], hls["url"]])).await;
    let live = hls["livePlaylist"].as_str().unwrap();
    assert!(live.starts_with("https://cdn.test/live/") && live.ends_with(".live.m3u8"), "{live}");
    host.inspect("room-hls").await;
    host.click("#outputs .remove").await;
    host.until_gone("#outputs .jobs li").await;
    let broadcasts = fixture.request(Method::GET, &stream, "/broadcasts").await;
    let ended = |one: &Value| one["status"] == "complete";
    assert!(broadcasts.as_array().unwrap().iter().all(ended), "{broadcasts}");
    for page in [host, viewer] {
        assert_eq!(page.console_errors(false).await, Vec::<String>::new());
        page.close().await;
    }
}

#[tokio::test]
async fn panel_without_storage_and_egress_says_what_is_missing() {
    let fixture = PageFixture::start().await;
    let stream = fixture.create(json!({})).await;
    let host = fixture.driver.browser().await;
    fixture.join_room(&host, &stream, "Ann", "host").await;
    host.click("#broadcast > summary").await;
    host.click("#record").await;
    host.text_is("#recordings > .error", |text| text.contains("no storage for recordings")).await;
    host.click("#start-hls").await;
    host.text_is("#outputs > .error", |text| text.contains("no storage for recordings")).await;
    host.add_target("rtmp://127.0.0.1/app", "key-of-the-host").await;
    host.text_is("#outputs > .error", |text| text.contains("runs without Redis")).await;
    host.inspect("room-broadcast-without-egress").await;
    host.add_target("https://127.0.0.1/app", "key-of-the-host").await;
    host.text_is("#outputs > .error", |text| text.contains("rtmp")).await;
    host.text_is("#recording", str::is_empty).await;
    host.close().await;
}

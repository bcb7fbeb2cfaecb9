//! The bundled pages in Chromium, with real video.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Value, json};

use super::Stage;
use crate::{
    support::{
        app::Setup,
        instance::Instance,
        servers::{free_port, shared_livekit, shared_redis},
        unique,
    },
    webdriver::{Browser, Driver},
};

async fn enter(browser: &Browser, url: &str, name: &str, role: &str) {
    browser.open(url).await;
    browser.phase("lobby").await;
    browser.choose("#join select[name=role]", role).await;
    browser.fill("#join input[name=name]", name).await;
    browser.click("#join button[type=submit]").await;
    browser.phase("live").await;
}

#[tokio::test]
async fn two_people_meet_and_a_third_sees_the_counts() {
    let Stage { one, two, livekit: _livekit } = Stage::set().await;
    // A page must be on `localhost` to get a camera.
    let [first, second] = [&one, &two].map(|app| app.base.replace("127.0.0.1", "localhost"));
    let driver = Driver::start();
    let (host, viewer, onlooker) = (driver.browser().await, driver.browser().await, driver.browser().await);

    onlooker.open(&second).await;
    host.open(&first).await;
    let title = "<img src=x onerror=alert(1)> & \"friends\"";
    host.fill("#start input[name=title]", title).await;
    host.click("#start button[type=submit]").await;
    let open = host.path_of("[data-stream-id] a.open").await;
    onlooker.text_is("[data-stream-id]", |text| text.contains(title)).await;
    onlooker.text_is("[data-stream-id] .count", |text| text == "0").await;

    enter(&host, &format!("{first}{open}"), "Ann", "host").await;
    onlooker.text_is("[data-stream-id] .count", |text| text == "1").await;
    enter(&viewer, &format!("{second}{open}"), "Bob", "viewer").await;
    for page in [&host, &viewer] {
        page.text_is("#count", |text| text == "2").await;
        let rows =
            "return document.querySelectorAll('#participants [data-identity][data-state=active]').length";
        page.until("two people", || async { page.script(rows).await == 2 }).await;
    }
    onlooker.text_is("[data-stream-id] .count", |text| text == "2").await;
    viewer.frames("#stage [data-identity] video", 10).await;

    let stream = one.get("/streams").await.body[0]["id"].as_str().unwrap().to_owned();
    for (page, base) in [(&host, &first), (&viewer, &second)] {
        let _ = (page, base);
    }

    viewer.click("#leave").await;
    viewer.phase("left").await;
    host.text_is("#count", |text| text == "1").await;
    onlooker.text_is("[data-stream-id] .count", |text| text == "1").await;
    enter(&viewer, &format!("{second}{open}"), "Bob", "viewer").await;
    host.click("#stop").await;
    for page in [&host, &viewer] {
        page.phase("stopped").await;
        page.text_is("#notices", |text| !text.is_empty()).await;
    }
    let stopped = two.get(&format!("/streams/{stream}")).await.body;
    assert_eq!((&stopped["status"], &stopped["participantCount"]), (&json!("stopped"), &json!(0)));
    for browser in [host, viewer, onlooker] {
        browser.close().await;
    }
}

#[tokio::test]
async fn simulated_rooms_say_so() {
    let nowhere = format!("ws://localhost:{}", free_port());
    let setup = Setup::new("unused", &nowhere).with(|arguments| {
        arguments.dev = true;
        arguments.redis_url = None;
    });
    let app = setup.start().await;
    let health = app.get("/health").await.body;
    assert_eq!(
        (&health["livekit"]["kind"], &health["store"]["kind"]),
        (&json!("simulated"), &json!("memory"))
    );
    let base = app.base.replace("127.0.0.1", "localhost");
    let driver = Driver::start();
    let browser = driver.browser().await;
    browser.open(&base).await;
    browser.shown("#simulated").await;
    browser.fill("#start input[name=title]", "Simulated").await;
    browser.click("#start button[type=submit]").await;
    let open = browser.path_of("[data-stream-id] a.open").await;
    enter(&browser, &format!("{base}{open}"), "Ann", "host").await;
    browser.text_is("#count", |text| text == "1").await;
    browser.shown("#simulated").await;
    browser.click("#leave").await;
    browser.text_is("#count", |text| text == "0").await;
    browser.open(&format!("{base}/room.html?streamId=nobody")).await;
    browser.phase("error").await;
    browser.text_is("#notices", |text| !text.is_empty()).await;
    browser.close().await;
}

/// A browser's own EventSource, with nothing of ours in the page.
#[tokio::test]
async fn an_event_source_goes_on_where_it_was_when_its_instance_is_started_again() {
    let prefix = unique("test");
    let instance = || Instance::new(shared_redis(), shared_livekit(), &prefix);
    let (mut one, mut two) = (instance(), instance());
    one.start().await;
    two.start().await;
    let client = reqwest::Client::new();
    let streams = format!("{}/streams", two.address().http);
    let created = client.post(&streams).json(&json!({})).send().await.unwrap();
    let id = created.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
    let change = async |count: usize| {
        for n in 0..count {
            let patch = json!({"metadata": {"n": n, "unique": unique("n")}});
            let changed = client.patch(format!("{streams}/{id}")).json(&patch).send().await.unwrap();
            assert_eq!(changed.status(), reqwest::StatusCode::OK);
        }
    };
    let driver = Driver::start();
    let browser = driver.browser().await;
    browser.open(&format!("{}/index.html", one.address().http)).await;
    let follow = format!(
        "window.seen = []; window.opened = 0; \
         window.source = new EventSource('/events?streamId={id}'); \
         source.onopen = () => opened++; \
         source.addEventListener('stream_updated', event => seen.push(JSON.parse(event.data).seq))"
    );
    browser.script(&follow).await;
    browser.until("the feed", || async { browser.script("return opened").await == 1 }).await;

    let mut expected = 3;
    change(3).await;
    expected += 3;
    for (n, end) in ["kill", "terminate"].into_iter().enumerate() {
        browser
            .until("what was told before", || async {
                browser.script("return seen.at(-1)").await == expected - 1
            })
            .await;
        match end {
            "kill" => one.kill(),
            _ => one.terminate().await,
        }
        // While nobody is there to tell.
        change(4).await;
        one.start().await;
        browser
            .until("the feed to come back", || async { browser.script("return opened").await == n + 2 })
            .await;
        change(3).await;
        expected += 7;
    }
    browser.until("the last", || async { browser.script("return seen.at(-1)").await == expected - 1 }).await;
    let all: Vec<u64> = (3..expected).collect();
    assert_eq!(browser.script("return seen").await, json!(all), "every event, once, in order");
    browser.close().await;
}

//! Browsers without LiveKit: simulated rooms, and a plain `EventSource`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Value, json};

use crate::{
    support::{
        app::Setup,
        instance::Instance,
        servers::{free_port, shared_livekit, shared_redis},
        unique,
    },
    webdriver::Driver,
};

#[tokio::test]
async fn pages_with_simulated_rooms_show_it() {
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
    browser.open(&format!("{base}{open}")).await;
    browser.join("Ann", "host").await;
    browser.phase("live").await;
    browser.text_is("#count", |text| text == "1").await;
    browser.shown("#simulated").await;
    browser.click("#leave").await;
    browser.text_is("#count", |text| text == "0").await;
    browser.open(&format!("{base}/room.html?streamId=absent")).await;
    browser.phase("error").await;
    browser.text_is("#end-message", |text| text.contains("no such stream")).await;
    browser.close().await;
}

/// A browser's `EventSource` without code of the pages.
#[tokio::test]
async fn event_source_after_instance_restart_resumes_without_loss() {
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
        "window.received = []; window.opened = 0; \
         window.source = new EventSource('/events?streamId={id}'); \
         source.onopen = () => opened++; \
         source.addEventListener('stream_updated', event => received.push(JSON.parse(event.data).seq))"
    );
    browser.script(&follow).await;
    browser.until("the feed", || async { browser.script("return opened").await == 1 }).await;

    let mut expected = 3;
    change(3).await;
    expected += 3;
    for (n, shutdown) in ["kill", "terminate"].into_iter().enumerate() {
        browser
            .until("the earlier events", || async {
                browser.script("return received.at(-1)").await == expected - 1
            })
            .await;
        match shutdown {
            "kill" => one.kill(),
            _ => one.terminate().await,
        }
        // These changes happen while the instance is down.
        change(4).await;
        one.start().await;
        browser
            .until("the feed to come back", || async { browser.script("return opened").await == n + 2 })
            .await;
        change(3).await;
        expected += 7;
    }
    browser
        .until("the last event", || async { browser.script("return received.at(-1)").await == expected - 1 })
        .await;
    let all: Vec<u64> = (3..expected).collect();
    assert_eq!(browser.script("return received").await, json!(all), "every event, once, in order");
    browser.close().await;
}

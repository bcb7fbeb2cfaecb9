//! Fixture of tests of the Broadcast panel: an instance with authentication, LiveKit with Redis, and scripted workers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fantoccini::key::Key;
use livekit_api::access_token::VideoGrants;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    page_fixture::PageFixture,
    page_tokens::{enter_token, join_grants, token},
    support::{
        instance::Instance,
        livekit_workers::LiveKitWorkers,
        servers::{LiveKit, Redis, free_port},
    },
    webdriver::Browser,
};

/// An instance with authentication, LiveKit with Redis, and scripted workers.
pub struct PanelFixture {
    pub page: PageFixture,
    pub workers: LiveKitWorkers,
    _redis: Redis,
}

impl PanelFixture {
    pub async fn start() -> Self {
        Self::start_with(|instance| instance).await
    }

    /// As [`Self::start`], with other settings.
    pub async fn start_with(change: impl FnOnce(Instance) -> Instance) -> Self {
        let redis = Redis::start();
        let livekit = |webhooks: &str| LiveKit::start_with_redis(Some(webhooks), &redis, free_port());
        let page = PageFixture::start_on(livekit, |instance| change(instance.with("AUTH", "livekit"))).await;
        let workers = LiveKitWorkers::start(&page.livekit, &redis);
        Self { page, workers, _redis: redis }
    }

    /// Sends a request as an administrator of the stream's room.
    pub async fn request(&self, method: Method, stream: &Value, rest: &str) -> Value {
        let (api, id) = (self.page.instance.address().http, stream["id"].as_str().unwrap());
        let request = Client::new().request(method, format!("{api}/streams/{id}{rest}"));
        let response = request.bearer_auth(admin_token(stream)).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{rest}");
        response.json().await.unwrap()
    }

    /// Opens a stream's page in a new browser, whose copies go to `window.copied`, and joins as a host who may
    /// moderate.
    pub async fn host(&self, stream: &Value) -> Browser {
        let host = self.page.driver.browser().await;
        host.before_pages(COLLECT_COPIES).await;
        host.open(&self.page.room(stream)).await;
        enter_token(&host, &admin_token(stream)).await;
        host.join("Ann", "host").await;
        host.phase("live").await;
        host
    }

    pub async fn viewer(&self, stream: &Value) -> Browser {
        let viewer = self.page.driver.browser().await;
        viewer.open(&self.page.room(stream)).await;
        let grants = VideoGrants { can_publish: Some(false), ..join_grants(&stream["roomName"]) };
        enter_token(&viewer, &token("vic", grants)).await;
        viewer.phase("lobby").await;
        viewer.click("#join button[type=submit]").await;
        viewer.phase("live").await;
        viewer
    }
}

/// Collects copied texts in `window.copied`.
pub const COLLECT_COPIES: &str = "window.copied = []; Object.defineProperty(navigator, 'clipboard', \
    {value: {writeText: async (text) => void copied.push(text)}})";

fn admin_token(stream: &Value) -> String {
    let room = stream["roomName"].as_str().unwrap().to_owned();
    token("ann", VideoGrants { room_admin: true, room, ..VideoGrants::default() })
}

impl Browser {
    pub async fn value(&self, css: &str) -> String {
        let value = self.script(&format!("return document.querySelector({})?.value", json!(css))).await;
        value.as_str().unwrap_or_default().to_owned()
    }

    pub async fn has_copied(&self, expected: Value) {
        self.until("the copies", || async { self.script("return copied").await == expected }).await;
    }

    pub async fn announces(&self, expected: &str) {
        let region = "return document.querySelector('#announcement').textContent";
        self.until(expected, || async { self.script(region).await == expected }).await;
    }

    /// Checks that neither the page nor its address has a text.
    pub async fn hides(&self, secret: &str) {
        let readable = "return JSON.stringify([location.href, document.documentElement.outerHTML, \
            [...document.querySelectorAll('input')].map((input) => input.value), Object.values(localStorage), \
            Object.values(sessionStorage)])";
        let readable = self.script(readable).await.to_string();
        assert!(readable.contains("sources-heading"), "the page was read");
        assert!(!readable.contains(secret), "the page has the secret");
    }

    pub async fn press_on(&self, css: &str, key: Key) {
        self.shown(css).await;
        self.script(&format!("document.querySelector({}).focus()", json!(css))).await;
        self.client.active_element().await.unwrap().send_keys(&key.to_string()).await.unwrap();
    }
}

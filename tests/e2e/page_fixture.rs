//! Fixture of page tests: an instance that can be killed, LiveKit with webhooks to it, and browsers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::{
    participant::{JoinToken, Participant},
    support::{
        instance::Instance,
        servers::{LiveKit, shared_redis},
        unique,
    },
    webdriver::{Browser, Driver},
};

pub struct PageFixture {
    pub instance: Instance,
    pub livekit: LiveKit,
    pub driver: Driver,
    pub prefix: String,
    client: Client,
}

impl PageFixture {
    pub async fn start() -> Self {
        Self::start_with(|instance| instance).await
    }

    /// As [`Self::start`], with other settings.
    pub async fn start_with(change: impl FnOnce(Instance) -> Instance) -> Self {
        Self::start_on(|webhooks| LiveKit::start(Some(webhooks)), change).await
    }

    /// As [`Self::start_with`], with a LiveKit server of the caller, which gets the URL for webhooks.
    pub async fn start_on(
        livekit: impl FnOnce(&str) -> LiveKit,
        change: impl FnOnce(Instance) -> Instance,
    ) -> Self {
        let prefix = unique("fixture");
        // LiveKit needs the instance's port, which is known before the instance starts.
        let instance = Instance::new(shared_redis(), "", &prefix);
        let livekit = livekit(&format!("{}/webhooks/livekit", instance.address().http));
        let mut instance = change(instance.with("LIVEKIT_URL", &livekit.url()));
        instance.start().await;
        Self { instance, livekit, driver: Driver::start(), prefix, client: Client::new() }
    }

    /// URL of a page. Browsers allow cameras without TLS on `localhost` only.
    pub fn page(&self, path: &str) -> String {
        format!("{}{path}", self.instance.address().http.replace("127.0.0.1", "localhost"))
    }

    pub fn room(&self, stream: &Value) -> String {
        self.page(&format!("/room.html?streamId={}", stream["id"].as_str().unwrap()))
    }

    pub async fn request(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let mut request = self.client.request(method, format!("{}{path}", self.instance.address().http));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {}", response.status());
        response.json().await.unwrap()
    }

    pub async fn create(&self, body: Value) -> Value {
        self.request(Method::POST, "/streams", Some(body)).await
    }

    /// Connects a participant without a browser.
    pub async fn participant(&self, stream: &Value, name: &str, role: &str) -> Participant {
        let path = format!("/streams/{}/join", stream["id"].as_str().unwrap());
        let wanted = json!({"identity": unique("participant"), "name": name, "role": role});
        Participant::connect(&JoinToken::from_response(
            &self.request(Method::POST, &path, Some(wanted)).await,
        ))
        .await
    }

    /// Opens a stream's room page and joins.
    pub async fn join_room(&self, browser: &Browser, stream: &Value, name: &str, role: &str) {
        browser.open(&self.room(stream)).await;
        browser.join(name, role).await;
        browser.phase("live").await;
    }

    pub async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.instance.address().http)).send().await.unwrap()
    }

    pub async fn delete(&self, path: &str) -> StatusCode {
        let request = self.client.delete(format!("{}{path}", self.instance.address().http));
        request.send().await.unwrap().status()
    }
}

impl Browser {
    /// Fills in the form of the lobby and submits it.
    pub async fn join(&self, name: &str, role: &str) {
        self.phase("lobby").await;
        self.choose("#join select[name=role]", role).await;
        self.fill("#join input[name=name]", name).await;
        self.click("#join button[type=submit]").await;
    }

    /// Waits for a notice that contains a text.
    pub async fn shows_notice(&self, expected: &str) {
        self.text_is("#notices", |text| text.contains(expected)).await;
    }

    /// Waits until the page shows a notice with a text, or has shown one since it was opened.
    pub async fn has_shown_notice(&self, expected: &str) {
        let script = format!("return [...shownNotices].some((one) => one.includes({}))", json!(expected));
        self.until(expected, || async { self.script(&script).await == true }).await;
    }

    /// Clicks a button with a confirmation dialog and confirms.
    pub async fn confirm(&self, css: &str) {
        self.click(css).await;
        self.click("dialog button[value=yes]").await;
    }
}

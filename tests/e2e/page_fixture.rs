//! What the tests of the pages stand on: an instance that can be killed, LiveKit that posts its webhooks to it, and browsers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::{Client, Method, Response};
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

    /// With other settings.
    pub async fn start_with(change: impl FnOnce(Instance) -> Instance) -> Self {
        let prefix = unique("fixture");
        // Each is to know the other: an instance has its port before it runs.
        let instance = Instance::new(shared_redis(), "", &prefix);
        let livekit = LiveKit::start(Some(&format!("{}/webhooks/livekit", instance.address().http)));
        let mut instance = change(instance.with("LIVEKIT_URL", &livekit.url()));
        instance.start().await;
        Self { instance, livekit, driver: Driver::start(), prefix, client: Client::new() }
    }

    /// The address of a page. It must be on `localhost` to get a camera.
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

    /// A participant without a browser.
    pub async fn participant(&self, stream: &Value, name: &str, role: &str) -> Participant {
        let path = format!("/streams/{}/join", stream["id"].as_str().unwrap());
        let wanted = json!({"identity": unique("person"), "name": name, "role": role});
        Participant::connect(&JoinToken::from_response(
            &self.request(Method::POST, &path, Some(wanted)).await,
        ))
        .await
    }

    /// Opens the room of a stream and goes in.
    pub async fn join_room(&self, browser: &Browser, stream: &Value, name: &str, role: &str) {
        browser.open(&self.room(stream)).await;
        browser.join(name, role).await;
        browser.phase("live").await;
    }

    pub async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.instance.address().http)).send().await.unwrap()
    }
}

impl Browser {
    /// Fills the lobby in and sends it off.
    pub async fn join(&self, name: &str, role: &str) {
        self.phase("lobby").await;
        self.choose("#join select[name=role]", role).await;
        self.fill("#join input[name=name]", name).await;
        self.click("#join button[type=submit]").await;
    }

    /// Waits for a line that the room page says.
    pub async fn says(&self, words: &str) {
        self.text_is("#notices", |text| text.contains(words)).await;
    }

    /// Waits until the page says this, or has said it since it was opened.
    pub async fn has_said(&self, words: &str) {
        let script = format!("return [...said].some((one) => one.includes({}))", json!(words));
        self.until(words, || async { self.script(&script).await == true }).await;
    }

    /// Presses a button that asks whether it is meant, and says yes.
    pub async fn confirm(&self, css: &str) {
        self.click(css).await;
        self.click("dialog button[value=yes]").await;
    }
}

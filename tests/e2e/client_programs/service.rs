//! The service that the programs call: two instances with authentication.

use std::time::Duration;

use livekit_api::access_token::{AccessToken, VideoGrants};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use super::document::Folder;
use crate::support::{
    app::TestResponse,
    eventually,
    instance::Instance,
    servers::{KEY, SECRET, shared_livekit, shared_redis},
    tokens::accepted_for,
    unique,
};

/// Signs an access token.
pub fn signed(secret: &str, identity: &str, life: Duration, grants: VideoGrants) -> String {
    let token = AccessToken::with_api_key(KEY, secret).with_identity(identity).with_ttl(life);
    token.with_grants(grants).to_jwt().unwrap()
}

/// Lifetime of tokens that do not expire during a test.
pub const LONG: Duration = Duration::from_secs(600);

fn join_grants(room: &str) -> VideoGrants {
    VideoGrants { room_join: true, room: room.to_owned(), ..VideoGrants::default() }
}

/// A participant's token.
pub fn participant(room: &str, life: Duration) -> String {
    signed(SECRET, "ann", life, join_grants(room))
}

/// A participant's token that the service accepts for `life`, leeway included.
pub fn expiring_participant(room: &str, life: Duration) -> String {
    accepted_for(life, "ann", &join_grants(room))
}

/// Two instances with `AUTH=livekit`. The first one serves the program and is restarted; changes are made through the
/// second.
pub struct Service {
    pub one: Instance,
    pub two: Instance,
    pub folder: Folder,
    pub client: reqwest::Client,
    /// Token of the test, with all grants.
    token: String,
    pub room: String,
}

impl Service {
    pub async fn start() -> Self {
        Self::start_with_origin("").await
    }

    /// Starts the service with an allowed CORS origin.
    pub async fn start_with_origin(origin: &str) -> Self {
        let prefix = unique("test");
        let instance = || {
            let instance = Instance::new(shared_redis(), shared_livekit(), &prefix);
            instance.with("AUTH", "livekit").with("CORS_ORIGINS", origin)
        };
        let (mut one, mut two) = (instance(), instance());
        one.start().await;
        two.start().await;
        // The name needs different escapes in paths, queries and JSON.
        let room = unique("a \"room\"/é&");
        let grants = VideoGrants {
            room_create: true,
            room_list: true,
            room_admin: true,
            room: room.clone(),
            ..VideoGrants::default()
        };
        let token = signed(SECRET, "test", LONG, grants);
        Self { one, two, folder: Folder::new(), client: reqwest::Client::new(), token, room }
    }

    async fn send(&self, request: impl Fn(&str) -> RequestBuilder) -> TestResponse {
        let request = request(&self.two.address().http).bearer_auth(&self.token);
        TestResponse::read(request.send().await.unwrap()).await
    }

    /// Creates the stream; returns its id, cursor and version.
    pub async fn create(&self) -> (String, String, u64) {
        let body = json!({"roomName": self.room});
        let created = self.send(|base| self.client.post(format!("{base}/streams")).json(&body)).await;
        let cursor = created.header("last-event-id").unwrap().to_owned();
        let stream = created.expect(StatusCode::CREATED);
        (stream["id"].as_str().unwrap().to_owned(), cursor, stream["version"].as_u64().unwrap())
    }

    /// Changes the stream's metadata `times` times.
    pub async fn change(&self, id: &str, times: u64) {
        for _ in 0..times {
            let body = json!({"metadata": {"title": unique("data: id: status é")}});
            let changed =
                self.send(|base| self.client.patch(format!("{base}/streams/{id}")).json(&body)).await;
            changed.expect(StatusCode::OK);
        }
    }

    /// Stops the stream; returns its last version and cursor.
    pub async fn stop(&self, id: &str) -> (u64, String) {
        let stopped = self.send(|base| self.client.delete(format!("{base}/streams/{id}"))).await;
        let cursor = stopped.header("last-event-id").unwrap().to_owned();
        (stopped.expect(StatusCode::OK)["version"].as_u64().unwrap(), cursor)
    }

    pub async fn get(&self, path: &str) -> Value {
        self.send(|base| self.client.request(Method::GET, format!("{base}{path}")))
            .await
            .expect(StatusCode::OK)
    }

    /// Ends the first instance by SIGKILL or SIGTERM.
    pub async fn end_first_instance(&mut self, crash: bool) {
        if crash {
            self.one.kill();
        } else {
            self.one.terminate().await;
        }
    }

    /// Waits until the first instance has a subscriber.
    pub async fn wait_for_subscriber(&self) {
        let url = format!("{}/metrics", self.one.address().http);
        eventually("a subscriber", || async {
            let metrics = self.client.get(&url).send().await.ok()?.text().await.ok()?;
            let is_subscribed = |line: &str| {
                let count = line.strip_prefix("lso_subscribers{transport=\"")?.split_once("\"} ")?;
                (["sse", "grpc"].contains(&count.0) && count.1 != "0").then_some(())
            };
            metrics.lines().find_map(is_subscribed)
        })
        .await;
    }
}

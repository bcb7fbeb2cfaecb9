//! Fixture of tests with lost webhooks: instances that reconcile every second, and LiveKit with a proxy for its
//! webhooks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livekit_api::{
    access_token::{AccessToken, VideoGrants},
    services::room::RoomClient,
};
use livestream_orchestrator::settings::Arguments;
use reqwest::StatusCode;
use serde_json::Value;

use crate::{
    participant::{JoinToken, Participant},
    support::{
        app::{Setup, TestApp},
        eventually,
        servers::{KEY, LiveKit, SECRET, shared_redis},
        webhook_proxy::WebhookProxy,
    },
};

/// Instances and a LiveKit server whose webhooks go through a proxy to the first instance.
pub struct LiveKitFixture {
    apps: Vec<TestApp>,
    pub webhooks: WebhookProxy,
    pub livekit: LiveKit,
}

impl LiveKitFixture {
    /// Starts `count` instances.
    pub async fn start(count: usize, change: impl FnOnce(&mut Arguments)) -> Self {
        let webhooks = WebhookProxy::start().await;
        let livekit = LiveKit::start(Some(&webhooks.url));
        let mut setup = Setup::new(shared_redis(), &livekit.url()).with(|arguments| {
            arguments.reconcile_interval = Some("1s".to_owned());
            change(arguments);
        });
        // The lists of a single LiveKit server are hardly delayed.
        setup.listing_grace = Duration::from_secs(2);
        let mut apps = Vec::new();
        for _ in 0..count {
            apps.push(setup.start().await);
        }
        webhooks.forward_to(&apps[0].base);
        Self { apps, webhooks, livekit }
    }

    /// The instance that gets the webhooks.
    pub fn first(&self) -> &TestApp {
        &self.apps[0]
    }

    /// Another instance if there is one.
    pub fn last(&self) -> &TestApp {
        self.apps.last().unwrap()
    }

    /// LiveKit's room API.
    pub fn rooms(&self) -> RoomClient {
        RoomClient::with_api_key(&self.livekit.url().replace("ws:", "http:"), KEY, SECRET)
    }

    pub async fn state(&self, stream: &Value) -> Value {
        let path = format!("/streams/{}/state", stream["id"].as_str().unwrap());
        self.last().get(&path).await.expect(StatusCode::OK)
    }

    /// Waits until the stream's state fulfils a condition.
    pub async fn wait_for_state(
        &self,
        what: &str,
        stream: &Value,
        condition: impl Fn(&Value) -> bool,
    ) -> Value {
        eventually(what, || async { Some(self.state(stream).await).filter(&condition) }).await
    }
}

/// Waits until LiveKit has no rooms.
pub async fn wait_until_no_rooms(fixture: &LiveKitFixture) {
    eventually("no rooms", || async {
        fixture.rooms().list_rooms(Vec::new()).await.ok()?.is_empty().then_some(())
    })
    .await;
}

/// Waits until LiveKit has only these participants.
pub async fn wait_until_in_room(fixture: &LiveKitFixture, stream: &Value, expected: &[&str]) {
    let room = stream["roomName"].as_str().unwrap();
    eventually("the participants of the room", || async {
        let listed = fixture.rooms().list_participants(room).await.ok()?;
        let mut identities: Vec<_> = listed.into_iter().map(|one| one.identity).collect();
        identities.sort();
        (identities == expected).then_some(())
    })
    .await;
}

/// Sorted identities of the active participants.
pub fn present(state: &Value) -> Vec<String> {
    let participants = state["participants"].as_array().unwrap().iter();
    let mut active: Vec<_> = participants
        .filter(|one| one["state"] == "active")
        .map(|one| one["identity"].as_str().unwrap().to_owned())
        .collect();
    active.sort();
    active
}

/// Sorted identities of a list of participants.
pub fn identities(listed: &Value) -> Vec<String> {
    let mut all: Vec<_> =
        listed.as_array().unwrap().iter().map(|one| one["identity"].as_str().unwrap().to_owned()).collect();
    all.sort();
    all
}

/// A token for an identity, without grants.
pub fn signed(identity: &str) -> AccessToken {
    AccessToken::with_api_key(KEY, SECRET).with_identity(identity).with_ttl(Duration::from_secs(600))
}

pub fn publisher() -> VideoGrants {
    VideoGrants { can_publish: Some(true), can_subscribe: Some(true), ..VideoGrants::default() }
}

/// Connects a participant with a token that the test signs.
pub async fn connect(
    fixture: &LiveKitFixture,
    room: &str,
    token: AccessToken,
    grants: VideoGrants,
) -> Participant {
    let grants = VideoGrants { room_join: true, room: room.to_owned(), ..grants };
    let token = token.with_grants(grants).to_jwt().unwrap();
    Participant::connect(&JoinToken { url: fixture.livekit.url(), token }).await
}

//! Fixture of tests of media jobs on LiveKit's own API: no instance of this service takes part.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ops::Deref;

use livekit_api::services::{
    egress::{EgressClient, EgressListFilter, EgressListOptions, EgressOutput, RoomCompositeOptions},
    ingress::{CreateIngressOptions, IngressClient, IngressListFilter},
    room::{CreateRoomOptions, RoomClient},
};
use livekit_protocol::{
    EgressInfo, EgressStatus, EncodedFileOutput, IngressInfo, IngressInput, ParticipantInfo,
    ingress_state::Status as IngressStatus,
};
use serde_json::Value;

use crate::support::{
    eventually,
    livekit_workers::LiveKitWorkers,
    servers::{KEY, LiveKit, Redis, SECRET, free_port},
    unique,
    webhook_proxy::WebhookProxy,
};

/// A LiveKit server with its own Redis, workers, a room, and a listener for webhooks.
pub struct MediaServers {
    pub webhooks: WebhookProxy,
    pub livekit: LiveKit,
    pub redis: Redis,
    pub workers: LiveKitWorkers,
    api: MediaApi,
}

/// LiveKit's API of egress, ingress and participants, for one room.
pub struct MediaApi {
    url: String,
    pub room: String,
}

impl Deref for MediaServers {
    type Target = MediaApi;

    fn deref(&self) -> &MediaApi {
        &self.api
    }
}

impl MediaServers {
    pub async fn start() -> Self {
        let webhooks = WebhookProxy::start().await;
        let redis = Redis::start();
        let livekit = LiveKit::start_with_redis(Some(&webhooks.url), &redis, free_port());
        let workers = LiveKitWorkers::start(&livekit, &redis);
        let api = MediaApi::new(&livekit, &unique("room"));
        let servers = Self { webhooks, livekit, redis, workers, api };
        servers.rooms().create_room(&servers.room, CreateRoomOptions::default()).await.unwrap();
        servers
    }

    /// Waits for the last of these webhooks about an egress or ingress, and returns all that came about it so far.
    pub async fn wait_for_webhooks(&self, info: &str, id: &str, last: &str) -> Vec<Value> {
        eventually(last, || async {
            let captured = self.webhooks.captured().into_iter().map(|webhook| webhook.json());
            let about: Vec<_> = captured
                .filter(|webhook| webhook[info]["egressId"] == id || webhook[info]["ingressId"] == id)
                .collect();
            (about.last()?["event"] == last).then_some(about)
        })
        .await
    }
}

impl MediaApi {
    pub fn new(livekit: &LiveKit, room: &str) -> Self {
        Self { url: livekit.url().replace("ws:", "http:"), room: room.to_owned() }
    }

    pub fn rooms(&self) -> RoomClient {
        RoomClient::with_api_key(&self.url, KEY, SECRET)
    }

    pub fn egress(&self) -> EgressClient {
        EgressClient::with_api_key(&self.url, KEY, SECRET)
    }

    pub fn ingress(&self) -> IngressClient {
        IngressClient::with_api_key(&self.url, KEY, SECRET)
    }

    /// Starts to record the room into a file.
    pub async fn record(&self) -> EgressInfo {
        let file = EncodedFileOutput { filepath: "recording.mp4".to_owned(), ..Default::default() };
        self.start_egress(EgressOutput::File(file)).await
    }

    pub async fn start_egress(&self, output: EgressOutput) -> EgressInfo {
        let options = RoomCompositeOptions::default();
        self.egress().start_room_composite_egress(&self.room, vec![output], options).await.unwrap()
    }

    pub async fn listed_egress(&self, id: &str) -> EgressInfo {
        let filter = EgressListFilter::Egress(id.to_owned());
        let listed =
            self.egress().list_egress(EgressListOptions { filter, ..Default::default() }).await.unwrap();
        listed.into_iter().next().unwrap()
    }

    pub async fn wait_for_egress(&self, id: &str, status: EgressStatus) -> EgressInfo {
        eventually(status.as_str_name(), || async {
            Some(self.listed_egress(id).await).filter(|info| info.status() == status)
        })
        .await
    }

    /// Creates an RTMP ingress whose participant has this identity.
    pub async fn create_rtmp_ingress(&self, identity: &str) -> IngressInfo {
        let options = CreateIngressOptions {
            room_name: self.room.clone(),
            participant_identity: identity.to_owned(),
            ..Default::default()
        };
        self.ingress().create_ingress(IngressInput::RtmpInput, options).await.unwrap()
    }

    /// Identities of the room's ingresses.
    pub async fn ingresses(&self) -> Vec<String> {
        let listed = self.ingress().list_ingress(IngressListFilter::Room(self.room.clone())).await.unwrap();
        listed.into_iter().map(|info| info.participant_identity).collect()
    }

    /// Egresses of the room, also those that have ended.
    pub async fn egresses(&self) -> Vec<EgressInfo> {
        let filter = EgressListFilter::Room(self.room.clone());
        self.egress().list_egress(EgressListOptions { filter, ..Default::default() }).await.unwrap()
    }

    pub async fn has_room(&self) -> bool {
        !self.rooms().list_rooms(vec![self.room.clone()]).await.unwrap().is_empty()
    }

    pub async fn wait_until_closed(&self) {
        eventually("the end of the room", || async { (!self.has_room().await).then_some(()) }).await;
    }

    async fn listed_ingress(&self, id: &str) -> IngressInfo {
        let listed = self.ingress().list_ingress(IngressListFilter::All).await.unwrap();
        listed.into_iter().find(|info| info.ingress_id == id).unwrap()
    }

    pub async fn wait_for_ingress(&self, id: &str, status: IngressStatus) -> IngressInfo {
        eventually(status.as_str_name(), || async {
            let has_status =
                |info: &IngressInfo| info.state.as_ref().is_some_and(|one| one.status() == status);
            Some(self.listed_ingress(id).await).filter(has_status)
        })
        .await
    }

    pub async fn wait_for_participant(&self, identity: &str) -> ParticipantInfo {
        eventually(identity, || async { self.participant(identity).await }).await
    }

    pub async fn wait_until_left(&self, identity: &str) {
        eventually("the participant to leave", || async {
            self.participant(identity).await.is_none().then_some(())
        })
        .await;
    }

    async fn participant(&self, identity: &str) -> Option<ParticipantInfo> {
        let listed = self.rooms().list_participants(&self.room).await.unwrap();
        listed.into_iter().find(|one| one.identity == identity)
    }
}

/// The events of webhooks and a field of each.
pub fn events<'a>(webhooks: &'a [Value], pointer: &str) -> Vec<(&'a str, &'a str)> {
    let text =
        |webhook: &'a Value, pointer| webhook.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    webhooks.iter().map(|webhook| (text(webhook, "/event"), text(webhook, pointer))).collect()
}

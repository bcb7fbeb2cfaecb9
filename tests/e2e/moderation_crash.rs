//! Moderation of real participants by an instance that is killed before or after LiveKit has made the change, while all
//! webhooks are lost: the next instance brings LiveKit, the record and the events together.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use livekit_api::services::room::RoomClient;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    call_proxy::{CallProxy, Hold},
    livekit_fixture::present,
    participant::{JoinToken, Participant},
    support::{
        eventually,
        instance::Instance,
        servers::{KEY, LiveKit, Redis, SECRET},
        unique,
    },
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Action {
    Block,
    Remove,
    StopLive,
    Demote,
    Mute,
}

const ACTIONS: [Action; 5] = [Action::Block, Action::Remove, Action::StopLive, Action::Demote, Action::Mute];

impl Action {
    const fn role_of_ann(self) -> &'static str {
        if matches!(self, Self::Demote | Self::Mute) { "host" } else { "viewer" }
    }

    /// Reason of the departure, if `ann` must leave.
    const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Block => Some("blocked"),
            Self::Remove => Some("removed"),
            Self::StopLive => Some("backstage"),
            Self::Demote | Self::Mute => None,
        }
    }

    fn request(self, stream: &str) -> (Method, String, Value) {
        let ann = format!("{stream}/participants/ann");
        match self {
            Self::Block => (Method::PUT, format!("{stream}/blocks/ann"), json!({})),
            Self::Remove => (Method::DELETE, ann, json!({})),
            Self::StopLive => (Method::POST, format!("{stream}/stop_live"), json!({})),
            Self::Demote => (Method::PATCH, ann, json!({"role": "viewer"})),
            Self::Mute => (Method::POST, format!("{ann}/mute"), json!({"source": "camera"})),
        }
    }
}

/// API of the instance.
#[derive(Clone)]
struct Api {
    client: Client,
    url: String,
}

impl Api {
    async fn send(&self, (method, path, body): (Method, String, Value)) -> Option<(StatusCode, Value)> {
        let request = self.client.request(method, format!("{}{path}", self.url)).json(&body);
        let answer = request.send().await.ok()?;
        Some((answer.status(), answer.json().await.ok()?))
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.send((Method::GET, path.to_owned(), Value::Null)).await.unwrap();
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }
}

/// Whether a participant may publish, and whether each of its tracks is muted.
type Permission = (bool, Vec<bool>);

/// A stream in which `host` and `ann` are connected.
struct Scene {
    path: String,
    room: String,
    token: JoinToken,
    ann: Participant,
    _host: Participant,
}

impl Scene {
    async fn start(api: &Api, action: Action) -> Self {
        let room = unique("room");
        let create = (Method::POST, "/streams".to_owned(), json!({"roomName": room}));
        let (_, stream) = api.send(create).await.unwrap();
        let path = format!("/streams/{}", stream["id"].as_str().unwrap());
        let join = async |identity: &str, role: &str| {
            let body = json!({"identity": identity, "role": role});
            let (_, joined) = api.send((Method::POST, format!("{path}/join"), body)).await.unwrap();
            JoinToken::from_response(&joined)
        };
        let host = Participant::connect(&join("host", "host").await).await;
        let token = join("ann", action.role_of_ann()).await;
        let mut ann = Participant::connect(&token).await;
        if action.role_of_ann() == "host" {
            ann.send("publish").await;
            ann.wait_for("published").await;
        }
        let scene = Self { room, token, ann, _host: host, path };
        scene.wait_for_state(api, |state| present(state) == ["ann", "host"]).await;
        if action.role_of_ann() == "host" {
            scene.wait_for_state(api, |state| state["participants"].to_string().contains("\"camera\"")).await;
        }
        scene
    }

    async fn wait_for_state(&self, api: &Api, condition: impl Fn(&Value) -> bool) -> Value {
        let path = format!("{}/state", self.path);
        eventually("the state", || async { Some(api.get(&path).await).filter(&condition) }).await
    }

    async fn wait_until_ann_is_out(&self, api: &Api, rooms: &RoomClient) {
        eventually("the host alone in LiveKit", || async {
            let listed = rooms.list_participants(&self.room).await.ok()?;
            (listed.len() == 1 && listed[0].identity == "host").then_some(())
        })
        .await;
        self.wait_for_state(api, |state| present(state) == ["host"]).await;
    }

    /// The permission of `ann` as LiveKit enforces it and as the state shows it.
    async fn of_ann(&self, api: &Api, rooms: &RoomClient) -> Option<[Permission; 2]> {
        let listed = rooms.list_participants(&self.room).await.ok()?;
        let enforced = listed.into_iter().find(|one| one.identity == "ann")?;
        let muted = enforced.tracks.iter().map(|track| track.muted).collect();
        let shown = api.get(&format!("{}/participants/ann", self.path)).await;
        let shown_muted = shown["tracks"].as_array().into_iter().flatten();
        let shown_muted = shown_muted.map(|track| track["muted"] == true).collect();
        Some([(enforced.permission?.can_publish, muted), (shown["role"] == "host", shown_muted)])
    }

    /// The reasons of all departures of `ann`.
    async fn departures(&self, api: &Api) -> Vec<Value> {
        let log = api.get(&format!("/events/{}?limit=1000", self.path.rsplit('/').next().unwrap())).await;
        let of_ann = |event: &&Value| {
            event["type"] == "participant_left" && event["data"]["participant"]["identity"] == "ann"
        };
        log.as_array().unwrap().iter().filter(of_ann).map(|event| event["data"]["reason"].clone()).collect()
    }

    /// Checks what must hold after a crash during the action.
    async fn check(&mut self, action: Action, api: &Api, rooms: &RoomClient) {
        let Some(reason) = action.reason() else { return self.check_ann(action, api, rooms).await };
        self.wait_until_ann_is_out(api, rooms).await;
        self.ann.wait_until_out().await;
        assert_eq!(self.departures(api).await, [json!(reason)], "{action:?}");
        Participant::start_connecting(&self.token).wait_until_out().await;
        self.wait_until_ann_is_out(api, rooms).await;
    }

    /// Checks that LiveKit and the state agree after the crash and after the caller has repeated its request.
    async fn check_ann(&self, action: Action, api: &Api, rooms: &RoomClient) {
        let agree = async |condition: &dyn Fn(&Permission) -> bool| {
            eventually(&format!("LiveKit and the state after {action:?}"), || async {
                let [enforced, shown] = self.of_ann(api, rooms).await?;
                (enforced == shown && condition(&shown)).then_some(())
            })
            .await;
        };
        agree(&|_| true).await;
        let (status, answer) = api.send(action.request(&self.path)).await.unwrap();
        assert_eq!(status, StatusCode::OK, "{action:?}: {answer}");
        match action {
            Action::Demote => agree(&|(may_publish, tracks)| !may_publish && tracks.is_empty()).await,
            _ => agree(&|(_, tracks)| tracks == &[true]).await,
        }
        assert_eq!(self.departures(api).await, [Value::Null; 0], "{action:?}");
    }
}

async fn crash_during_moderation(hold: Hold) {
    let (redis, livekit) = (Redis::start(), LiveKit::start(None));
    let proxy = CallProxy::start(livekit.port).await;
    let instance = Instance::new(&redis.url(), &proxy.url, &unique("crash"));
    let mut instance = instance.with("LIVEKIT_PUBLIC_URL", &livekit.url()).with("RECONCILE_INTERVAL", "1s");
    instance.start().await;
    let api = Api { client: Client::new(), url: instance.address().http };
    let rooms = RoomClient::with_api_key(&livekit.url().replace("ws:", "http:"), KEY, SECRET);
    let mut scenes = BTreeMap::new();
    for action in ACTIONS {
        scenes.insert(action, Scene::start(&api, action).await);
    }
    proxy.hold(hold);
    let mut requests = JoinSet::new();
    for (action, scene) in &scenes {
        let (api, request) = (api.clone(), action.request(&scene.path));
        requests.spawn(async move { api.send(request).await });
    }
    proxy.wait_until_held(&scenes.values().map(|scene| scene.room.as_str()).collect::<Vec<_>>()).await;
    instance.kill();
    proxy.hold(Hold::Nothing);
    assert!(requests.join_all().await.into_iter().all(|answer| answer.is_none()), "no request has an answer");
    instance.start().await;
    for (action, scene) in &mut scenes {
        scene.check(*action, &api, &rooms).await;
    }
}

#[tokio::test]
async fn moderation_is_finished_after_crash_before_livekit_has_changed() {
    crash_during_moderation(Hold::Calls).await;
}

#[tokio::test]
async fn moderation_is_finished_after_crash_after_livekit_has_changed() {
    crash_during_moderation(Hold::Answers).await;
}

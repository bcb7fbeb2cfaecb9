//! Instances that are killed while they create and stop streams: another one finishes or undoes the work.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::BTreeSet, time::Duration};

use livekit_api::services::room::RoomClient;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{
    app::{Setup, TestApp},
    eventually,
    fault_proxy::FaultProxy,
    instance::Instance,
    servers::{KEY, LiveKit, SECRET, port_of, shared_redis},
    unique,
};

/// How long after a death its work is taken over at the latest (contract, section 8).
const TAKEN_OVER: Duration = Duration::from_secs(12);
/// How many streams each instance of the storm is at when it dies.
const AT_ONCE: usize = 4;
const KILLS: u32 = 16;

fn rooms(livekit: &LiveKit) -> RoomClient {
    RoomClient::with_api_key(&livekit.url().replace("ws:", "http:"), KEY, SECRET)
}

/// An instance that survives and one that reaches LiveKit through a proxy, on one Redis.
async fn pair(livekit: &LiveKit) -> (TestApp, Instance, FaultProxy) {
    let prefix = unique("crash");
    let setup = Setup::new(shared_redis(), &livekit.url())
        .with(|arguments| arguments.redis_prefix = Some(prefix.clone()));
    let proxy = FaultProxy::start(port_of(&livekit.url())).await;
    let mortal = Instance::new(shared_redis(), &format!("ws://127.0.0.1:{}", proxy.port), &prefix);
    (setup.start().await, mortal, proxy)
}

async fn statuses(app: &TestApp) -> Vec<Value> {
    let all = app.get("/streams?status=all&limit=1000").await.expect(StatusCode::OK);
    all.as_array().unwrap().clone()
}

fn is_under_way(stream: &Value) -> bool {
    stream["status"] == "creating" || stream["status"] == "stopping"
}

/// Kills the instance while LiveKit's answer to this call is held; says which streams are left.
async fn dies_during(call: &str, stop: bool) -> Vec<Value> {
    let livekit = LiveKit::start(None);
    let (app, mut mortal, proxy) = pair(&livekit).await;
    mortal.start().await;
    let room = unique("room");
    let base = mortal.address().http;
    if stop {
        app.create(json!({"roomName": room})).await;
    }
    proxy.hold(call);
    let request = if stop {
        Client::new().delete(format!("{base}/streams/{room}"))
    } else {
        Client::new().post(format!("{base}/streams")).json(&json!({"roomName": room}))
    };
    let asked = tokio::spawn(request.send());
    eventually("a call of LiveKit that is held", || async { (proxy.held_count() > 0).then_some(()) }).await;
    mortal.kill();
    assert!(asked.await.unwrap().is_err());
    let healed = eventually("the other instance", || async {
        let all = statuses(&app).await;
        (!all.iter().any(is_under_way)).then_some(all)
    });
    let left = timeout(TAKEN_OVER, healed).await.expect("within 12 s of the death");
    assert!(rooms(&livekit).list_rooms(Vec::new()).await.unwrap().is_empty(), "no room without a stream");
    app.create(json!({"roomName": room})).await;
    left
}

#[tokio::test]
async fn creation_of_killed_instance_is_undone_within_12_seconds() {
    let left = dies_during("CreateRoom", false).await;
    assert_eq!(left[0]["status"], "error");
}

#[tokio::test]
async fn stop_of_killed_instance_is_finished_within_12_seconds() {
    let left = dies_during("DeleteRoom", true).await;
    assert_eq!(left[0]["status"], "stopped");
}

#[tokio::test]
async fn repeated_kills_leave_no_unfinished_stream_and_no_orphaned_room() {
    let livekit = LiveKit::start(None);
    let (app, mut mortal, _proxy) = pair(&livekit).await;
    for kill in 0..KILLS {
        mortal.start_listening().await;
        let (base, client) = (mortal.address().http, Client::new());
        let streams: Vec<_> = (0..AT_ONCE)
            .map(|n| {
                let (base, client) = (base.clone(), client.clone());
                let room = format!("storm-{kill}-{n}");
                tokio::spawn(async move {
                    let _ =
                        client.post(format!("{base}/streams")).json(&json!({"roomName": room})).send().await;
                    let _ = client.delete(format!("{base}/streams/{room}")).send().await;
                })
            })
            .collect();
        // Every instance gets a little further than the one before.
        let recorded = kill as usize * AT_ONCE / 4;
        let progress = async {
            while statuses(&app).await.len() <= recorded {
                tokio::task::yield_now().await;
            }
        };
        let _ = timeout(Duration::from_millis(u64::from(kill) * 3 + 2), progress).await;
        mortal.kill();
        for stream in streams {
            stream.await.unwrap();
        }
    }
    let healed = eventually("an end of every creation and stop", || async {
        let all = statuses(&app).await;
        (!all.iter().any(is_under_way)).then_some(all)
    });
    let all = timeout(TAKEN_OVER, healed).await.expect("within 12 s of the last death");
    let active: BTreeSet<_> = all
        .iter()
        .filter(|stream| stream["status"] == "active")
        .map(|stream| stream["roomName"].as_str().unwrap().to_owned())
        .collect();
    let listed = rooms(&livekit).list_rooms(Vec::new()).await.unwrap();
    assert_eq!(listed.into_iter().map(|room| room.name).collect::<BTreeSet<_>>(), active);
    assert!(all.len() >= KILLS as usize, "{} streams: the storm was none", all.len());
}

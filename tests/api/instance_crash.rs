//! Instances that are killed while they create and stop streams: another instance finishes or undoes the work.
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

/// Maximum time from a crash until another instance has finished or undone the work.
const TAKEOVER_LIMIT: Duration = Duration::from_secs(12);
/// Deadline for the streams that precede a crash.
const PROGRESS_LIMIT: Duration = Duration::from_secs(20);
/// Streams that each killed instance creates and stops concurrently.
const CONCURRENT_STREAMS: usize = 4;
const KILLS: u32 = 16;

fn rooms(livekit: &LiveKit) -> RoomClient {
    RoomClient::with_api_key(&livekit.url().replace("ws:", "http:"), KEY, SECRET)
}

/// An instance that survives, and one to be killed, which reaches LiveKit through a proxy.
async fn start_pair(livekit: &LiveKit) -> (TestApp, Instance, FaultProxy) {
    let prefix = unique("crash");
    let setup = Setup::new(shared_redis(), &livekit.url())
        .with(|arguments| arguments.redis_prefix = Some(prefix.clone()));
    let proxy = FaultProxy::start(port_of(&livekit.url())).await;
    let victim = Instance::new(shared_redis(), &format!("ws://127.0.0.1:{}", proxy.port), &prefix);
    (setup.start().await, victim, proxy)
}

async fn all_streams(app: &TestApp) -> Vec<Value> {
    let all = app.get("/streams?status=all&limit=1000").await.expect(StatusCode::OK);
    all.as_array().unwrap().clone()
}

fn is_unfinished(stream: &Value) -> bool {
    stream["status"] == "creating" || stream["status"] == "stopping"
}

/// Kills the instance while its call to LiveKit is held; returns the streams after the takeover.
async fn kill_during(call: &str, stop: bool) -> Vec<Value> {
    let livekit = LiveKit::start(None);
    let (app, mut victim, proxy) = start_pair(&livekit).await;
    victim.start().await;
    let room = unique("room");
    let base = victim.address().http;
    if stop {
        app.create(json!({"roomName": room})).await;
    }
    proxy.hold(call);
    let request = if stop {
        Client::new().delete(format!("{base}/streams/{room}"))
    } else {
        Client::new().post(format!("{base}/streams")).json(&json!({"roomName": room}))
    };
    let response = tokio::spawn(request.send());
    eventually("a held call to LiveKit", || async { (proxy.held_count() > 0).then_some(()) }).await;
    victim.kill();
    assert!(response.await.unwrap().is_err());
    let takeover = eventually("the takeover", || async {
        let all = all_streams(&app).await;
        (!all.iter().any(is_unfinished)).then_some(all)
    });
    let left = timeout(TAKEOVER_LIMIT, takeover).await.expect("within 12 s of the crash");
    assert!(rooms(&livekit).list_rooms(Vec::new()).await.unwrap().is_empty(), "no room without a stream");
    app.create(json!({"roomName": room})).await;
    left
}

#[tokio::test]
async fn creation_of_killed_instance_is_undone_within_12_seconds() {
    let left = kill_during("CreateRoom", false).await;
    assert_eq!(left[0]["status"], "error");
}

#[tokio::test]
async fn stop_of_killed_instance_is_finished_within_12_seconds() {
    let left = kill_during("DeleteRoom", true).await;
    assert_eq!(left[0]["status"], "stopped");
}

#[tokio::test]
async fn repeated_kills_leave_no_unfinished_stream_and_no_orphaned_room() {
    let livekit = LiveKit::start(None);
    let (app, mut victim, _proxy) = start_pair(&livekit).await;
    for kill in 0..KILLS {
        victim.start_listening().await;
        let (base, client) = (victim.address().http, Client::new());
        let before = all_streams(&app).await.len();
        let streams: Vec<_> = (0..CONCURRENT_STREAMS)
            .map(|n| {
                let (base, client) = (base.clone(), client.clone());
                let room = format!("room-{kill}-{n}");
                tokio::spawn(async move {
                    let _ =
                        client.post(format!("{base}/streams")).json(&json!({"roomName": room})).send().await;
                    let _ = client.delete(format!("{base}/streams/{room}")).send().await;
                })
            })
            .collect();
        // Each instance is killed at another stage of its streams.
        let recorded = before + kill as usize % CONCURRENT_STREAMS;
        let progress = async {
            while all_streams(&app).await.len() <= recorded {
                tokio::task::yield_now().await;
            }
        };
        timeout(PROGRESS_LIMIT, progress).await.expect("more streams before the next crash");
        victim.kill();
        for stream in streams {
            stream.await.unwrap();
        }
    }
    let takeover = eventually("the end of every creation and stop", || async {
        let all = all_streams(&app).await;
        (!all.iter().any(is_unfinished)).then_some(all)
    });
    let all = timeout(TAKEOVER_LIMIT, takeover).await.expect("within 12 s of the last crash");
    let active: BTreeSet<_> = all
        .iter()
        .filter(|stream| stream["status"] == "active")
        .map(|stream| stream["roomName"].as_str().unwrap().to_owned())
        .collect();
    let listed = rooms(&livekit).list_rooms(Vec::new()).await.unwrap();
    assert_eq!(listed.into_iter().map(|room| room.name).collect::<BTreeSet<_>>(), active);
    assert!(all.len() >= KILLS as usize, "only {} streams were created", all.len());
}

//! Partitions on the masters of a cluster: one of them is lost and replaced.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use livestream_orchestrator::domain::{Partitioning, RoomName};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    app::{Setup, TestApp},
    cluster::Cluster,
    eventually,
    fault_proxy::{CommandFault, FaultProxy},
    servers::{Redis, shared_livekit},
    unique,
};

pub const PARTITIONS: u16 = 4;

/// Returns the node that has the keys of a partition.
async fn owner(cluster: &Cluster, prefix: &str, partition: usize) -> usize {
    for master in cluster.masters().await {
        let keys =
            cluster.nodes[master].execute(&["KEYS", &format!("{{{prefix}:{partition}:*")]).await.unwrap();
        if !redis::from_redis_value::<Vec<String>>(keys).unwrap().is_empty() {
            return master;
        }
    }
    panic!("no master has keys of partition {partition}");
}

/// Creates a stream in each partition.
pub async fn create_streams(app: &TestApp) -> Vec<Value> {
    let partitioning = Partitioning::new(PARTITIONS).unwrap();
    let mut streams = Vec::new();
    for partition in partitioning.all() {
        let in_partition = |name: &String| partitioning.of_room(&RoomName::parse(name).unwrap()) == partition;
        let room = std::iter::repeat_with(|| unique("room")).find(in_partition).unwrap();
        streams.push(app.create(json!({"roomName": room})).await);
    }
    streams
}

pub fn path(stream: &Value) -> String {
    format!("/streams/{}", stream["id"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_partition_stops_its_own_streams_until_a_replica_takes_over() {
    let mut cluster = Cluster::start().await;
    for node in &cluster.nodes {
        node.execute(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]).await.unwrap();
    }
    let prefix = unique("test");
    let setup = Setup::new(&cluster.url(), shared_livekit()).with(|arguments| {
        arguments.redis_prefix = Some(prefix.clone());
        arguments.redis_partitions = Some(PARTITIONS.to_string());
    });
    let app = setup.start().await;
    let streams = create_streams(&app).await;
    let mut owners = Vec::new();
    for partition in 0..streams.len() {
        owners.push(owner(&cluster, &prefix, partition).await);
    }
    let (lost, kept) = (0, owners.iter().position(|owner| *owner != owners[0]).unwrap());
    let mut feed = app.follow("/events").await;

    cluster.wait_until_replicated(owners[lost]).await;
    cluster.kill(&[owners[lost]]).await;
    eventually("the lost partition in /health", || async {
        let health = app.get("/health").await.body;
        health["waitingPartitions"]
            .as_array()
            .is_some_and(|waiting| waiting.contains(&json!(lost)))
            .then_some(())
    })
    .await;
    app.get(&path(&streams[lost])).await.expect_problem(503, "store_unavailable");
    app.get(&path(&streams[kept])).await.expect(StatusCode::OK);
    assert!(app.is_ready().await, "the instance serves the streams of the other partitions");
    app.patch(&path(&streams[kept]), json!({"metadata": {"n": 1}})).await.expect(StatusCode::OK);

    eventually("the takeover", || async {
        let answer = app.patch(&path(&streams[lost]), json!({"metadata": {"n": 2}})).await;
        (answer.status == StatusCode::OK).then_some(())
    })
    .await;
    for stream in [kept, lost] {
        feed.wait_until("the event that waited", |event| event["streamId"] == streams[stream]["id"]).await;
    }
    app.stop().await;
}

/// As for a moment after each outage of a partition, whose own feed reconnects earlier than that of all streams.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resumed_feed_waits_while_the_merged_feed_reconnects() {
    let redis = Redis::start();
    let proxy = FaultProxy::start(redis.port).await;
    let setup = Setup::new(&proxy.url(), shared_livekit())
        .with(|arguments| arguments.redis_partitions = Some(PARTITIONS.to_string()));
    let app = setup.start().await;
    let mut feed = app.follow("/events").await;
    let streams = create_streams(&app).await;
    let cursor = feed.wait_for("stream_created").await["cursor"].as_str().unwrap().to_owned();
    proxy.fault_commands(Some((":clock_floor", CommandFault::ErrorReply("ERR no clock".to_owned()))));
    redis.execute(&["CLIENT", "KILL", "TYPE", "pubsub"]).await.unwrap();
    eventually("the loss of the merged feed alone", || async {
        let health = app.get("/health").await.body;
        let is_lost = health["feed"]["status"] == "down" && health["waitingPartitions"].is_null();
        is_lost.then_some(())
    })
    .await;
    let mut resumed = app.resume("/events", &cursor).await;
    proxy.fault_commands(None);
    app.patch(&path(&streams[0]), json!({"metadata": {"n": 1}})).await.expect(StatusCode::OK);
    for feed in [&mut feed, &mut resumed] {
        feed.wait_until("the change", |event| event["data"]["stream"]["metadata"] == json!({"n": 1})).await;
    }
    app.stop().await;
}

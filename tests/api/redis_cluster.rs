//! Redis Cluster: a slot that is moved under load, a killed master, a cluster without a majority.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use livestream_orchestrator::{
    domain::{InitialAudience, Metadata, RoomName, StreamId, stream::NewStream},
    store::{
        Maintenance, SnapshotContent, StoreError, StreamFilter, StreamStore, redis::RedisStore, snapshot,
    },
    telemetry::Metrics,
};
use reqwest::StatusCode;
use serde_json::json;

use crate::{
    delivery_fixture::{DeliveryFixture, newest_position},
    redis_security,
    support::{
        app::Setup,
        cluster::Cluster,
        eventually,
        feed_client::{FeedConnection, Received, Transport},
        instance::Instance,
        sentinel::pause_writes,
        servers::shared_livekit,
        unique, within,
    },
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slot_migration_under_load_loses_no_event() {
    let cluster = Cluster::start().await;
    let prefix = unique("test");
    let slot = cluster.slot(&prefix).await;
    let mut at = cluster.owner(slot, 0).await.unwrap();
    let log_url = cluster.shared_url(at);
    let mut fixture = DeliveryFixture::start(&cluster.url(), &prefix, &log_url).await;
    let load = fixture.start_load();
    load.wait_for_changes(40).await;
    // The slot moves to the two other masters and back.
    for to in cluster.masters().await.into_iter().filter(|node| *node != at).chain([at]).collect::<Vec<_>>() {
        cluster.begin_migration(slot, at, to).await;
        let moved = cluster.move_keys(slot, at, to, 8).await;
        assert_eq!(moved, 8);
        // A change is refused as a whole while its keys are on two nodes.
        load.wait_for_refusal().await;
        while cluster.move_keys(slot, at, to, 8).await > 0 {
            // Reads of a single key follow the key.
            for path in [format!("/events/{}?limit=3", fixture.streams[0]), "/streams".to_owned()] {
                fixture.apps[1].get(&path).await.expect(StatusCode::OK);
            }
        }
        cluster.finish_migration(slot, to).await;
        *log_url.lock().unwrap() = cluster.nodes[to].url();
        at = to;
        load.wait_for_changes(40).await;
    }
    let made = load.stop().await;
    let report = fixture.delivery_report().await;
    assert!(report.is_exactly_once(), "{report:?}");
    assert!(fixture.times_in_log(&made).await.iter().all(|times| *times == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_cluster_master_is_replaced_without_lost_event() {
    let mut cluster = Cluster::start().await;
    let prefix = unique("test");
    let slot = cluster.slot(&prefix).await;
    let at = cluster.owner(slot, 0).await.unwrap();
    let log_url = cluster.shared_url(at);
    let mut fixture = DeliveryFixture::start(&cluster.url(), &prefix, &log_url).await;
    let load = fixture.start_load();
    load.wait_for_changes(40).await;
    pause_writes(&cluster.nodes[at], 1).await;
    cluster.kill(&[at]).await;
    let asked = (at + 1) % 6;
    let other = cluster.wait_for_new_owner(slot, asked, at).await;
    *log_url.lock().unwrap() = cluster.nodes[other].url();
    load.wait_for_changes(40).await;
    assert!(load.refused_count() > 0);
    // The old master restarts as a replica and becomes master again by a manual failover.
    cluster.nodes[at].restart();
    cluster.wait_until_healthy(6).await;
    cluster.fail_over(slot, at, asked).await;
    *log_url.lock().unwrap() = cluster.nodes[at].url();
    load.wait_for_changes(40).await;
    let made = load.stop().await;
    let report = fixture.delivery_report().await;
    assert!(report.is_exactly_once(), "{report:?}");
    assert!(fixture.times_in_log(&made).await.iter().all(|times| *times == 1));
}

/// A script with undeclared key names would treat keys that have moved as missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_during_slot_migration_returns_error_instead_of_partial_result() {
    let cluster = Cluster::start().await;
    let prefix = unique("test");
    let setup = Setup::new(&cluster.url(), shared_livekit()).with(|arguments| {
        arguments.redis_prefix = Some(prefix.clone());
    });
    let settings = setup.settings();
    let metrics = Arc::new(Metrics::new().unwrap());
    let address = settings.redis.unwrap().address;
    let store = RedisStore::new(&address, &prefix, settings.retention, &metrics).unwrap();
    let new = NewStream {
        id: StreamId::generate(),
        room_name: RoomName::parse(unique("room")).unwrap(),
        metadata: Metadata::default(),
        max_participants: None,
        idle_after: None,
        audience: InitialAudience::LISTED,
        backstage: false,
    };
    store.create(new).await.unwrap();
    let slot = cluster.slot(&prefix).await;
    let at = cluster.owner(slot, 0).await.unwrap();
    let to = cluster.masters().await.into_iter().find(|node| *node != at).unwrap();
    cluster.begin_migration(slot, at, to).await;
    // First the keys of lists have moved and those of streams have not; then all have moved.
    for streams in [false, true] {
        let is_moved = |key: &str| key.contains(":stream:") == streams;
        assert!(cluster.move_matching_keys(slot, at, to, is_moved).await > 0);
        // A snapshot reads single keys, each of which finds its node.
        assert_eq!(streams_in_snapshot(&store).await, 1);
        assert!(matches!(store.renew_and_prune(100, None).await, Err(StoreError::Unavailable(_))));
    }
    cluster.finish_migration(slot, to).await;
    assert_eq!(streams_in_snapshot(&store).await, 1);
    assert_eq!(store.renew_and_prune(100, None).await.unwrap().removed, 0);
    assert_eq!(store.list(StreamFilter::All, 10, None).await.unwrap().items.len(), 1);
}

async fn streams_in_snapshot(store: &RedisStore) -> usize {
    let SnapshotContent::All(streams) = snapshot::of_all(store).await.unwrap().content else { panic!() };
    streams.len()
}

/// Makes the user of docs/OPERATIONS.md for these keys on all nodes; returns the URL with it.
async fn url_of_documented_user(cluster: &Cluster, prefix: &str) -> String {
    let rules =
        [redis_security::acl_rules(prefix, "service"), redis_security::acl_rules(prefix, "cluster")].concat();
    for node in &cluster.nodes {
        let command = ["ACL", "SETUSER", "orchestrator", "reset"].into_iter();
        let command = command.chain(rules.iter().map(String::as_str));
        node.execute(&command.collect::<Vec<_>>()).await.unwrap();
    }
    cluster.url().replace("redis+cluster://", "redis+cluster://orchestrator:hunter2@")
}

/// The user has the rules of docs/OPERATIONS.md and executes every kind of command.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documented_acl_user_in_cluster_suffices() {
    let cluster = Cluster::start().await;
    for (partitions, pattern) in [("1", ""), ("4", "*")] {
        let setup = Setup::new(&cluster.url(), shared_livekit())
            .with(|arguments| arguments.redis_partitions = Some(partitions.to_owned()));
        let prefix = setup.arguments.redis_prefix.clone().unwrap();
        let url = url_of_documented_user(&cluster, &(prefix + pattern)).await;
        let setup = setup.with(|arguments| arguments.redis_url = Some(url.into()));
        redis_security::use_every_command(&setup.start().await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_names_masters_of_partitions() {
    let (cluster, prefix) = (Cluster::start().await, unique("test"));
    let instance = Instance::new(&cluster.url(), shared_livekit(), &prefix).with("REDIS_PARTITIONS", "8");
    let (code, output) = instance.run_command(&["check"]).await;
    assert_eq!(code, Some(0), "{output}");
    let masters: Vec<_> = output.lines().filter(|line| line.contains(" has partitions ")).collect();
    assert_eq!(masters.len(), 3, "{output}");
    assert_eq!(masters.concat().matches("(slot ").count(), 8, "{output}");
    // A cluster node that is configured as a single server.
    let slot = cluster.slot(&prefix).await;
    let at = cluster.owner(slot, 0).await.unwrap();
    let other = cluster.masters().await.into_iter().find(|node| *node != at).unwrap();
    let single = Instance::new(&cluster.nodes[other].url(), shared_livekit(), &prefix);
    let (code, output) = single.with("REDIS_PARTITIONS", "1").run_command(&["check"]).await;
    assert!(code == Some(1) && output.contains("REDIS_URL must be redis+cluster://"), "{output}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cluster_without_majority_returns_503_until_it_recovers() {
    let mut cluster = Cluster::start().await;
    let setup = Setup::new(&cluster.url(), shared_livekit());
    let slot = cluster.slot(setup.arguments.redis_prefix.as_deref().unwrap()).await;
    let at = cluster.owner(slot, 0).await.unwrap();
    let app = setup.start().await;
    let stream = app.create(json!({})).await;
    let id = stream["id"].as_str().unwrap();
    let mut feed = within("a feed", FeedConnection::open(&(&app).into(), Transport::Grpc, Some(id), None))
        .await
        .unwrap();
    // The remaining master has the slot, but no majority.
    let others: Vec<_> = cluster.masters().await.into_iter().filter(|node| *node != at).collect();
    cluster.kill(&others).await;
    eventually("CLUSTERDOWN", || async {
        app.get("/metrics").await.text.contains("kind=\"clusterdown\"").then_some(())
    })
    .await;
    app.wait_until_ready(false).await;
    app.post("/streams", json!({})).await.expect_problem(503, "store_unavailable");
    for node in &others {
        cluster.nodes[*node].restart();
    }
    app.wait_until_ready(true).await;
    let patched = app.patch(&format!("/streams/{id}"), json!({"metadata": {"a": 1}})).await;
    patched.expect(StatusCode::OK);
    let newest = newest_position(&app, id).await;
    let received = within("the change", feed.next()).await;
    let Received::Event(event) = received else { panic!("{received:?}") };
    assert_eq!(crate::support::recording::position(&event.cursor), newest);
}

//! A cluster: a slot moved under load, a master killed, a cluster that is down.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use livestream_orchestrator::{
    domain::{Metadata, RoomName, StreamId, stream::NewStream},
    store::{
        Coordination, EventFeed, SnapshotContent, StoreError, StreamFilter, StreamStore, Topic,
        redis::RedisStore,
    },
    telemetry::Metrics,
};
use reqwest::StatusCode;
use serde_json::json;

use crate::{
    secured,
    stage::{Stage, newest},
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
async fn a_slot_that_moves_under_load_costs_nothing() {
    let cluster = Cluster::start().await;
    let prefix = unique("test");
    let slot = cluster.slot(&prefix).await;
    let mut at = cluster.owner(slot, 0).await.unwrap();
    let log_url = cluster.shared_url(at);
    let mut stage = Stage::set(&cluster.url(), &prefix, &log_url).await;
    let load = stage.load();
    load.goes_on(40).await;
    // To the two other masters and back.
    for to in cluster.masters().await.into_iter().filter(|node| *node != at).chain([at]).collect::<Vec<_>>() {
        cluster.begin_migration(slot, at, to).await;
        let moved = cluster.move_keys(slot, at, to, 8).await;
        assert_eq!(moved, 8);
        // A change is refused as a whole while only some of its keys are there.
        load.is_refused().await;
        while cluster.move_keys(slot, at, to, 8).await > 0 {
            // A single key is read wherever it is.
            for path in [format!("/events/{}?limit=3", stage.streams[0]), "/streams".to_owned()] {
                stage.apps[1].get(&path).await.expect(StatusCode::OK);
            }
        }
        cluster.finish_migration(slot, to).await;
        *log_url.lock().unwrap() = cluster.nodes[to].url();
        at = to;
        load.goes_on(40).await;
    }
    let made = load.end().await;
    let report = stage.delivery_report().await;
    assert!(report.is_exactly_once(), "{report:?}");
    assert!(stage.times_in_log(&made).await.iter().all(|times| *times == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_of_a_cluster_that_dies_is_followed_by_its_replica() {
    let mut cluster = Cluster::start().await;
    let prefix = unique("test");
    let slot = cluster.slot(&prefix).await;
    let at = cluster.owner(slot, 0).await.unwrap();
    let log_url = cluster.shared_url(at);
    let mut stage = Stage::set(&cluster.url(), &prefix, &log_url).await;
    let load = stage.load();
    load.goes_on(40).await;
    pause_writes(&cluster.nodes[at], 1).await;
    cluster.kill(&[at]).await;
    let asked = (at + 1) % 6;
    let other = cluster.wait_for_new_owner(slot, asked, at).await;
    *log_url.lock().unwrap() = cluster.nodes[other].url();
    load.goes_on(40).await;
    assert!(load.refused() > 0);
    // The old one comes back as a replica; then it is made the master again, in order.
    cluster.nodes[at].restart();
    cluster.wait_until_healthy(6).await;
    let words = ["CLUSTER", "FAILOVER"];
    eventually("the old master", || async {
        if cluster.owner(slot, asked).await == Some(at) {
            return Some(());
        }
        // Refused while another is under way.
        let _ = cluster.nodes[at].execute(&words).await;
        None
    })
    .await;
    *log_url.lock().unwrap() = cluster.nodes[at].url();
    load.goes_on(40).await;
    let made = load.end().await;
    let report = stage.delivery_report().await;
    assert!(report.is_exactly_once(), "{report:?}");
    assert!(stage.times_in_log(&made).await.iter().all(|times| *times == 1));
}

/// Scripts that make names of keys themselves would take what has gone ahead for what is not there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_is_never_read_or_kept_half_while_its_slot_moves() {
    let cluster = Cluster::start().await;
    let prefix = unique("test");
    let setup = Setup::new(&cluster.url(), shared_livekit()).with(|arguments| {
        arguments.redis_prefix = Some(prefix.clone());
    });
    let settings = setup.settings();
    let metrics = Arc::new(Metrics::new().unwrap());
    let address = settings.redis.unwrap().address;
    let store = RedisStore::new(&address, &prefix, settings.retention, metrics).unwrap();
    let new = NewStream {
        id: StreamId::generate(),
        room_name: RoomName::parse(unique("room")).unwrap(),
        metadata: Metadata::default(),
        max_participants: None,
        idle_after: None,
    };
    store.create(new).await.unwrap();
    let slot = cluster.slot(&prefix).await;
    let at = cluster.owner(slot, 0).await.unwrap();
    let to = cluster.masters().await.into_iter().find(|node| *node != at).unwrap();
    cluster.begin_migration(slot, at, to).await;
    // The lists have gone ahead, the streams have not; and the other way round.
    for ahead in [false, true] {
        let is_ahead = |key: &str| key.contains(":stream:") == ahead;
        assert!(cluster.move_matching_keys(slot, at, to, is_ahead).await > 0);
        assert!(matches!(store.snapshot(Topic::All).await, Err(StoreError::Unavailable(_))));
        assert!(matches!(store.keep(100, None).await, Err(StoreError::Unavailable(_))));
    }
    cluster.finish_migration(slot, to).await;
    let SnapshotContent::All(streams) = store.snapshot(Topic::All).await.unwrap().content else { panic!() };
    assert_eq!(streams.len(), 1);
    assert_eq!(store.keep(100, None).await.unwrap().dropped, 0);
    assert_eq!(store.list(StreamFilter::All, 10, None).await.unwrap().items.len(), 1);
}

/// A user with the rules of docs/OPERATIONS.md, and a whole day's work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_may_do_no_more_than_needed_is_enough_in_a_cluster() {
    let cluster = Cluster::start().await;
    let setup = Setup::new(&cluster.url(), shared_livekit());
    let prefix = setup.arguments.redis_prefix.as_deref().unwrap();
    let rules = [secured::rules(prefix, "service"), secured::rules(prefix, "cluster")].concat();
    for node in &cluster.nodes {
        let words = ["ACL", "SETUSER", "orchestrator"].into_iter().chain(rules.iter().map(String::as_str));
        node.execute(&words.collect::<Vec<_>>()).await.unwrap();
    }
    let url = cluster.url().replace("redis+cluster://", "redis+cluster://orchestrator:hunter2@");
    // Who takes a node for a single server is told.
    let slot = cluster.slot(prefix).await;
    let at = cluster.owner(slot, 0).await.unwrap();
    let other = cluster.masters().await.into_iter().find(|node| *node != at).unwrap();
    let (code, words) =
        Instance::new(&cluster.nodes[other].url(), shared_livekit(), prefix).run_command(&["check"]).await;
    assert!(code == Some(1) && words.contains("REDIS_URL must be redis+cluster://"), "{words}");
    secured::works(&setup.with(|arguments| arguments.redis_url = Some(url.into())).start().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_down_says_so_and_heals_by_itself() {
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
    // Both other masters: who is left is in the minority, although it has the slot.
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
    let wanted = newest(&app, id).await;
    let heard = within("the change", feed.next()).await;
    let Received::Event(event) = heard else { panic!("{heard:?}") };
    assert_eq!(crate::support::recording::position(&event.cursor), wanted);
}

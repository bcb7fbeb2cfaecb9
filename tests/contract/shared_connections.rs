//! Connections to Redis that partitions share: one for each master and runtime, and one for messages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use livestream_orchestrator::{
    domain::{Partitioning, Topic},
    store::{EventFeed, FeedMessage, PartitionedStore, Source, StreamStore, redis::RedisStore},
};

use super::{
    backend::{Backend, RETENTION},
    stores::{redis_partitions_at, redis_store_at},
};
use crate::support::{
    cluster::Cluster,
    eventually,
    fault_proxy::{CommandFault, FaultProxy},
    servers::{Redis, free_port, shared_redis},
    unique, within,
};

const PARTITIONS: u16 = 24;
/// Connections of the pool for large answers, and that of the test itself.
const OTHERS: usize = 4 + 1;

async fn text(node: &Redis, command: &[&str]) -> String {
    redis::from_redis_value(node.execute(command).await.unwrap()).unwrap()
}

async fn count(node: &Redis, kind: &str) -> usize {
    text(node, &["CLIENT", "LIST", "TYPE", kind]).await.lines().count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_on_one_master_share_connections() {
    let cluster = Cluster::start().await;
    let partitioning = Partitioning::new(PARTITIONS).unwrap();
    let partitions = redis_partitions_at(&cluster.url(), &unique("test"), partitioning, RETENTION);
    let store = PartitionedStore::new(partitioning, partitions);
    let backend = Backend::of_partitions(&store);
    for n in 0..PARTITIONS {
        backend.create(&format!("room{n}")).await;
    }
    let mut connections = Vec::new();
    for source in 0..store.sources() {
        connections.push(store.connect(Source(source)).await.unwrap());
    }
    connections.last_mut().unwrap().subscribe(&[Topic::All]).await.unwrap();
    try_join_all(store.partitions().iter().map(|partition| partition.totals())).await.unwrap();
    for master in cluster.masters().await {
        let node = &cluster.nodes[master];
        assert_eq!(count(node, "pubsub").await, 1, "one connection for messages");
        // Lookups of masters have connections of their own.
        eventually("one connection for calls", || async {
            (count(node, "normal").await <= 1 + OTHERS).then_some(())
        })
        .await;
    }
    drop(connections);
    for node in &cluster.nodes[..3] {
        let is_closed = || async { (count(node, "pubsub").await == 0).then_some(()) };
        eventually("the end of the connection without subscriptions", is_closed).await;
    }
}

fn store(prefix: &str) -> RedisStore {
    redis_store_at(shared_redis(), prefix, RETENTION)
}

#[tokio::test]
async fn dropped_subscription_leaves_others_of_the_connection() {
    let prefix = unique("test");
    let (store, backend) = (store(&prefix), Backend::redis(&prefix, RETENTION));
    let stream = backend.create("room").await;
    let mut first = store.connect(Source::FIRST).await.unwrap();
    let mut second = store.connect(Source::FIRST).await.unwrap();
    first.subscribe(&[Topic::All, Topic::Stream(stream.id)]).await.unwrap();
    second.subscribe(&[Topic::All]).await.unwrap();
    drop(first);
    let channel = format!("{{{prefix}}}:stream:{}:log", stream.id);
    let client = redis::Client::open(shared_redis()).unwrap();
    eventually("the end of the subscription", || async {
        let mut connection = client.get_multiplexed_async_connection().await.ok()?;
        let mut command = redis::cmd("PUBSUB");
        command.arg("SHARDNUMSUB").arg(&channel);
        let (_, subscribers): (String, u64) = command.query_async(&mut connection).await.unwrap();
        (subscribers == 0).then_some(())
    })
    .await;
    backend.create("other").await;
    let message = within("an event", second.next()).await;
    assert!(matches!(message, Some(FeedMessage::Event { topic: Topic::All, .. })), "{message:?}");
}

#[tokio::test]
async fn connection_without_probes_is_not_used_again() {
    let prefix = unique("test");
    let store = store(&prefix);
    let mut first = store.connect(Source::FIRST).await.unwrap();
    let mut second = store.connect(Source::FIRST).await.unwrap();
    first.discard();
    assert!(within("the end of the connection", second.next()).await.is_none());
    let mut third = store.connect(Source::FIRST).await.unwrap();
    store.probe(Source::FIRST, third.probe_address()).await.unwrap();
    assert!(matches!(within("the probe", third.next()).await, Some(FeedMessage::Probe)));
}

#[tokio::test]
async fn refused_connection_for_messages_is_not_opened_again_by_each_partition() {
    let redis = Redis::start();
    let proxy = FaultProxy::start(redis.port).await;
    let partitioning = Partitioning::new(64).unwrap();
    let partitions = redis_partitions_at(&proxy.url(), &unique("test"), partitioning, RETENTION);
    // Only connections for messages begin with HELLO.
    let refusal = CommandFault::ErrorReply("NOPROTO unsupported protocol version".to_owned());
    proxy.fault_commands(Some(("HELLO", refusal)));
    let refused = join_all(partitions.iter().map(|partition| partition.connect(Source::FIRST))).await;
    assert!(refused.iter().all(Result::is_err));
    // More than one only if the machine is slower than the growing pauses.
    assert!((1..8).contains(&proxy.faulted_count()), "{} of 64 were opened", proxy.faulted_count());
    assert!(partitions[0].ping().await.is_ok(), "commands have a backoff of their own");
    proxy.fault_commands(None);
    eventually("a connection", || async { partitions[0].connect(Source::FIRST).await.ok() }).await;
}

#[tokio::test]
async fn failed_probe_of_one_partition_keeps_back_no_other() {
    let server = Redis::start();
    let proxy = FaultProxy::start(server.port).await;
    let url = format!("{},redis://127.0.0.1:{}/0", proxy.url(), free_port());
    let (partitioning, prefix) = (Partitioning::new(2).unwrap(), unique("test"));
    let partitions = || redis_partitions_at(&url, &prefix, partitioning, RETENTION);
    let mut connection = partitions()[0].connect(Source::FIRST).await.unwrap();
    // The other server refuses a connection before one to this server is open.
    proxy.delay(Duration::from_millis(300));
    let store = PartitionedStore::new(partitioning, partitions());
    let probed = store.probe(store.source_of(Topic::All), &format!("{}\n", connection.probe_address())).await;
    assert!(probed.is_err(), "the second server is away");
    proxy.delay(Duration::ZERO);
    assert!(matches!(within("the probe", connection.next()).await, Some(FeedMessage::Probe)));
}

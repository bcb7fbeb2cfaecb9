//! The bounded pool of Redis connections for large answers: a full pool, cancelled reads, and a failover.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use livestream_orchestrator::{
    domain::{Cursor, StreamId, Topic},
    store::{
        CreateOutcome, EventFeed, LogRead, StoreError, StreamStore,
        redis::{Address, RedisStore},
    },
    telemetry::Metrics,
};
use tokio::task::JoinSet;

use super::backend::{RETENTION, new_stream};
use crate::support::{
    eventually,
    fault_proxy::{CommandFault, FaultProxy},
    sentinel::SentinelGroup,
    servers::Redis,
    unique, within,
};

/// Number of connections in the pool.
const POOL_SIZE: usize = 4;
/// Delay of each slow reply. It is below the limit of 2 s for a reply, so no connection breaks.
const SLOW: Duration = Duration::from_millis(1_200);
/// Number of concurrent slow reads. In the 4 s for which a read waits, each connection starts at most four.
const SLOW_READS: usize = 6 * POOL_SIZE;

/// A Redis store and its metrics.
#[derive(Clone)]
struct TestStore {
    redis: Arc<RedisStore>,
    metrics: Arc<Metrics>,
}

impl TestStore {
    fn new(url: &str) -> Self {
        let metrics = Arc::new(Metrics::new().unwrap());
        let address = Address { url: url.into(), ca: None, identity: None };
        let redis = RedisStore::new(&address, &unique("pool"), RETENTION, &metrics).unwrap();
        Self { redis: Arc::new(redis), metrics }
    }

    async fn create(&self) -> Result<StreamId, StoreError> {
        match self.redis.create(new_stream(&unique("room"))).await? {
            CreateOutcome::Created(stream) => Ok(stream.id),
            other => panic!("the room name is taken: {other:?}"),
        }
    }

    /// Starts concurrent reads of a stream's log, each of which needs a connection of the pool.
    fn start_reads(&self, id: StreamId, count: usize) -> JoinSet<Result<LogRead, StoreError>> {
        let read = |_| {
            let redis = self.redis.clone();
            async move { redis.read_after(Topic::Stream(id), Cursor::ORIGIN, 10).await }
        };
        (0..count).map(read).collect()
    }

    /// Asserts that more concurrent reads than the pool has connections all return the event of a new stream.
    async fn assert_pool_reads(&self, id: StreamId) {
        for read in within("reads of the log", self.start_reads(id, 2 * POOL_SIZE).join_all()).await {
            let LogRead::Events { events, .. } = read.unwrap() else { panic!("{id} has a log") };
            assert_eq!(events.len(), 1);
        }
    }

    /// Number of reads of a log that failed with this kind.
    fn failures(&self, kind: &str) -> u64 {
        let text = String::from_utf8(self.metrics.encode(None).unwrap()).unwrap();
        let name = format!(r#"lso_redis_errors_total{{call="read_log",kind="{kind}"}} "#);
        text.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |count| count.parse().unwrap())
    }
}

fn log_of(id: StreamId) -> String {
    format!("stream:{id}:log")
}

#[tokio::test]
async fn reads_beyond_a_full_pool_fail_with_poolbusy_and_discard_no_connection() {
    let redis = Redis::start();
    let proxy = FaultProxy::start(redis.port).await;
    let store = TestStore::new(&proxy.url());
    let slow = store.create().await.unwrap();
    proxy.fault_commands(Some((&log_of(slow), CommandFault::Delay(SLOW))));
    let mut reads = store.start_reads(slow, SLOW_READS);
    eventually("a full pool", || async { (proxy.faulted_count() == POOL_SIZE).then_some(()) }).await;
    let connections = proxy.connection_count();
    let mut refused = 0;
    while let Some(read) = within("a read", reads.join_next()).await {
        assert!(store.redis.get(slow).await.unwrap().is_some(), "commands outside of the pool are answered");
        refused += u64::from(read.unwrap().is_err());
    }
    assert!(refused > 0, "some reads wait for too long");
    assert_eq!(store.failures("poolbusy"), refused, "and no read fails otherwise");
    proxy.fault_commands(None);
    store.assert_pool_reads(slow).await;
    assert!(store.redis.get(slow).await.unwrap().is_some());
    assert_eq!(proxy.connection_count(), connections, "no connection was replaced");
}

#[tokio::test]
async fn cancelled_reads_leave_the_pool_usable() {
    let redis = Redis::start();
    let proxy = FaultProxy::start(redis.port).await;
    let store = TestStore::new(&proxy.url());
    let (held, other) = (store.create().await.unwrap(), store.create().await.unwrap());
    proxy.hold(&log_of(held));
    let mut reads = store.start_reads(held, POOL_SIZE);
    eventually("a full pool", || async { (proxy.held_count() == POOL_SIZE).then_some(()) }).await;
    reads.shutdown().await;
    // The replies to the cancelled reads are still missing.
    store.assert_pool_reads(other).await;
    proxy.release();
    store.assert_pool_reads(held).await;
    assert_eq!(store.failures("poolbusy"), 0);
}

/// The old master is alive and refuses to become a replica, so it passes a probe.
#[tokio::test]
async fn connections_to_a_replaced_master_leave_the_pool() {
    let group = SentinelGroup::start().await;
    let store = TestStore::new(&group.url());
    let before = store.create().await.unwrap();
    store.assert_pool_reads(before).await;
    group.nodes[0].execute(&["ACL", "SETUSER", "default", "-replicaof", "-slaveof"]).await.unwrap();
    group.force_failover().await;
    let master = &group.nodes[group.wait_for_new_master(0).await];
    let after = eventually("a stream on the new master", || async {
        let id = store.create().await.ok()?;
        let keys = master.execute(&["KEYS", &format!("*:{}", log_of(id))]).await.ok()?;
        (redis::from_redis_value::<Vec<String>>(keys).ok()?.len() == 1).then_some(id)
    })
    .await;
    assert_eq!(group.nodes[0].info("role").await.as_deref(), Some("master"), "the old master still answers");
    // Only the new master has this stream.
    store.assert_pool_reads(after).await;
}

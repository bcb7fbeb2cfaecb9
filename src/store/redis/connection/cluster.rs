//! Master lookup in a Redis Cluster: the owner of the one hash slot that all keys of the service share.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use redis::{FromRedisValue, Value};
use tokio::time::timeout;

use super::{
    address::ConnectOptions,
    failure::{Failure, FailureKind},
    node::{self, Node},
};

/// The limit for one node, opening a connection included. It is short because the other nodes can answer.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(750);

/// The known nodes of a cluster.
pub(super) struct Cluster {
    options: ConnectOptions,
    /// Any key of the service: its slot is the slot of all keys.
    key: String,
    /// The nodes in `REDIS_URL`.
    seeds: Vec<Node>,
    /// The nodes of the last `CLUSTER SLOTS`, because all seeds may have been replaced since the start.
    nodes: Mutex<Vec<Node>>,
    next: AtomicUsize,
}

impl Cluster {
    /// Prepares lookups for the slot of `key`; opens no connection.
    pub(super) fn new(seeds: Vec<Node>, options: ConnectOptions, key: String) -> Self {
        // A random start spreads the lookups of all instances over the nodes.
        let next = AtomicUsize::new(fastrand::usize(..));
        Self { options, key, seeds, nodes: Mutex::default(), next }
    }

    /// Looks up the owner of the slot. Takes the first node's answer, because an outdated one is corrected by `MOVED`.
    ///
    /// # Errors
    /// The last node's failure, where no node answers with an owner.
    pub(super) async fn slot_owner(&self) -> Result<Node, Failure> {
        let mut failure = Failure::new(FailureKind::NoMaster, "no node of the cluster is configured");
        for node in &self.candidates() {
            let late =
                |_| Failure::new(FailureKind::Timeout, "a node of the cluster does not answer in time");
            match timeout(ANSWER_TIMEOUT, self.query(node)).await.map_err(late).flatten() {
                Ok(owner) => return Ok(owner),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Returns the nodes of the last `CLUSTER SLOTS`, then the other seeds, rotated by one with each call.
    fn candidates(&self) -> Vec<Node> {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        nodes.extend(self.seeds.iter().filter(|seed| !nodes.contains(seed)).cloned().collect::<Vec<_>>());
        let first = self.next.fetch_add(1, Ordering::Relaxed) % nodes.len().max(1);
        nodes.rotate_left(first);
        nodes
    }

    /// Reads the owner of the slot from one node (`CLUSTER KEYSLOT`, `CLUSTER SLOTS`), and replaces the known nodes by
    /// those of the answer.
    ///
    /// # Errors
    /// `ClusterDown` if the slot has no owner, and failures of the connection.
    async fn query(&self, node: &Node) -> Result<Node, Failure> {
        let client = self.options.client(node)?;
        let mut connection = node::open_with_timeouts(&client, ANSWER_TIMEOUT, ANSWER_TIMEOUT).await?;
        let mut commands = redis::pipe();
        commands.cmd("CLUSTER").arg("KEYSLOT").arg(&self.key);
        commands.cmd("CLUSTER").arg("SLOTS");
        let (slot, ranges): (u16, Vec<Vec<Value>>) = commands.query_async(&mut connection).await?;
        let ranges: Vec<_> = ranges.into_iter().filter_map(|range| SlotRange::parse(range, node)).collect();
        let owner = ranges.iter().find(|range| (range.first..=range.last).contains(&slot));
        let unowned =
            || Failure::new(FailureKind::ClusterDown, "no node of the cluster owns the slot of the keys");
        let owner = owner.and_then(|range| range.nodes.first()).cloned().ok_or_else(unowned)?;
        self.remember(ranges.into_iter().flat_map(|range| range.nodes).collect());
        Ok(owner)
    }

    fn remember(&self, mut nodes: Vec<Node>) {
        nodes.sort_by_key(ToString::to_string);
        nodes.dedup();
        *self.nodes.lock().unwrap_or_else(PoisonError::into_inner) = nodes;
    }
}

/// An entry of `CLUSTER SLOTS`: first and last slot, then the master and its replicas.
struct SlotRange {
    first: u16,
    last: u16,
    nodes: Vec<Node>,
}

impl SlotRange {
    /// Parses an entry of the answer of `source`; `None` where its form is unknown.
    fn parse(entry: Vec<Value>, source: &Node) -> Option<Self> {
        let mut parts = entry.into_iter();
        let mut slot = || u16::from_redis_value(parts.next()?).ok();
        let (first, last) = (slot()?, slot()?);
        let node = |value: Value| {
            let mut parts = Vec::<Value>::from_redis_value(value).ok()?.into_iter();
            // A null host means the host under which the answering node was reached.
            let host = Option::<String>::from_redis_value(parts.next()?).ok()?.unwrap_or_default();
            let port = u16::from_redis_value(parts.next()?).ok()?;
            source.parse_announced(&format!("{host}:{port}"))
        };
        Some(Self { first, last, nodes: parts.filter_map(node).collect() })
    }
}

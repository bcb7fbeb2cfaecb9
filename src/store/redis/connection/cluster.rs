//! Master lookup in a Redis Cluster: the owners of hash slots.

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
    /// The nodes in `REDIS_URL`.
    seeds: Vec<Node>,
    /// The nodes of the last `CLUSTER SLOTS`, because all seeds may have been replaced since the start.
    nodes: Mutex<Vec<Node>>,
    next: AtomicUsize,
}

impl Cluster {
    /// Prepares lookups; opens no connection.
    pub(super) fn new(seeds: Vec<Node>, options: ConnectOptions) -> Self {
        // A random start spreads the lookups of all instances over the nodes.
        let next = AtomicUsize::new(fastrand::usize(..));
        Self { options, seeds, nodes: Mutex::default(), next }
    }

    /// Looks up the owners of slots; `None` for a slot without an owner, and where no slot is wanted.
    ///
    /// Takes the answer of the first node that knows an owner of each, because an outdated one is corrected by `MOVED`.
    /// If no node does, the answer with the most owners is taken.
    ///
    /// # Errors
    /// The last node's failure, where no node answers.
    pub(super) async fn owners(&self, wanted: &[Option<u16>]) -> Result<Vec<Option<Node>>, Failure> {
        let mut best = Err(Failure::new(FailureKind::NoMaster, "no node of the cluster is configured"));
        let (mut most, all) = (0, wanted.iter().flatten().count());
        for node in &self.candidates() {
            let late =
                |_| Failure::new(FailureKind::Timeout, "a node of the cluster does not answer in time");
            let answer = timeout(ANSWER_TIMEOUT, self.query(node)).await.map_err(late).flatten();
            let owners = answer.map(|ranges| owners_in(&ranges, wanted));
            let count = owners.as_ref().map_or(0, |owners| owners.iter().flatten().count());
            if best.is_err() || count > most {
                (best, most) = (owners, count);
            }
            if best.is_ok() && most == all {
                break;
            }
        }
        best
    }

    /// Returns the nodes of the last `CLUSTER SLOTS`, then the other seeds, rotated by one with each call.
    fn candidates(&self) -> Vec<Node> {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        nodes.extend(self.seeds.iter().filter(|seed| !nodes.contains(seed)).cloned().collect::<Vec<_>>());
        let first = self.next.fetch_add(1, Ordering::Relaxed) % nodes.len().max(1);
        nodes.rotate_left(first);
        nodes
    }

    /// Reads the ranges of slots from one node (`CLUSTER SLOTS`), and replaces the known nodes by those of the answer.
    ///
    /// # Errors
    /// Failures of the connection and of the command.
    async fn query(&self, node: &Node) -> Result<Vec<SlotRange>, Failure> {
        let client = self.options.client(node)?;
        let mut connection = node::open_with_timeouts(&client, ANSWER_TIMEOUT, ANSWER_TIMEOUT).await?;
        let ranges: Vec<Vec<Value>> = redis::cmd("CLUSTER").arg("SLOTS").query_async(&mut connection).await?;
        let ranges: Vec<_> = ranges.into_iter().filter_map(|range| SlotRange::parse(range, node)).collect();
        self.remember(ranges.iter().flat_map(|range| range.nodes.iter().cloned()).collect());
        Ok(ranges)
    }

    fn remember(&self, mut nodes: Vec<Node>) {
        if nodes.is_empty() {
            return;
        }
        nodes.sort_by_key(ToString::to_string);
        nodes.dedup();
        *self.nodes.lock().unwrap_or_else(PoisonError::into_inner) = nodes;
    }
}

fn owners_in(ranges: &[SlotRange], wanted: &[Option<u16>]) -> Vec<Option<Node>> {
    let owner = |slot: u16| ranges.iter().find(|range| (range.first..=range.last).contains(&slot));
    wanted.iter().map(|slot| owner((*slot)?)?.nodes.first().cloned()).collect()
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

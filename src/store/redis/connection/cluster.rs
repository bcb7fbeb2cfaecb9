//! The nodes of a cluster, which know who owns the one slot that all our keys are of.

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
    address::Access,
    failure::{Failure, Kind},
    node::{self, Node},
};

/// How long a node may take for its answer, opening a connection included. There are others.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(750);

/// The nodes that are known.
pub(super) struct Cluster {
    access: Access,
    /// A key of ours: the node that has its slot has all of them.
    key: String,
    seeds: Vec<Node>,
    /// The whole cluster as it was last described; the seeds may all have been replaced since the start.
    nodes: Mutex<Vec<Node>>,
    next: AtomicUsize,
}

impl Cluster {
    pub(super) fn new(seeds: Vec<Node>, access: Access, key: String) -> Self {
        // Not every instance begins with the same node.
        let next = AtomicUsize::new(uuid::Uuid::new_v4().as_fields().0 as usize);
        Self { access, key, seeds, nodes: Mutex::default(), next }
    }

    /// The owner of our slot, in the opinion of the first node that answers. Should it be wrong, the node that it names
    /// says so by `MOVED`.
    ///
    /// # Errors
    /// What the last node said, where none knows.
    pub(super) async fn owner(&self) -> Result<Node, Failure> {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        nodes.extend(self.seeds.iter().filter(|seed| !nodes.contains(seed)).cloned().collect::<Vec<_>>());
        let first = self.next.fetch_add(1, Ordering::Relaxed) % nodes.len().max(1);
        nodes.rotate_left(first);
        let mut refusal = Failure::new(Kind::NoMaster, "there is no node of the cluster");
        for node in &nodes {
            let late = |_| Failure::new(Kind::Timeout, "a node of the cluster does not answer in time");
            match timeout(ANSWER_TIMEOUT, self.ask(node)).await.map_err(late).flatten() {
                Ok(owner) => return Ok(owner),
                Err(failure) => refusal = failure,
            }
        }
        Err(refusal)
    }

    async fn ask(&self, node: &Node) -> Result<Node, Failure> {
        let client = self.access.client(node)?;
        let mut connection = node::open_within(&client, ANSWER_TIMEOUT, ANSWER_TIMEOUT).await?;
        let mut questions = redis::pipe();
        questions.cmd("CLUSTER").arg("KEYSLOT").arg(&self.key);
        questions.cmd("CLUSTER").arg("SLOTS");
        let (slot, ranges): (u16, Vec<Vec<Value>>) = questions.query_async(&mut connection).await?;
        let ranges: Vec<_> = ranges.into_iter().filter_map(|range| Range::read(range, node)).collect();
        let owner = ranges.iter().find(|range| (range.first..=range.last).contains(&slot));
        let nobody = || Failure::new(Kind::ClusterDown, "no node of the cluster has the slot of our keys");
        let owner = owner.and_then(|range| range.nodes.first()).cloned().ok_or_else(nobody)?;
        let mut all: Vec<_> = ranges.into_iter().flat_map(|range| range.nodes).collect();
        all.sort_by_key(ToString::to_string);
        all.dedup();
        *self.nodes.lock().unwrap_or_else(PoisonError::into_inner) = all;
        Ok(owner)
    }
}

/// An entry of `CLUSTER SLOTS`: first and last slot, the master, its replicas.
struct Range {
    first: u16,
    last: u16,
    nodes: Vec<Node>,
}

impl Range {
    fn read(entry: Vec<Value>, asked: &Node) -> Option<Self> {
        let mut parts = entry.into_iter();
        let mut slot = || u16::from_redis_value(parts.next()?).ok();
        let (first, last) = (slot()?, slot()?);
        let node = |value: Value| {
            let mut parts = Vec::<Value>::from_redis_value(value).ok()?.into_iter();
            // None where the node does not know under which name it was reached.
            let host = Option::<String>::from_redis_value(parts.next()?).ok()?.unwrap_or_default();
            let port = u16::from_redis_value(parts.next()?).ok()?;
            asked.named_by(&format!("{host}:{port}"))
        };
        Some(Self { first, last, nodes: parts.filter_map(node).collect() })
    }
}

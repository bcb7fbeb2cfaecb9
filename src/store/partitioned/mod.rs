//! A store of several partitions. Every call goes to the partition of its stream, room name or caller; lists, totals
//! and the log of all streams are merged.
//!
//! The backend of a partition knows nothing of the others. A stream and its room name are in one partition
//! ([`crate::domain::Partitioning`]), so each change is one atomic step there. Whatever a caller has besides streams,
//! its rate limits and its idempotency keys, is in the partition of the caller's name.
//!
//! Import direction; this file declares, and routes:
//! ```text
//! clocks, history, pages ← merge, mod ← lists, streams, requests, webhook_endpoints, log ← connection ← feed
//! ```

mod clocks;
mod connection;
mod feed;
mod history;
mod lists;
mod log;
mod merge;
mod pages;
mod requests;
mod streams;
mod webhook_endpoints;

use std::sync::Arc;

use self::{clocks::Clocks, history::History};
use super::{
    Followers, IdempotencyStore, PartitionLog, PartitionStore, RateLimitStore, RequestChanges, VisitLog,
    WebhookEndpoints,
};
use crate::domain::{Partition, Partitioning, RoomName, StreamId};

/// Everything that a store of several partitions needs of one partition.
pub trait PartitionBackend:
    PartitionStore
    + PartitionLog
    + Followers
    + VisitLog
    + WebhookEndpoints
    + IdempotencyStore
    + RateLimitStore
    + RequestChanges
    + 'static
{
}

impl<S> PartitionBackend for S where
    S: PartitionStore
        + PartitionLog
        + Followers
        + VisitLog
        + WebhookEndpoints
        + IdempotencyStore
        + RateLimitStore
        + RequestChanges
        + 'static
{
}

/// A store of several partitions. Clones share it.
pub struct PartitionedStore<P> {
    partitioning: Partitioning,
    partitions: Arc<[Arc<P>]>,
    clocks: Arc<Clocks>,
    history: Arc<History>,
}

impl<P> Clone for PartitionedStore<P> {
    fn clone(&self) -> Self {
        let Self { partitioning, partitions, clocks, history } = self;
        let (partitions, clocks, history) = (partitions.clone(), clocks.clone(), history.clone());
        Self { partitioning: *partitioning, partitions, clocks, history }
    }
}

impl<P: PartitionBackend> PartitionedStore<P> {
    /// Makes one store of its partitions, in order. Their number must be that of the partitioning.
    pub fn new(partitioning: Partitioning, partitions: Vec<P>) -> Self {
        debug_assert_eq!(usize::from(partitioning.count()), partitions.len());
        let partitions = partitions.into_iter().map(Arc::new).collect();
        Self { partitioning, partitions, clocks: Arc::default(), history: Arc::default() }
    }

    /// Returns the partitions in order.
    pub fn partitions(&self) -> &[Arc<P>] {
        &self.partitions
    }

    fn partition(&self, partition: Partition) -> &P {
        &self.partitions[partition.index()]
    }

    fn of_stream(&self, id: StreamId) -> &P {
        self.partition(self.partitioning.of_stream(id))
    }

    fn of_room(&self, room: &RoomName) -> &P {
        self.partition(self.partitioning.of_room(room))
    }

    fn of_text(&self, text: &str) -> &P {
        self.partition(self.partitioning.of_text(text))
    }
}

//! The feed of all streams: one connection to each partition, and their events in one order.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures_util::{
    FutureExt,
    future::{BoxFuture, select_all, try_join_all},
};
use tokio::time::sleep;

use super::{PartitionBackend, PartitionedStore, history::Positions, merge::Merge};
use crate::{
    domain::{Event, Topic},
    store::{ClockReading, FeedConnection, FeedMessage, Source, StoreError},
};

/// Minimum time between the beginnings of two readings of the clocks. An event waits for the end of at most two.
const READING_INTERVAL: Duration = Duration::from_millis(5);
/// Separates the addresses for probes of the partitions.
pub(super) const ADDRESS_SEPARATOR: char = '\n';

/// Connections to all partitions. It ends when one of them ends.
pub(super) struct MergedConnection<P> {
    store: PartitionedStore<P>,
    connections: Vec<Box<dyn FeedConnection>>,
    merge: Merge<Arc<Event>>,
    readings: Readings,
    /// True until it is told that a partition has lost events since the last connection.
    is_lost: bool,
    /// Whether the probe of each partition has arrived.
    probed: Vec<bool>,
    probe_address: String,
    /// The partition that is polled first, so that a busy one holds up no other.
    turn: usize,
}

impl<P: PartitionBackend> MergedConnection<P> {
    pub(super) async fn open(store: &PartitionedStore<P>) -> Result<Self, StoreError> {
        let connections = store.partitions().iter().map(|partition| partition.connect(Source::FIRST));
        let connections = try_join_all(connections).await?;
        let addresses: Vec<_> = connections.iter().map(|connection| connection.probe_address()).collect();
        let probe_address = addresses.join(&ADDRESS_SEPARATOR.to_string());
        Ok(Self {
            store: store.clone(),
            probed: vec![false; connections.len()],
            connections,
            merge: Merge::begin(std::iter::empty()),
            readings: Readings::default(),
            is_lost: false,
            probe_address,
            turn: 0,
        })
    }

    /// Handles the message of a partition; returns what follows from it at once.
    fn on_message(&mut self, partition: usize, message: FeedMessage) -> Option<FeedMessage> {
        match message {
            FeedMessage::Event { event, previous, .. } => {
                let cursor = event.cursor;
                self.merge.on_event(partition, event, cursor, previous);
                None
            }
            FeedMessage::Gap(topic) => Some(FeedMessage::Gap(topic)),
            FeedMessage::Lost(topic) => Some(FeedMessage::Lost(topic)),
            FeedMessage::Probe => {
                self.probed[partition] = true;
                let all = self.probed.iter().all(|probed| *probed);
                all.then(|| {
                    self.probed.fill(false);
                    FeedMessage::Probe
                })
            }
        }
    }

    fn next_merged(&mut self) -> Option<FeedMessage> {
        if std::mem::take(&mut self.is_lost) {
            return Some(FeedMessage::Lost(Topic::All));
        }
        if self.merge.take_gap() {
            return Some(FeedMessage::Gap(Topic::All));
        }
        let (event, previous) = self.merge.next()?;
        Some(FeedMessage::Event { topic: Topic::All, event, previous })
    }
}

#[async_trait]
impl<P: PartitionBackend> FeedConnection for MergedConnection<P> {
    async fn subscribe(&mut self, topics: &[Topic]) -> Result<(), StoreError> {
        if topics.is_empty() {
            return Ok(());
        }
        try_join_all(self.connections.iter_mut().map(|connection| connection.subscribe(topics))).await?;
        self.is_lost = self.store.find_loss(&self.store.history.positions()).await?;
        let readings = self.store.advance_clocks(0, false).await?;
        self.merge = Merge::begin(readings.iter().map(|reading| reading.tail));
        Ok(())
    }

    async fn unsubscribe(&mut self, topics: &[Topic]) -> Result<(), StoreError> {
        if !topics.is_empty() {
            self.merge = Merge::begin(std::iter::empty());
            self.store.history.save(Positions::default());
        }
        try_join_all(self.connections.iter_mut().map(|connection| connection.unsubscribe(topics))).await?;
        Ok(())
    }

    async fn next(&mut self) -> Option<FeedMessage> {
        loop {
            if let Some(message) = self.next_merged() {
                return Some(message);
            }
            let floor = self.merge.floor();
            tokio::select! {
                (partition, message) = next_of(&mut self.connections, &mut self.turn) => {
                    if let Some(message) = self.on_message(partition, message?) {
                        return Some(message);
                    }
                }
                readings = self.readings.next(&self.store, floor.unwrap_or_default()), if floor.is_some() => {
                    match readings {
                        Ok(readings) => self.merge.on_readings(&readings, Instant::now()),
                        Err(error) => tracing::debug!(%error, "clocks of the partitions not read; retrying"),
                    }
                }
            }
        }
    }

    fn probe_address(&self) -> &str {
        &self.probe_address
    }

    fn discard(&mut self) {
        let silent = self.connections.iter_mut().zip(&self.probed).filter(|(_, probed)| !**probed);
        silent.for_each(|(connection, _)| connection.discard());
    }
}

impl<P> Drop for MergedConnection<P> {
    fn drop(&mut self) {
        let positions = self.merge.positions();
        // Without a subscription, an earlier connection was the last that received events. An untold loss is found
        // again.
        if !positions.received.is_empty() && !self.is_lost {
            self.store.history.save(positions);
        }
    }
}

/// Returns the next message of any connection, and its index. Cancellation safe.
async fn next_of(
    connections: &mut [Box<dyn FeedConnection>],
    turn: &mut usize,
) -> (usize, Option<FeedMessage>) {
    let (count, first) = (connections.len(), *turn);
    let mut next: Vec<_> = connections.iter_mut().map(|connection| connection.next()).collect();
    next.rotate_left(first);
    let (message, position, _) = select_all(next).await;
    let index = (first + position) % count;
    *turn = (index + 1) % count;
    (index, message)
}

/// The readings of the clocks, one at a time.
#[derive(Default)]
struct Readings {
    running: Option<BoxFuture<'static, Result<Vec<ClockReading>, StoreError>>>,
    begun_at: Option<Instant>,
}

impl Readings {
    /// Returns the running reading, or one with this floor that begins no sooner than [`READING_INTERVAL`] after the
    /// last. Cancellation safe: the next call continues the reading.
    async fn next<P: PartitionBackend>(
        &mut self,
        store: &PartitionedStore<P>,
        floor: u64,
    ) -> Result<Vec<ClockReading>, StoreError> {
        if self.running.is_none() {
            let since = self.begun_at.map_or(READING_INTERVAL, |at| at.elapsed());
            sleep(READING_INTERVAL.saturating_sub(since)).await;
        }
        let (store, begun_at) = (store.clone(), &mut self.begun_at);
        let running = self.running.get_or_insert_with(|| {
            *begun_at = Some(Instant::now());
            async move { store.advance_clocks(floor, false).await }.boxed()
        });
        let readings = running.await;
        self.running = None;
        readings
    }
}

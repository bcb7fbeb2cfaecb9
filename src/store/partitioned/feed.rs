//! The event feed of all partitions. Each partition is a source of the events of its streams; one further source has
//! the events of all streams in one order.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use futures_util::future::{join_all, try_join_all};

use super::{
    PartitionBackend, PartitionedStore,
    connection::{ADDRESS_SEPARATOR, MergedConnection},
};
use crate::{
    domain::{Cursor, Event, StreamId, Topic},
    store::{
        EventFeed, FeedConnection, LivePage, LogRead, ParticipantsPage, ResetReason, Snapshot, Source,
        StoreError,
    },
};

impl<P: PartitionBackend> PartitionedStore<P> {
    /// Reads the tails of streams' logs, one call to each of their partitions.
    async fn tails_of_streams(&self, topics: &[Topic]) -> Result<HashMap<Topic, Cursor>, StoreError> {
        let own = |partition| {
            let is_own = move |topic: &&Topic| match topic {
                Topic::Stream(id) => self.partitioning.of_stream(*id) == partition,
                Topic::All => false,
            };
            topics.iter().filter(is_own).copied().collect::<Vec<_>>()
        };
        let reads = self.partitioning.all().map(|partition| async move {
            let topics = own(partition);
            let tails = self.partition(partition).tails(&topics).await?;
            Ok::<_, StoreError>(topics.into_iter().zip(tails))
        });
        Ok(try_join_all(reads).await?.into_iter().flatten().collect())
    }
}

#[async_trait]
impl<P: PartitionBackend> EventFeed for PartitionedStore<P> {
    fn sources(&self) -> usize {
        self.partitions().len() + 1
    }

    fn source_of(&self, topic: Topic) -> Source {
        match topic {
            Topic::Stream(id) => Source(self.partitioning.of_stream(id).index()),
            Topic::All => Source(self.partitions().len()),
        }
    }

    async fn connect(&self, source: Source) -> Result<Box<dyn FeedConnection>, StoreError> {
        match self.partitions().get(source.0) {
            Some(partition) => partition.connect(Source::FIRST).await,
            None => Ok(Box::new(MergedConnection::open(self).await?)),
        }
    }

    async fn tails(&self, topics: &[Topic]) -> Result<Vec<Cursor>, StoreError> {
        let all = if topics.contains(&Topic::All) { self.settle().await?.tail } else { Cursor::ORIGIN };
        let streams = self.tails_of_streams(topics).await?;
        Ok(topics.iter().map(|topic| streams.get(topic).copied().unwrap_or(all)).collect())
    }

    async fn read_after(&self, topic: Topic, after: Cursor, limit: usize) -> Result<LogRead, StoreError> {
        if after == Cursor::GREATEST {
            return Ok(LogRead::Reset(ResetReason::Future));
        }
        match topic {
            Topic::Stream(id)
                if after == Cursor::ORIGIN
                    || self.partitioning.of_cursor(after) == self.partitioning.of_stream(id) =>
            {
                self.of_stream(id).read_after(topic, after, limit).await
            }
            _ => self.read_after_foreign(topic, after, limit).await,
        }
    }

    async fn newest(&self, topic: Topic, limit: usize) -> Result<Option<Vec<Arc<Event>>>, StoreError> {
        match topic {
            Topic::Stream(id) => self.of_stream(id).newest(topic, limit).await,
            Topic::All => self.newest_merged(limit).await,
        }
    }

    async fn before_newest(&self, topic: Topic, count: usize) -> Result<Option<Cursor>, StoreError> {
        match topic {
            Topic::Stream(id) => self.of_stream(id).before_newest(topic, count).await,
            Topic::All => self.before_newest_merged(count).await,
        }
    }

    async fn probe(&self, source: Source, address: &str) -> Result<(), StoreError> {
        if let Some(partition) = self.partitions().get(source.0) {
            return partition.probe(Source::FIRST, address).await;
        }
        let addresses = self.partitions().iter().zip(address.split(ADDRESS_SEPARATOR));
        let probes = addresses.map(|(partition, address)| partition.probe(Source::FIRST, address));
        // All are sent, because a connection whose probe does not arrive is closed for all streams of its master.
        join_all(probes).await.into_iter().collect()
    }

    async fn live_streams(&self, after: Option<&str>) -> Result<LivePage, StoreError> {
        self.live_streams_in_turn(after).await
    }

    async fn stream_snapshot(&self, id: StreamId) -> Result<Snapshot, StoreError> {
        self.of_stream(id).stream_snapshot(id).await
    }

    async fn participants_page(
        &self,
        id: StreamId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ParticipantsPage, StoreError> {
        self.of_stream(id).participants_page(id, after, limit).await
    }
}

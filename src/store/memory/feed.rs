//! Event feed of the memory store. Each connection is an unbounded channel within the process.

use std::{
    ops::Bound,
    sync::{Arc, PoisonError},
};

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{
    state::follower::{Follower, Topics},
    state::{Entry, Inner, MemoryStore},
};
use crate::{
    domain::{Cursor, Event, Participant, StreamId, StreamStatus, Topic},
    store::{
        EventFeed, FeedConnection, FeedMessage, LIVE_PAGE, LivePage, LogRead, ParticipantsPage, Snapshot,
        SnapshotContent, Source, StateWithJson, StoreError,
        log::{FirstEntry, LogFacts, reset_reason},
    },
};

struct Connection {
    topics: Topics,
    address: String,
    messages: mpsc::UnboundedReceiver<FeedMessage>,
}

#[async_trait]
impl FeedConnection for Connection {
    async fn subscribe(&mut self, topics: &[Topic]) -> Result<(), StoreError> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner).extend(topics);
        Ok(())
    }

    async fn unsubscribe(&mut self, topics: &[Topic]) -> Result<(), StoreError> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner).retain(|topic| !topics.contains(topic));
        Ok(())
    }

    async fn next(&mut self) -> Option<FeedMessage> {
        self.messages.recv().await
    }

    fn probe_address(&self) -> &str {
        &self.address
    }
}

/// Returns the events of a topic's log, oldest first.
fn log(state: &Inner, topic: Topic) -> &[Arc<Event>] {
    match topic {
        Topic::All => state.log.events(),
        Topic::Stream(id) => state.streams.get(&id).map_or(&[], |kept| kept.log.events()),
    }
}

fn facts(state: &Inner, topic: Topic, after: Cursor) -> LogFacts {
    let holds = |topic: Topic| log(state, topic).iter().any(|event| event.cursor == after);
    let first = |topic: Topic| {
        let event = log(state, topic).first()?;
        Some(FirstEntry { cursor: event.cursor, previous: topic.previous(event) })
    };
    LogFacts {
        contains_cursor: holds(topic),
        first: first(topic),
        all_contains_cursor: holds(Topic::All),
        first_of_all: first(Topic::All),
        newest: state.newest,
    }
}

impl MemoryStore {
    fn log_of<T>(&self, topic: Topic, read: impl FnOnce(&[Arc<Event>]) -> T) -> T {
        read(log(&self.current().0, topic))
    }
}

#[async_trait]
impl EventFeed for MemoryStore {
    async fn connect(&self, _: Source) -> Result<Box<dyn FeedConnection>, StoreError> {
        let (sender, messages) = mpsc::unbounded_channel();
        let topics = Topics::default();
        let address = uuid::Uuid::now_v7().to_string();
        let follower = Follower { topics: topics.clone(), address: address.clone(), messages: sender };
        self.current().0.connections.push(follower);
        Ok(Box::new(Connection { topics, address, messages }))
    }

    async fn tails(&self, topics: &[Topic]) -> Result<Vec<Cursor>, StoreError> {
        let tail = |log: &[Arc<Event>]| log.last().map_or(Cursor::ORIGIN, |event| event.cursor);
        Ok(topics.iter().map(|topic| self.log_of(*topic, tail)).collect())
    }

    async fn read_after(&self, topic: Topic, after: Cursor, limit: usize) -> Result<LogRead, StoreError> {
        // One lock for both reads, because the log may be trimmed between two.
        let (state, _) = self.current();
        if let Some(reason) = reset_reason(topic, after, &facts(&state, topic, after)) {
            return Ok(LogRead::Reset(reason));
        }
        let log = log(&state, topic);
        let rest = &log[log.partition_point(|event| event.cursor <= after)..];
        // Events are shared pointers, so a page needs no bound in bytes.
        Ok(LogRead::Events {
            events: rest.iter().take(limit).cloned().collect(),
            complete: rest.len() <= limit,
        })
    }

    async fn newest(&self, topic: Topic, limit: usize) -> Result<Option<Vec<Arc<Event>>>, StoreError> {
        Ok(Some(self.log_of(topic, |log| log[log.len().saturating_sub(limit)..].to_vec())))
    }

    async fn before_newest(&self, topic: Topic, count: usize) -> Result<Option<Cursor>, StoreError> {
        Ok(self.log_of(topic, |log| match log.get(log.len().saturating_sub(count)) {
            Some(first) => Some(topic.previous(first)),
            None => log.last().map(|newest| newest.cursor),
        }))
    }

    async fn probe(&self, _: Source, address: &str) -> Result<(), StoreError> {
        let (inner, _) = self.current();
        for follower in inner.connections.iter().filter(|follower| follower.address == address) {
            // A closed connection needs no probe.
            let _ = follower.messages.send(FeedMessage::Probe);
        }
        Ok(())
    }

    async fn live_streams(&self, after: Option<&str>) -> Result<LivePage, StoreError> {
        let (inner, _) = self.current();
        let before = match after {
            None => Bound::Unbounded,
            Some(id) => {
                let id: StreamId = id.parse().map_err(|_| StoreError::Corrupt("list".to_owned()))?;
                Bound::Excluded(id)
            }
        };
        let entries = inner.streams.range((Bound::Unbounded, before)).rev();
        let streams = entries.map(|(_, entry)| &entry.aggregate.stream);
        let live = streams.filter(|stream| stream.status != StreamStatus::Stopped);
        let streams: Vec<_> = live.take(LIVE_PAGE).cloned().collect();
        let next = (streams.len() == LIVE_PAGE).then(|| streams.last()).flatten();
        let next = next.map(|last| last.id.to_string());
        Ok(LivePage { streams, tails: vec![inner.newest], next })
    }

    async fn stream_snapshot(&self, id: StreamId) -> Result<Snapshot, StoreError> {
        let (inner, _) = self.current();
        Ok(snapshot_of(inner.streams.get(&id)))
    }

    async fn participants_page(
        &self,
        id: StreamId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ParticipantsPage, StoreError> {
        let (inner, _) = self.current();
        let kept = inner.streams.get(&id).ok_or(StoreError::NotFound)?;
        let later = |entry: &&Participant| after.is_none_or(|after| entry.list_key().as_str() > after);
        let mut listed = kept.aggregate.ordered();
        listed.retain(|entry| entry.is_listed() && later(entry));
        let participants: Vec<Participant> =
            listed.iter().take(limit).map(|entry| (*entry).clone()).collect();
        let next = participants.last().filter(|_| listed.len() > limit).map(Participant::list_key);
        Ok(ParticipantsPage { participants, cursor: kept.newest, next })
    }
}

fn snapshot_of(kept: Option<&Entry>) -> Snapshot {
    Snapshot {
        cursor: kept.map_or(Cursor::ORIGIN, |kept| kept.newest),
        content: SnapshotContent::Stream(kept.map(|kept| StateWithJson::shared(kept.view()))),
    }
}

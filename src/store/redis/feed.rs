//! What is published, and the logs behind it.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use redis::aio::{PubSubSink, PubSubStream};

use super::{
    RedisStore,
    codec::{self, Fields},
    connection::{Stay, bounded},
    corrupt,
    keys::Keys,
};
use crate::{
    domain::{Cursor, Event},
    store::{
        EventFeed, FeedConnection, FeedMessage, LOG_PAGE_BYTES, LogRead, Lost, Snapshot, SnapshotContent,
        StoreError, StreamStore, Topic,
        log::{FirstEntry, LogFacts, why_lost},
    },
};

struct Connection {
    sink: PubSubSink,
    stream: PubSubStream,
    /// How long the server is the master.
    stay: Stay,
    keys: Keys,
    probe_channel: String,
}

impl Connection {
    fn channels(&self, topics: &[Topic]) -> Vec<String> {
        topics.iter().map(|topic| self.keys.log(*topic)).collect()
    }
}

#[async_trait]
impl FeedConnection for Connection {
    async fn subscribe(&mut self, topics: &[Topic]) -> Result<(), StoreError> {
        if topics.is_empty() {
            return Ok(());
        }
        let channels = self.channels(topics);
        Ok(bounded(self.sink.subscribe(channels)).await?)
    }

    async fn unsubscribe(&mut self, topics: &[Topic]) -> Result<(), StoreError> {
        if topics.is_empty() {
            return Ok(());
        }
        let channels = self.channels(topics);
        Ok(bounded(self.sink.unsubscribe(channels)).await?)
    }

    async fn next(&mut self) -> Option<FeedMessage> {
        loop {
            let message = tokio::select! {
                message = self.stream.next() => message?,
                // What the old one still says may be undone by now.
                () = self.stay.over() => return None,
            };
            let channel = message.get_channel_name();
            if channel == self.probe_channel {
                return Some(FeedMessage::Probe);
            }
            let Some(topic) = self.keys.topic(channel) else { continue };
            match codec::event(message.get_payload_bytes()) {
                Ok(event) => return Some(FeedMessage::Event(topic, Arc::new(event))),
                // Left out here, it is a gap that the relay repairs from the log, or reports.
                Err(error) => tracing::error!(%error, channel, "a published event cannot be read"),
            }
        }
    }

    fn probe_address(&self) -> &str {
        &self.probe_channel
    }
}

type FirstAnswer = Vec<String>;

fn first_entry(answer: &FirstAnswer) -> Result<Option<FirstEntry>, StoreError> {
    let parse = |text: &String| text.parse().map_err(|_| corrupt("cursor"));
    match &answer[..] {
        [] => Ok(None),
        [cursor, previous] => Ok(Some(FirstEntry { cursor: parse(cursor)?, previous: parse(previous)? })),
        _ => Err(corrupt("a log's first entry")),
    }
}

fn events(texts: &[Vec<u8>]) -> Result<Vec<Arc<Event>>, StoreError> {
    texts.iter().map(|text| codec::event(text).map(Arc::new)).collect()
}

/// An entry that cannot be read stays so: it is not tried again, and nobody may take it for nothing.
#[expect(clippy::needless_pass_by_value, reason = "the form that map_or_else takes")]
fn unreadable(error: StoreError) -> LogRead {
    tracing::error!(%error, "a log holds an event that cannot be read");
    LogRead::Lost(Lost::Unreadable)
}

#[async_trait]
impl EventFeed for RedisStore {
    async fn connect(&self) -> Result<Box<dyn FeedConnection>, StoreError> {
        let probe_channel = self.keys.probe(&uuid::Uuid::now_v7().to_string());
        let opened = async {
            let (mut pubsub, stay) = self.connector.subscriptions().await?;
            bounded(pubsub.subscribe(&probe_channel)).await?;
            Ok((pubsub.split(), stay))
        };
        let ((sink, stream), stay) = self.timed("subscribe", opened).await?;
        Ok(Box::new(Connection { sink, stream, stay, keys: self.keys.clone(), probe_channel }))
    }

    async fn tails(&self, topics: &[Topic]) -> Result<Vec<Cursor>, StoreError> {
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let mut commands = redis::pipe();
        for topic in topics {
            match topic {
                Topic::All => commands.get(self.keys.tail()),
                Topic::Stream(id) => commands.hget(self.keys.stream(*id), "cursor"),
            };
        }
        let tails: Vec<Option<String>> = self.pipeline("tails", &commands).await?;
        let parse = |tail: Option<String>| tail.map_or(Ok(Cursor::ORIGIN), |text| text.parse());
        tails.into_iter().map(|tail| parse(tail).map_err(|_| corrupt("tail"))).collect()
    }

    async fn read_after(&self, topic: Topic, after: Cursor, limit: usize) -> Result<LogRead, StoreError> {
        let keys = [self.keys.log(topic), self.keys.log(Topic::All), self.keys.tail()];
        let args = [after.to_string(), limit.to_string(), LOG_PAGE_BYTES.to_string()];
        type Answer = (bool, FirstAnswer, bool, FirstAnswer, String, Vec<Vec<u8>>, bool);
        let (held, first, held_by_all, first_of_all, newest, found, complete): Answer =
            self.read("read_log", &self.scripts.read_log, &keys, &args).await?;
        let facts = LogFacts {
            held,
            first: first_entry(&first)?,
            held_by_all,
            first_of_all: first_entry(&first_of_all)?,
            newest: newest.parse().map_err(|_| corrupt("tail"))?,
        };
        match why_lost(topic, after, &facts) {
            Some(lost) => Ok(LogRead::Lost(lost)),
            None => Ok(events(&found).map_or_else(unreadable, |events| LogRead::Events { events, complete })),
        }
    }

    async fn newest(&self, topic: Topic, limit: usize) -> Result<Vec<Arc<Event>>, StoreError> {
        let mut command = redis::cmd("XREVRANGE");
        command.arg(self.keys.log(topic)).arg("+").arg("-").arg("COUNT").arg(limit);
        let entries: Vec<(String, Vec<Vec<u8>>)> = self.query("newest", &command).await?;
        let texts = entries.into_iter().rev().map(|(_, mut fields)| fields.pop().unwrap_or_default());
        events(&texts.collect::<Vec<_>>())
    }

    async fn before_newest(&self, topic: Topic, count: usize) -> Result<Option<Cursor>, StoreError> {
        let args = [count.to_string()];
        let found: Option<String> =
            self.read("before_newest", &self.scripts.before_newest, &[self.keys.log(topic)], &args).await?;
        found.map(|text| text.parse().map_err(|_| corrupt("cursor"))).transpose()
    }

    async fn probe(&self, address: &str) -> Result<(), StoreError> {
        self.query("probe", redis::cmd("PUBLISH").arg(address).arg("")).await
    }

    async fn snapshot(&self, topic: Topic) -> Result<Snapshot, StoreError> {
        match topic {
            Topic::Stream(id) => {
                let view = self.view(id).await?;
                let cursor = view.as_ref().map_or(Cursor::ORIGIN, |view| view.cursor);
                Ok(Snapshot { cursor, content: SnapshotContent::Stream(view) })
            }
            Topic::All => {
                let keys = [self.keys.live(), self.keys.tail()];
                let args = [self.keys.stream_prefix()];
                let (cursor, found): (String, Vec<Fields>) =
                    self.run("snapshot_all", &self.scripts.snapshot_all, &keys, &args).await?;
                let streams = found.iter().map(codec::stream).collect::<Result<_, _>>()?;
                let cursor = cursor.parse().map_err(|_| corrupt("tail"))?;
                Ok(Snapshot { cursor, content: SnapshotContent::All(streams) })
            }
        }
    }
}

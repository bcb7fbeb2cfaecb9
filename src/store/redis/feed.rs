//! The event feed in Redis: subscriptions and the event logs, which are Redis streams.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    client::RedisStore,
    codec::{self, corrupt},
    connection::{MasterWatch, Subscription, Traffic},
    keys::Keys,
    scripts::{PositionBeforeNewest, ReadLog, ReadNewest},
};
use crate::{
    domain::{Cursor, Event, StreamId, Topic},
    store::{
        EventFeed, FeedConnection, FeedMessage, LOG_PAGE_BYTES, LivePage, LogRead, PageRequest,
        ParticipantFilter, ParticipantsPage, ResetReason, Snapshot, SnapshotContent, Source, StoreError,
        StreamStore,
        log::{FirstEntry, LogFacts, reset_reason},
    },
};

/// A subscription at the master. It ends when the master is replaced.
struct RedisFeedConnection {
    subscription: Subscription,
    master_watch: MasterWatch,
    keys: Keys,
    probe_channel: String,
}

impl RedisFeedConnection {
    /// The channels of topics: each log's key is also the name of its channel.
    fn channels(&self, topics: &[Topic]) -> Vec<String> {
        topics.iter().map(|topic| self.keys.log(*topic)).collect()
    }
}

#[async_trait]
impl FeedConnection for RedisFeedConnection {
    async fn subscribe(&mut self, topics: &[Topic]) -> Result<(), StoreError> {
        if topics.is_empty() {
            return Ok(());
        }
        let channels = self.channels(topics);
        Ok(self.subscription.subscribe(channels).await?)
    }

    async fn unsubscribe(&mut self, topics: &[Topic]) -> Result<(), StoreError> {
        if topics.is_empty() {
            return Ok(());
        }
        let channels = self.channels(topics);
        Ok(self.subscription.unsubscribe(channels).await?)
    }

    async fn next(&mut self) -> Option<FeedMessage> {
        loop {
            let message = tokio::select! {
                message = self.subscription.next() => message?,
                // A replaced master may still publish, but its events may be missing in the new master's log.
                () = self.master_watch.changed() => return None,
            };
            let channel = message.channel.as_str();
            if channel == self.probe_channel {
                return Some(FeedMessage::Probe);
            }
            let Some(topic) = self.keys.topic(channel) else { continue };
            match codec::event(&message.payload) {
                Ok(event) => {
                    let previous = topic.previous(&event);
                    return Some(FeedMessage::Event { topic, event: Arc::new(event), previous });
                }
                // The relay detects the missing event, and repairs it from the log or reports it.
                Err(error) => tracing::error!(%error, channel, "invalid event on a channel: skipped"),
            }
        }
    }

    fn probe_address(&self) -> &str {
        &self.probe_channel
    }

    fn discard(&mut self) {
        self.subscription.discard_connection();
    }
}

/// A log's oldest entry as scripts answer it: its cursor and the cursor before it; empty for an empty log.
type FirstEntryAnswer = Vec<String>;

fn first_entry(answer: &FirstEntryAnswer) -> Result<Option<FirstEntry>, StoreError> {
    let parse = |text: &String| text.parse().map_err(|_| corrupt("cursor"));
    match &answer[..] {
        [] => Ok(None),
        [cursor, previous] => Ok(Some(FirstEntry { cursor: parse(cursor)?, previous: parse(previous)? })),
        _ => Err(corrupt("the first entry of a log")),
    }
}

fn events(texts: &[Vec<u8>]) -> Result<Vec<Arc<Event>>, StoreError> {
    texts.iter().map(|text| codec::event(text).map(Arc::new)).collect()
}

/// Reports an entry that cannot be decoded. Reading it again would fail again, and skipping it would be a silent gap,
/// so the log counts as lost.
#[expect(clippy::needless_pass_by_value, reason = "map_or_else passes the error by value")]
fn unreadable(error: StoreError) -> LogRead {
    tracing::error!(%error, "invalid event in a log");
    LogRead::Reset(ResetReason::Unreadable)
}

fn read_events(texts: &[Vec<u8>], complete: bool) -> LogRead {
    events(texts).map_or_else(unreadable, |events| LogRead::Events { events, complete })
}

/// Events' JSON, and true if the log has no more.
type LogPage = (Vec<Vec<u8>>, bool);

impl RedisStore {
    /// Reads the facts about a cursor, and the page after it, see `read_log.lua`.
    pub(super) async fn read_log(
        &self,
        topic: Topic,
        after: Cursor,
        PageRequest { limit, max_bytes, reads_always }: PageRequest,
    ) -> Result<(LogFacts, Option<LogRead>), StoreError> {
        let call = ReadLog {
            log: self.keys.log(topic),
            events: self.keys.log(Topic::All),
            tail: self.keys.tail(),
            after: after.to_string(),
            limit,
            max_bytes,
            reads_always,
        };
        type Answer = (bool, FirstEntryAnswer, bool, FirstEntryAnswer, String, Option<LogPage>);
        let (contains_cursor, first, all_contains_cursor, first_of_all, newest, page): Answer =
            self.run_bulk("read_log", call).await?;
        let facts = LogFacts {
            contains_cursor,
            first: first_entry(&first)?,
            all_contains_cursor,
            first_of_all: first_entry(&first_of_all)?,
            newest: newest.parse().map_err(|_| corrupt("tail"))?,
        };
        Ok((facts, page.map(|(texts, complete)| read_events(&texts, complete))))
    }
}

#[async_trait]
impl EventFeed for RedisStore {
    async fn connect(&self, _: Source) -> Result<Box<dyn FeedConnection>, StoreError> {
        let probe_channel = self.keys.probe(&uuid::Uuid::now_v7().to_string());
        let opened = async {
            let (mut subscription, master_watch) = self.connector.subscriptions().await?;
            subscription.subscribe(vec![probe_channel.clone()]).await?;
            Ok((subscription, master_watch))
        };
        let (subscription, master_watch) = self.timed("subscribe", opened).await?;
        let keys = self.keys.clone();
        Ok(Box::new(RedisFeedConnection { subscription, master_watch, keys, probe_channel }))
    }

    async fn tails(&self, topics: &[Topic]) -> Result<Vec<Cursor>, StoreError> {
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let mut commands = redis::pipe();
        for topic in topics {
            match topic {
                Topic::All => commands.get(self.keys.tail()),
                Topic::Stream(id) => commands.hget(self.keys.stream(*id), codec::STATE),
            };
        }
        // A client waits for the tail of one topic; the hub's check reads those of all its topics.
        let traffic = if topics.len() == 1 { Traffic::Interactive } else { Traffic::Bulk };
        let tails: Vec<Option<String>> = self.pipeline("tails", &commands, traffic).await?;
        tails.into_iter().map(codec::tail).collect()
    }

    /// Reads the page only after a cursor that the log can be continued from, because a reset has no use for its bytes,
    /// for which no caller is charged. A cursor of another stream needs a second call.
    async fn read_after(&self, topic: Topic, after: Cursor, limit: usize) -> Result<LogRead, StoreError> {
        if after == Cursor::GREATEST {
            return Ok(LogRead::Reset(ResetReason::Future));
        }
        let request = PageRequest { limit, max_bytes: LOG_PAGE_BYTES, reads_always: false };
        let mut read = self.read_log(topic, after, request).await?;
        if read.1.is_none() && reset_reason(topic, after, &read.0).is_none() {
            read = self.read_log(topic, after, PageRequest { reads_always: true, ..request }).await?;
        }
        let (facts, page) = read;
        if let Some(reason) = reset_reason(topic, after, &facts) {
            return Ok(LogRead::Reset(reason));
        }
        page.ok_or_else(|| corrupt("a page of a log"))
    }

    async fn newest(&self, topic: Topic, limit: usize) -> Result<Option<Vec<Arc<Event>>>, StoreError> {
        let call = ReadNewest { log: self.keys.log(topic), limit };
        // A new subscription waits for its stream's newest event.
        let newest: Option<Vec<Vec<u8>>> =
            if limit == 1 { self.run("newest", call).await? } else { self.run_bulk("newest", call).await? };
        let oldest_first = |mut texts: Vec<_>| {
            texts.reverse();
            events(&texts)
        };
        newest.map(oldest_first).transpose()
    }

    async fn before_newest(&self, topic: Topic, count: usize) -> Result<Option<Cursor>, StoreError> {
        let (mut position, mut left, mut from) = (String::new(), count, "+".to_owned());
        loop {
            let call = PositionBeforeNewest { log: self.keys.log(topic), count: left, from };
            let (found, rest, next): (String, usize, String) = self.run("before_newest", call).await?;
            // The log may have been trimmed since the call before.
            position = if found.is_empty() { position } else { found };
            if rest == 0 {
                let is_empty = position.is_empty();
                return (!is_empty).then(|| position.parse().map_err(|_| corrupt("cursor"))).transpose();
            }
            (left, from) = (rest, next);
        }
    }

    async fn probe(&self, _: Source, address: &str) -> Result<(), StoreError> {
        self.query("probe", redis::cmd("SPUBLISH").arg(address).arg("")).await
    }

    async fn live_streams(&self, after: Option<&str>) -> Result<LivePage, StoreError> {
        self.page_of_live_streams(after).await
    }

    async fn stream_snapshot(&self, id: StreamId) -> Result<Snapshot, StoreError> {
        let view = self.view(id).await?;
        let cursor = view.as_ref().map_or(Cursor::ORIGIN, |view| view.cursor);
        Ok(Snapshot { cursor, content: SnapshotContent::Stream(view) })
    }

    async fn participants_page(
        &self,
        id: StreamId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ParticipantsPage, StoreError> {
        self.read_participants(id, ParticipantFilter::default(), limit, after).await
    }
}

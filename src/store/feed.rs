//! The event feed: published events, and the logs that hold them.

use std::sync::Arc;

use async_trait::async_trait;

use super::{SharedState, StoreError};
use crate::domain::{Cursor, Event, Participant, Stream, StreamId, StreamView, Topic};

/// Reason why a log cannot be continued from a cursor, so that the client needs a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetReason {
    /// The cursor is greater than the newest one: the log has lost events.
    Future,
    /// This log never contained the cursor.
    Unknown,
    /// Events after the cursor have been trimmed.
    Expired,
    /// This version of the service cannot parse an event after the cursor.
    Unreadable,
}

impl ResetReason {
    /// All reasons.
    pub const ALL: [Self; 4] = [Self::Future, Self::Unknown, Self::Expired, Self::Unreadable];

    /// Returns the `reason` of a reset.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Future => "cursor_from_the_future",
            Self::Unknown => "cursor_unknown",
            Self::Expired => "cursor_expired",
            Self::Unreadable => "log_unreadable",
        }
    }
}

/// Result of a read of a log.
#[derive(Clone, Debug)]
pub enum LogRead {
    /// The events after the cursor, oldest first.
    Events {
        /// At most the requested number, or about [`super::LOG_PAGE_BYTES`].
        events: Vec<Arc<Event>>,
        /// True if the log had no further events at that moment.
        complete: bool,
    },
    /// The log cannot prove that it holds every event after the cursor.
    Reset(ResetReason),
}

/// A state from which a client can start again.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The state contains every event up to this cursor and none after it.
    pub cursor: Cursor,
    /// The state.
    pub content: SnapshotContent,
}

/// Content of a snapshot.
#[derive(Clone, Debug)]
pub enum SnapshotContent {
    /// Snapshot of one stream; `None` if the stream does not exist.
    Stream(Option<SharedState<StreamView>>),
    /// Snapshot of the streams that are not stopped, newest first.
    All(Vec<Stream>),
}

/// A page of the streams that are not stopped.
///
/// The streams of one page may be read at different moments. Each of them is as of its own version.
#[derive(Clone, Debug)]
pub struct LivePage {
    /// The streams, newest first.
    pub streams: Vec<Stream>,
    /// Newest cursors of all events, each read behind a part of the page. The page shows no event after the greatest.
    ///
    /// A log that holds these cursors belongs to the history that the page was read from.
    pub tails: Vec<Cursor>,
    /// Start position of the next page; `None` after the last page.
    pub next: Option<String>,
}

/// A page of a stream's listed participants, as of one moment.
#[derive(Clone, Debug)]
pub struct ParticipantsPage {
    /// The participants, in list order.
    pub participants: Vec<Participant>,
    /// Position of the stream's newest event. The page contains every event up to it.
    pub cursor: Cursor,
    /// List key to continue after; `None` after the last page.
    pub next: Option<String>,
}

/// A source of published events, which has a connection of its own. The number is an index, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source(pub usize);

impl Source {
    /// The first source, which is the only one of a store with one partition.
    pub const FIRST: Self = Self(0);
}

/// Published events and their logs.
///
/// Delivery is at most once from the moment of the subscription: a connection that breaks, or an overloaded server,
/// loses messages silently. The relay makes exactly-once delivery of it with the logs.
///
/// # Errors
/// Every method returns [`StoreError::Unavailable`] after a bounded time without an answer.
#[async_trait]
pub trait EventFeed: Send + Sync {
    /// Returns the number of sources.
    fn sources(&self) -> usize {
        1
    }

    /// Returns the source of the events of a topic.
    fn source_of(&self, _topic: Topic) -> Source {
        Source::FIRST
    }

    /// Opens a connection of its own for the published events of a source.
    async fn connect(&self, source: Source) -> Result<Box<dyn FeedConnection>, StoreError>;

    /// Returns the newest cursor in each topic's log; [`Cursor::ORIGIN`] for an empty log.
    async fn tails(&self, topics: &[Topic]) -> Result<Vec<Cursor>, StoreError>;

    /// Returns a page of the log after a cursor.
    async fn read_after(&self, topic: Topic, after: Cursor, limit: usize) -> Result<LogRead, StoreError>;

    /// Returns the newest events of the log, oldest first; `None` if they are larger than [`super::PAGE_BYTES`].
    async fn newest(&self, topic: Topic, limit: usize) -> Result<Option<Vec<Arc<Event>>>, StoreError>;

    /// Returns the cursor before the newest `count` events of the log, or before all of a shorter log.
    ///
    /// Returns `None` for an empty log.
    async fn before_newest(&self, topic: Topic, count: usize) -> Result<Option<Cursor>, StoreError>;

    /// Publishes a probe that only the connection of the source with this [`FeedConnection::probe_address`] receives,
    /// as [`FeedMessage::Probe`].
    async fn probe(&self, source: Source, address: &str) -> Result<(), StoreError>;

    /// Returns a page of the streams that are not stopped, at most [`super::LIVE_PAGE`].
    async fn live_streams(&self, after: Option<&str>) -> Result<LivePage, StoreError>;

    /// Returns the state of one stream and its cursor, both as of one moment.
    async fn stream_snapshot(&self, id: StreamId) -> Result<Snapshot, StoreError>;

    /// Returns a page of a stream's participants after a list key, or [`StoreError::NotFound`].
    async fn participants_page(
        &self,
        id: StreamId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ParticipantsPage, StoreError>;
}

/// Message of a feed connection.
#[derive(Clone, Debug)]
pub enum FeedMessage {
    /// An event of a subscribed topic.
    Event {
        /// The topic.
        topic: Topic,
        /// The event.
        event: Arc<Event>,
        /// Cursor of the event before it in the topic's log; [`Cursor::GREATEST`] if events before it may be lost.
        previous: Cursor,
    },
    /// Events of a topic were published and not received.
    Gap(Topic),
    /// The store has lost events of a topic that this source has delivered, or has added events before those.
    Lost(Topic),
    /// A probe of this connection: the connection delivers messages.
    Probe,
}

/// A connection that delivers published events. Dropping it closes it.
#[async_trait]
pub trait FeedConnection: Send {
    /// Subscribes to topics. Every event that is published after the method returns is delivered.
    async fn subscribe(&mut self, topics: &[Topic]) -> Result<(), StoreError>;

    /// Ends delivery of these topics.
    async fn unsubscribe(&mut self, topics: &[Topic]) -> Result<(), StoreError>;

    /// Returns the next message; `None` after the connection is lost. Cancellation safe.
    async fn next(&mut self) -> Option<FeedMessage>;

    /// Returns the address for [`EventFeed::probe`].
    fn probe_address(&self) -> &str;

    /// Reports that a probe has not arrived: no later connection shares anything with this one.
    fn discard(&mut self) {}
}

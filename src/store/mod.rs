//! Where streams are kept, and the feed of what happens to them.
//!
//! Two backends implement the same traits and pass the same suite (`tests/contract/store.rs`): [`redis`] for
//! production and [`memory`] for dev mode.

pub mod answers;
mod coordination;
pub mod log;
pub mod memory;
mod quota;
pub mod redis;

use std::{str::FromStr, sync::Arc, time::Duration};

use async_trait::async_trait;

pub use self::{
    answers::{Answers, Attempt, Earlier, Known},
    coordination::{Coordination, Kept, Lease},
    quota::{Limit, Quota, Standing},
};
use crate::domain::{
    Change, Cursor, Event, Participant, ParticipantKind, ParticipantState, Rejection, RoomName, Shared,
    Stream, StreamId, StreamRef, StreamStatus, StreamView, change::Effect, stream::NewStream,
};

/// How many events a stream's own log keeps at least.
pub const STREAM_LOG_LENGTH: usize = 1_000;
/// How many events the log of all streams keeps at least.
pub const ALL_LOG_LENGTH: usize = 10_000;

/// How many bytes of events one reading of a log gives, about: it stops with the batch of events that exceeds them.
/// With 60 KB of metadata in every event, a count alone would bound nothing.
pub const LOG_PAGE_BYTES: usize = 1024 * 1024;

/// How long things are kept, as configured.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// The rolling life of a live stream's keys.
    pub live: Duration,
    /// How long a stream that is over can still be read.
    pub stopped: Duration,
    /// How long a join token may be good after the stream that it was made for is over.
    pub tokens: Duration,
}

/// Why the store did not do what it was asked to.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such stream (any more).
    #[error("there is no such stream")]
    NotFound,
    /// The rules of the domain refuse the change. Nothing was changed.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The store did not answer in time, or refused to. Whether a change was made is not known, unless it never left.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The caller's lease is not its any more: another instance does its job now. Nothing was changed.
    #[error("another instance has taken over")]
    Fenced,
    /// What is stored cannot be read. A bug or somebody else's writes.
    #[error("the store holds something unreadable: {0}")]
    Corrupt(String),
}

/// The outcome of [`StreamStore::create`].
#[derive(Clone, Debug)]
pub enum Created {
    /// The stream was recorded; this is its first state.
    New(Stream),
    /// This stream holds the room name already. Nothing was recorded.
    Existing(Stream),
    /// A room of that name which nobody wants is being deleted. Nothing was recorded; ask again in a moment.
    Held,
}

/// Something that is to have its effect once, however often it comes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Once {
    /// A webhook, by its event id. Remembered for an hour: LiveKit gives up on an event after well under a minute.
    Webhook(String),
    /// A request, by its idempotency key. Remembered for as long as its answer.
    Request(String),
}

impl Once {
    /// For how long it is remembered.
    pub const fn remembered(&self) -> Duration {
        match self {
            Self::Webhook(_) => Duration::from_secs(3_600),
            Self::Request(_) => answers::REMEMBERED,
        }
    }
}

/// What a change must find to be made at all.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// The version that the stream must be at.
    pub version: Option<u64>,
    /// Under what the change is made at most once. It is remembered in the same step as the change, so neither can be
    /// lost or doubled alone.
    pub once: Option<Once>,
    /// A lease that must still be the caller's. It is looked at in the same step as the change, so whoever wakes up
    /// after having lost it changes nothing.
    pub lease: Option<Lease>,
}

/// The outcome of a change that was not refused.
#[derive(Clone, Debug)]
pub struct Applied {
    /// What was done.
    pub effect: Effect,
    /// The stream after it.
    pub stream: Stream,
    /// The entry of the participant whom the change was about, if there is one.
    pub participant: Option<Participant>,
}

/// Which streams a list shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamFilter {
    /// All but the stopped.
    NotStopped,
    /// All.
    All,
    /// Those in this status.
    Status(StreamStatus),
}

/// Which kinds of participants a list shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KindFilter {
    /// Those of one kind, the unlisted ones included.
    Kind(ParticipantKind),
    /// Those that LiveKit hides from other participants.
    Hidden,
}

impl KindFilter {
    /// The word used in queries.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kind(kind) => kind.as_str(),
            Self::Hidden => "hidden",
        }
    }
}

impl FromStr for KindFilter {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        if text == "hidden" {
            return Ok(Self::Hidden);
        }
        let kind = ParticipantKind::ALL.into_iter().find(|kind| kind.as_str() == text);
        kind.map(Self::Kind).ok_or(UnknownKind)
    }
}

/// The text is not a kind of participants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be standard, ingress, egress, sip, agent, unknown or hidden")]
pub struct UnknownKind;

/// Which participants a list shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParticipantFilter {
    /// Those in this state; none for every state.
    pub state: Option<ParticipantState>,
    /// Those of this kind; none for the listed participants of all kinds.
    pub kind: Option<KindFilter>,
    /// Whether hidden participants are shown where [`Self::kind`] asks for them.
    pub shows_hidden: bool,
}

impl ParticipantFilter {
    /// The listed participants in one state.
    pub fn state(state: ParticipantState) -> Self {
        Self { state: Some(state), ..Self::default() }
    }

    /// Whether the list shows a participant.
    pub fn shows(&self, participant: &Participant) -> bool {
        let state = self.state.is_none_or(|state| participant.state == state);
        let visible = !participant.hidden || self.shows_hidden;
        state
            && match self.kind {
                None => participant.is_listed(),
                Some(KindFilter::Kind(kind)) => visible && participant.kind == kind,
                Some(KindFilter::Hidden) => visible && participant.hidden,
            }
    }
}

/// One page of a list, and where the next begins.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// To be handed back for the next page; none after the last.
    pub next: Option<String>,
}

/// Something whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Entries that never connected are to be dropped.
    Joining(StreamId),
    /// The stream has been empty for too long.
    Idle(StreamId),
    /// Whoever was creating or stopping the stream could not finish, or has died: nobody claims it any more.
    Stuck(StreamId),
}

/// Numbers of the whole service, whichever instance is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// How many streams there are in each status.
    pub streams: Vec<(StreamStatus, u64)>,
    /// How many participants are active in all streams.
    pub participants: u64,
}

/// The state of all streams. Every method either did all of what it says or nothing, however many instances call at
/// once; reads see every change that was acknowledged before.
///
/// # Errors
/// Every method fails with [`StoreError::Unavailable`] rather than wait longer than a bounded time.
#[async_trait]
pub trait StreamStore: Coordination {
    /// Records a stream in status `creating` with its first event, unless a live stream holds the room name or there is
    /// one with its id: of any number of concurrent creations of one name exactly one is [`Created::New`].
    async fn create(&self, new: NewStream) -> Result<Created, StoreError>;

    /// Makes one change: state, counters, log, indexes, TTLs and publication together. Every change that has an effect
    /// has its events in the log, numbered without a gap, and every event in the log has its effect.
    async fn apply(&self, stream: &StreamRef, change: Change, guard: Guard) -> Result<Applied, StoreError>;

    /// The stream with this id.
    async fn get(&self, id: StreamId) -> Result<Option<Stream>, StoreError>;

    /// The stream's id and the name of its room, which never change. The stream may be gone meanwhile.
    async fn reference(&self, id: StreamId) -> Result<Option<StreamRef>, StoreError>;

    /// The id of the live stream that holds a room name, or of the last one that did and can still be read.
    async fn id_of_room(&self, room: &RoomName) -> Result<Option<StreamId>, StoreError>;

    /// The stream and its first participants, both of one moment.
    async fn view(&self, id: StreamId) -> Result<Option<Shared<StreamView>>, StoreError>;

    /// A page of streams, newest first. The cost grows with the page, not with the number of streams.
    async fn list(
        &self,
        filter: StreamFilter,
        limit: usize,
        after: Option<&str>,
    ) -> Result<Page<Shared<Stream>>, StoreError>;

    /// A page of a stream's participants in list order.
    async fn participants(
        &self,
        id: StreamId,
        filter: ParticipantFilter,
        limit: usize,
        after: Option<&str>,
    ) -> Result<Page<Participant>, StoreError>;

    /// One unlisted participant: a recorder or a hidden one.
    async fn unlisted(&self, id: StreamId, identity: &str) -> Result<Option<Participant>, StoreError>;

    /// One listed participant.
    async fn participant(&self, id: StreamId, identity: &str) -> Result<Option<Participant>, StoreError>;

    /// What is due by now, the longest overdue first.
    async fn due(&self, limit: usize) -> Result<Vec<Due>, StoreError>;

    /// Forgets what is due about a stream that is no longer there.
    async fn forget_due(&self, due: Due) -> Result<(), StoreError>;

    /// Numbers of the whole service, at a cost that does not grow with it.
    async fn totals(&self) -> Result<Totals, StoreError>;

    /// Whether the store answers.
    async fn ping(&self) -> Result<(), StoreError>;
}

/// What a client follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// One stream.
    Stream(StreamId),
    /// All streams.
    All,
}

impl Topic {
    /// The position before `event` in this topic's log.
    pub fn previous(self, event: &Event) -> Cursor {
        match self {
            Self::Stream(_) => event.previous,
            Self::All => event.previous_of_all,
        }
    }
}

/// Why a log cannot be continued from a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The cursor is from after the newest event: the log has lost what it was given for.
    Future,
    /// The cursor was never given out by this log.
    Unknown,
    /// Events after the cursor have been trimmed.
    Expired,
    /// An event after the cursor cannot be read by this version of the service.
    Unreadable,
}

impl Lost {
    /// The word used in a reset's `reason`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Future => "cursor_from_the_future",
            Self::Unknown => "cursor_unknown",
            Self::Expired => "cursor_expired",
            Self::Unreadable => "log_unreadable",
        }
    }
}

/// What reading a log gives.
#[derive(Clone, Debug)]
pub enum LogRead {
    /// The events after the cursor, oldest first.
    Events {
        /// As many as were asked for at the most, or about [`LOG_PAGE_BYTES`] of them.
        events: Vec<Arc<Event>>,
        /// Whether the log had no more at that moment.
        complete: bool,
    },
    /// There is no saying that nothing would be missed.
    Lost(Lost),
}

/// A state to start again from, exactly as of the cursor beside it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Every event up to here is contained, none after.
    pub cursor: Cursor,
    /// The state.
    pub content: SnapshotContent,
}

/// What a snapshot contains.
#[derive(Clone, Debug)]
pub enum SnapshotContent {
    /// Of a feed of one stream; none where the stream is gone.
    Stream(Option<Shared<StreamView>>),
    /// Of the feed of all streams: those not stopped, newest first.
    All(Vec<Stream>),
}

/// What was published, from the moment of subscribing, at most once each: a connection that breaks or a server that is
/// overloaded loses messages without a word. The relay makes exactly-once of it, with the log.
#[async_trait]
pub trait EventFeed: Send + Sync {
    /// Opens a connection of its own for what is published.
    async fn connect(&self) -> Result<Box<dyn FeedConnection>, StoreError>;

    /// The newest position in each topic's log; the origin for an empty one.
    async fn tails(&self, topics: &[Topic]) -> Result<Vec<Cursor>, StoreError>;

    /// A page of the log after a cursor.
    async fn read_after(&self, topic: Topic, after: Cursor, limit: usize) -> Result<LogRead, StoreError>;

    /// The newest events of the log, oldest first.
    async fn newest(&self, topic: Topic, limit: usize) -> Result<Vec<Arc<Event>>, StoreError>;

    /// The position that the newest `count` events of the log follow, or all that it has; none for an empty log.
    async fn before_newest(&self, topic: Topic, count: usize) -> Result<Option<Cursor>, StoreError>;

    /// Publishes a message that only the connection with this [`FeedConnection::probe_address`] receives, as
    /// [`FeedMessage::Probe`].
    async fn probe(&self, address: &str) -> Result<(), StoreError>;

    /// A state to start again from.
    async fn snapshot(&self, topic: Topic) -> Result<Snapshot, StoreError>;
}

/// What a feed connection delivers.
#[derive(Clone, Debug)]
pub enum FeedMessage {
    /// An event of a topic that is subscribed.
    Event(Topic, Arc<Event>),
    /// A probe came back: the connection delivers.
    Probe,
}

/// One connection that delivers what is published. Dropping it ends it.
#[async_trait]
pub trait FeedConnection: Send {
    /// Starts delivery of these topics; when it returns, everything published from then on is delivered.
    async fn subscribe(&mut self, topics: &[Topic]) -> Result<(), StoreError>;

    /// Ends delivery of these topics.
    async fn unsubscribe(&mut self, topics: &[Topic]) -> Result<(), StoreError>;

    /// The next message; none when the connection is lost. Cancelling the future loses nothing.
    async fn next(&mut self) -> Option<FeedMessage>;

    /// Where a probe of this connection is sent to.
    fn probe_address(&self) -> &str;
}

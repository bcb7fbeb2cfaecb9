//! The steps of a worker that take time. Each runs on its own, and its result is handled by the worker.

use std::sync::Arc;

use url::Url;

use super::{
    super::{
        backlog::{QueuedEvent, Step, StreamRead},
        message::Content,
    },
    past::{self, Past},
};
use crate::{
    delivery::{Answer, EndpointClient},
    domain::{Cursor, Endpoint, StreamId, Timestamp, Topic},
    store::{FollowedPartition, LogRead, ResetReason, StoreError},
};

/// Number of events of a stream's own log that are read at once.
const STREAM_PAGE: usize = 20;

/// Result of a step.
pub(super) enum Done {
    /// An attempt at the delivery of an event.
    Event(QueuedEvent, Answer),
    /// A page of a stream's own events, and whether there are no more.
    Page(StreamRead, Vec<QueuedEvent>, bool),
    /// Events of one stream are lost. Its log ends with the cursor.
    StreamLost(StreamRead, Cursor),
    /// An attempt at the reset of one stream, whose events continue after the cursor.
    ResetOfStream(StreamId, Cursor, Answer),
    /// An attempt at the reset of all streams, whose events continue after the cursor.
    Reset(Cursor, Answer),
    /// Events after the cursor of the reset of all streams are lost too. The log ends with this cursor.
    ResetOutdated(ResetReason, Cursor),
    /// A read of what the log of all streams no longer holds.
    Past(Result<Past, past::Error>),
    /// Events of all streams are lost. The log ends with the cursor.
    Lost(ResetReason, Cursor),
    /// The store or the history did not answer; the stream is the one whose events were read.
    Unavailable(StreamId, past::Error),
}

/// What every step needs.
pub(super) struct Attempts {
    pub(super) endpoint: Endpoint,
    pub(super) url: Url,
    pub(super) client: Arc<dyn EndpointClient>,
    pub(super) partition: Arc<dyn FollowedPartition>,
    pub(super) past: past::Source,
}

impl Attempts {
    /// Makes a step.
    pub(super) async fn make(self: Arc<Self>, step: Step, now: Timestamp) -> Done {
        match step {
            Step::Deliver(event) => {
                let answer = self.post(Content::event(&event), now).await;
                Done::Event(event, answer)
            }
            Step::Read(read) => match self.read(read, now).await {
                Ok(done) => done,
                Err(error) => Done::Unavailable(read.id, error),
            },
            Step::Reset(reason, cursor) => match self.newer_loss(None, cursor, now).await {
                Some((reason, tail)) => Done::ResetOutdated(reason, tail),
                None => Done::Reset(cursor, self.post(Content::reset(reason, cursor, None), now).await),
            },
        }
    }

    /// Returns why events after the cursor of a reset are lost too, and the newest cursor of their log. Such a reset
    /// would be followed by another one, so a new one takes its place.
    ///
    /// Returns `None` without an answer of the store or the history, and if no later event is left to continue with.
    async fn newer_loss(
        &self,
        stream: Option<StreamId>,
        cursor: Cursor,
        now: Timestamp,
    ) -> Option<(ResetReason, Cursor)> {
        let topic = stream.map_or(Topic::All, Topic::Stream);
        let LogRead::Reset(reason) = self.partition.read_after(topic, cursor, 1).await.ok()? else {
            return None;
        };
        let Past::Missing(reason) = self.past.read(stream, cursor, reason, now).await.ok()? else {
            return None;
        };
        let tail = tail(&*self.partition, topic).await.ok()?;
        (tail != cursor).then_some((reason, tail))
    }

    async fn read(&self, read: StreamRead, now: Timestamp) -> Result<Done, past::Error> {
        match self.partition.read_after(Topic::Stream(read.id), read.after, STREAM_PAGE).await? {
            LogRead::Events { events, complete } => {
                Ok(Done::Page(read, events.into_iter().map(QueuedEvent::from).collect(), complete))
            }
            LogRead::Reset(reason) => self.read_past(read, reason, now).await,
        }
    }

    /// Reads what the stream's log has lost. Resets the stream if it is stored nowhere and the reset's cursor is known.
    async fn read_past(
        &self,
        read: StreamRead,
        reason: ResetReason,
        now: Timestamp,
    ) -> Result<Done, past::Error> {
        match self.past.read(Some(read.id), read.after, reason, now).await? {
            Past::Events(events) => Ok(Done::Page(read, events, false)),
            Past::UpTo(end) if end >= read.newest => Ok(Done::Page(read, Vec::new(), true)),
            Past::Behind if read.after >= read.newest => Ok(Done::Page(read, Vec::new(), true)),
            Past::UpTo(_) | Past::Behind => Err(past::Error::Behind),
            Past::Missing(reason) => match read.reset {
                Some(cursor) => Ok(self.reset_stream(read, (reason, cursor), now).await),
                None => Ok(Done::StreamLost(read, tail(&*self.partition, Topic::Stream(read.id)).await?)),
            },
        }
    }

    async fn reset_stream(
        &self,
        read: StreamRead,
        (reason, cursor): (ResetReason, Cursor),
        now: Timestamp,
    ) -> Done {
        if let Some((_, tail)) = self.newer_loss(Some(read.id), cursor, now).await {
            return Done::StreamLost(read, tail);
        }
        let answer = self.post(Content::reset(reason, cursor, Some(read.id)), now).await;
        Done::ResetOfStream(read.id, cursor, answer)
    }

    /// Reads what the log of all streams no longer holds after a position.
    pub(super) async fn read_past_of_all(
        self: Arc<Self>,
        after: Cursor,
        reason: ResetReason,
        now: Timestamp,
    ) -> Done {
        let reason = match self.past.read(None, after, reason, now).await {
            Ok(Past::Missing(reason)) => reason,
            Ok(Past::Behind) => return Done::Past(Err(past::Error::Behind)),
            read => return Done::Past(read.map_err(past::Error::from)),
        };
        match tail(&*self.partition, Topic::All).await {
            Ok(tail) => Done::Lost(reason, tail),
            Err(error) => Done::Past(Err(error.into())),
        }
    }

    async fn post(&self, content: Content, now: Timestamp) -> Answer {
        self.client.post(&self.url, content.sign(&self.endpoint, now)).await
    }
}

/// Returns the newest cursor of a log.
pub(super) async fn tail(partition: &dyn FollowedPartition, topic: Topic) -> Result<Cursor, StoreError> {
    Ok(partition.tails(&[topic]).await?.first().copied().unwrap_or(Cursor::ORIGIN))
}

//! The steps of a worker that take time. Each runs on its own, and its result is handled by the worker.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use url::Url;

use super::super::{backlog::Step, message::Content};
use crate::{
    delivery::{Answer, EndpointClient},
    domain::{Cursor, Endpoint, Event, StreamId, Timestamp, Topic},
    store::{FollowedPartition, LogRead, StoreError},
};

/// Number of events of a stream's own log that are read at once.
const STREAM_PAGE: usize = 20;

/// Result of a step.
pub(super) enum Done {
    /// An attempt at the delivery of an event.
    Event(Arc<Event>, Answer),
    /// A page of a stream's own log.
    Page(StreamId, Vec<Arc<Event>>, bool),
    /// An attempt to tell the loss of a stream's own events, which continue after the cursor.
    ResetOfStream(StreamId, Cursor, Answer),
    /// An attempt to tell the loss of events of all streams, which continue after the cursor.
    Reset(Cursor, Answer),
    /// The store did not answer; the stream is the one whose log was read.
    Unavailable(Option<StreamId>, StoreError),
}

/// What every step needs.
pub(super) struct Attempts {
    pub(super) endpoint: Endpoint,
    pub(super) url: Url,
    pub(super) client: Arc<dyn EndpointClient>,
    pub(super) partition: Arc<dyn FollowedPartition>,
}

impl Attempts {
    /// Makes a step. Holds the permit until its end.
    pub(super) async fn make(self: Arc<Self>, step: Step, now: Timestamp, _: OwnedSemaphorePermit) -> Done {
        match step {
            Step::Deliver(event) => {
                let answer = self.post(Content::event(&event), now).await;
                Done::Event(event, answer)
            }
            Step::Read(id, after) => match self.read(id, after, now).await {
                Ok(done) => done,
                Err(error) => Done::Unavailable(Some(id), error),
            },
            Step::Reset(reason) => match self.tail(Topic::All).await {
                Ok(tail) => Done::Reset(tail, self.post(Content::reset(reason, tail, None), now).await),
                Err(error) => Done::Unavailable(None, error),
            },
        }
    }

    async fn read(&self, id: StreamId, after: Cursor, now: Timestamp) -> Result<Done, StoreError> {
        let topic = Topic::Stream(id);
        match self.partition.read_after(topic, after, STREAM_PAGE).await? {
            LogRead::Events { events, complete } => Ok(Done::Page(id, events, complete)),
            LogRead::Reset(reason) => {
                let tail = self.tail(topic).await?;
                let answer = self.post(Content::reset(reason, tail, Some(id)), now).await;
                Ok(Done::ResetOfStream(id, tail, answer))
            }
        }
    }

    async fn tail(&self, topic: Topic) -> Result<Cursor, StoreError> {
        Ok(self.partition.tails(&[topic]).await?.first().copied().unwrap_or(Cursor::ORIGIN))
    }

    async fn post(&self, content: Content, now: Timestamp) -> Answer {
        self.client.post(&self.url, content.sign(&self.endpoint, now)).await
    }
}

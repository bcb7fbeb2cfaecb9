//! The feed of all streams, which a client may resume while partitions are down.
//!
//! An `EventSource` gives up for good when its reconnect is answered with an error. So the feed of a client that
//! resumes is opened at once, and waits for the partitions as a feed does that was open before. A client without a
//! cursor gets the error, because it has no position to wait at.

use std::{rc::Rc, time::Duration};

use actix_web::web::{Bytes, Data};
use tokio::time::sleep;

use super::feed::Events;
use crate::{
    admission::RequestContext,
    domain::Cursor,
    http::{app_state::AppState, framing, hijack::ChunkedWriter, sse::MessageSource},
    orchestrator::ReadGrant,
    relay::{Ended, Start, Transport},
    store::StoreError,
};

/// Mean time between two attempts to subscribe. The clients of a partition that is back do not come at once.
const RETRY: Duration = Duration::from_secs(1);

/// Messages of all streams.
pub(super) enum AllStreams {
    Open(Box<Events>),
    Waiting(Box<Waiting>),
}

/// What opens the feed later.
pub(super) struct Waiting {
    api: Data<AppState>,
    context: RequestContext,
    grant: ReadGrant,
    from: Cursor,
    writer: Option<Rc<ChunkedWriter>>,
}

impl AllStreams {
    /// Subscribes, or waits if a partition does not answer and the client resumes from a cursor.
    ///
    /// # Errors
    /// Those of the subscription otherwise.
    pub(super) async fn open(
        api: &Data<AppState>,
        context: RequestContext,
        grant: ReadGrant,
        start: Start,
    ) -> Result<Self, StoreError> {
        match (Events::open(api, &context, &grant, start).await, start) {
            (Ok(events), _) => Ok(Self::Open(Box::new(events))),
            // The relay may not have noticed the loss of a partition yet, or a partition that is back may be ready
            // before the merged feed.
            (Err(StoreError::Unavailable(_)), Start::After(from)) if api.relay.has_ready_partition() => {
                let api = api.clone();
                Ok(Self::Waiting(Box::new(Waiting { api, context, grant, from, writer: None })))
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Returns the cursor after which the feed starts; `None` if the client's is malformed.
    pub(super) fn from(&self) -> Option<Cursor> {
        match self {
            Self::Open(events) => events.from,
            Self::Waiting(waiting) => Some(waiting.from),
        }
    }
}

impl Waiting {
    /// Subscribes as soon as that succeeds. Reads nothing while partitions are known to be down. Cancellation safe.
    async fn open(&self) -> Result<Events, Ended> {
        loop {
            sleep(RETRY.mul_f64(0.5 + fastrand::f64())).await;
            if !self.api.relay.waiting_partitions().is_empty() {
                continue;
            }
            let start = Start::After(self.from);
            match Events::open(&self.api, &self.context, &self.grant, start).await {
                Ok(mut events) => {
                    self.writer.iter().for_each(|writer| events.attach(writer.clone()));
                    return Ok(events);
                }
                Err(StoreError::Unavailable(_)) => {}
                Err(error) => {
                    tracing::warn!(%error, "feed of all streams not opened after partitions were down");
                    return Err(Ended::Unavailable);
                }
            }
        }
    }
}

impl MessageSource for AllStreams {
    const TRANSPORT: Transport = Transport::Sse;

    fn attach(&mut self, writer: Rc<ChunkedWriter>) {
        match self {
            Self::Open(events) => events.attach(writer),
            Self::Waiting(waiting) => waiting.writer = Some(writer),
        }
    }

    fn heartbeat(&self) -> Bytes {
        match self {
            Self::Open(events) => events.heartbeat(),
            Self::Waiting(waiting) => framing::heartbeat(&waiting.api.relay.waiting_partitions()),
        }
    }

    async fn next(&mut self) -> Result<Bytes, Ended> {
        if let Self::Waiting(waiting) = self {
            *self = Self::Open(Box::new(waiting.open().await?));
        }
        match self {
            Self::Open(events) => events.next().await,
            Self::Waiting(_) => Err(Ended::Unavailable),
        }
    }

    fn ready(&mut self) -> Option<Result<Bytes, Ended>> {
        match self {
            Self::Open(events) => events.ready(),
            Self::Waiting(_) => None,
        }
    }
}

//! One client of the relay: its bounded queue, and the log that it reads before.

use std::{collections::VecDeque, rc::Rc, sync::Arc};

use super::{
    EventFrame, Relay, ResetFrame, Start,
    counted::Counted,
    hall::{Hall, Listener, Outlet},
    queue::{OwnQueue, Queue},
    seat::{Client, Delivery, Ended, Transport},
};
use crate::{
    domain::{Cursor, Event},
    store::{LogRead, Lost, StoreError, Topic},
};

/// How many events of the log are read at a time.
const LOG_PAGE: usize = 250;

/// A client's end: every event after the position it began at, once, in order, or a reset.
pub struct Subscription<Q = OwnQueue> {
    relay: Relay,
    topic: Topic,
    from: Cursor,
    /// The newest that was delivered; whatever is not after it is dropped.
    last: Cursor,
    backlog: VecDeque<Arc<Event>>,
    /// Whether the log has more than the backlog holds.
    behind: bool,
    reset: Option<Arc<ResetFrame>>,
    queue: Q,
    complete: bool,
    /// The position of the topic's last event, where that is known.
    end: Option<Cursor>,
    counted: Counted,
}

impl Subscription {
    /// Follows with a queue of its own.
    pub(super) async fn open(
        relay: &Relay,
        topic: Topic,
        start: Start,
        client: &Client,
    ) -> Result<Self, StoreError> {
        let counted = Counted::new(relay.metrics.clone(), client.transport);
        let (queue, position) = OwnQueue::open(relay, topic, client).await?;
        Self::on(relay, topic, start, queue, position, counted).await
    }
}

impl Subscription<Listener> {
    /// Follows in the hall of this thread.
    pub(super) async fn enter(
        relay: &Relay,
        topic: Topic,
        start: Start,
        transport: Transport,
    ) -> Result<Self, StoreError> {
        let counted = Counted::new(relay.metrics.clone(), transport);
        let listener = Hall::enter(relay, topic, transport).await?;
        let position = listener.position();
        Self::on(relay, topic, start, listener, position, counted).await
    }

    /// From now on the client can be given events past this.
    pub fn attach(&self, outlet: Rc<dyn Outlet>) {
        self.queue.attach(outlet);
    }
}

#[expect(private_bounds, reason = "there are two kinds of queue, and no others")]
impl<Q: Queue> Subscription<Q> {
    async fn on(
        relay: &Relay,
        topic: Topic,
        start: Start,
        queue: Q,
        position: Cursor,
        counted: Counted,
    ) -> Result<Self, StoreError> {
        let mut subscription = Self {
            relay: relay.clone(),
            topic,
            from: Cursor::ORIGIN,
            last: Cursor::ORIGIN,
            backlog: VecDeque::new(),
            behind: false,
            reset: None,
            queue,
            complete: false,
            end: None,
            counted,
        };
        subscription.begin(start, position).await?;
        subscription.find_end().await?;
        Ok(subscription)
    }

    async fn begin(&mut self, start: Start, position: Cursor) -> Result<(), StoreError> {
        match start {
            Start::Now => self.start_at(position),
            Start::After(cursor) => {
                self.start_at(cursor);
                self.read_on().await?;
                self.count_resume();
            }
            Start::Unknown => {
                self.give_reset(Lost::Unknown).await?;
                self.count_resume();
            }
            Start::Newest(count) => {
                let before = self.relay.feed.before_newest(self.topic, count).await?;
                self.start_at(before.unwrap_or(position));
                self.behind = before.is_some();
            }
        }
        Ok(())
    }

    fn count_resume(&self) {
        let outcome = self.reset.as_ref().map_or("replayed", |reset| reset.reason);
        self.relay.metrics.resumes.with_label_values(&[self.counted.transport.as_str(), outcome]).inc();
    }

    /// Finds out whether the stream is over already. Asked after the seat is taken: one that ends from now on says so.
    async fn find_end(&mut self) -> Result<(), StoreError> {
        if self.topic == Topic::All {
            return Ok(());
        }
        let newest = match self.relay.feed.newest(self.topic, 1).await {
            // Whoever reads the log is told so by a reset.
            Err(StoreError::Corrupt(_)) => return Ok(()),
            other => other?.pop(),
        };
        self.end = match newest {
            Some(newest) => newest.is_last().then_some(newest.cursor),
            // Its log is gone, and so is the stream.
            None => Some(self.last),
        };
        Ok(())
    }

    fn start_at(&mut self, cursor: Cursor) {
        (self.from, self.last) = (cursor, cursor);
    }

    /// The position that this subscription begins after: a client that sees nothing else can resume from it.
    pub fn from(&self) -> Cursor {
        self.from
    }

    /// Whether there is nothing to deliver, now or later.
    pub fn is_exhausted(&self) -> bool {
        self.reset.is_none() && self.end.is_some_and(|end| self.last >= end)
    }

    /// The next message. After [`Delivery::Ended`] there is none. Cancelling the future loses nothing.
    pub async fn next(&mut self) -> Delivery {
        loop {
            self.last = self.queue.passed().unwrap_or(self.last);
            if self.complete || self.is_exhausted() {
                return Delivery::Ended(Ended::Complete);
            }
            if let Some(reset) = self.reset.take() {
                return self.deliver_reset(reset);
            }
            if let Some(event) = self.backlog.pop_front() {
                if event.cursor > self.last {
                    return self.deliver(Arc::new(EventFrame::new(event)));
                }
                continue;
            }
            if self.behind {
                if let Err(error) = self.read_on().await {
                    tracing::warn!(%error, "the log could not be read for a client that resumes");
                    return Delivery::Ended(Ended::Unavailable);
                }
                continue;
            }
            let Some(delivery) = self.queue.recv(self.last).await else {
                return Delivery::Ended(self.queue.ended());
            };
            self.last = self.queue.passed().unwrap_or(self.last);
            match delivery {
                Delivery::Event(frame) if frame.event().cursor > self.last => return self.deliver(frame),
                Delivery::Event(_) => {}
                Delivery::Reset(reset) => return self.deliver_reset(reset),
                Delivery::Ended(_) => return delivery,
            }
        }
    }

    /// Reads a page of the log into the backlog.
    async fn read_on(&mut self) -> Result<(), StoreError> {
        match self.relay.feed.read_after(self.topic, self.last, LOG_PAGE).await? {
            LogRead::Events { events, complete } => {
                self.behind = !complete;
                self.backlog = events.into();
            }
            LogRead::Lost(lost) => self.give_reset(lost).await?,
        }
        Ok(())
    }

    async fn give_reset(&mut self, lost: Lost) -> Result<(), StoreError> {
        let snapshot = self.relay.feed.snapshot(self.topic).await?;
        self.relay.metrics.resets.with_label_values(&[lost.as_str()]).inc();
        self.behind = false;
        self.from = snapshot.cursor;
        self.reset = Some(Arc::new(ResetFrame::new(lost.as_str(), snapshot)));
        Ok(())
    }

    fn deliver(&mut self, frame: Arc<EventFrame>) -> Delivery {
        self.last = frame.event().cursor;
        self.complete = self.topic != Topic::All && frame.event().is_last();
        self.counted.delivered.inc();
        Delivery::Event(frame)
    }

    fn deliver_reset(&mut self, reset: Arc<ResetFrame>) -> Delivery {
        self.last = reset.cursor;
        self.complete = reset.ends();
        self.backlog.clear();
        self.behind = false;
        self.counted.delivered.inc();
        Delivery::Reset(reset)
    }

    /// Whether [`Self::next`] would read the log.
    pub fn is_about_to_read(&self) -> bool {
        self.behind && self.backlog.is_empty() && self.reset.is_none()
    }

    /// Counts the bytes that a message had on the wire.
    pub fn sent(&self, bytes: usize) {
        self.counted.delivered_bytes.inc_by(bytes as u64);
    }
}

//! Subscription: one client's exactly-once, in-order view of a topic, read from the log first and then from the feed.

mod opening;

use std::{collections::VecDeque, sync::Arc};

use super::{
    access::Access,
    budget::Charge,
    frame::EventFrame,
    hub_handle::HubHandle,
    options::Start,
    queue::{ClientQueue, Queue},
    reset::ResetFrame,
    subscriber::{Delivery, Ended},
    subscriber_metrics::SubscriberMetrics,
    transport::Transport,
};
use crate::{
    domain::{Cursor, Event, Topic},
    store::{LogRead, ResetReason, StoreError},
};

/// Maximum events in one page of the log.
const LOG_PAGE: usize = 250;

/// Client side of a subscription.
///
/// Delivers every event after its start position, once and in cursor order, or a reset where that is impossible.
pub struct Subscription<Q = ClientQueue> {
    hub: HubHandle,
    topic: Topic,
    from: Cursor,
    /// Newest delivered event. Events up to it are skipped.
    last: Cursor,
    backlog: VecDeque<Arc<Event>>,
    /// Charge of the page that the backlog was filled with.
    backlog_charge: Option<Charge>,
    /// True if the log has events after the backlog.
    is_behind: bool,
    reset: Option<Arc<ResetFrame>>,
    queue: Q,
    access: Access,
    is_complete: bool,
    /// Cursor of the stream's last event; `None` while the stream has not ended.
    end: Option<Cursor>,
    /// Bytes that were read for this client alone since [`Self::take_read_bytes`].
    read_bytes: usize,
    metrics: SubscriberMetrics,
}

#[expect(private_bounds, reason = "the relay implements all queues")]
impl<Q: Queue> Subscription<Q> {
    async fn with_queue(
        hub: &HubHandle,
        (topic, access): (Topic, Access),
        start: Start,
        queue: Q,
        position: Cursor,
        transport: Transport,
    ) -> Result<Self, StoreError> {
        // Counted only now: a counted subscriber has a position and misses no later event.
        let metrics = SubscriberMetrics::new(hub.metrics.clone(), transport);
        let mut subscription = Self {
            hub: hub.clone(),
            topic,
            from: Cursor::ORIGIN,
            last: Cursor::ORIGIN,
            backlog: VecDeque::new(),
            backlog_charge: None,
            is_behind: false,
            reset: None,
            queue,
            access,
            is_complete: false,
            end: None,
            read_bytes: 0,
            metrics,
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
                self.read_page().await?;
                self.count_resume();
            }
            Start::Unknown => {
                self.prepare_reset(ResetReason::Unknown).await?;
                self.count_resume();
            }
            Start::Newest(count) => {
                let before = self.hub.feed.before_newest(self.topic, count).await?;
                self.start_at(before.unwrap_or(position));
                self.is_behind = before.is_some();
            }
        }
        Ok(())
    }

    fn count_resume(&self) {
        let outcome = self.reset.as_ref().map_or("replayed", |reset| reset.reason);
        self.hub.metrics.resumes.with_label_values(&[self.metrics.transport.as_str(), outcome]).inc();
    }

    /// Reads whether the stream has ended. Runs after registration at the hub, which delivers any later end.
    async fn find_end(&mut self) -> Result<(), StoreError> {
        if self.topic == Topic::All {
            return Ok(());
        }
        let newest = match self.hub.feed.newest(self.topic, 1).await {
            // The read of the log that follows returns a reset for the unreadable entry.
            Err(StoreError::Corrupt(_)) => return Ok(()),
            other => other?.unwrap_or_default().pop(),
        };
        if newest.as_ref().is_some_and(|newest| newest.draft.stream.blocks > 0) {
            self.access.suspect();
        }
        self.end = match newest {
            Some(newest) => newest.is_last().then_some(newest.cursor),
            // Only an expired stream has no log.
            None => Some(self.last),
        };
        Ok(())
    }

    fn start_at(&mut self, cursor: Cursor) {
        (self.from, self.last) = (cursor, cursor);
    }

    /// Returns the cursor after which the subscription starts. A client without any event resumes from it.
    pub fn from(&self) -> Cursor {
        self.from
    }

    /// Reports whether the stream has ended and the client has its last event.
    pub fn is_exhausted(&self) -> bool {
        self.reset.is_none() && self.end.is_some_and(|end| self.last >= end)
    }

    /// Returns the next message. [`Delivery::Ended`] is the last one.
    ///
    /// Cancellation safe: a dropped future has consumed no message.
    pub async fn next(&mut self) -> Delivery {
        loop {
            if let Some(ended) = self.access.check().await {
                return Delivery::Ended(ended);
            }
            self.apply_direct_position();
            if self.is_complete || self.is_exhausted() {
                return Delivery::Ended(Ended::Complete);
            }
            if let Some(reset) = self.reset.take() {
                return self.deliver_reset(reset, self.is_behind);
            }
            if let Some(event) = self.next_in_backlog() {
                return self.deliver(Arc::new(EventFrame::new(event)));
            }
            let signal = self.access.signal();
            let delivery = tokio::select! {
                biased;
                delivery = self.receive() => delivery,
                () = signal => None,
            };
            if let Some(delivery) = delivery {
                return delivery;
            }
        }
    }

    /// Refills the backlog, or receives a message. Cancellation safe.
    async fn receive(&mut self) -> Option<Delivery> {
        if self.is_behind { self.read_on().await } else { self.next_published().await }
    }

    /// Takes the next event of the backlog and skips events that the client has.
    fn next_in_backlog(&mut self) -> Option<Arc<Event>> {
        while let Some(event) = self.backlog.pop_front() {
            if event.cursor > self.last {
                return Some(event);
            }
        }
        self.backlog_charge = None;
        None
    }

    /// Refills the backlog; returns the end of the subscription if the log cannot be read.
    async fn read_on(&mut self) -> Option<Delivery> {
        let error = self.read_page().await.err()?;
        tracing::warn!(%error, "log read failed for a resuming client; its subscription ends");
        Some(Delivery::Ended(Ended::Unavailable))
    }

    /// Moves the position past events that the fan-out has written directly.
    fn apply_direct_position(&mut self) {
        self.last = self.queue.take_direct_position().unwrap_or(self.last);
    }

    /// Receives one message from the queue; `None` if the client has the event already.
    async fn next_published(&mut self) -> Option<Delivery> {
        let Some(delivery) = self.queue.recv(self.last).await else {
            return Some(Delivery::Ended(self.queue.ended()));
        };
        self.apply_direct_position();
        match delivery {
            Delivery::Event(frame) if frame.event().cursor > self.last => Some(self.deliver(frame)),
            Delivery::Event(_) => None,
            Delivery::Reset(reset) => Some(self.deliver_reset(reset, false)),
            Delivery::Ended(_) => Some(delivery),
        }
    }

    /// Reads the next page of the log into the backlog, or prepares a reset where the log is incomplete.
    async fn read_page(&mut self) -> Result<(), StoreError> {
        match self.hub.feed.read_after(self.topic, self.last, LOG_PAGE).await? {
            LogRead::Events { events, complete } => {
                self.is_behind = !complete;
                let bytes = events.iter().map(|event| event.approximate_bytes()).sum();
                self.read_bytes += bytes;
                self.backlog_charge = Some(self.hub.budget.charge(bytes));
                self.backlog = events.into();
            }
            LogRead::Reset(reason) => self.prepare_reset(reason).await?,
        }
        Ok(())
    }

    async fn prepare_reset(&mut self, reason: ResetReason) -> Result<(), StoreError> {
        let reset = self.hub.snapshots.reset(self.topic, reason, self.last).await?;
        self.hub.metrics.resets.with_label_values(&[reason.as_str()]).inc();
        // A shared snapshot may be older than this subscription's position in the queue.
        self.is_behind = self.topic == Topic::All;
        self.read_bytes += reset.bytes();
        self.reset = Some(reset);
        Ok(())
    }

    fn deliver(&mut self, frame: Arc<EventFrame>) -> Delivery {
        self.last = frame.event().cursor;
        self.is_complete = self.topic != Topic::All && frame.event().is_last();
        self.metrics.delivered.inc();
        Delivery::Event(frame)
    }

    fn deliver_reset(&mut self, reset: Arc<ResetFrame>, is_behind: bool) -> Delivery {
        self.last = reset.cursor;
        self.is_complete = reset.ends();
        self.backlog.clear();
        self.backlog_charge = None;
        self.is_behind = is_behind;
        self.metrics.delivered.inc();
        Delivery::Reset(reset)
    }

    /// Returns about how many bytes of logs and snapshots were read for this client alone since the last call.
    /// Published events are read once for all clients and do not count.
    pub fn take_read_bytes(&mut self) -> usize {
        std::mem::take(&mut self.read_bytes)
    }

    /// Reports whether the next call of [`Self::next`] reads the log.
    pub fn is_about_to_read(&self) -> bool {
        self.is_behind && self.backlog.is_empty() && self.reset.is_none()
    }

    /// Adds the encoded size of a message to the delivered bytes.
    pub fn sent(&self, bytes: usize) {
        self.metrics.delivered_bytes.inc_by(bytes as u64);
    }
}

//! Reads of the log of all streams, and of what it no longer holds.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    Worker,
    attempt::tail,
    past::{Error, Past, READ_RETRY},
};
use crate::{
    domain::{Cursor, Timestamp, Topic},
    followers::{Followed, MIN_READ_INTERVAL, POLL_INTERVAL},
    outbound_webhooks::backlog::QueuedEvent,
    store::{Job, ResetReason},
};

/// Time after events during which more are expected.
const BUSY: Duration = Duration::from_secs(1);

impl Worker {
    /// Returns the time after which the worker reads on. Short while there are events: the fewer deliveries begin at
    /// once, the less they delay requests.
    pub(super) fn poll_interval(&self) -> Duration {
        let is_busy = self.read_at.is_some_and(|at| at.elapsed() < BUSY);
        if is_busy { MIN_READ_INTERVAL } else { POLL_INTERVAL }
    }

    /// Reads on in the log of all streams, if there is room.
    pub(super) async fn read_on(&mut self, now: Timestamp) {
        if self.past.is_in_progress || self.past.due > now || !self.backlog.has_room() {
            return;
        }
        match self.context.recent.after(self.backlog.read_position()).await {
            Ok(Followed::Events { events, number }) => {
                if !events.is_empty() {
                    self.read_at = Some(Instant::now());
                }
                self.saving.has_read(events.len(), number);
                self.backlog.add(&events.into_iter().map(QueuedEvent::from).collect::<Vec<_>>());
            }
            Ok(Followed::Lost(reason)) => self.read_past(reason, now).await,
            Err(error) => self.report(&error.into()),
        }
    }

    /// Begins a read of what the log of all streams no longer holds, if there is a history. An endpoint of one stream
    /// continues from the log of that stream instead.
    async fn read_past(&mut self, reason: ResetReason, now: Timestamp) {
        let is_of_one_stream = self.attempts.endpoint.filter.stream_id.is_some();
        if !is_of_one_stream && self.attempts.past.serves(reason) {
            let read = self.attempts.clone().read_past_of_all(self.backlog.read_position(), reason, now);
            self.past.is_in_progress = true;
            self.running.spawn(read);
            return;
        }
        match tail(&*self.context.partition, Topic::All).await {
            Ok(tail) => self.lose(reason, tail, now),
            Err(error) => self.report(&error.into()),
        }
    }

    /// Continues after a read of what the log of all streams no longer holds.
    pub(super) fn continue_past(&mut self, read: Result<Past, Error>, now: Timestamp) {
        self.past.is_in_progress = false;
        match read {
            Ok(Past::Events(events)) => {
                self.saving.has_read(events.len(), None);
                self.backlog.add(&events);
            }
            Ok(Past::UpTo(end)) => self.backlog.continue_after(end),
            // Reported as an error and as a loss.
            Ok(Past::Behind | Past::Missing(_)) => {}
            Err(error) => {
                self.report(&error);
                self.past.due = now.plus(READ_RETRY);
            }
        }
    }

    /// Continues after a loss of events of all streams, of which the log ends with the cursor.
    pub(super) fn lose(&mut self, reason: ResetReason, tail: Cursor, now: Timestamp) {
        self.past.is_in_progress = false;
        self.count_failure("lost");
        self.backlog.lose(reason, tail, now);
        self.saving.save_now();
    }

    /// Resets with another cursor, because events after that of the pending reset are lost too.
    pub(super) fn renew_reset(&mut self, reason: ResetReason, tail: Cursor) {
        self.count_failure("lost");
        self.backlog.renew_reset(reason, tail);
        self.saving.save_now();
    }

    pub(super) fn report(&self, error: &Error) {
        self.count_failure(error.kind());
        tracing::debug!(%error, endpoint = %self.attempts.endpoint.id, "events not read; retrying");
    }

    fn count_failure(&self, kind: &str) {
        let job = Job::SendWebhooks.as_str();
        self.context.metrics.follower_failures.with_label_values(&[job, kind]).inc();
    }
}

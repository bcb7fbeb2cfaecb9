//! Delivers the events of one partition to one endpoint.

mod attempt;
mod context;
mod saving;
mod verdict;

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use url::Url;

pub(super) use self::context::{Context, Lag};
use self::{
    attempt::{Attempts, Done},
    saving::Saving,
    verdict::verdict,
};
use super::{
    backlog::{Backlog, Step},
    permits::Permits,
    progress::{LastAnswer, Progress},
};
use crate::{
    delivery::Answer,
    domain::{Cursor, DisabledReason, Endpoint, EndpointId, StreamId, Timestamp, Topic},
    followers::{Followed, POLL_INTERVAL},
    store::{FollowedPartition, Job, StoreError},
};

/// Time that deliveries in progress have to end when the worker stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause after a read of a stream's log that has failed.
const READ_RETRY: Duration = Duration::from_secs(1);

/// Why a worker ends.
enum End {
    /// The position was changed, or the lease is lost: nothing may be saved any more.
    Superseded,
    /// The endpoint gets no more deliveries.
    Disabled(DisabledReason),
}

/// A running worker.
pub(super) struct Worker {
    context: Context,
    attempts: Arc<Attempts>,
    permits: Arc<Permits>,
    backlog: Backlog,
    saving: Saving,
    running: FuturesUnordered<BoxFuture<'static, Done>>,
    last_answer: Option<LastAnswer>,
    failing_since: Option<Timestamp>,
    lag: watch::Sender<Lag>,
}

impl Worker {
    /// Loads the position of an endpoint, and begins at the newest event if there is none.
    ///
    /// # Errors
    /// Errors of the store; [`StoreError::Corrupt`] for a position or a URL that does not parse.
    pub(super) async fn load(
        context: Context,
        endpoint: Endpoint,
        permits: Arc<Permits>,
        lag: watch::Sender<Lag>,
    ) -> Result<Self, StoreError> {
        let now = context.clock.now().await;
        let (saving, progress) = Saving::load(&context, &endpoint, now).await?;
        let url = Url::parse(&endpoint.url).map_err(|_| StoreError::Corrupt("url".to_owned()))?;
        let filter = endpoint.filter.clone();
        let (client, partition) = (context.client.clone(), context.partition.clone());
        let attempts = Attempts { endpoint, url, client, partition };
        Ok(Self {
            attempts: Arc::new(attempts),
            permits,
            backlog: Backlog::new(filter, progress.position, progress.behind, progress.reset),
            saving,
            running: FuturesUnordered::new(),
            last_answer: progress.last_answer,
            failing_since: progress.failing_since,
            lag,
            context,
        })
    }

    /// Delivers until `stopped`, or until the endpoint is disabled.
    pub(super) async fn run(mut self, stopped: CancellationToken) {
        let end = stopped.run_until_cancelled(self.deliver()).await;
        if !matches!(end, Some(End::Superseded)) {
            let settled = async { while self.finish_one().await.is_ok_and(|is_left| is_left) {} };
            // What has not ended by then is attempted again by the next worker.
            let _ = timeout(STOP_TIMEOUT, settled).await;
            let now = self.context.clock.now().await;
            self.save(now).await;
        }
        if let Some(End::Disabled(reason)) = end {
            disable(&self.context, &self.attempts.endpoint.id, reason).await;
        }
    }

    async fn deliver(&mut self) -> End {
        loop {
            let now = self.context.clock.now().await;
            self.backlog.set_slow_behind(now);
            self.read_on(now).await;
            self.begin_steps(now);
            if self.saving.is_due() && !self.save(now).await {
                return End::Superseded;
            }
            tokio::select! {
                Some(done) = self.running.next() => {
                    if let Some(reason) = self.handle(done, now) {
                        return End::Disabled(reason);
                    }
                }
                () = sleep(POLL_INTERVAL) => {}
                Ok(()) = self.context.revision.changed() => {
                    if self.saving.is_superseded(&self.context).await {
                        return End::Superseded;
                    }
                }
            }
        }
    }

    /// Saves the position. Returns false if the lease is lost or a request has changed the position.
    async fn save(&mut self, now: Timestamp) -> bool {
        let progress = self.progress(now).await;
        match self.saving.save(&self.context, progress).await {
            Ok(is_saved) => is_saved,
            Err(error) => {
                self.report(&error);
                true
            }
        }
    }

    async fn progress(&mut self, now: Timestamp) -> Progress {
        let unread = self.saving.unread(&self.context.recent).await;
        let read = i64::try_from(self.backlog.read_position().millis()).unwrap_or_default();
        let unread_since = (unread > 0).then(|| Timestamp::from_millis(read));
        let oldest = self.backlog.oldest().into_iter().chain(unread_since).min();
        let lag_events = self.backlog.undelivered() + unread;
        let is_failing = self.failing_since.is_some();
        self.lag.send_replace(Lag { events: lag_events, oldest, is_failing });
        Progress {
            position: self.backlog.position(),
            behind: self.backlog.behind().collect(),
            reset: self.backlog.reset_attempts(),
            lag_events,
            unread,
            oldest,
            last_answer: self.last_answer,
            failing_since: self.failing_since,
            saved_at: now,
        }
    }

    /// Reads on in the log of all streams, if there is room.
    async fn read_on(&mut self, now: Timestamp) {
        if !self.backlog.has_room() {
            return;
        }
        match self.context.recent.after(self.backlog.read_position()).await {
            Ok(Followed::Events { events, number }) => {
                self.backlog.add(&events);
                self.saving.has_read(events.len(), number);
            }
            Ok(Followed::Lost(reason)) => match tail(&*self.context.partition).await {
                Ok(tail) => {
                    self.count_failure("lost");
                    self.backlog.lose(reason, tail, now);
                }
                Err(error) => self.report(&error),
            },
            Err(error) => self.report(&error),
        }
    }

    fn report(&self, error: &StoreError) {
        self.count_failure("store");
        tracing::debug!(%error, endpoint = %self.attempts.endpoint.id, "log not read; retrying");
    }

    fn count_failure(&self, kind: &str) {
        let job = Job::SendWebhooks.as_str();
        self.context.metrics.follower_failures.with_label_values(&[job, kind]).inc();
    }

    /// Begins steps while there are permits.
    fn begin_steps(&mut self, now: Timestamp) {
        while let Ok(permit) = self.permits.in_line.clone().try_acquire_owned() {
            let Some(step) = self.backlog.next(now) else { break };
            self.begin(step, now, permit);
        }
        while let Ok(permit) = self.permits.behind.clone().try_acquire_owned() {
            let Some(step) = self.backlog.next_behind(now) else { break };
            self.begin(step, now, permit);
        }
    }

    fn begin(&self, step: Step, now: Timestamp, permit: tokio::sync::OwnedSemaphorePermit) {
        self.running.push(Box::pin(self.attempts.clone().make(step, now, permit)));
    }

    /// Handles the next step that ends; returns false if none is in progress.
    async fn finish_one(&mut self) -> Result<bool, DisabledReason> {
        let Some(done) = self.running.next().await else { return Ok(false) };
        let now = self.context.clock.now().await;
        self.handle(done, now).map_or(Ok(true), Err)
    }

    /// Handles the result of a step. Returns why the endpoint gets no more deliveries, if so.
    fn handle(&mut self, done: Done, now: Timestamp) -> Option<DisabledReason> {
        match done {
            Done::Event(event, answer) => match self.judge(answer, self.backlog.attempts(&event), now) {
                Ok(None) => self.backlog.delivered(&event),
                Ok(Some(due)) => self.backlog.failed(&event, due),
                Err(reason) => {
                    self.backlog.failed(&event, now);
                    return Some(reason);
                }
            },
            Done::Page(id, events, is_complete) => self.backlog.fill(id, &events, is_complete),
            Done::ResetOfStream(id, tail, answer) => {
                match self.judge(answer, self.backlog.attempts_of(id), now) {
                    Ok(None) => self.backlog.skip_to(id, tail),
                    Ok(Some(due)) => self.backlog.read_failed(id, due),
                    Err(reason) => return Some(reason),
                }
            }
            Done::Reset(tail, answer) => {
                match self.judge(answer, self.backlog.reset_attempts().attempts, now) {
                    Ok(None) => self.backlog.reset_delivered(tail),
                    Ok(Some(due)) => self.backlog.reset_failed(due),
                    Err(reason) => return Some(reason),
                }
            }
            Done::Unavailable(id, error) => self.postpone(id, &error, now),
        }
        if !self.backlog.is_failing() {
            self.failing_since = None;
        }
        None
    }

    fn postpone(&mut self, id: Option<StreamId>, error: &StoreError, now: Timestamp) {
        self.report(error);
        let due = now.plus(READ_RETRY);
        match id {
            Some(id) => self.backlog.postpone(id, due),
            None => self.backlog.postpone_reset(due),
        }
    }

    /// Judges an answer after a number of failed attempts: the time of the next attempt, `None` for a delivery, or why
    /// there are no more deliveries.
    fn judge(
        &mut self,
        answer: Answer,
        failed: u32,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, DisabledReason> {
        self.last_answer = Some(LastAnswer::new(answer, now));
        let (outcome, verdict) = verdict(answer, failed, now);
        self.context.metrics.webhook_deliveries.with_label_values(&[outcome]).inc();
        if !answer.is_success() {
            self.failing_since.get_or_insert(now);
        }
        verdict
    }
}

async fn disable(context: &Context, id: &EndpointId, reason: DisabledReason) {
    tracing::warn!(endpoint = %id, reason = reason.as_str(), "webhook endpoint disabled");
    let now = context.clock.now().await;
    if let Err(error) = context.directory.disable(id, reason, now).await {
        tracing::warn!(%error, endpoint = %id, "webhook endpoint not disabled; its deliveries go on");
    }
}

async fn tail(partition: &dyn FollowedPartition) -> Result<Cursor, StoreError> {
    Ok(partition.tails(&[Topic::All]).await?.first().copied().unwrap_or_default())
}

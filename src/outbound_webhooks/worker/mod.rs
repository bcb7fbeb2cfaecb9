//! Delivers the events of one partition to one endpoint.

mod attempt;
mod context;
mod outcome;
mod past;
mod reading;
mod saving;

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use url::Url;

use self::{
    attempt::{Attempts, Done},
    outcome::Outcome,
    past::{PastReading, READ_RETRY},
    saving::Saving,
};
pub(super) use self::{
    context::{Context, Lag},
    past::Source,
};
use super::{
    backlog::{Backlog, Step},
    permits::{Permits, StepPermit},
    progress::{LastAnswer, Progress},
};
use crate::{
    delivery::Answer,
    domain::{DisabledReason, Endpoint, Timestamp},
    followers::giving_way,
    store::StoreError,
};

/// Time that deliveries in progress have to end when the worker stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

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
    /// Steps in progress. Tasks, because a step that holds a connection to the store must go on while the worker itself
    /// waits for one.
    running: JoinSet<Done>,
    past: PastReading,
    /// When events of the log of all streams were read last.
    read_at: Option<Instant>,
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
        let (client, partition, past) =
            (context.client.clone(), context.partition.clone(), context.past.clone());
        let attempts = Attempts { endpoint, url, client, partition, past };
        Ok(Self {
            attempts: Arc::new(attempts),
            permits,
            backlog: Backlog::new(filter, progress.position, progress.behind, progress.reset),
            saving,
            running: JoinSet::new(),
            past: PastReading::default(),
            read_at: None,
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
            self.save().await;
        }
        if let Some(End::Disabled(reason)) = end {
            disable(&self.context, &self.attempts.endpoint, reason).await;
        }
    }

    async fn deliver(&mut self) -> End {
        loop {
            let now = self.context.clock.now().await;
            self.backlog.set_slow_behind(now);
            self.read_on(now).await;
            if self.saving.is_due() && !self.save().await {
                return End::Superseded;
            }
            self.begin_steps(now);
            let pause = self.poll_interval();
            tokio::select! {
                Some(done) = self.running.join_next() => {
                    if let Some(end) = self.handle_ended(done, now) {
                        return end;
                    }
                }
                () = sleep(pause) => {}
                Ok(()) = self.context.revision.changed() => self.saving.compare_now(),
            }
        }
    }

    /// Handles the results of a step and of all others that have ended meanwhile.
    fn handle_ended(&mut self, first: Result<Done, JoinError>, now: Timestamp) -> Option<End> {
        let mut next = Some(first);
        while let Some(done) = next {
            // A panic is logged by the panic hook; the next worker continues.
            let Ok(done) = done else { return Some(End::Superseded) };
            if let Some(reason) = self.handle(done, now) {
                return Some(End::Disabled(reason));
            }
            next = self.running.try_join_next();
        }
        None
    }

    /// Saves the position. Returns false if the lease is lost or a request has changed the position.
    async fn save(&mut self) -> bool {
        let progress = self.progress().await;
        match self.saving.save(&self.context, progress).await {
            Ok(is_saved) => {
                self.backlog.has_saved();
                is_saved
            }
            Err(error) => {
                self.report(&error.into());
                true
            }
        }
    }

    async fn progress(&mut self) -> Progress {
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
            enabled_at: self.attempts.endpoint.enabled_at,
        }
    }

    /// Begins steps while there are permits.
    fn begin_steps(&mut self, now: Timestamp) {
        while let Some(permit) = self.permits.try_in_line() {
            let Some(step) = self.backlog.next(now) else { break };
            self.begin(step, now, permit);
        }
        while let Some(permit) = self.permits.try_behind() {
            let Some(step) = self.backlog.next_behind(now) else { break };
            self.begin(step, now, permit);
        }
    }

    fn begin(&mut self, step: Step, now: Timestamp, permit: StepPermit) {
        self.running.spawn(giving_way(permit.run(self.attempts.clone().make(step, now))));
    }

    /// Handles the next step that ends; returns false if none is in progress.
    async fn finish_one(&mut self) -> Result<bool, DisabledReason> {
        let Some(Ok(done)) = self.running.join_next().await else { return Ok(false) };
        let now = self.context.clock.now().await;
        self.handle(done, now).map_or(Ok(true), Err)
    }

    /// Handles the result of a step. Returns why the endpoint gets no more deliveries, if so.
    fn handle(&mut self, done: Done, now: Timestamp) -> Option<DisabledReason> {
        match done {
            Done::Event(event, answer) => match self.record(answer, self.backlog.attempts(&event), now) {
                Outcome::Delivered => self.backlog.delivered(&event),
                Outcome::Retry(due) => self.backlog.failed(&event, due),
                Outcome::Disable(reason) => {
                    self.backlog.failed(&event, now);
                    return Some(reason);
                }
            },
            Done::Page(read, events, is_complete) => self.backlog.fill(read, &events, is_complete),
            Done::StreamLost(read, tail) => {
                self.backlog.lose_stream(read, tail);
                self.saving.save_now();
            }
            Done::ResetOfStream(id, cursor, answer) => {
                match self.record(answer, self.backlog.attempts_of(id), now) {
                    Outcome::Delivered => self.backlog.skip_to(id, cursor),
                    Outcome::Retry(due) => self.backlog.read_failed(id, due),
                    Outcome::Disable(reason) => return Some(reason),
                }
            }
            Done::Reset(tail, answer) => {
                match self.record(answer, self.backlog.reset_attempts().waiting.attempts, now) {
                    Outcome::Delivered => self.backlog.reset_delivered(tail),
                    Outcome::Retry(due) => self.backlog.reset_failed(due),
                    Outcome::Disable(reason) => return Some(reason),
                }
            }
            Done::ResetOutdated(reason, tail) => self.renew_reset(reason, tail),
            Done::Past(read) => self.continue_past(read, now),
            Done::Lost(reason, tail) => self.lose(reason, tail, now),
            Done::Unavailable(id, error) => {
                self.report(&error);
                self.backlog.postpone(id, now.plus(READ_RETRY));
            }
        }
        if !self.backlog.is_failing() {
            self.failing_since = None;
        }
        None
    }

    /// Records an answer after a number of failed attempts, and returns what follows.
    fn record(&mut self, answer: Answer, failed: u32, now: Timestamp) -> Outcome {
        self.last_answer = Some(LastAnswer::new(answer, now));
        let outcome = Outcome::classify(answer, failed, now);
        self.context.metrics.webhook_deliveries.with_label_values(&[outcome.as_str()]).inc();
        if outcome != Outcome::Delivered {
            self.failing_since.get_or_insert(now);
        }
        outcome
    }
}

async fn disable(context: &Context, endpoint: &Endpoint, reason: DisabledReason) {
    tracing::warn!(endpoint = %endpoint.id, reason = reason.as_str(), "webhook endpoint not to be called again");
    let now = context.clock.now().await;
    if let Err(error) = context.directory.disable(endpoint, reason, now).await {
        tracing::warn!(%error, endpoint = %endpoint.id, "webhook endpoint not disabled; its deliveries go on");
    }
}

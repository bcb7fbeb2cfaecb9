//! The operation lock of a stream: a lease that the instance which creates or stops the stream renews while it works.
//!
//! LiveKit deletes rooms by name, so one instance at a time calls LiveKit for a stream. An instance that ends stops
//! renewing, and another one continues after the lease has expired.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::Either;
use tokio::time::{Instant, sleep};

use super::service::Orchestrator;
use crate::{
    domain::{Change, Stream, StreamRef, Timestamp, change::Effect, stream::OPERATION_LOCK},
    store::Guard,
};

/// How long a request for an operation that is in progress waits for its end.
const IN_PROGRESS_WAIT: Duration = Duration::from_secs(6);
/// First and longest pause between the reads during that wait.
const POLL_PAUSES: [Duration; 2] = [Duration::from_millis(25), Duration::from_secs(1)];
/// Interval of renewals.
const RENEWAL: Duration = Duration::from_secs(2);
/// Time before the end of the lease from which no LiveKit call begins: a call has a timeout of 5 s.
const MARGIN: Duration = Duration::from_millis(5_500);

/// Wait for the end of an operation of another request, at most [`IN_PROGRESS_WAIT`].
///
/// Pauses double, with jitter: most operations end within milliseconds, and many requests may wait for one that hangs.
pub(super) struct InProgressWait {
    deadline: Instant,
    pause: Duration,
}

impl InProgressWait {
    /// Starts the wait.
    pub(super) fn start() -> Self {
        Self { deadline: Instant::now() + IN_PROGRESS_WAIT, pause: POLL_PAUSES[0] }
    }

    /// Reports whether the wait is over.
    pub(super) fn is_over(&self) -> bool {
        Instant::now() > self.deadline
    }

    /// Pauses until the next read.
    pub(super) async fn pause(&mut self) {
        sleep(self.pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        self.pause = (self.pause * 2).min(POLL_PAUSES[1]);
    }
}

/// The caller's lock on a stream or a room name. Its age counts from before the request for it.
pub(super) struct OperationLock {
    state: Mutex<State>,
}

#[derive(Clone, Copy)]
struct State {
    since: Instant,
    /// End of the lease in the store, which identifies its holder; `None` for a room name.
    until: Option<Timestamp>,
}

impl OperationLock {
    /// Starts the clock of a lock before the caller requests it.
    pub(super) fn requested() -> Self {
        Self { state: Mutex::new(State { since: Instant::now(), until: None }) }
    }

    /// Sets the end of the lock from the stream that the store returned.
    pub(super) fn acquired(self, stream: &Stream) -> Self {
        self.set(State { until: stream.lock_expires_at, ..self.get() });
        self
    }

    /// Reports whether one more LiveKit call ends before the lease does.
    pub(super) fn lasts(&self) -> bool {
        self.get().since.elapsed() + MARGIN < OPERATION_LOCK
    }

    /// Returns the end of the lease, which identifies its holder in the store.
    pub(super) fn until(&self) -> Option<Timestamp> {
        self.get().until
    }

    fn get(&self) -> State {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

impl Orchestrator {
    /// Runs `work` and renews the stream's lock until it ends. A lost lock does not end `work`:
    /// [`OperationLock::lasts`] becomes false, and no room is deleted any more.
    pub(super) async fn while_locked<T>(
        &self,
        stream: &StreamRef,
        lock: &OperationLock,
        work: impl Future<Output = T>,
    ) -> T {
        let renewals = async {
            loop {
                sleep(RENEWAL).await;
                self.renew_lock(stream, lock).await;
            }
        };
        tokio::pin!(work, renewals);
        // The renewals never end.
        match futures_util::future::select(work, renewals).await {
            Either::Left((done, _)) | Either::Right((done, _)) => done,
        }
    }

    async fn renew_lock(&self, stream: &StreamRef, lock: &OperationLock) {
        let Some(until) = lock.get().until else { return };
        let since = Instant::now();
        match self.store.apply(stream, Change::RenewLock { until }, Guard::default()).await {
            Ok(renewed) if renewed.effect == Effect::Changed => {
                lock.set(State { since, until: renewed.stream.lock_expires_at });
            }
            Ok(_) => tracing::debug!(stream = %stream.id, "operation lock not renewed: ended or lost"),
            Err(error) => {
                tracing::warn!(stream = %stream.id, %error, "operation lock renewal failed; retrying");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn wait_for_operation_in_progress_reads_soon_and_then_about_once_a_second() {
        let (mut wait, started) = (InProgressWait::start(), Instant::now());
        let mut reads = Vec::new();
        while !wait.is_over() {
            wait.pause().await;
            reads.push(started.elapsed());
        }
        assert!(reads[0] <= POLL_PAUSES[0], "{reads:?}");
        assert!((8..=18).contains(&reads.len()), "{reads:?}");
        assert!(reads.last().is_some_and(|last| *last <= IN_PROGRESS_WAIT + POLL_PAUSES[1]), "{reads:?}");
    }
}

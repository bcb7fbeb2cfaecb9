//! The operation lock of a stream: a lease that the instance which creates or stops the stream renews while it works.
//!
//! Rooms are deleted by name, so LiveKit is called for a stream by one instance at a time. An instance that dies stops
//! renewing, and another one goes on when the lease has run out.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::Either;
use tokio::time::{Instant, sleep};

use super::Orchestrator;
use crate::{
    domain::{Change, Stream, StreamRef, Timestamp, change::Effect, stream::OPERATION_LOCK},
    store::Guard,
};

/// How often the lease is renewed.
const RENEWAL: Duration = Duration::from_secs(2);
/// How long before its end the lease is not relied on any more: one call of LiveKit is given up after 5 s.
const MARGIN: Duration = Duration::from_millis(5_500);

/// The caller's lock on a stream or a room name. Its age is counted from before it was asked for, by a clock that goes
/// on while the process is stopped.
pub(super) struct OperationLock {
    state: Mutex<State>,
}

#[derive(Clone, Copy)]
struct State {
    since: Instant,
    /// The end of the lease as the store has it, by which the store knows its holder; none for a room name.
    until: Option<Timestamp>,
}

impl OperationLock {
    /// A lock that is about to be asked for.
    pub(super) fn asked() -> Self {
        Self { state: Mutex::new(State { since: Instant::now(), until: None }) }
    }

    /// The same lock, now that the store has given it with this stream.
    pub(super) fn given(self, stream: &Stream) -> Self {
        self.set(State { until: stream.lock_expires_at, ..self.get() });
        self
    }

    /// Whether one more call of LiveKit ends before the lease does.
    pub(super) fn lasts(&self) -> bool {
        self.get().since.elapsed() + MARGIN < OPERATION_LOCK
    }

    /// The end of the lease, by which the store knows its holder.
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
    /// Carries out `work` and renews the lock on the stream meanwhile. A lock that is lost ends nothing by itself:
    /// [`OperationLock::lasts`] turns false, and LiveKit is not told to delete anything any more.
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
            Ok(_) => tracing::debug!(stream = %stream.id, "the operation is over, or its lock is lost"),
            Err(error) => {
                tracing::warn!(stream = %stream.id, %error, "the operation lock could not be renewed");
            }
        }
    }
}

//! Readings of single streams for resets. Callers that arrive during a reading share the next one.
//!
//! A reading is given only to callers that asked before it began. Its snapshot is therefore never older than the position
//! at which a caller follows the feed.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex as SyncMutex, MutexGuard, PoisonError},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use tokio::{runtime::Handle, sync::Mutex};

use crate::domain::StreamId;

type Reading<T> = Shared<BoxFuture<'static, T>>;

/// Readings of one stream.
struct Readings<T: Clone> {
    /// Held by the reading that has begun.
    turn: Arc<Mutex<()>>,
    /// The reading that has not begun, if any.
    next: Option<Reading<T>>,
}

/// Readings of all streams, each with a `T`. Clones share them.
#[derive(Clone)]
pub(super) struct StreamReadings<T: Clone> {
    /// Drives readings, because a caller may be dropped.
    runtime: Handle,
    streams: Arc<SyncMutex<HashMap<StreamId, Readings<T>>>>,
}

impl<T: Clone + Send + Sync + 'static> StreamReadings<T> {
    pub(super) fn new(runtime: Handle) -> Self {
        Self { runtime, streams: Arc::default() }
    }

    /// Returns the result of a reading of the stream that begins after the call.
    ///
    /// Cancellation safe: dropping one caller does not cancel the reading for the others.
    pub(super) async fn share<F: Future<Output = T> + Send + 'static>(
        &self,
        id: StreamId,
        read: impl FnOnce() -> F + Send + 'static,
    ) -> T {
        self.join(id, read).await
    }

    fn join<F: Future<Output = T> + Send + 'static>(
        &self,
        id: StreamId,
        read: impl FnOnce() -> F + Send + 'static,
    ) -> Reading<T> {
        let mut streams = self.lock();
        let new = || Readings { turn: Arc::default(), next: None };
        let readings = streams.entry(id).or_insert_with(new);
        if let Some(next) = &readings.next {
            return next.clone();
        }
        let (own, turn) = (self.clone(), readings.turn.clone());
        let reading = async move {
            let _turn = turn.lock_owned().await;
            own.begin(id);
            let outcome = read().await;
            own.forget_if_idle(id);
            outcome
        };
        let reading = reading.boxed().shared();
        readings.next = Some(reading.clone());
        self.runtime.spawn(reading.clone());
        reading
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Lets later callers get a later reading.
    fn begin(&self, id: StreamId) {
        if let Some(readings) = self.lock().get_mut(&id) {
            readings.next = None;
        }
    }

    fn forget_if_idle(&self, id: StreamId) {
        let mut streams = self.lock();
        if streams.get(&id).is_some_and(|readings| readings.next.is_none()) {
            streams.remove(&id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamId, Readings<T>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

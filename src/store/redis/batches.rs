//! Changes that wait for a common call, by stream.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use super::scripts::PreparedChange;
use crate::{
    domain::StreamId,
    store::{Applied, DedupKey, StoreError},
};

/// Maximum number of changes of one call. Small ones take Redis about 2 ms; the script ends earlier after large ones.
const MAX_CHANGES: usize = 32;
/// Approximate maximum number of bytes of the changes of one call.
const MAX_BYTES: usize = 128 * 1024;
/// Number of changes for which a call waits. More changes in one call save little.
const TARGET_CHANGES: usize = 8;
/// Maximum time that a change waits for its call to begin, as long as a call of Redis may take.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// A change of a stream without preconditions.
pub(super) struct Item {
    pub(super) change: PreparedChange,
    pub(super) dedup_key: Option<DedupKey>,
}

/// A change that waits for its call.
pub(super) struct Waiting {
    pub(super) item: Item,
    pub(super) answer: oneshot::Sender<Result<Applied, StoreError>>,
    /// Time at which it arrived.
    since: Instant,
}

/// How a change that arrives is applied.
pub(super) enum Arrival {
    /// No other call of its stream is in progress: it is called at once.
    First(Item),
    /// It waits for its call.
    Queued(oneshot::Receiver<Result<Applied, StoreError>>),
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Waiting>,
    /// Notified when [`TARGET_CHANGES`] wait.
    has_target: Arc<Notify>,
}

/// The queues of all streams. A queue exists while calls for its stream are in progress, so it outlives no stream. It
/// holds at most as many changes as there are requests in progress.
#[derive(Default)]
pub(super) struct Batches(Mutex<HashMap<StreamId, Queue>>);

impl Batches {
    fn queues(&self) -> MutexGuard<'_, HashMap<StreamId, Queue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a change. The caller of [`Arrival::First`] calls [`Self::remove_if_empty`] after its call.
    pub(super) fn arrive(&self, id: StreamId, item: Item) -> Arrival {
        let mut queues = self.queues();
        let Some(queue) = queues.get_mut(&id) else {
            queues.insert(id, Queue::default());
            return Arrival::First(item);
        };
        let (answer, receiver) = oneshot::channel();
        queue.waiting.push(Waiting { item, answer, since: Instant::now() });
        if queue.waiting.len() == TARGET_CHANGES {
            queue.has_target.notify_one();
        }
        Arrival::Queued(receiver)
    }

    /// Removes a stream's queue if no change waits in it. Returns whether it did.
    pub(super) fn remove_if_empty(&self, id: StreamId) -> bool {
        let mut queues = self.queues();
        let is_empty = queues.get(&id).is_none_or(|queue| queue.waiting.is_empty());
        if is_empty {
            queues.remove(&id);
        }
        is_empty
    }

    /// Waits until [`TARGET_CHANGES`] of a stream wait for a call.
    pub(super) async fn wait_for_target(&self, id: StreamId) {
        // The notification may be an old one, from a time when as many changes waited during a call.
        while let Some(has_target) = self.missing_target(id) {
            has_target.notified().await;
        }
    }

    fn missing_target(&self, id: StreamId) -> Option<Arc<Notify>> {
        let queues = self.queues();
        let queue = queues.get(&id).filter(|queue| queue.waiting.len() < TARGET_CHANGES)?;
        Some(queue.has_target.clone())
    }

    /// Takes the changes of the next call, in the order of their arrival. Drops those whose callers are cancelled, and
    /// those that have waited for [`MAX_WAIT`]: their callers get an error.
    pub(super) fn take(&self, id: StreamId) -> Vec<Waiting> {
        let mut queues = self.queues();
        let Some(queue) = queues.get_mut(&id) else { return Vec::new() };
        queue.waiting.retain(|waiting| !waiting.answer.is_closed() && waiting.since.elapsed() < MAX_WAIT);
        let mut bytes = 0;
        let fits = |waiting: &&Waiting| {
            bytes += waiting.item.change.bytes();
            bytes <= MAX_BYTES
        };
        let count = queue.waiting.iter().take(MAX_CHANGES).take_while(fits).count().max(1);
        let end = count.min(queue.waiting.len());
        queue.waiting.drain(..end).collect()
    }

    /// Puts changes back in front of those that wait.
    pub(super) fn put_back(&self, id: StreamId, postponed: Vec<Waiting>) {
        if let Some(queue) = self.queues().get_mut(&id) {
            queue.waiting.splice(..0, postponed);
        }
    }

    /// Removes a stream's queue. The callers of its changes get an error.
    pub(super) fn remove(&self, id: StreamId) {
        self.queues().remove(&id);
    }
}

//! Changes that wait for a common call, by stream.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, oneshot};

use super::scripts::PreparedChange;
use crate::{
    domain::StreamId,
    store::{Applied, DedupKey, StoreError},
};

/// Maximum number of changes of one call. It takes Redis about 2 ms.
const MAX_CHANGES: usize = 32;
/// Approximate maximum number of bytes of the changes of one call.
const MAX_BYTES: usize = 128 * 1024;
/// More changes than this in one call save little: they are not worth another moment of waiting.
const ENOUGH_CHANGES: usize = 8;

/// A change of a stream without preconditions.
pub(super) struct Item {
    pub(super) change: PreparedChange,
    pub(super) dedup_key: Option<DedupKey>,
}

/// A change that waits for its call.
pub(super) struct Waiting {
    pub(super) item: Item,
    pub(super) answer: oneshot::Sender<Result<Applied, StoreError>>,
}

/// What becomes of a change that arrives.
pub(super) enum Arrival {
    /// No other change of its stream is being made: it is called at once.
    First(Item),
    /// It waits for its call.
    Queued(oneshot::Receiver<Result<Applied, StoreError>>),
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Waiting>,
    /// Told when enough changes wait.
    enough: Arc<Notify>,
}

/// The queues of all streams. A queue exists while calls for its stream are made, so it outlives no stream, and holds
/// as many changes as there are requests in progress.
#[derive(Default)]
pub(super) struct Batches(Mutex<HashMap<StreamId, Queue>>);

impl Batches {
    fn queues(&self) -> MutexGuard<'_, HashMap<StreamId, Queue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a change. The caller of [`Arrival::First`] calls [`Self::is_finished`] after its call.
    pub(super) fn arrive(&self, id: StreamId, item: Item) -> Arrival {
        let mut queues = self.queues();
        let Some(queue) = queues.get_mut(&id) else {
            queues.insert(id, Queue::default());
            return Arrival::First(item);
        };
        let (answer, receiver) = oneshot::channel();
        queue.waiting.push(Waiting { item, answer });
        if queue.waiting.len() == ENOUGH_CHANGES {
            queue.enough.notify_one();
        }
        Arrival::Queued(receiver)
    }

    /// Whether no change waits. The stream's queue is removed then.
    pub(super) fn is_finished(&self, id: StreamId) -> bool {
        let mut queues = self.queues();
        let is_finished = queues.get(&id).is_none_or(|queue| queue.waiting.is_empty());
        if is_finished {
            queues.remove(&id);
        }
        is_finished
    }

    /// Waits until enough changes of a stream wait for a call.
    pub(super) async fn enough(&self, id: StreamId) {
        // The notification may be an old one, from a time when enough changes waited during a call.
        while let Some(enough) = self.until_enough(id) {
            enough.notified().await;
        }
    }

    fn until_enough(&self, id: StreamId) -> Option<Arc<Notify>> {
        let queues = self.queues();
        let queue = queues.get(&id).filter(|queue| queue.waiting.len() < ENOUGH_CHANGES)?;
        Some(queue.enough.clone())
    }

    /// Takes the changes of the next call, in the order of their arrival, without those whose callers have gone.
    pub(super) fn take(&self, id: StreamId) -> Vec<Waiting> {
        let mut queues = self.queues();
        let Some(queue) = queues.get_mut(&id) else { return Vec::new() };
        queue.waiting.retain(|waiting| !waiting.answer.is_closed());
        let mut bytes = 0;
        let fits = |waiting: &&Waiting| {
            bytes += waiting.item.change.bytes();
            bytes <= MAX_BYTES
        };
        let count = queue.waiting.iter().take(MAX_CHANGES).take_while(fits).count().max(1);
        let end = count.min(queue.waiting.len());
        queue.waiting.drain(..end).collect()
    }

    /// Removes a stream's queue. The callers of its changes get an error.
    pub(super) fn remove(&self, id: StreamId) {
        self.queues().remove(&id);
    }
}

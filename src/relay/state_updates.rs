//! State updates: whole states of one stream, collapsed to the newest one.
//!
//! One reader for each followed stream and instance reads a state after each burst of events. All clients of the stream
//! share the state's bytes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout_at},
};

use super::{
    access::Access,
    frame::to_json,
    hub_handle::HubHandle,
    jitter::jitter,
    options::Start,
    subscriber::{Client, Delivery, Ended},
    subscription::Subscription,
    transport::Transport,
};
use crate::{
    domain::{Cursor, StreamId, Topic},
    store::{Snapshot, SnapshotContent, StoreError},
};

/// Minimum time between two states for one client.
const BURST: Duration = Duration::from_millis(100);
/// Mean time before a failed state read is retried; the jitter is ±50 %.
const RETRY: Duration = Duration::from_millis(250);

/// Encodes the JSON text of a state at a cursor as one message of the transport.
pub type EncodeState = fn(Cursor, &[u8]) -> Bytes;

/// An encoded state.
#[derive(Debug)]
pub struct StateFrame {
    /// The state contains every event up to this cursor.
    pub cursor: Cursor,
    /// True if the stream has ended, so that no newer state follows.
    pub is_last: bool,
    /// The state document as one message of the transport.
    pub message: Bytes,
}

impl StateFrame {
    /// Encodes a snapshot; returns `None` if the stream does not exist.
    fn new(snapshot: &Snapshot, encode: EncodeState) -> Option<Self> {
        let SnapshotContent::Stream(Some(view)) = &snapshot.content else { return None };
        let message = encode(snapshot.cursor, &to_json(&view.state()));
        Some(Self { cursor: snapshot.cursor, is_last: view.stream.status.is_final(), message })
    }
}

/// What a reader publishes to its clients.
///
/// State and end share one watch value, because a client may look only after both have changed.
#[derive(Clone, Default)]
struct Published {
    state: Option<Arc<StateFrame>>,
    /// Number of resets. After a reset, a state with an older cursor can be the newer state.
    resets: u64,
    ended: Option<Ended>,
}

/// State readers of this instance by stream.
#[derive(Default)]
pub(super) struct StateReaders {
    readers: Mutex<HashMap<StreamId, watch::Sender<Published>>>,
}

impl StateReaders {
    fn lock(&self) -> MutexGuard<'_, HashMap<StreamId, watch::Sender<Published>>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Subscribes to the stream's reader. Returns a sender if the caller must start the reader with it.
    fn subscribe(&self, id: StreamId) -> (watch::Receiver<Published>, Option<watch::Sender<Published>>) {
        let mut readers = self.lock();
        if let Some(reader) = readers.get(&id) {
            return (reader.subscribe(), None);
        }
        let (sender, receiver) = watch::channel(Published::default());
        readers.insert(id, sender.clone());
        (receiver, Some(sender))
    }

    /// Removes the stream's reader, which has ended.
    fn remove(&self, id: StreamId) {
        self.lock().remove(&id);
    }

    /// Removes the stream's reader if it has no client; returns true if it is removed.
    fn remove_unused(&self, id: StreamId) -> bool {
        let mut readers = self.lock();
        let is_unused = readers.get(&id).is_none_or(|reader| reader.receiver_count() == 0);
        if is_unused {
            readers.remove(&id);
        }
        is_unused
    }
}

/// Subscription of one client to a stream's states.
pub struct StateUpdates {
    hub: HubHandle,
    first: Option<Arc<StateFrame>>,
    published: watch::Receiver<Published>,
    last: Cursor,
    /// Value of [`Published::resets`] at the last delivered state.
    resets: u64,
    ended: Option<Ended>,
}

impl StateUpdates {
    /// Subscribes and starts the stream's reader if necessary; returns `None` if the stream does not exist.
    pub(super) async fn open(
        hub: &HubHandle,
        readers: &Arc<StateReaders>,
        id: StreamId,
        encode: EncodeState,
    ) -> Result<Option<Self>, StoreError> {
        let (published, to_start) = readers.subscribe(id);
        if let Some(sender) = to_start {
            hub.runtime.spawn(run_reader(hub.clone(), readers.clone(), id, encode, sender));
        }
        // Taken before the first state is read: a reset during the read leads to a repeated state, not to a missed one.
        let resets = published.borrow().resets;
        // Read for this client alone, because it must contain the client's own preceding changes.
        let snapshot = hub.feed.stream_snapshot(id).await?;
        let Some(first) = StateFrame::new(&snapshot, encode) else { return Ok(None) };
        hub.metrics.subscribers.with_label_values(&[Transport::State.as_str()]).inc();
        let (last, first) = (first.cursor, Some(Arc::new(first)));
        Ok(Some(Self { hub: hub.clone(), first, published, last, resets, ended: None }))
    }

    /// Returns the cursor of the first state.
    pub fn from(&self) -> Cursor {
        self.last
    }

    /// Returns the size of the first state, which was read for this client alone. Valid before the first
    /// [`Self::next`].
    pub fn first_bytes(&self) -> usize {
        self.first.as_ref().map_or(0, |first| first.message.len())
    }

    /// Reports whether the stream had ended when the subscription started. Valid before the first [`Self::next`].
    pub fn starts_ended(&self) -> bool {
        self.first.as_ref().is_some_and(|first| first.is_last)
    }

    /// Returns the first state, then the newest state after each change. Skips intermediate states.
    ///
    /// Cancellation safe: a dropped future has consumed no state.
    ///
    /// # Errors
    /// The reason why no further state follows.
    pub async fn next(&mut self) -> Result<Arc<StateFrame>, Ended> {
        if let Some(first) = self.first.take() {
            return Ok(self.deliver(first));
        }
        loop {
            if let Some(ended) = self.ended {
                return Err(ended);
            }
            let Published { state, resets, ended } = self.published.borrow_and_update().clone();
            let is_newer = |state: &Arc<StateFrame>| state.cursor > self.last || resets > self.resets;
            if let Some(state) = state.filter(is_newer) {
                self.resets = resets;
                return Ok(self.deliver(state));
            }
            if let Some(reason) = ended {
                return Err(reason);
            }
            if self.published.changed().await.is_err() {
                return Err(Ended::Unavailable);
            }
        }
    }

    fn deliver(&mut self, state: Arc<StateFrame>) -> Arc<StateFrame> {
        self.last = state.cursor;
        self.ended = state.is_last.then_some(Ended::Complete);
        let (metrics, label) = (&self.hub.metrics, [Transport::State.as_str()]);
        metrics.delivered.with_label_values(&label).inc();
        metrics.delivered_bytes.with_label_values(&label).inc_by(state.message.len() as u64);
        state
    }
}

impl Drop for StateUpdates {
    fn drop(&mut self) {
        self.hub.metrics.subscribers.with_label_values(&[Transport::State.as_str()]).dec();
    }
}

/// Publishes the stream's states until the stream ends, the subscription fails, or no client is left.
async fn run_reader(
    hub: HubHandle,
    readers: Arc<StateReaders>,
    id: StreamId,
    encode: EncodeState,
    published: watch::Sender<Published>,
) {
    loop {
        let client = Client::new(Transport::StateReader);
        let ended =
            match Subscription::open(&hub, (Topic::Stream(id), Access::unlimited()), Start::Now, &client)
                .await
            {
                Ok(events) => publish_states(&hub, id, encode, events, &published).await,
                Err(_) => Some(Ended::Unavailable),
            };
        if let Some(reason) = ended {
            readers.remove(id);
            published.send_modify(|published| published.ended = Some(reason));
            return;
        }
        if readers.remove_unused(id) {
            return;
        }
    }
}

/// Publishes one state for each burst of events. Returns the end reason, or `None` when no client is left.
async fn publish_states(
    hub: &HubHandle,
    id: StreamId,
    encode: EncodeState,
    mut events: Subscription,
    published: &watch::Sender<Published>,
) -> Option<Ended> {
    let mut resets = 0;
    loop {
        // Read after the subscription started, so the state contains every event before it.
        let state = read_state(hub, id, encode).await;
        let (read_at, is_over) = (Instant::now(), state.as_ref().is_none_or(|state| state.is_last));
        let Some(state) = state else { return Some(Ended::Complete) };
        published.send_modify(|published| {
            published.state = Some(Arc::new(state));
            published.resets += std::mem::take(&mut resets);
        });
        if is_over {
            return Some(Ended::Complete);
        }
        tokio::select! {
            delivery = events.next() => match delivery {
                Delivery::Ended(reason) => return unless_complete(reason),
                Delivery::Reset(_) => resets += 1,
                Delivery::Event(_) => {}
            },
            () = published.closed() => return None,
        }
        resets += collect_burst(&mut events, read_at + BURST).await;
    }
}

/// Consumes the events of a burst until its end time; returns the number of resets among them.
async fn collect_burst(events: &mut Subscription, until: Instant) -> u64 {
    let mut resets = 0;
    while let Ok(delivery) = timeout_at(until, events.next()).await {
        match delivery {
            Delivery::Ended(_) => break,
            Delivery::Reset(_) => resets += 1,
            Delivery::Event(_) => {}
        }
    }
    sleep_until(until).await;
    resets
}

/// Returns `None` for a complete stream: its final state is not published yet, so the reader subscribes once more.
fn unless_complete(reason: Ended) -> Option<Ended> {
    (reason != Ended::Complete).then_some(reason)
}

/// Reads the current state and retries until the store answers; returns `None` if the stream does not exist.
async fn read_state(hub: &HubHandle, id: StreamId, encode: EncodeState) -> Option<StateFrame> {
    loop {
        match hub.feed.stream_snapshot(id).await {
            Ok(snapshot) => return StateFrame::new(&snapshot, encode),
            Err(error) => tracing::warn!(%error, "state read failed; retrying"),
        }
        sleep(RETRY.mul_f64(0.5 + jitter())).await;
    }
}

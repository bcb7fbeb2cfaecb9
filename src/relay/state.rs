//! Whole states of one stream, the newest at a time: one reader an instance and stream, any number of clients.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout_at},
};

use super::{
    Client, Delivery, Ended, Relay, Start, Subscription, Transport,
    frame::{server_sent, to_json},
};
use crate::{
    domain::{Cursor, StreamId},
    store::{Snapshot, SnapshotContent, StoreError, Topic},
};

/// The least time between two states for one client.
const BURST: Duration = Duration::from_millis(100);
/// How long to wait before a state that could not be read is tried again, give or take.
const RETRY: Duration = Duration::from_millis(250);

/// A state as bytes.
#[derive(Debug)]
pub struct StateFrame {
    /// Every event up to here is contained.
    pub cursor: Cursor,
    /// Whether nothing can follow.
    pub is_last: bool,
    /// The state document as an unnamed server-sent event.
    pub sse: Bytes,
}

impl StateFrame {
    /// None where there is no such stream.
    fn of(snapshot: &Snapshot) -> Option<Self> {
        let SnapshotContent::Stream(Some(view)) = &snapshot.content else { return None };
        let sse = server_sent(None, snapshot.cursor, &to_json(&view.state()));
        Some(Self { cursor: snapshot.cursor, is_last: view.stream.status.is_final(), sse })
    }
}

/// What the reader of a stream says: the newest state, and why there are no more once it has ended. Both at once,
/// because a client may look only after both have happened.
#[derive(Clone, Default)]
struct News {
    state: Option<Arc<StateFrame>>,
    /// How often the stream was said to start again: from then on an older position is a newer state.
    resets: u64,
    ended: Option<Ended>,
}

/// The readers of this instance.
#[derive(Default)]
pub(super) struct States {
    readers: Mutex<HashMap<StreamId, watch::Sender<News>>>,
}

impl States {
    /// Joins the stream's reader; says whether it has to be started.
    fn join(&self, id: StreamId) -> (watch::Receiver<News>, Option<watch::Sender<News>>) {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reader) = readers.get(&id) {
            return (reader.subscribe(), None);
        }
        let (sender, receiver) = watch::channel(News::default());
        readers.insert(id, sender.clone());
        (receiver, Some(sender))
    }

    /// Removes the reader, which has ended.
    fn remove(&self, id: StreamId) {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// Removes the reader unless somebody has joined it in the meantime; says which.
    fn remove_unused(&self, id: StreamId) -> bool {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let unused = readers.get(&id).is_none_or(|reader| reader.receiver_count() == 0);
        if unused {
            readers.remove(&id);
        }
        unused
    }
}

/// One client that follows a stream's state.
pub struct StateUpdates {
    relay: Relay,
    first: Option<Arc<StateFrame>>,
    news: watch::Receiver<News>,
    last: Cursor,
    /// As [`News::resets`], at the last state.
    resets: u64,
    ended: Option<Ended>,
}

impl StateUpdates {
    pub(super) async fn open(relay: &Relay, id: StreamId) -> Result<Option<Self>, StoreError> {
        let (news, to_start) = relay.states.join(id);
        if let Some(sender) = to_start {
            relay.runtime.spawn(read(relay.clone(), id, sender));
        }
        // Before the first state is read: should the stream start again meanwhile, it is told twice rather than not.
        let resets = news.borrow().resets;
        // Read for this client alone: it must not be older than what the client may have done just before.
        let Some(first) = StateFrame::of(&relay.feed.snapshot(Topic::Stream(id)).await?) else {
            return Ok(None);
        };
        relay.metrics.subscribers.with_label_values(&[Transport::State.as_str()]).inc();
        let last = first.cursor;
        Ok(Some(Self { relay: relay.clone(), first: Some(Arc::new(first)), news, last, resets, ended: None }))
    }

    /// The position of the state that comes first.
    pub fn from(&self) -> Cursor {
        self.last
    }

    /// Whether the stream was over at the start.
    pub fn starts_over(&self) -> bool {
        self.first.as_ref().is_some_and(|first| first.is_last)
    }

    /// The newest state that is newer than the one before, or why there are no more.
    pub async fn next(&mut self) -> Result<Arc<StateFrame>, Ended> {
        if let Some(first) = self.first.take() {
            return Ok(self.deliver(first));
        }
        loop {
            if let Some(ended) = self.ended {
                return Err(ended);
            }
            let News { state, resets, ended } = self.news.borrow_and_update().clone();
            let is_news = |state: &Arc<StateFrame>| state.cursor > self.last || resets > self.resets;
            if let Some(state) = state.filter(is_news) {
                self.resets = resets;
                return Ok(self.deliver(state));
            }
            if let Some(reason) = ended {
                return Err(reason);
            }
            if self.news.changed().await.is_err() {
                return Err(Ended::Unavailable);
            }
        }
    }

    fn deliver(&mut self, state: Arc<StateFrame>) -> Arc<StateFrame> {
        self.last = state.cursor;
        self.ended = state.is_last.then_some(Ended::Complete);
        let (metrics, label) = (&self.relay.metrics, [Transport::State.as_str()]);
        metrics.delivered.with_label_values(&label).inc();
        metrics.delivered_bytes.with_label_values(&label).inc_by(state.sse.len() as u64);
        state
    }
}

impl Drop for StateUpdates {
    fn drop(&mut self) {
        self.relay.metrics.subscribers.with_label_values(&[Transport::State.as_str()]).dec();
    }
}

/// Follows the stream's events and makes one state of each burst, until nobody listens or the stream is over.
async fn read(relay: Relay, id: StreamId, news: watch::Sender<News>) {
    loop {
        let client = Client::new(Transport::StateReader);
        let ended = match relay.subscribe(Topic::Stream(id), Start::Now, &client).await {
            Ok(subscription) => follow(&relay, id, subscription, &news).await,
            Err(_) => Some(Ended::Unavailable),
        };
        if let Some(reason) = ended {
            relay.states.remove(id);
            news.send_modify(|news| news.ended = Some(reason));
            return;
        }
        if relay.states.remove_unused(id) {
            return;
        }
    }
}

/// Returns why it is over, or nothing when nobody listens.
async fn follow(
    relay: &Relay,
    id: StreamId,
    mut events: Subscription,
    news: &watch::Sender<News>,
) -> Option<Ended> {
    let mut resets = 0;
    loop {
        // Whatever happened before the subscription stood is contained in this state.
        let state = current(relay, id).await;
        let (read_at, over) = (Instant::now(), state.as_ref().is_none_or(|state| state.is_last));
        let Some(state) = state else { return Some(Ended::Complete) };
        news.send_modify(|news| {
            news.state = Some(Arc::new(state));
            news.resets += std::mem::take(&mut resets);
        });
        if over {
            return Some(Ended::Complete);
        }
        tokio::select! {
            delivery = events.next() => match delivery {
                Delivery::Ended(reason) => return unless_complete(reason),
                Delivery::Reset(_) => resets += 1,
                Delivery::Event(_) => {}
            },
            () = news.closed() => return None,
        }
        // The rest of the burst belongs to the same state.
        let until = read_at + BURST;
        while let Ok(delivery) = timeout_at(until, events.next()).await {
            match delivery {
                Delivery::Ended(_) => break,
                Delivery::Reset(_) => resets += 1,
                Delivery::Event(_) => {}
            }
        }
        sleep_until(until).await;
    }
}

/// The stream's last event has been seen, but its last state has not been sent yet: that is read once more.
fn unless_complete(reason: Ended) -> Option<Ended> {
    (reason != Ended::Complete).then_some(reason)
}

/// The present state, however long the store takes to answer; none where the stream is gone.
async fn current(relay: &Relay, id: StreamId) -> Option<StateFrame> {
    loop {
        match relay.feed.snapshot(Topic::Stream(id)).await {
            Ok(snapshot) => return StateFrame::of(&snapshot),
            Err(error) => tracing::warn!(%error, "a state could not be read; trying again"),
        }
        sleep(RETRY.mul_f64(0.5 + super::jitter())).await;
    }
}

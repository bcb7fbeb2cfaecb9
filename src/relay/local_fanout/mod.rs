//! Local fan-out: delivers a topic's events to all SSE clients of one thread through one subscriber at the hub.
//!
//! An event crosses threads once for all clients of the thread. The fan-out writes it directly to the socket of every
//! client that has received everything before, without a task wake-up. Clients that cannot take it read it later from a
//! shared [`RingBuffer`].
//!
//! # Data flow
//!
//! ```text
//! hub ──Delivery──▶ run() ──▶ RingBuffer ◀──recv()── LocalSubscription (client in Reading)
//!                     │
//!                     └─Batch─▶ LocalSubscriber ──▶ DirectSink ──▶ socket (client in Waiting)
//! ```
//!
//! # States of a subscriber
//!
//! ```text
//!              sink took the whole batch
//!                     ┌──────┐
//!                     ▼      │
//! new ─▶ Reading ─▶ Waiting ─┘
//!           ▲  │       │
//!           │  │       │ woken
//!           └──┼───────┘
//!              └──▶ Overflowed ─▶ Ended::TooSlow
//! ```
//!
//! - `Reading` to `Waiting`: `recv` found no unread message.
//! - `Waiting` to `Reading`: the sink refused a batch or the socket took only a part of it, the batch contains a
//!   message that is not written directly, or the fan-out has ended.
//! - `Reading` to `Overflowed`: the buffer dropped the next unread message.
//!
//! # Invariants
//!
//! - A thread has at most one open fan-out for each relay and topic. Its first subscriber registers it at the hub; the
//!   drop of the last subscription unregisters it.
//! - A batch is written directly only to a subscriber that is waiting, whose next index is the batch's first index, and
//!   whose last cursor is before the batch's first cursor. Direct writes therefore neither reorder nor repeat events.
//! - A sink takes a batch completely or not at all. Bytes that the socket refused stay in the sink and go out first.
//! - The buffer holds every message that a subscriber has not read, up to 1,024 messages and 4 MiB. A subscriber whose
//!   next message was dropped ends with [`Ended::TooSlow`]; the other subscribers are not affected.
//! - After each batch, every subscriber that has unread messages is woken.
//! - No `RefCell` borrow is held across an `.await`.
//!
//! # Without the fan-out
//!
//! SSE clients would use [`Relay::subscribe`](crate::relay::Relay::subscribe) and keep all delivery guarantees. The hub
//! would then queue each event for every client and wake every client's task. In the comparison of docs/PERFORMANCE.md
//! this cost 9.6 to 10.6 µs a delivery instead of 6.3 to 8.0 µs, and 4.9 KB a client instead of 3.5 KB.

mod batch;
mod ring_buffer;
mod subscriber;
mod subscription;

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::{Rc, Weak},
};

use tokio::{
    sync::OnceCell,
    task::{spawn_local, yield_now},
};

use self::{batch::Batch, ring_buffer::RingBuffer, subscriber::LocalSubscriber};
pub use self::{
    batch::EventEncoder,
    subscriber::{DirectSink, DirectWrite},
    subscription::LocalSubscription,
};
use super::{
    hub_handle::{HubHandle, RelayId},
    subscriber::{Client, Delivery, Ended, Subscriber, SubscriberId, SubscriberQueue},
    transport::Transport,
};
use crate::domain::Topic;
use crate::store::StoreError;

/// Maximum messages in one batch.
const MAX_BATCH: usize = 16;
/// Direct writes between two yields to the other tasks of the thread.
const WRITES_PER_YIELD: usize = 32;

thread_local! {
    /// Open fan-outs of this thread. A fan-out lives as long as one of its subscriptions.
    static FANOUTS: RefCell<HashMap<(RelayId, Topic), Weak<LocalFanout>>> = RefCell::default();
}

/// Fan-out of one topic on one thread; see the [module docs](self) for its invariants.
struct LocalFanout {
    hub: HubHandle,
    topic: Topic,
    transport: Transport,
    encoder: EventEncoder,
    /// Registration at the hub; `None` before the first subscriber.
    subscriber_id: Cell<Option<SubscriberId>>,
    opened: OnceCell<()>,
    buffer: RefCell<RingBuffer>,
    subscribers: RefCell<Vec<Rc<LocalSubscriber>>>,
    /// Number of subscribers that had unread messages after the last batch and have not read all of them.
    behind: Cell<usize>,
}

impl LocalFanout {
    /// Returns this thread's open fan-out of the topic, or creates one.
    fn of_this_thread(
        hub: &HubHandle,
        topic: Topic,
        transport: Transport,
        encoder: EventEncoder,
    ) -> Rc<Self> {
        FANOUTS.with_borrow_mut(|fanouts| {
            let key = (hub.id, topic);
            let open = fanouts.get(&key).and_then(Weak::upgrade);
            if let Some(fanout) = open.filter(|fanout| fanout.buffer.borrow().ended().is_none()) {
                return fanout;
            }
            fanouts.retain(|_, fanout| fanout.strong_count() > 0);
            let fanout = Rc::new(Self::new(hub.clone(), topic, transport, encoder));
            fanouts.insert(key, Rc::downgrade(&fanout));
            fanout
        })
    }

    fn new(hub: HubHandle, topic: Topic, transport: Transport, encoder: EventEncoder) -> Self {
        let buffer = RefCell::new(RingBuffer::new(hub.budget.clone()));
        Self {
            hub,
            topic,
            transport,
            encoder,
            subscriber_id: Cell::default(),
            opened: OnceCell::new(),
            buffer,
            subscribers: RefCell::default(),
            behind: Cell::default(),
        }
    }

    /// Registers at the hub and starts the delivery task. The first subscriber calls it.
    ///
    /// Cancellation safe: the id is stored before the wait, so a later attempt or the drop unregisters it.
    async fn open(fanout: &Rc<Self>) -> Result<(), StoreError> {
        let client = Client::new(fanout.transport);
        let (subscriber, queue) =
            Subscriber::new(client, fanout.hub.budget.clone(), fanout.hub.metrics.clone());
        fanout.unsubscribe();
        fanout.subscriber_id.set(Some(subscriber.id));
        let position = fanout.hub.add_subscriber(fanout.topic, subscriber).await?;
        fanout.buffer.borrow_mut().start_at(position);
        spawn_local(run(Rc::downgrade(fanout), queue));
        Ok(())
    }

    fn unsubscribe(&self) {
        if let Some(id) = self.subscriber_id.take() {
            self.hub.unsubscribe(self.topic, id);
        }
    }

    /// Buffers the messages, writes them directly where possible, and wakes the remaining subscribers.
    async fn deliver(&self, deliveries: &mut Vec<Delivery>) {
        let first_index = self.buffer.borrow().next_index();
        let batch = Batch::new(first_index, self.topic, deliveries, self.encoder);
        self.buffer.borrow_mut().extend(deliveries.drain(..));
        let written = self.write_directly(&batch).await;
        self.count(&batch, written);
        self.wake_behind();
    }

    /// Writes the batch to every subscriber that can take it; returns their number.
    async fn write_directly(&self, batch: &Batch) -> u64 {
        let (mut slot, mut written) = (0, 0);
        loop {
            // A removal during the yield can move a subscriber to a lower slot; `wake_behind` covers skipped ones.
            let subscriber = self.subscribers.borrow().get(slot).cloned();
            let Some(subscriber) = subscriber else { return written };
            written += u64::from(subscriber.try_write(batch));
            slot += 1;
            if slot % WRITES_PER_YIELD == 0 {
                yield_now().await;
            }
        }
    }

    /// Wakes the subscribers that have unread messages and drops messages that all subscribers have.
    fn wake_behind(&self) {
        let (subscribers, mut buffer) = (self.subscribers.borrow(), self.buffer.borrow_mut());
        let (mut oldest, mut behind) = (buffer.next_index(), 0);
        for subscriber in subscribers.iter().filter(|one| one.next_index.get() < buffer.next_index()) {
            if subscriber.next_index.get() >= buffer.first_index() {
                oldest = oldest.min(subscriber.next_index.get());
                behind += usize::from(!subscriber.is_behind.replace(true));
            } else {
                self.count_overflow(subscriber);
            }
            subscriber.wake();
        }
        self.behind.set(self.behind.get() + behind);
        buffer.drop_before(oldest);
    }

    /// Drops messages that all subscribers have, once the last subscriber that was behind has read them or has gone.
    fn catch_up(&self, subscriber: &LocalSubscriber) {
        if !subscriber.is_behind.take() {
            return;
        }
        self.behind.set(self.behind.get().saturating_sub(1));
        if self.behind.get() == 0 {
            let mut buffer = self.buffer.borrow_mut();
            let subscribers = self.subscribers.borrow();
            let (first, end) = (buffer.first_index(), buffer.next_index());
            let unread = subscribers.iter().map(|one| one.next_index.get());
            buffer.drop_before(unread.filter(|index| *index >= first).min().unwrap_or(end));
        }
    }

    /// Marks a subscriber whose next message was dropped; counts it the first time.
    fn count_overflow(&self, subscriber: &LocalSubscriber) {
        if !subscriber.has_overflowed.replace(true) {
            self.hub.metrics.queue_overflows.with_label_values(&[self.transport.as_str()]).inc();
        }
    }

    fn count(&self, batch: &Batch, written: u64) {
        let (metrics, label) = (&self.hub.metrics, [self.transport.as_str()]);
        metrics.delivered.with_label_values(&label).inc_by(written * batch.count);
        metrics.delivered_bytes.with_label_values(&label).inc_by(written * batch.message_bytes);
    }

    fn end(&self, reason: Ended) {
        self.buffer.borrow_mut().end(reason);
        self.subscribers.borrow().iter().for_each(|subscriber| subscriber.wake());
    }
}

impl Drop for LocalFanout {
    fn drop(&mut self) {
        self.unsubscribe();
    }
}

/// Delivers messages from the hub until the hub ends the queue or the fan-out is dropped.
async fn run(fanout: Weak<LocalFanout>, mut queue: SubscriberQueue) {
    let mut deliveries = Vec::with_capacity(MAX_BATCH);
    while queue.recv_many(&mut deliveries, MAX_BATCH).await > 0 {
        let Some(fanout) = fanout.upgrade() else { return };
        fanout.deliver(&mut deliveries).await;
    }
    if let Some(fanout) = fanout.upgrade() {
        fanout.end(queue.ended());
    }
}

//! Local subscription: a client's handle to the fan-out of its thread.

use std::{
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll},
};

use super::{
    EventEncoder, LocalFanout,
    ring_buffer::Entry,
    subscriber::{DirectSink, LocalSubscriber},
};
use crate::{
    domain::{Cursor, Topic},
    relay::{
        hub_handle::HubHandle,
        queue::Queue,
        subscriber::{Delivery, Ended},
        transport::Transport,
    },
    store::StoreError,
};

/// Delivery queue of one client, backed by the fan-out's shared buffer. Dropping it removes the client.
pub struct LocalSubscription {
    fanout: Rc<LocalFanout>,
    subscriber: Rc<LocalSubscriber>,
    position: Cursor,
}

impl LocalSubscription {
    /// Subscribes to this thread's fan-out of the topic and opens it if necessary.
    ///
    /// Cancellation safe.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the hub cannot register the fan-out.
    pub(in crate::relay) async fn open(
        hub: &HubHandle,
        topic: Topic,
        transport: Transport,
        encoder: EventEncoder,
    ) -> Result<Self, StoreError> {
        let fanout = LocalFanout::of_this_thread(hub, topic, transport, encoder);
        fanout.opened.get_or_try_init(|| LocalFanout::open(&fanout)).await?;
        let (next_index, position) = fanout.buffer.borrow().end_position();
        let slot = fanout.subscribers.borrow().len();
        let subscriber = Rc::new(LocalSubscriber::new(slot, next_index, position));
        fanout.subscribers.borrow_mut().push(subscriber.clone());
        Ok(Self { fanout, subscriber, position })
    }

    /// Returns the cursor after which this subscription starts.
    pub(in crate::relay) const fn position(&self) -> Cursor {
        self.position
    }

    /// Enables direct writes to this client.
    pub(in crate::relay) fn attach(&self, sink: Rc<dyn DirectSink>) {
        self.subscriber.sink.replace(Some(sink));
    }

    fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        let subscriber = &self.subscriber;
        let entry = self.fanout.buffer.borrow().get(subscriber.next_index.get());
        match entry {
            Entry::Message(delivery) => {
                subscriber.is_waiting.set(false);
                subscriber.next_index.set(subscriber.next_index.get() + 1);
                Poll::Ready(Some(delivery))
            }
            Entry::NotYet => {
                subscriber.is_waiting.set(true);
                self.fanout.catch_up(subscriber);
                let mut waker = subscriber.waker.borrow_mut();
                if waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
                    *waker = Some(cx.waker().clone());
                }
                Poll::Pending
            }
            Entry::Dropped | Entry::End => Poll::Ready(None),
        }
    }
}

impl Queue for LocalSubscription {
    async fn recv(&mut self, last: Cursor) -> Option<Delivery> {
        self.subscriber.last.set(last);
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    fn take_direct_position(&self) -> Option<Cursor> {
        self.subscriber.direct_position.take()
    }

    fn ended(&self) -> Ended {
        if self.subscriber.has_overflowed.get() {
            return Ended::TooSlow;
        }
        self.fanout.buffer.borrow().ended().unwrap_or(Ended::TooSlow)
    }
}

impl Drop for LocalSubscription {
    fn drop(&mut self) {
        let (mut subscribers, slot) = (self.fanout.subscribers.borrow_mut(), self.subscriber.slot.get());
        subscribers.swap_remove(slot);
        if let Some(moved) = subscribers.get(slot) {
            moved.slot.set(slot);
        }
        drop(subscribers);
        self.fanout.catch_up(&self.subscriber);
    }
}

//! Delivery queue: the interface between a subscription and the hub, and its per-client implementation.

use super::{
    hub_handle::HubHandle,
    subscriber::{Client, Delivery, Ended, Subscriber, SubscriberId, SubscriberQueue},
};
use crate::{
    domain::{Cursor, Topic},
    store::StoreError,
};

/// Source of published messages for one subscription.
pub(super) trait Queue {
    /// Receives the next message; `None` at the end. `last` is the newest event that the client has.
    ///
    /// Cancellation safe: a dropped future has consumed no message.
    fn recv(&mut self, last: Cursor) -> impl Future<Output = Option<Delivery>>;

    /// Takes the newest event that was written directly to the client since the previous call.
    fn take_direct_position(&self) -> Option<Cursor>;

    /// Returns the end reason; valid after [`Self::recv`] returned `None`.
    fn ended(&self) -> Ended;
}

/// Bounded queue of one subscription, registered at the hub.
pub struct ClientQueue {
    hub: HubHandle,
    topic: Topic,
    id: SubscriberId,
    queue: SubscriberQueue,
}

impl ClientQueue {
    /// Registers at the hub; returns the queue and the channel's position.
    ///
    /// Cancellation safe: the queue exists before the wait, so dropping the future unregisters it.
    pub(super) async fn open(
        hub: &HubHandle,
        topic: Topic,
        client: &Client,
    ) -> Result<(Self, Cursor), StoreError> {
        let (subscriber, queue) = Subscriber::new(client.clone(), hub.budget.clone(), hub.metrics.clone());
        let own = Self { hub: hub.clone(), topic, id: subscriber.id, queue };
        let position = hub.add_subscriber(topic, subscriber).await?;
        Ok((own, position))
    }
}

impl Queue for ClientQueue {
    async fn recv(&mut self, _: Cursor) -> Option<Delivery> {
        self.queue.recv().await
    }

    fn take_direct_position(&self) -> Option<Cursor> {
        None
    }

    fn ended(&self) -> Ended {
        self.queue.ended()
    }
}

impl Drop for ClientQueue {
    fn drop(&mut self) {
        self.hub.unsubscribe(self.topic, self.id);
    }
}

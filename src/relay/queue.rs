//! Where what is published comes to a client: a queue of its own, or the hall of a thread.

use std::sync::{Arc, OnceLock, atomic::Ordering};

use tokio::sync::mpsc;

use super::{
    Relay,
    seat::{Client, Delivery, Ended, QUEUE_MESSAGES, Seat, next_seat, size},
};
use crate::{
    domain::Cursor,
    store::{StoreError, Topic},
};

/// Where what is published comes to a client.
pub(super) trait Queue {
    /// The next message; none when there will be no more. `last` is the newest event that the client has. Cancelling it loses
    /// nothing.
    fn recv(&mut self, last: Cursor) -> impl Future<Output = Option<Delivery>>;

    /// The newest event that has gone to the client past its subscription since this was asked last, if any has.
    fn passed(&self) -> Option<Cursor>;

    /// Why there will be no more.
    fn ended(&self) -> Ended;
}

/// A queue of one's own, with a seat of one's own at the hub.
pub struct OwnQueue {
    relay: Relay,
    topic: Topic,
    seat: u64,
    client: Client,
    queue: mpsc::Receiver<Delivery>,
    ended: Arc<OnceLock<Ended>>,
}

impl OwnQueue {
    /// Takes a seat; gives the position that it listens from.
    pub(super) async fn open(
        relay: &Relay,
        topic: Topic,
        client: &Client,
    ) -> Result<(Self, Cursor), StoreError> {
        let (sender, queue) = mpsc::channel(QUEUE_MESSAGES);
        let ended = Arc::<OnceLock<Ended>>::default();
        let (id, metrics) = (next_seat(), relay.metrics.clone());
        let seat = Seat { id, queue: sender, client: client.clone(), ended: ended.clone(), metrics };
        // Made before the wait: should the caller give up meanwhile, dropping it gives the seat back.
        let own = Self { relay: relay.clone(), topic, seat: id, client: client.clone(), queue, ended };
        let position = relay.join(topic, seat).await?;
        Ok((own, position))
    }
}

impl Queue for OwnQueue {
    async fn recv(&mut self, _: Cursor) -> Option<Delivery> {
        let delivery = self.queue.recv().await?;
        self.client.waiting.fetch_sub(size(&delivery), Ordering::Relaxed);
        Some(delivery)
    }

    fn passed(&self) -> Option<Cursor> {
        None
    }

    fn ended(&self) -> Ended {
        self.ended.get().copied().unwrap_or(Ended::ShuttingDown)
    }
}

impl Drop for OwnQueue {
    fn drop(&mut self) {
        self.relay.leave(self.topic, self.seat);
        // The connection's other subscriptions get back what waited for this one.
        self.queue.close();
        while let Ok(delivery) = self.queue.try_recv() {
            self.client.waiting.fetch_sub(size(&delivery), Ordering::Relaxed);
        }
    }
}

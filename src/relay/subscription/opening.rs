//! Opening of subscriptions, through a queue of their own or through the local fan-out.

use std::rc::Rc;

use super::Subscription;
use crate::{
    domain::Topic,
    relay::{
        access::Access,
        hub_handle::HubHandle,
        local_fanout::{DirectSink, EventEncoder, LocalSubscription},
        options::Start,
        queue::ClientQueue,
        subscriber::Client,
        transport::Transport,
    },
    store::StoreError,
};

impl Subscription {
    /// Subscribes with a queue of its own at the hub.
    pub(in crate::relay) async fn open(
        hub: &HubHandle,
        source: (Topic, Access),
        start: Start,
        client: &Client,
    ) -> Result<Self, StoreError> {
        let (queue, position) = ClientQueue::open(hub, source.0, client).await?;
        Self::with_queue(hub, source, start, queue, position, client.transport).await
    }
}

impl Subscription<LocalSubscription> {
    /// Subscribes through the local fan-out of this thread.
    pub(in crate::relay) async fn open_local(
        hub: &HubHandle,
        source: (Topic, Access),
        start: Start,
        transport: Transport,
        encoder: EventEncoder,
    ) -> Result<Self, StoreError> {
        let local = LocalSubscription::open(hub, source.0, transport, encoder).await?;
        let position = local.position();
        Self::with_queue(hub, source, start, local, position, transport).await
    }

    /// Enables direct writes: the fan-out may write events to `sink` instead of returning them from [`Self::next`].
    pub fn attach(&self, sink: Rc<dyn DirectSink>) {
        self.queue.attach(sink);
    }
}

//! Handle to the hubs: what subscriptions need of their relay.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};

use super::{
    access::AccessRegistry,
    budget::Budget,
    hub::Command,
    snapshots::Snapshots,
    subscriber::{Subscriber, SubscriberId},
};
use crate::{
    domain::{Cursor, Topic},
    store::{EventFeed, StoreError},
    telemetry::Metrics,
};

/// Process-wide unique id of a relay.
///
/// It is part of the key of a thread-local fan-out, because one process can run several relays, as tests do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct RelayId(u64);

impl RelayId {
    pub(super) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Handle to the hubs of one relay. Clones share the same hubs.
#[derive(Clone)]
pub struct HubHandle {
    pub(super) id: RelayId,
    pub(super) access: AccessRegistry,
    /// Commands to the hub of each source.
    pub(super) commands: Vec<mpsc::UnboundedSender<Command>>,
    pub(super) feed: Arc<dyn EventFeed>,
    pub(super) snapshots: Snapshots,
    pub(super) budget: Budget,
    pub(super) metrics: Arc<Metrics>,
    /// Runtime for tasks that outlive a request, because each HTTP worker has a runtime of its own.
    pub(super) runtime: Handle,
}

impl HubHandle {
    /// Registers a subscriber at the hub and returns the channel's position at that moment.
    pub(super) async fn add_subscriber(
        &self,
        topic: Topic,
        subscriber: Subscriber,
    ) -> Result<Cursor, StoreError> {
        let stopped = || StoreError::Unavailable("the relay has stopped".to_owned());
        let (reply, answer) = oneshot::channel();
        let command = Command::Subscribe { topic, subscriber, reply };
        self.hub_of(topic).send(command).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    pub(super) fn unsubscribe(&self, topic: Topic, subscriber: SubscriberId) {
        // A stopped hub has no subscribers left, so the send error has no consequence.
        let _ = self.hub_of(topic).send(Command::Unsubscribe { topic, subscriber });
    }

    fn hub_of(&self, topic: Topic) -> &mpsc::UnboundedSender<Command> {
        &self.commands[self.feed.source_of(topic).0]
    }
}

//! Handle to the relay: starts the hub, and opens subscriptions and reads of the log for granted topics.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, future::join_all};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, mpsc},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{
    access::{Access, AccessRegistry},
    budget::Budget,
    client_states::ClientStates,
    hub::{Command, Hub, HubParts},
    hub_handle::{HubHandle, RelayId},
    lifetime::Lifetime,
    local_fanout::{EventEncoder, LocalSubscription},
    log_reader::CONCURRENT_READS,
    options::{Options, Start},
    readiness::Readiness,
    reset::ResetFrame,
    snapshots::{SharedSnapshot, Snapshots},
    state_updates::{EncodeState, StateReaders, StateUpdates},
    subscriber::Client,
    subscription::Subscription,
    transport::Transport,
};
use crate::{
    domain::{Cursor, Topic},
    orchestrator::ReadGrant,
    store::{EventFeed, LogRead, ResetReason, Source, StoreError},
    telemetry::Metrics,
};

/// Delivery of published events to the clients of this instance. Clones share the same hub.
#[derive(Clone)]
pub struct Relay {
    hub: HubHandle,
    readiness: Arc<Readiness>,
    state_readers: Arc<StateReaders>,
    max_age: Option<Duration>,
}

impl Relay {
    /// Starts a hub for each source of events on the current runtime and returns their handle and task.
    ///
    /// The task runs until `shutdown` is cancelled and then ends every subscription with
    /// [`Ended::ShuttingDown`](super::Ended::ShuttingDown).
    pub fn start(
        feed: Arc<dyn EventFeed>,
        metrics: Arc<Metrics>,
        options: Options,
        shutdown: &CancellationToken,
    ) -> (Self, JoinHandle<()>) {
        let budget = Budget::new(&metrics);
        let snapshots = Snapshots::new(feed.clone(), budget.clone(), Handle::current());
        let readiness = Arc::new(Readiness::new(feed.sources(), metrics.clone()));
        let access = AccessRegistry::default();
        let parts = HubParts {
            access: access.clone(),
            snapshots: snapshots.clone(),
            feed: feed.clone(),
            metrics: metrics.clone(),
            options,
            readiness: readiness.clone(),
            read_slots: Arc::new(Semaphore::new(CONCURRENT_READS)),
        };
        let (commands, hubs): (Vec<_>, Vec<_>) =
            (0..feed.sources()).map(|source| start_hub(Source(source), &parts, shutdown)).unzip();
        let task = tokio::spawn(async move { join_all(hubs).await }.map(drop));
        let hub = HubHandle {
            id: RelayId::next(),
            access,
            commands,
            feed,
            snapshots,
            budget,
            metrics,
            runtime: Handle::current(),
        };
        (Self { hub, readiness, state_readers: Arc::default(), max_age: options.max_age }, task)
    }

    /// Reports whether the feeds are connected and every channel has caught up with its log. With several partitions,
    /// those that are down do not count while others are up.
    pub fn is_ready(&self) -> bool {
        self.readiness.is_ready()
    }

    /// Reports whether the store has several partitions and some of them deliver events.
    pub fn has_ready_partition(&self) -> bool {
        self.readiness.has_ready_partition()
    }

    /// Returns the numbers of the partitions that do not deliver events. Feeds of all streams wait for them.
    pub fn waiting_partitions(&self) -> Vec<usize> {
        self.readiness.waiting().collect()
    }

    /// Returns the budget of what waits for clients.
    pub fn budget(&self) -> &Budget {
        &self.hub.budget
    }

    /// Returns the lifetime of a client connection that starts now.
    pub fn lifetime(&self) -> Lifetime {
        Lifetime::begin(self.max_age)
    }

    /// Subscribes to a topic through a bounded queue of the subscription's own.
    ///
    /// Cancellation safe: dropping the future removes the subscriber from the hub.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the feed or the log cannot be reached.
    pub async fn subscribe(
        &self,
        grant: &ReadGrant,
        start: Start,
        client: &Client,
    ) -> Result<Subscription, StoreError> {
        Subscription::open(&self.hub, self.source(grant), start, client).await
    }

    /// Subscribes to a topic through the local fan-out of this thread, which must run a `LocalSet`.
    ///
    /// All local subscriptions of one topic on one thread share one buffer, and a [`DirectSink`](super::DirectSink) can
    /// receive events without a task wake-up. `encoder` makes the bytes for direct writes; every caller must pass the
    /// same one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the feed or the log cannot be reached.
    pub async fn subscribe_local(
        &self,
        grant: &ReadGrant,
        start: Start,
        transport: Transport,
        encoder: EventEncoder,
    ) -> Result<Subscription<LocalSubscription>, StoreError> {
        Subscription::open_local(&self.hub, self.source(grant), start, transport, encoder).await
    }

    /// Subscribes to the states of one stream: the current state, then the newest state after each burst of events.
    /// Returns `None` if the stream does not exist, or if the grant is for all streams.
    ///
    /// `encode` makes the bytes of a state. All clients of this instance share the bytes of every state except a
    /// client's first one, so every caller must pass the same function.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the store does not answer, [`StoreError::Corrupt`] if the state cannot be parsed.
    /// A disconnected feed is no error here: it ends the updates with
    /// [`Ended::Unavailable`](super::Ended::Unavailable).
    pub async fn follow_state(
        &self,
        grant: &ReadGrant,
        encode: EncodeState,
    ) -> Result<Option<ClientStates>, StoreError> {
        let (topic, mut access) = self.source(grant);
        let Topic::Stream(id) = topic else { return Ok(None) };
        // The participant may have been blocked since its grant was checked.
        access.suspect();
        let updates = StateUpdates::open(&self.hub, &self.state_readers, id, encode).await?;
        Ok(updates.map(|updates| ClientStates { updates, access }))
    }

    /// Returns the topic of a grant, with its access from now on.
    fn source(&self, grant: &ReadGrant) -> (Topic, Access) {
        (grant.topic(), Access::of(grant, &self.hub.access))
    }

    /// Returns the newest `limit` events of the granted log, oldest first; fewer if the log is shorter. If they are
    /// larger than a page, returns the oldest of them, and `complete` is false.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the store does not answer, [`StoreError::Corrupt`] if an event cannot be parsed.
    pub async fn newest(&self, grant: &ReadGrant, limit: usize) -> Result<LogRead, StoreError> {
        let (feed, topic) = (&self.hub.feed, grant.topic());
        if let Some(events) = feed.newest(topic, limit).await? {
            return Ok(LogRead::Events { events, complete: true });
        }
        loop {
            let position = feed.before_newest(topic, limit).await?.unwrap_or(Cursor::ORIGIN);
            match feed.read_after(topic, position, limit).await? {
                // The log was trimmed since the position was found.
                LogRead::Reset(ResetReason::Expired) => {}
                read => return Ok(read),
            }
        }
    }

    /// Returns a page of the granted log after a cursor, oldest first: up to `limit` events, or about a page's size of
    /// them. Returns [`LogRead::Reset`] if the log cannot be continued from the cursor.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the store does not answer, [`StoreError::Corrupt`] if a cursor of the log cannot
    /// be parsed. An event that cannot be parsed is a [`LogRead::Reset`].
    pub async fn read_after(
        &self,
        grant: &ReadGrant,
        after: Cursor,
        limit: usize,
    ) -> Result<LogRead, StoreError> {
        self.hub.feed.read_after(grant.topic(), after, limit).await
    }

    /// Returns the reset of a client whose cursor the granted log cannot be continued from.
    ///
    /// # Errors
    /// Those of [`Self::snapshot`].
    pub async fn reset(
        &self,
        grant: &ReadGrant,
        reason: ResetReason,
        from: Cursor,
    ) -> Result<Arc<ResetFrame>, StoreError> {
        self.hub.snapshots.reset(grant.topic(), reason, from).await
    }

    /// Returns the state of the granted topic and its cursor. The state is `None` if the granted stream does not exist.
    /// The state of all streams may be a second old.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the store does not answer, [`StoreError::Corrupt`] if the state cannot be parsed.
    pub async fn snapshot(&self, grant: &ReadGrant) -> Result<Arc<SharedSnapshot>, StoreError> {
        self.hub.snapshots.of(grant.topic()).await
    }
}

/// Starts the hub of a source; returns the sender of its commands and its task.
fn start_hub(
    source: Source,
    parts: &HubParts,
    shutdown: &CancellationToken,
) -> (mpsc::UnboundedSender<Command>, JoinHandle<()>) {
    let (commands, inbox) = mpsc::unbounded_channel();
    let hub = Hub::new(source, parts.clone(), commands.downgrade());
    (commands, tokio::spawn(hub.run(inbox, shutdown.clone())))
}

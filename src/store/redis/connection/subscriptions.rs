//! Sharded Pub/Sub: one connection for each master, which all subscriptions on it share.
//!
//! In a cluster, a message of a sharded channel stays on the nodes that have the channel's slot. Without a cluster,
//! sharded channels are as others. When a slot moves, its former owner ends the subscriptions to its channels
//! (`SUNSUBSCRIBE` without a request).

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use redis::{FromRedisValue, PushInfo, PushKind, Value, aio::MultiplexedConnection};
use tokio::{
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    time::timeout,
};

use super::{
    connection_factory::{ConnectionFactory, OPEN_TIMEOUT, joined},
    failure::{Failure, FailureKind},
    routes::{Delivery, Published, Routes},
};

/// Subscribers to the channels of one server.
pub(super) struct Subscriptions {
    factory: ConnectionFactory,
    /// Held by the caller that opens a connection.
    current: tokio::sync::Mutex<Weak<SharedConnection>>,
}

impl Subscriptions {
    /// Opens no connection.
    pub(super) fn new(factory: ConnectionFactory) -> Self {
        Self { factory, current: tokio::sync::Mutex::default() }
    }

    /// A subscription without channels, on the shared connection or on a new one if that has ended.
    ///
    /// # Errors
    /// As [`ConnectionFactory::open_for_messages`], and [`FailureKind::Timeout`] after 4 s behind another caller.
    pub(super) async fn open(&self) -> Result<Subscription, Failure> {
        let late = |_| Failure::new(FailureKind::Timeout, "no connection could be opened in time");
        let mut current = timeout(OPEN_TIMEOUT, self.current.lock()).await.map_err(late)?;
        let open = current.upgrade().filter(|shared| shared.routes().is_open());
        let shared = match open {
            Some(shared) => shared,
            None => Arc::new(SharedConnection::open(self.factory.clone()).await?),
        };
        *current = Arc::downgrade(&shared);
        Ok(Subscription::new(shared))
    }
}

/// The connection of all subscriptions.
struct SharedConnection {
    factory: ConnectionFactory,
    connection: MultiplexedConnection,
    routes: Arc<Mutex<Routes>>,
    /// Serialises changes of subscriptions, so that a late unsubscription does not end a newer subscription.
    changes: tokio::sync::Mutex<()>,
}

impl SharedConnection {
    async fn open(factory: ConnectionFactory) -> Result<Self, Failure> {
        let routes = Arc::new(Mutex::new(Routes::open()));
        let receiver = routes.clone();
        let receive = move |push: PushInfo| {
            receiver.lock().unwrap_or_else(PoisonError::into_inner).on_push(push);
            Ok::<(), ()>(())
        };
        let connection = factory.open_for_messages(receive).await?;
        Ok(Self { factory, connection, routes, changes: tokio::sync::Mutex::default() })
    }

    fn routes(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends one command for each channel, because Redis confirms each channel.
    async fn send(&self, command: &str, confirmation: &PushKind, channels: &[String]) -> Result<(), Failure> {
        if channels.is_empty() {
            return Ok(());
        }
        let mut commands = redis::pipe();
        for channel in channels {
            commands.cmd(command).arg(channel);
        }
        let mut connection = self.connection.clone();
        let answers = connection.send_packed_commands(&commands, 0, channels.len()).await?;
        for (answer, channel) in answers.into_iter().zip(channels) {
            if !confirms(&answer.extract_error()?, confirmation, channel) {
                return Err(Failure::new(FailureKind::Other, format!("unexpected answer to {command}")));
            }
        }
        Ok(())
    }

    /// Ends the subscriptions if a change of them has failed, unless Redis has refused it.
    fn check(&self, changed: Result<(), Failure>) -> Result<(), Failure> {
        changed.inspect_err(|failure| match failure.kind {
            FailureKind::Moved | FailureKind::ClusterDown => self.factory.suspect_server(),
            FailureKind::NoPerm | FailureKind::Moving | FailureKind::Loading => {}
            _ => self.routes().close(),
        })
    }

    async fn subscribe(
        &self,
        subscription: u64,
        sender: &UnboundedSender<Delivery>,
        channels: &[String],
    ) -> Result<(), Failure> {
        let _changes = self.changes.lock().await;
        let mut new = channels.to_vec();
        {
            let mut routes = self.routes();
            if sender.is_closed() {
                // The subscription was dropped meanwhile.
                return Ok(());
            }
            if !routes.is_open() {
                return Err(Failure::new(FailureKind::Connection, "the connection for messages has ended"));
            }
            new.retain(|channel| routes.add(channel, subscription, sender));
        }
        let subscribed = self.send("SSUBSCRIBE", &PushKind::SSubscribe, &new).await;
        if subscribed.is_err() {
            let mut routes = self.routes();
            new.retain(|channel| routes.remove(channel, subscription));
        }
        self.check(subscribed)
    }

    async fn unsubscribe(&self, subscription: u64, channels: &[String]) -> Result<(), Failure> {
        let _changes = self.changes.lock().await;
        let mut unused = channels.to_vec();
        {
            let mut routes = self.routes();
            unused.retain(|channel| routes.remove(channel, subscription));
        }
        self.check(self.send("SUNSUBSCRIBE", &PushKind::SUnsubscribe, &unused).await)
    }
}

/// Whether an answer confirms the change of one channel. Redis also ends the subscriptions to a slot that moves with a
/// message of its own, which the client library takes for the answer to a command that waits.
fn confirms(answer: &Value, confirmation: &PushKind, channel: &str) -> bool {
    let Value::Push { kind, data } = answer else { return false };
    let named = data.first().and_then(|name| String::from_redis_value_ref(name).ok());
    kind == confirmation && named.as_deref() == Some(channel)
}

/// Channels of one subscriber. Dropping it unsubscribes from them.
pub struct Subscription {
    shared: Arc<SharedConnection>,
    id: u64,
    sender: UnboundedSender<Delivery>,
    receiver: UnboundedReceiver<Delivery>,
    channels: HashSet<String>,
}

impl Subscription {
    fn new(shared: Arc<SharedConnection>) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let id = shared.routes().new_id();
        Self { shared, id, sender, receiver, channels: HashSet::new() }
    }

    /// Subscribes to channels. Every message that is published after the method returns is delivered.
    ///
    /// # Errors
    /// Redis's refusal, `MOVED` from a node that does not own the slot of the channels for example. Any other failure
    /// ends all subscriptions of the connection.
    ///
    /// Cancellation safe: the change goes on when its caller is dropped. Otherwise a later subscription would find a
    /// channel that Redis does not know.
    pub async fn subscribe(&mut self, channels: Vec<String>) -> Result<(), Failure> {
        self.channels.extend(channels.iter().cloned());
        let (shared, id, sender) = (self.shared.clone(), self.id, self.sender.clone());
        let change = async move { shared.subscribe(id, &sender, &channels).await };
        joined(self.shared.factory.runtime().spawn(change)).await
    }

    /// Ends delivery from channels.
    ///
    /// # Errors
    /// As [`Self::subscribe`].
    pub async fn unsubscribe(&mut self, channels: Vec<String>) -> Result<(), Failure> {
        for channel in &channels {
            self.channels.remove(channel);
        }
        let (shared, id) = (self.shared.clone(), self.id);
        let change = async move { shared.unsubscribe(id, &channels).await };
        joined(self.shared.factory.runtime().spawn(change)).await
    }

    /// The next message; `None` after the end of the connection, or after the slot of a channel has moved. Cancellation
    /// safe.
    pub async fn next(&mut self) -> Option<Published> {
        self.receiver.recv().await.flatten()
    }

    /// Ends all subscriptions of the connection, which does not deliver messages any more.
    pub fn discard_connection(&self) {
        self.shared.routes().close();
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let channels: Vec<_> = self.channels.drain().collect();
        let (shared, id) = (self.shared.clone(), self.id);
        let runtime = shared.factory.runtime().clone();
        // Without another subscription the connection closes.
        if Arc::strong_count(&shared) > 2 && shared.routes().is_open() {
            runtime.spawn(async move { shared.unsubscribe(id, &channels).await });
        }
    }
}

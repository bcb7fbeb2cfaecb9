//! Subscribers of the hub: adding, removing, and channels that open with their first subscriber.

use std::collections::hash_map::Entry;

use super::{Hub, Reply};
use crate::{
    domain::Topic,
    relay::{
        channel::{Channel, ReadCause},
        subscriber::{Subscriber, SubscriberId},
    },
    store::StoreError,
};

impl Hub {
    /// Adds a subscriber and opens the topic's channel if necessary.
    ///
    /// The reply is sent once the channel knows its position; it is an error if the feed is not connected.
    pub(super) async fn subscribe(&mut self, topic: Topic, subscriber: Subscriber, reply: Reply) {
        if let Err(error) = self.open_channel(topic).await {
            let _ = reply.send(Err(error));
            return;
        }
        if let Some(channel) = self.channels.get_mut(&topic) {
            channel.empty_since = None;
        }
        self.pending_subscribers.push((topic, subscriber, reply));
        self.add_pending(topic);
    }

    async fn open_channel(&mut self, topic: Topic) -> Result<(), StoreError> {
        if self.connection.is_none() {
            return Err(StoreError::Unavailable("the event feed is not connected".to_owned()));
        }
        if let Entry::Vacant(vacant) = self.channels.entry(topic) {
            vacant.insert(Channel::new(topic, self.options.repair, self.access.clone()));
            if !self.subscribe_feed(&[topic]).await {
                return Err(StoreError::Unavailable("the event feed connection was lost".to_owned()));
            }
            self.start_read(topic, ReadCause::Start);
        }
        Ok(())
    }

    /// Adds the pending subscribers of a channel if its position is known.
    pub(super) fn add_pending(&mut self, topic: Topic) {
        let Some(channel) = self.channels.get_mut(&topic) else { return };
        let Some(last) = channel.last else { return };
        for (_, subscriber, reply) in
            self.pending_subscribers.extract_if(.., |(pending, ..)| *pending == topic)
        {
            let id = subscriber.id;
            channel.subscribe(subscriber);
            if reply.send(Ok(last)).is_err() {
                channel.unsubscribe(id);
            }
        }
    }

    pub(super) fn unsubscribe(&mut self, topic: Topic, id: SubscriberId) {
        self.pending_subscribers.retain(|(_, pending, _)| pending.id != id);
        if let Some(channel) = self.channels.get_mut(&topic) {
            channel.unsubscribe(id);
        }
    }
}

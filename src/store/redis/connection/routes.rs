//! Routes of published messages: from a shared connection to the subscriptions of a channel. Performs no I/O.

use std::collections::HashMap;

use redis::{PushInfo, PushKind, Value};
use tokio::sync::mpsc::UnboundedSender;

/// A published message.
pub struct Published {
    /// The channel.
    pub channel: String,
    /// The message.
    pub payload: Vec<u8>,
}

/// What a subscription receives; `None` ends it.
pub(super) type Delivery = Option<Published>;

/// The subscriptions by channel.
#[derive(Default)]
pub(super) struct Routes {
    by_channel: HashMap<String, Vec<Route>>,
    is_open: bool,
    next_id: u64,
}

struct Route {
    subscription: u64,
    sender: UnboundedSender<Delivery>,
}

impl Routes {
    /// No subscription yet.
    pub(super) fn open() -> Self {
        Self { is_open: true, ..Self::default() }
    }

    /// Whether the connection delivers messages.
    pub(super) const fn is_open(&self) -> bool {
        self.is_open
    }

    /// An id for a subscription.
    pub(super) const fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Passes a message on, or ends the subscriptions that a message of Redis ends. Called in the order of arrival.
    pub(super) fn on_push(&mut self, PushInfo { kind, data }: PushInfo) {
        match (kind, &mut data.into_iter()) {
            (PushKind::Disconnection, _) => self.close(),
            (PushKind::SMessage, data) => {
                let (Some(channel), Some(Value::BulkString(payload))) = (text(data.next()), data.next())
                else {
                    return;
                };
                self.deliver(channel, payload);
            }
            (PushKind::SUnsubscribe, data) => {
                let Some(channel) = text(data.next()) else { return };
                self.by_channel.remove(&channel).into_iter().for_each(end_all);
            }
            _ => {}
        }
    }

    fn deliver(&self, channel: String, payload: Vec<u8>) {
        let Some((last, others)) = self.by_channel.get(&channel).and_then(|routes| routes.split_last())
        else {
            return;
        };
        for route in others {
            let (channel, payload) = (channel.clone(), payload.clone());
            let _ = route.sender.send(Some(Published { channel, payload }));
        }
        let _ = last.sender.send(Some(Published { channel, payload }));
    }

    /// Ends all subscriptions. No later one uses the connection.
    pub(super) fn close(&mut self) {
        self.is_open = false;
        self.by_channel.drain().for_each(|(_, routes)| end_all(routes));
    }

    /// Adds a route; returns true if the channel has no other.
    pub(super) fn add(
        &mut self,
        channel: &str,
        subscription: u64,
        sender: &UnboundedSender<Delivery>,
    ) -> bool {
        let routes = self.by_channel.entry(channel.to_owned()).or_default();
        if routes.iter().all(|route| route.subscription != subscription) {
            routes.push(Route { subscription, sender: sender.clone() });
        }
        routes.len() == 1
    }

    /// Removes a route; returns true if the channel has no other.
    pub(super) fn remove(&mut self, channel: &str, subscription: u64) -> bool {
        let Some(routes) = self.by_channel.get_mut(channel) else { return false };
        routes.retain(|route| route.subscription != subscription);
        let is_unused = routes.is_empty();
        if is_unused {
            self.by_channel.remove(channel);
        }
        is_unused
    }
}

// By value, so that no route of an ended subscription remains.
fn end_all(routes: Vec<Route>) {
    for route in routes {
        // A dropped subscription needs no end.
        let _ = route.sender.send(None);
    }
}

fn text(value: Option<Value>) -> Option<String> {
    match value {
        Some(Value::BulkString(bytes)) => String::from_utf8(bytes).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::{self, UnboundedReceiver};

    use super::*;

    fn push(kind: PushKind, data: &[&str]) -> PushInfo {
        let data = data.iter().map(|text| Value::BulkString(text.as_bytes().to_vec())).collect();
        PushInfo { kind, data }
    }

    fn received(receiver: &mut UnboundedReceiver<Delivery>) -> Vec<Option<String>> {
        let mut all = Vec::new();
        while let Ok(delivery) = receiver.try_recv() {
            all.push(delivery.map(|Published { channel, payload }| {
                format!("{channel}: {}", String::from_utf8(payload).unwrap())
            }));
        }
        all
    }

    #[test]
    fn message_reaches_the_subscriptions_of_its_channel() {
        let mut routes = Routes::open();
        let (one, mut to_one) = mpsc::unbounded_channel();
        let (two, mut to_two) = mpsc::unbounded_channel();
        let (first, second) = (routes.new_id(), routes.new_id());
        assert!(routes.add("a", first, &one) && routes.add("b", second, &two));
        assert!(!routes.add("a", second, &two), "the channel is subscribed already");
        for channel in ["a", "b", "c"] {
            routes.on_push(push(PushKind::SMessage, &[channel, "hello"]));
        }
        assert_eq!(received(&mut to_one), [Some("a: hello".to_owned())]);
        assert_eq!(received(&mut to_two), [Some("a: hello".to_owned()), Some("b: hello".to_owned())]);
        assert!(!routes.remove("a", first) && routes.remove("a", second) && !routes.remove("a", second));
    }

    #[test]
    fn subscriptions_end_with_their_slot_or_the_connection() {
        let mut routes = Routes::open();
        let (one, mut to_one) = mpsc::unbounded_channel();
        let (two, mut to_two) = mpsc::unbounded_channel();
        let (first, second) = (routes.new_id(), routes.new_id());
        routes.add("a", first, &one);
        routes.add("b", second, &two);
        routes.on_push(push(PushKind::SUnsubscribe, &["a"]));
        assert_eq!((received(&mut to_one), received(&mut to_two)), (vec![None], vec![]));
        assert!(routes.is_open());
        routes.on_push(push(PushKind::Disconnection, &[]));
        assert_eq!((received(&mut to_one), received(&mut to_two)), (vec![], vec![None]));
        assert!(!routes.is_open());
    }
}

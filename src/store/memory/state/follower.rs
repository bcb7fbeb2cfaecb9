//! Sending side of a feed connection.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::mpsc;

use crate::{
    domain::{Event, Topic},
    store::FeedMessage,
};

/// Topics of one connection, which its two sides share.
pub(in crate::store::memory) type Topics = Arc<Mutex<HashSet<Topic>>>;

/// Sending side of a connection.
pub(in crate::store::memory) struct Follower {
    pub(in crate::store::memory) topics: Topics,
    pub(in crate::store::memory) address: String,
    pub(in crate::store::memory) messages: mpsc::UnboundedSender<FeedMessage>,
}

impl Follower {
    /// Sends the event if the connection subscribes to it. Returns false if the connection is closed.
    pub(in crate::store::memory) fn send(&self, event: &Arc<Event>) -> bool {
        let topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        for topic in [Topic::Stream(event.stream_id()), Topic::All] {
            let (event, previous) = (event.clone(), topic.previous(event));
            if topics.contains(&topic)
                && self.messages.send(FeedMessage::Event { topic, event, previous }).is_err()
            {
                return false;
            }
        }
        !self.messages.is_closed()
    }
}

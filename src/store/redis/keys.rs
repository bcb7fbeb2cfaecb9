//! The names of all keys and channels: the only place that knows them.
//!
//! The prefix is a hash tag, so all keys are of one Redis Cluster slot and a script may touch any of them together.

use crate::{
    domain::{RoomName, StreamId, StreamRef, StreamStatus},
    store::{Once, Topic},
};

/// Makes key names under one prefix.
#[derive(Clone, Debug)]
pub struct Keys {
    prefix: String,
}

impl Keys {
    /// Keys that begin with `{prefix}:`.
    pub fn new(prefix: &str) -> Self {
        Self { prefix: format!("{{{prefix}}}:") }
    }

    fn shared(&self, name: &str) -> String {
        [&self.prefix, name].concat()
    }

    /// What stands before an id in the key of a stream's hash.
    pub fn stream_prefix(&self) -> String {
        self.shared("stream:")
    }

    fn part(&self, id: StreamId, part: &str) -> String {
        format!("{}stream:{id}{part}", self.prefix)
    }

    /// The hash with a stream's fields.
    pub fn stream(&self, id: StreamId) -> String {
        self.part(id, "")
    }

    /// The hash of a stream's participants.
    pub fn participants(&self, id: StreamId) -> String {
        self.part(id, ":participants")
    }

    /// The list of a stream's participants in order.
    pub fn order(&self, id: StreamId) -> String {
        self.part(id, ":order")
    }

    /// The hash of a stream's unlisted participants.
    pub fn unlisted(&self, id: StreamId) -> String {
        self.part(id, ":unlisted")
    }

    /// Who holds a room name.
    pub fn room(&self, room: &RoomName) -> String {
        format!("{}{room}", self.room_prefix())
    }

    /// A topic's log, which is also the name of its channel.
    pub fn log(&self, topic: Topic) -> String {
        match topic {
            Topic::Stream(id) => self.part(id, ":log"),
            Topic::All => self.shared("events"),
        }
    }

    /// The topic of a channel.
    pub fn topic(&self, channel: &str) -> Option<Topic> {
        let name = channel.strip_prefix(&self.prefix)?;
        if name == "events" {
            return Some(Topic::All);
        }
        let id = name.strip_prefix("stream:")?.strip_suffix(":log")?;
        id.parse().ok().map(Topic::Stream)
    }

    /// The newest cursor.
    pub fn tail(&self) -> String {
        self.shared("tail")
    }

    /// The list of all streams.
    pub fn all(&self) -> String {
        self.shared("streams:all")
    }

    /// The list of the streams that are not stopped.
    pub fn live(&self) -> String {
        self.shared("streams:live")
    }

    /// The list of the streams in one status.
    pub fn status(&self, status: StreamStatus) -> String {
        [&self.prefix, "streams:", status.as_str()].concat()
    }

    /// The streams that are over, by when.
    pub fn over(&self) -> String {
        self.shared("streams:over")
    }

    /// How many participants are active in all streams.
    pub fn total(&self) -> String {
        self.shared("participants:total")
    }

    /// What is to be done when.
    pub fn due(&self) -> String {
        self.shared("due")
    }

    /// Who reconciles.
    pub fn lease(&self) -> String {
        self.shared("lease:reconcile")
    }

    /// When reconciling was last done.
    pub fn lease_done(&self) -> String {
        self.shared("lease:reconcile:done")
    }

    /// When reconciling is due again at the latest.
    pub fn lease_again(&self) -> String {
        self.shared("lease:reconcile:again")
    }

    /// Ids of streams whose rooms LiveKit does not list, by when it first did not.
    pub fn missing(&self) -> String {
        self.shared("streams:missing")
    }

    /// Since when LiveKit has been listing nothing at all.
    pub fn suspicion(&self) -> String {
        self.shared("suspicion")
    }

    /// Names of rooms that are over, by when the last join token for them has lapsed.
    pub fn closed(&self) -> String {
        self.shared("rooms:closed")
    }

    /// What stands before a room's name in the key of who holds it.
    pub fn room_prefix(&self) -> String {
        self.shared("room:")
    }

    /// Exists while a room of this name that nobody wants is being deleted.
    pub fn hold(&self, room: &RoomName) -> String {
        format!("{}hold:{room}", self.prefix)
    }

    /// Exists when a webhook about this room has arrived, for `check`.
    pub fn note(&self, room: &RoomName) -> String {
        format!("{}note:{room}", self.prefix)
    }

    /// The mark that something has had its effect, and on which stream.
    pub fn once(&self, once: &Once) -> String {
        match once {
            Once::Webhook(id) => format!("{}webhook:{id}", self.prefix),
            Once::Request(key) => format!("{}done:{key}", self.prefix),
        }
    }

    /// What is known of a request that may be sent again.
    pub fn request(&self, key: &str) -> String {
        format!("{}idem:{key}", self.prefix)
    }

    /// How often somebody has done something.
    pub fn rate(&self, subject: &str) -> String {
        format!("{}rate:{subject}", self.prefix)
    }

    /// A key that never exists.
    pub fn never(&self) -> String {
        self.shared("never")
    }

    /// The channel of one instance's probes.
    pub fn probe(&self, connection: &str) -> String {
        format!("{}probe:{connection}", self.prefix)
    }

    /// The KEYS of every script that changes a stream, in the order of `prelude.lua`.
    pub fn of_change(&self, stream: &StreamRef, once: Option<&Once>) -> Vec<String> {
        let StreamRef { id, room_name } = stream;
        let own = self.stream(*id);
        let parts = ["", ":participants", ":active", ":joining", ":order", ":gone", ":log"];
        let mut keys = Vec::with_capacity(parts.len() + 19);
        keys.extend(parts.iter().map(|part| [&own, *part].concat()));
        keys.extend([self.room(room_name), self.log(Topic::All), self.tail(), self.all(), self.live()]);
        keys.extend(StreamStatus::ALL.map(|status| self.status(status)));
        keys.extend([self.over(), self.total(), self.due()]);
        let of_agents = [&own, ":agents"].concat();
        keys.push(once.map_or(own, |once| self.once(once)));
        keys.extend([self.lease(), self.closed(), self.hold(room_name), self.unlisted(*id), of_agents]);
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_reads_back_as_its_topic() {
        let keys = Keys::new("lso");
        for topic in [Topic::All, Topic::Stream(StreamId::generate())] {
            assert_eq!(keys.topic(&keys.log(topic)), Some(topic));
        }
        assert_eq!(Keys::new("other").topic(&keys.log(Topic::All)), None);
        assert_eq!(keys.topic("{lso}:probe:x"), None);
    }

    #[test]
    fn every_key_has_the_one_hash_tag() {
        let keys = Keys::new("lso");
        let stream = StreamRef { id: StreamId::generate(), room_name: RoomName::parse("a}b{c").unwrap() };
        let all = keys.of_change(&stream, Some(&Once::Webhook("EV_1".to_owned())));
        assert_eq!(all.len(), 26);
        assert!(all.iter().all(|key| key.starts_with("{lso}:")));
    }
}

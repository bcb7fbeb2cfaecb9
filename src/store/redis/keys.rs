//! The names of all keys and channels. docs/ARCHITECTURE.md documents their contents.
//!
//! All names of one partition begin with one hash tag, so its keys share one Redis Cluster slot, and one script may
//! access any of them. Without partitions the tag is the prefix.

mod history;
mod media;

use super::script_keys::{BLOCKS_ORDER_SUFFIX, BLOCKS_SUFFIX, LOG_SUFFIX, NEVER};
use crate::{
    domain::{ParticipantState, RoomName, StreamId, StreamStatus, Topic},
    store::{DedupKey, Job},
};

/// Makes the names of keys and channels under one prefix.
#[derive(Clone, Debug)]
pub struct Keys {
    prefix: String,
}

impl Keys {
    /// Creates the names under one hash tag: every name begins with `{tag}:`, braces included.
    pub fn new(tag: &str) -> Self {
        Self { prefix: format!("{{{tag}}}:") }
    }

    /// What every key begins with.
    pub fn prefix(&self) -> String {
        self.prefix.clone()
    }

    fn shared(&self, name: &str) -> String {
        [&self.prefix, name].concat()
    }

    /// The key of a stream's hash without the id.
    pub fn stream_prefix(&self) -> String {
        self.shared("stream:")
    }

    /// A change has more than ten of these keys, so each is made in one allocation and without `format!`.
    fn part(&self, id: StreamId, suffix: &str) -> String {
        [&self.prefix, "stream:", id.encode(&mut [0; StreamId::LENGTH]), suffix].concat()
    }

    /// Hash of a stream's fields.
    pub fn stream(&self, id: StreamId) -> String {
        self.part(id, "")
    }

    /// Hash of a stream's listed participants.
    pub fn participants(&self, id: StreamId) -> String {
        self.part(id, ":participants")
    }

    /// Sorted set of the list keys of a stream's listed participants in one state.
    pub fn order(&self, id: StreamId, state: ParticipantState) -> String {
        let mut buffer = [0; StreamId::LENGTH];
        let id_text = id.encode(&mut buffer);
        [&self.prefix, "stream:", id_text, ":order:", state.as_str()].concat()
    }

    /// Sorted set of the list keys of a stream's recorders that are not hidden.
    pub fn recorder_order(&self, id: StreamId) -> String {
        self.part(id, ":order:recorders")
    }

    /// Sorted set of the list keys of a stream's hidden participants.
    pub fn hidden_order(&self, id: StreamId) -> String {
        self.part(id, ":order:hidden")
    }

    /// Hash of a stream's unlisted participants.
    pub fn unlisted(&self, id: StreamId) -> String {
        self.part(id, ":unlisted")
    }

    /// Hash of a stream's blocks.
    pub fn blocks(&self, id: StreamId) -> String {
        self.part(id, BLOCKS_SUFFIX)
    }

    /// Sorted set of the list keys of a stream's blocks.
    pub fn blocks_order(&self, id: StreamId) -> String {
        self.part(id, BLOCKS_ORDER_SUFFIX)
    }

    /// String that names the owner of a room name: `live:<stream id>`. Becomes `ended:<stream id>` when the stream
    /// ends, and then expires with it.
    pub fn room(&self, room: &RoomName) -> String {
        [&self.prefix, "room:", room.as_str()].concat()
    }

    /// Key prefix for room-name ownership.
    pub fn room_prefix(&self) -> String {
        self.shared("room:")
    }

    /// A topic's log, which is also the name of its channel.
    pub fn log(&self, topic: Topic) -> String {
        match topic {
            Topic::Stream(id) => self.part(id, LOG_SUFFIX),
            Topic::All => self.shared("events"),
        }
    }

    /// The topic of a channel; `None` for another channel.
    pub fn topic(&self, channel: &str) -> Option<Topic> {
        let name = channel.strip_prefix(&self.prefix)?;
        if name == "events" {
            return Some(Topic::All);
        }
        let id = name.strip_prefix("stream:")?.strip_suffix(LOG_SUFFIX)?;
        id.parse().ok().map(Topic::Stream)
    }

    /// Bytes of all events that were ever appended to the log of all streams.
    pub fn events_bytes(&self) -> String {
        self.shared("events:bytes")
    }

    /// Time before which the partition issues no further cursor, in milliseconds since 1970.
    pub fn clock_floor(&self) -> String {
        self.shared("clock_floor")
    }

    /// Cursor before which clients of all streams do not resume, because the partition has lost events.
    pub fn lost_until(&self) -> String {
        self.shared("events:lost_until")
    }

    /// Number of partitions of the deployment.
    pub fn partition_count(&self) -> String {
        self.shared("partitions")
    }

    /// The newest cursor.
    pub fn tail(&self) -> String {
        self.shared("tail")
    }

    /// Sorted set (all scores 0) of the list keys `<creation time>:<stream id>` of all streams.
    pub fn all_streams(&self) -> String {
        self.shared("streams:all")
    }

    /// Sorted set, as [`Self::all_streams`], of the streams that are not `stopped`. Includes streams in `error` until
    /// their retention is over.
    pub fn live_streams(&self) -> String {
        self.shared("streams:live")
    }

    /// Sorted set, as [`Self::all_streams`], of the streams with one status.
    pub fn streams_in(&self, status: StreamStatus) -> String {
        [&self.prefix, "streams:", status.as_str()].concat()
    }

    /// Sorted set of the list keys of ended streams; the score is the end time.
    pub fn ended_streams(&self) -> String {
        self.shared("streams:ended")
    }

    /// Number of connected participants in all streams.
    pub fn participant_total(&self) -> String {
        self.shared("participants:total")
    }

    /// Hash of the numbers of connected participants by stream, of streams that have any.
    pub fn participant_counts(&self) -> String {
        self.shared("participants:counts")
    }

    /// Scheduled jobs of the sweeper, by time.
    pub fn scheduled(&self) -> String {
        self.shared("scheduled")
    }

    /// Ids of counted streams whose counts are not told, by the time at which they are due.
    pub fn scheduled_counts(&self) -> String {
        self.shared("scheduled:counts")
    }

    /// Token of the instance that does a job.
    pub fn lease(&self, job: Job) -> String {
        [&self.prefix, "lease:", job.as_str()].concat()
    }

    /// Time at which a job was last finished.
    pub fn lease_finished_at(&self, job: Job) -> String {
        self.lease(job) + ":finished_at"
    }

    /// Time from which a job may begin although its interval is not over.
    pub fn lease_due_at(&self, job: Job) -> String {
        self.lease(job) + ":due_at"
    }

    /// Hash whose fields are the ids of all followers of the partition's log.
    pub fn followers(&self) -> String {
        self.shared("followers")
    }

    /// Hash of a follower's position and of its streams that wait.
    pub fn follower(&self, id: &str) -> String {
        [&self.prefix, "follower:", id].concat()
    }

    /// Hash of the webhook endpoints, by id.
    pub fn webhook_endpoints(&self) -> String {
        self.shared("webhook_endpoints")
    }

    /// Number of changes of [`Self::webhook_endpoints`].
    pub fn webhook_endpoints_revision(&self) -> String {
        self.shared("webhook_endpoints:revision")
    }

    /// Ids of streams whose rooms LiveKit does not list, by the time of the first such list.
    pub fn missing_streams(&self) -> String {
        self.shared("streams:missing")
    }

    /// Time of the first empty listing by LiveKit.
    pub fn empty_listing_since(&self) -> String {
        self.shared("listing:empty_since")
    }

    /// Room names of ended streams, by the expiry of the last join token.
    pub fn closed_rooms(&self) -> String {
        self.shared("rooms:closed")
    }

    /// Lock on a room name, held while an orphaned room of that name is deleted.
    pub fn room_lock(&self, room: &RoomName) -> String {
        [&self.prefix, "room_lock:", room.as_str()].concat()
    }

    /// Receipt of a probe webhook about this room of `check`.
    pub fn webhook_probe(&self, room: &RoomName) -> String {
        format!("{}webhook_probe:{room}", self.prefix)
    }

    /// Deduplication key of a webhook or request; holds the id of the changed stream.
    pub fn dedup(&self, key: &DedupKey) -> String {
        match key {
            DedupKey::Webhook(id) => format!("{}webhook:{id}", self.prefix),
            DedupKey::Request(key) => format!("{}applied:{key}", self.prefix),
        }
    }

    /// Record of a request with an idempotency key.
    pub fn request(&self, key: &str) -> String {
        format!("{}idem:{key}", self.prefix)
    }

    /// Live idempotency keys of one caller, by expiry.
    pub fn live_requests(&self, caller: &str) -> String {
        format!("{}idem_live:{caller}", self.prefix)
    }

    /// State of a rate limit for one caller.
    pub fn rate(&self, subject: &str) -> String {
        format!("{}rate:{subject}", self.prefix)
    }

    /// Key that is never written. Scripts that write, or that access undeclared keys, declare it, so that a node
    /// answers `TRYAGAIN` while it migrates the slot.
    pub fn absent(&self) -> String {
        self.shared(NEVER)
    }

    /// Channel of one connection's probes.
    pub fn probe(&self, connection: &str) -> String {
        format!("{}probe:{connection}", self.prefix)
    }
}

/// Returns the start of a page for `ZRANGE … BYLEX`: `(after`, which excludes `after`, or `first` (`-` or `+`) for
/// the first page.
pub(super) fn lexical_bound(first: &str, after: Option<&str>) -> String {
    after.map_or_else(|| first.to_owned(), |after| format!("({after}"))
}

#[cfg(test)]
mod tests;

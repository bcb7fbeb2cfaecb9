//! Topic: the log and the channel that a client follows.

use super::{Cursor, Event, StreamId};

/// A log of events and the channel on which they are published: that of one stream, or that of all streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// The events of one stream.
    Stream(StreamId),
    /// The events of all streams.
    All,
}

impl Topic {
    /// Returns the cursor of the event before `event` in this topic's log.
    pub fn previous(self, event: &Event) -> Cursor {
        match self {
            Self::Stream(_) => event.previous,
            Self::All => event.previous_of_all,
        }
    }
}

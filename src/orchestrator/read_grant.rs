//! Proof that a caller may read a topic.

use super::{Action, Caller};
use crate::domain::{StreamRef, Topic};

/// The right to read one topic: its events, its log and its states.
///
/// Only the checks below make a grant. Every read of the relay demands one, so no handler reads events without a check
/// of its caller.
#[derive(Clone, Copy, Debug)]
pub struct ReadGrant {
    topic: Topic,
}

impl ReadGrant {
    /// Grants all streams if the caller may follow all of them.
    pub fn all(caller: &Caller) -> Option<Self> {
        caller.is_allowed(Action::FollowAll).then_some(Self { topic: Topic::All })
    }

    /// Grants one stream if the caller may read it.
    pub fn stream(caller: &Caller, stream: &StreamRef) -> Option<Self> {
        let topic = Topic::Stream(stream.id);
        caller.is_allowed_in(Action::Read, &stream.room_name).then_some(Self { topic })
    }

    /// Returns the granted topic.
    pub const fn topic(&self) -> Topic {
        self.topic
    }
}

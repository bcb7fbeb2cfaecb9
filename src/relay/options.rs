//! Options of a relay and of a subscription.

use std::time::Duration;

use crate::domain::Cursor;

/// Options of a relay.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Enables gap repair from the log. Fault tests disable it to prove that they detect lost events.
    pub repair: bool,
    /// Maximum age of a client connection; `None` means no limit.
    pub max_age: Option<Duration>,
}

/// Position at which a subscription starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The next published event.
    Now,
    /// The event after this cursor.
    After(Cursor),
    /// The newest events of the log, at most this many, followed by new ones.
    Newest(usize),
    /// The client sent a cursor that does not parse: the subscription starts with a reset.
    Unknown,
}

//! Conversion of typed values to the texts in KEYS and ARGV.

use std::time::Duration;

use crate::domain::{
    BlockReason, DisplayName, EgressId, Identity, IngressId, JobId, ParticipantSid, ParticipantState,
    RoomName, RoomSid, StopReason, StreamId, StreamStatus, Timestamp,
};

/// A value of a script call. Scripts read the empty text as an absent value.
pub trait Argument {
    /// True for a list, which takes all positions from its own to the end.
    const IS_TAIL: bool = false;

    /// Appends the value's text; a list appends one text for each element.
    fn append_to(self, values: &mut Vec<String>);
}

impl Argument for String {
    fn append_to(self, values: &mut Vec<String>) {
        values.push(self);
    }
}

impl<T: Argument> Argument for Option<T> {
    fn append_to(self, values: &mut Vec<String>) {
        match self {
            Some(value) => value.append_to(values),
            None => values.push(String::new()),
        }
    }
}

impl<T: Argument> Argument for Vec<T> {
    const IS_TAIL: bool = true;

    fn append_to(self, values: &mut Vec<String>) {
        for value in self {
            value.append_to(values);
        }
    }
}

/// `1`, or the empty text for false.
impl Argument for bool {
    fn append_to(self, values: &mut Vec<String>) {
        values.push(if self { "1".to_owned() } else { String::new() });
    }
}

/// A number of milliseconds.
impl Argument for Duration {
    fn append_to(self, values: &mut Vec<String>) {
        values.push(self.as_millis().to_string());
    }
}

/// Milliseconds since 1970.
impl Argument for Timestamp {
    fn append_to(self, values: &mut Vec<String>) {
        values.push(self.as_millis().to_string());
    }
}

macro_rules! as_displayed {
    ($($type:ty),* $(,)?) => {
        $(impl Argument for $type {
            fn append_to(self, values: &mut Vec<String>) {
                values.push(self.to_string());
            }
        })*
    };
}

as_displayed!(
    u16,
    u32,
    u64,
    usize,
    f64,
    &'static str,
    BlockReason,
    DisplayName,
    EgressId,
    Identity,
    IngressId,
    JobId,
    ParticipantSid,
    ParticipantState,
    RoomName,
    RoomSid,
    StopReason,
    StreamId,
    StreamStatus,
);

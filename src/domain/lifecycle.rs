//! Lifecycle of a stream: a table of its status transitions.

use std::{fmt, str::FromStr};

use serde::Serialize;

use super::name::{self, UnknownName};

/// Status of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamStatus {
    /// The stream is recorded; its LiveKit room is being created.
    Creating,
    /// The room exists, and participants may join.
    Active,
    /// The room is being deleted.
    Stopping,
    /// Ended. Final.
    Stopped,
    /// Creation or stop failed. Final.
    Error,
}

/// All allowed transitions.
const TRANSITIONS: [(StreamStatus, StreamStatus); 5] = [
    (StreamStatus::Creating, StreamStatus::Active),
    (StreamStatus::Creating, StreamStatus::Error),
    (StreamStatus::Active, StreamStatus::Stopping),
    (StreamStatus::Stopping, StreamStatus::Stopped),
    (StreamStatus::Stopping, StreamStatus::Error),
];

impl StreamStatus {
    /// All statuses, in the order of the lifecycle.
    pub const ALL: [Self; 5] = [Self::Creating, Self::Active, Self::Stopping, Self::Stopped, Self::Error];

    /// Reports whether the transition to `next` is allowed.
    pub fn may_become(self, next: Self) -> bool {
        TRANSITIONS.contains(&(self, next))
    }

    /// Reports whether no transition is allowed. The room name of such a stream is free, and its keys expire.
    pub fn is_final(self) -> bool {
        !TRANSITIONS.iter().any(|(from, _)| *from == self)
    }

    /// Returns the name used in JSON, queries and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Active => "active",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for StreamStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for StreamStatus {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        name::find(&Self::ALL, Self::as_str, text)
    }
}

#[cfg(test)]
mod tests {
    use super::{StreamStatus::*, *};

    #[test]
    fn transition_is_allowed_only_by_the_table() {
        let allowed = [
            [false, true, false, false, true],
            [false, false, true, false, false],
            [false, false, false, true, true],
            [false, false, false, false, false],
            [false, false, false, false, false],
        ];
        for (row, from) in StreamStatus::ALL.into_iter().enumerate() {
            for (column, to) in StreamStatus::ALL.into_iter().enumerate() {
                assert_eq!(from.may_become(to), allowed[row][column], "{from} to {to}");
            }
        }
    }

    #[test]
    fn stopped_and_error_are_final() {
        let finals: Vec<_> = StreamStatus::ALL.into_iter().filter(|status| status.is_final()).collect();
        assert_eq!(finals, [Stopped, Error]);
    }

    #[test]
    fn status_name_parses_to_the_same_status() {
        for status in StreamStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
        assert_eq!("Active".parse::<StreamStatus>(), Err(UnknownName));
    }
}

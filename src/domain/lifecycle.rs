//! The life of a stream as a table: which status may follow which.

use std::{fmt, str::FromStr};

use serde::Serialize;

/// Where a stream is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamStatus {
    /// Recorded here; its LiveKit room is being made.
    Creating,
    /// The room exists and people may join.
    Active,
    /// The room is being deleted.
    Stopping,
    /// Over. Nothing about it changes any more.
    Stopped,
    /// Creating or stopping failed for good. Nothing about it changes any more.
    Error,
}

/// Every move there is. A pair that is not listed does not exist.
const MOVES: [(StreamStatus, StreamStatus); 5] = [
    (StreamStatus::Creating, StreamStatus::Active),
    (StreamStatus::Creating, StreamStatus::Error),
    (StreamStatus::Active, StreamStatus::Stopping),
    (StreamStatus::Stopping, StreamStatus::Stopped),
    (StreamStatus::Stopping, StreamStatus::Error),
];

impl StreamStatus {
    /// All of them, in the order of a stream's life.
    pub const ALL: [Self; 5] = [Self::Creating, Self::Active, Self::Stopping, Self::Stopped, Self::Error];

    /// Whether a stream in this status may move to `next`.
    pub fn may_become(self, next: Self) -> bool {
        MOVES.contains(&(self, next))
    }

    /// Whether nothing can follow: the stream's room name is free and its keys are on their way out.
    pub fn is_final(self) -> bool {
        !MOVES.iter().any(|(from, _)| *from == self)
    }

    /// The word used in JSON, queries and metrics.
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
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::{StreamStatus::*, *};

    #[test]
    fn every_pair_is_decided_by_the_table() {
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
    fn only_stopped_and_error_are_final() {
        let finals: Vec<_> = StreamStatus::ALL.into_iter().filter(|status| status.is_final()).collect();
        assert_eq!(finals, [Stopped, Error]);
    }

    #[test]
    fn words_read_back() {
        for status in StreamStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
        assert_eq!("Active".parse::<StreamStatus>(), Err(()));
    }
}

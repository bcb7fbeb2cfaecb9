//! Connection state of a participant.

use std::{fmt, str::FromStr};

use serde::Serialize;

use super::name::{self, UnknownName};

/// Connection state of a participant, by LiveKit's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ParticipantState {
    /// Has a token and has not connected with it.
    Joining,
    /// Is connected to the LiveKit room.
    Active,
    /// Has left, or has not used the token in time.
    Disconnected,
}

impl ParticipantState {
    /// Returns the name used in JSON and queries.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Active => "active",
            Self::Disconnected => "disconnected",
        }
    }
}

impl fmt::Display for ParticipantState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ParticipantState {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        name::find(&[Self::Joining, Self::Active, Self::Disconnected], Self::as_str, text)
    }
}

//! Audience: whether a stream's viewers have events, and how many participants are active.

use std::str::FromStr;

use serde::Serialize;

use super::{
    Role,
    name::{self, UnknownName},
};

/// How a stream tells the changes of its viewers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Audience {
    /// Each change of a viewer is an event.
    Listed,
    /// Only the number of viewers is told.
    Counted,
}

impl Audience {
    /// All values.
    pub const ALL: [Self; 2] = [Self::Listed, Self::Counted];

    /// Returns the name used in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Counted => "counted",
        }
    }
}

impl FromStr for Audience {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        name::find(&Self::ALL, Self::as_str, text)
    }
}

/// Audience that a caller requests for a new stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AudienceMode {
    /// [`Audience::Listed`] for good.
    Listed,
    /// [`Audience::Counted`] from the start.
    Counted,
    /// Listed at first, and counted for good once more viewers than a bound are active at once.
    #[default]
    Auto,
}

impl AudienceMode {
    /// All values.
    pub const ALL: [Self; 3] = [Self::Listed, Self::Counted, Self::Auto];

    /// Returns the name used in JSON and settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Counted => "counted",
            Self::Auto => "auto",
        }
    }

    /// Returns the audience of a new stream. `listed_max` is the bound of [`Self::Auto`].
    pub const fn begin(self, listed_max: u32) -> InitialAudience {
        match self {
            Self::Listed => InitialAudience::LISTED,
            Self::Counted => InitialAudience { audience: Audience::Counted, listed_max: None },
            Self::Auto => InitialAudience { audience: Audience::Listed, listed_max: Some(listed_max) },
        }
    }
}

impl FromStr for AudienceMode {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        name::find(&Self::ALL, Self::as_str, text)
    }
}

/// Audience with which a stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InitialAudience {
    /// The audience at first.
    pub audience: Audience,
    /// Number of active viewers above which a listed stream becomes counted; `None` for never.
    pub listed_max: Option<u32>,
}

impl InitialAudience {
    /// A stream that stays listed.
    pub const LISTED: Self = Self { audience: Audience::Listed, listed_max: None };
}

/// Numbers of active participants that count, see [`Participant::counts`](super::Participant::counts).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ParticipantCounts {
    /// Active hosts.
    pub hosts: u32,
    /// Active viewers.
    pub viewers: u32,
}

impl ParticipantCounts {
    /// Returns the number of all active participants.
    pub const fn total(self) -> u32 {
        self.hosts + self.viewers
    }

    /// Returns the number of active participants of a role, to change it.
    pub const fn of_mut(&mut self, role: Role) -> &mut u32 {
        match role {
            Role::Host => &mut self.hosts,
            Role::Viewer => &mut self.viewers,
        }
    }
}

//! LiveKit's kinds of participants.

use serde::Serialize;

use super::name;

/// LiveKit's kind of a participant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ParticipantKind {
    /// Client of an app.
    #[default]
    Standard,
    /// Publisher that LiveKit's ingress service runs.
    Ingress,
    /// LiveKit's egress service, or another recorder.
    Egress,
    /// Telephone caller.
    Sip,
    /// LiveKit agent.
    Agent,
    /// Kind that this version does not know.
    Unknown,
}

impl ParticipantKind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::Standard, Self::Ingress, Self::Egress, Self::Sip, Self::Agent, Self::Unknown];

    /// Returns the name used in JSON and queries.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Ingress => "ingress",
            Self::Egress => "egress",
            Self::Sip => "sip",
            Self::Agent => "agent",
            Self::Unknown => "unknown",
        }
    }

    /// Returns the kind of a LiveKit name in any case of letters; [`Self::Unknown`] for a new name.
    pub fn of(text: &str) -> Self {
        name::find_in_any_case(&Self::ALL, Self::as_str, text).unwrap_or(Self::Unknown)
    }

    /// Reports whether participants of this kind count: in `participantCount`, against `maxParticipants`, and as
    /// activity of a stream. LiveKit exempts the same kinds (`IsDependent` in its participant.go).
    pub const fn counts(self) -> bool {
        !matches!(self, Self::Egress | Self::Agent)
    }

    /// Reports whether participants of this kind have events and are in lists.
    pub const fn is_listed(self) -> bool {
        !matches!(self, Self::Egress)
    }
}

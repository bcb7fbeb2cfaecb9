//! The fields of LiveKit's participant permission that decide a participant's role, kind and visibility.

use crate::domain::{ParticipantKind, Role};

/// What LiveKit permits a participant. An unset field is false.
#[derive(Clone, Copy, Debug, Default)]
pub struct Permission {
    /// May publish media.
    pub can_publish: bool,
    /// Is not shown to other participants.
    pub hidden: bool,
    /// Records the room: set by tokens from before LiveKit had kinds.
    pub recorder: bool,
    /// Is an agent: set by tokens from before LiveKit had kinds.
    pub agent: bool,
}

impl Permission {
    /// The role of a participant with this permission.
    pub const fn role(self) -> Role {
        if self.can_publish { Role::Host } else { Role::Viewer }
    }

    /// The kind of a participant that LiveKit gives `kind`: recorders and agents of older tokens are of the standard
    /// kind there.
    pub fn kind(permission: Option<Self>, kind: ParticipantKind) -> ParticipantKind {
        match (kind, permission) {
            (ParticipantKind::Standard, Some(Self { recorder: true, .. })) => ParticipantKind::Egress,
            (ParticipantKind::Standard, Some(Self { agent: true, .. })) => ParticipantKind::Agent,
            (kind, _) => kind,
        }
    }
}

//! Fields of LiveKit's participant permission that decide a participant's role, kind and visibility.

use crate::domain::{ParticipantKind, Role};

/// Permission of a participant, LiveKit's `ParticipantPermission`. An unset field is false.
#[derive(Clone, Copy, Debug, Default)]
pub struct ParticipantPermission {
    /// May publish media.
    pub can_publish: bool,
    /// Hidden from other participants.
    pub hidden: bool,
    /// Recorder of the room; older tokens set it in place of a kind.
    pub recorder: bool,
    /// Agent; older tokens set it in place of a kind.
    pub agent: bool,
}

impl ParticipantPermission {
    /// Returns the role of a participant with this permission.
    pub const fn role(self) -> Role {
        if self.can_publish { Role::Host } else { Role::Viewer }
    }

    /// Returns the kind of a participant that LiveKit reports as `kind`. LiveKit reports recorders and agents with
    /// older tokens as standard.
    pub fn kind(permission: Option<Self>, kind: ParticipantKind) -> ParticipantKind {
        match (kind, permission) {
            (ParticipantKind::Standard, Some(Self { recorder: true, .. })) => ParticipantKind::Egress,
            (ParticipantKind::Standard, Some(Self { agent: true, .. })) => ParticipantKind::Agent,
            (kind, _) => kind,
        }
    }
}

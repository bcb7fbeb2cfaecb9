//! Reasons for which this service ends sessions.

/// Reason for which this service ended a participant's session, as in `data.reason` of `participant_left`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaveReason {
    /// The stream is backstage, and the participant is a viewer.
    Backstage,
    /// The identity is blocked.
    Blocked,
    /// A caller has removed the participant, or its token precedes such a removal.
    Removed,
}

impl LeaveReason {
    /// Returns the name used in events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Backstage => "backstage",
            Self::Blocked => "blocked",
            Self::Removed => "removed",
        }
    }
}

//! Permission table: the grants that allow each action. Tests compare it with the README and the OpenAPI document.

/// Action of a caller that needs a permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Create a stream.
    Create,
    /// List streams.
    List,
    /// Follow the events of all streams.
    FollowAll,
    /// Read one stream: its state, participants, history and feeds.
    Read,
    /// Change a stream's metadata.
    Update,
    /// Stop a stream.
    Stop,
    /// Create a join token for any identity.
    Join,
    /// End the session of the token's own identity.
    Leave,
    /// End the session of another identity.
    Remove,
    /// Read hidden participants, which LiveKit does not show to other participants.
    ReadHidden,
    /// Take a stream live or backstage.
    SetLive,
    /// Change, mute or block a participant.
    Moderate,
    /// Raise or lower the hand of the token's own identity.
    RaiseHand,
    /// Create and delete ingresses, and read their stream keys.
    ManageIngresses,
    /// Read the ingresses of a stream.
    ReadIngresses,
    /// Start, change and stop recordings and broadcasts, and read where their files are.
    Record,
    /// Read the recordings and broadcasts of a stream.
    ReadEgresses,
    /// Create, read, change and test webhook endpoints.
    ManageWebhooks,
    /// Read the history of streams that may have ended long ago.
    ReadHistory,
    /// Erase a person from the history.
    ErasePerson,
}

/// Grant of a LiveKit access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grant {
    /// `roomCreate`
    RoomCreate,
    /// `roomList`
    RoomList,
    /// `roomAdmin`
    RoomAdmin,
    /// `roomJoin`
    RoomJoin,
    /// `ingressAdmin`
    IngressAdmin,
    /// `roomRecord`
    RoomRecord,
}

impl Grant {
    /// Every grant.
    pub const ALL: [Self; 6] = [
        Self::RoomCreate,
        Self::RoomList,
        Self::RoomAdmin,
        Self::RoomJoin,
        Self::IngressAdmin,
        Self::RoomRecord,
    ];

    /// Returns the grant's name in LiveKit's `VideoGrant`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RoomCreate => "roomCreate",
            Self::RoomList => "roomList",
            Self::RoomAdmin => "roomAdmin",
            Self::RoomJoin => "roomJoin",
            Self::IngressAdmin => "ingressAdmin",
            Self::RoomRecord => "roomRecord",
        }
    }

    /// True if the grant is valid only for the room that the token names.
    pub const fn is_room_scoped(self) -> bool {
        matches!(self, Self::RoomAdmin | Self::RoomJoin)
    }
}

/// Entry of [`PERMISSIONS`].
#[derive(Clone, Copy, Debug)]
pub struct Permission {
    /// Action that the entry is about.
    pub action: Action,
    /// Description of the action, as in the README.
    pub description: &'static str,
    /// Grants of which one is enough, or of which all are needed, see [`Self::needs_all`].
    pub grants: &'static [Grant],
    /// True if a token needs every grant.
    pub needs_all: bool,
}

const fn permission(action: Action, description: &'static str, grants: &'static [Grant]) -> Permission {
    Permission { action, description, grants, needs_all: false }
}

const fn permission_of_all(
    action: Action,
    description: &'static str,
    grants: &'static [Grant],
) -> Permission {
    Permission { needs_all: true, ..permission(action, description, grants) }
}

/// Permission table, in the order of [`Action`].
#[rustfmt::skip]
pub const PERMISSIONS: [Permission; 20] = [
    permission(Action::Create, "create a stream", &[Grant::RoomCreate]),
    permission(Action::List, "list streams", &[Grant::RoomList]),
    permission(Action::FollowAll, "follow all streams", &[Grant::RoomList]),
    permission(Action::Read, "read and follow a stream", &[Grant::RoomList, Grant::RoomAdmin, Grant::RoomJoin]),
    permission(Action::Update, "change a stream's metadata", &[Grant::RoomAdmin]),
    permission(Action::Stop, "stop a stream", &[Grant::RoomCreate, Grant::RoomAdmin]),
    permission(Action::Join, "create join tokens", &[Grant::RoomAdmin]),
    permission(Action::Leave, "leave under the token's own identity", &[Grant::RoomAdmin, Grant::RoomJoin]),
    permission(Action::Remove, "remove another participant", &[Grant::RoomAdmin]),
    permission(Action::ReadHidden, "list a stream's hidden participants", &[Grant::RoomList, Grant::RoomAdmin]),
    permission(Action::SetLive, "take a stream live or backstage", &[Grant::RoomAdmin]),
    permission(Action::Moderate, "change, mute or block a participant", &[Grant::RoomAdmin]),
    permission(
        Action::RaiseHand, "raise and lower the hand of the token's own identity", &[Grant::RoomAdmin, Grant::RoomJoin],
    ),
    permission(
        Action::ManageIngresses, "create and delete ingresses, read their stream keys",
        &[Grant::RoomAdmin, Grant::IngressAdmin],
    ),
    permission(
        Action::ReadIngresses, "read a stream's ingresses",
        &[Grant::RoomList, Grant::RoomAdmin, Grant::RoomJoin, Grant::IngressAdmin],
    ),
    permission(
        Action::Record, "start, change and stop recordings and broadcasts, read where files are",
        &[Grant::RoomAdmin, Grant::RoomRecord],
    ),
    permission(
        Action::ReadEgresses, "read a stream's recordings and broadcasts",
        &[Grant::RoomList, Grant::RoomAdmin, Grant::RoomJoin, Grant::RoomRecord],
    ),
    permission_of_all(Action::ManageWebhooks, "manage webhook endpoints", &[Grant::RoomCreate, Grant::RoomList]),
    permission(Action::ReadHistory, "read the history", &[Grant::RoomList, Grant::RoomAdmin]),
    permission_of_all(Action::ErasePerson, "erase a person from the history", &[Grant::RoomCreate, Grant::RoomList]),
];

impl Action {
    /// Returns the action's entry of [`PERMISSIONS`].
    pub const fn permission(self) -> Permission {
        PERMISSIONS[self as usize]
    }

    /// Reports whether the action reads a stream, which a blocked participant may not.
    pub const fn reads_stream(self) -> bool {
        matches!(self, Self::Read | Self::ReadIngresses | Self::ReadEgresses)
    }

    /// Returns a sentence that names the grants that a token needs.
    pub fn requirement(self) -> String {
        let permission = self.permission();
        let grant = |grant: &Grant| {
            let scope = if grant.is_room_scoped() { " for the stream's room" } else { "" };
            format!("{}{scope}", grant.as_str())
        };
        let grants: Vec<_> = permission.grants.iter().map(grant).collect();
        format!(
            "to {}, the token needs {}",
            permission.description,
            grants.join(if permission.needs_all { " and " } else { ", or " })
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_has_its_own_permission() {
        for Permission { action, description, grants, .. } in PERMISSIONS {
            assert_eq!(action.permission().action, action);
            assert!(!description.is_empty() && !grants.is_empty());
        }
    }
}

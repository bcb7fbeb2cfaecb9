//! Access control: verification of LiveKit access tokens, and the permission decision that HTTP, WebSocket and gRPC
//! share.
//!
//! Pure: no I/O, no clock, no framework. [`crate::admission`] verifies tokens here for every request, and the use cases
//! of [`crate::orchestrator`] check permissions here at every lookup of a stream.

mod caller;
mod permissions;
pub mod token;

pub use self::{
    caller::Caller,
    permissions::{Action, Grant, PERMISSIONS, Permission},
};
use crate::domain::RoomName;

/// Grants of a token that this service evaluates; the names are those of LiveKit's `VideoGrant`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// `roomCreate`
    pub room_create: bool,
    /// `roomList`
    pub room_list: bool,
    /// `roomAdmin`; valid only for [`Self::room`].
    pub room_admin: bool,
    /// `roomJoin`; valid only for [`Self::room`].
    pub room_join: bool,
    /// `ingressAdmin`
    pub ingress_admin: bool,
    /// `roomRecord`
    pub room_record: bool,
    /// `room`; empty if the token has none.
    pub room: String,
}

impl Grants {
    /// True if the token has the grant. A room-scoped grant without a room is ignored.
    pub fn has(&self, grant: Grant) -> bool {
        match grant {
            Grant::RoomCreate => self.room_create,
            Grant::RoomList => self.room_list,
            Grant::RoomAdmin => self.room_admin && !self.room.is_empty(),
            Grant::RoomJoin => self.room_join && !self.room.is_empty(),
            Grant::IngressAdmin => self.ingress_admin,
            Grant::RoomRecord => self.room_record,
        }
    }
}

/// Decides whether these grants allow the action on the stream of `room`.
///
/// `None` as the room asks whether the grants allow the action on at least one stream.
pub fn is_allowed(grants: &Grants, action: Action, room: Option<&RoomName>) -> bool {
    let permission = action.permission();
    let covers = |grant: &Grant| {
        let covers_room = !grant.is_room_scoped() || room.is_none_or(|room| room.as_str() == grants.room);
        grants.has(*grant) && covers_room
    };
    let mut needed = permission.grants.iter();
    if permission.needs_all { needed.all(covers) } else { needed.any(covers) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> RoomName {
        RoomName::parse(name).unwrap()
    }

    #[test]
    fn room_scoped_grant_allows_actions_in_its_room_only() {
        let admin = Grants { room_admin: true, room: "one".to_owned(), ..Grants::default() };
        assert!(
            is_allowed(&admin, Action::Join, Some(&room("one"))) && is_allowed(&admin, Action::Join, None)
        );
        assert!(!is_allowed(&admin, Action::Join, Some(&room("two"))));
        let nowhere = Grants { room: String::new(), ..admin };
        assert!(
            !is_allowed(&nowhere, Action::Join, Some(&room("one")))
                && !is_allowed(&nowhere, Action::Join, None)
        );
    }

    #[test]
    fn service_wide_grants_allow_actions_in_every_room() {
        let all = Grants { room_create: true, room_list: true, ..Grants::default() };
        for action in [Action::Create, Action::List, Action::FollowAll, Action::Read, Action::Stop] {
            assert!(is_allowed(&all, action, Some(&room("any"))), "{action:?}");
        }
        for action in [Action::Update, Action::Join, Action::Leave, Action::Remove] {
            assert!(!is_allowed(&all, action, Some(&room("any"))), "{action:?}");
        }
    }

    #[test]
    fn token_without_grants_allows_no_action() {
        for Permission { action, .. } in PERMISSIONS {
            assert!(
                !is_allowed(&Grants { room: "one".to_owned(), ..Grants::default() }, action, None),
                "{action:?}"
            );
        }
    }
}

//! Who may do what: the grants of a LiveKit access token, and the one decision that HTTP, WebSocket and gRPC share.
//!
//! Pure: tokens are checked in [`crate::rooms::verifier`], requests are read in [`crate::http`] and [`crate::grpc`], and
//! the use cases of [`crate::orchestrator`] find no stream without asking here.

mod caller;
mod table;

pub use self::{
    caller::{Caller, Token},
    table::{Action, Grant, Rule, TABLE},
};
use crate::domain::RoomName;

/// The grants of a token that count here, in LiveKit's words (`VideoGrants`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// `roomCreate`
    pub room_create: bool,
    /// `roomList`
    pub room_list: bool,
    /// `roomAdmin`, of [`Self::room`] alone.
    pub room_admin: bool,
    /// `roomJoin`, to [`Self::room`] alone.
    pub room_join: bool,
    /// `room`; empty where the token names none.
    pub room: String,
}

impl Grants {
    /// Whether the token has a grant, for some room at least where it is one of a room.
    pub fn has(&self, grant: Grant) -> bool {
        match grant {
            Grant::RoomCreate => self.room_create,
            Grant::RoomList => self.room_list,
            Grant::RoomAdmin => self.room_admin && !self.room.is_empty(),
            Grant::RoomJoin => self.room_join && !self.room.is_empty(),
        }
    }
}

/// Decides: whether a token with these grants may do this to the stream of `room`. Without a room: to any stream at all,
/// which says whether there is a point in looking for one.
pub fn allowed(grants: &Grants, action: Action, room: Option<&RoomName>) -> bool {
    action.rule().grants.iter().any(|grant| {
        let covers = !grant.is_of_a_room() || room.is_none_or(|room| room.as_str() == grants.room);
        grants.has(*grant) && covers
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> RoomName {
        RoomName::parse(name).unwrap()
    }

    #[test]
    fn grants_of_a_room_are_good_for_that_room_only() {
        let admin = Grants { room_admin: true, room: "one".to_owned(), ..Grants::default() };
        assert!(allowed(&admin, Action::Join, Some(&room("one"))) && allowed(&admin, Action::Join, None));
        assert!(!allowed(&admin, Action::Join, Some(&room("two"))));
        let nowhere = Grants { room: String::new(), ..admin };
        assert!(
            !allowed(&nowhere, Action::Join, Some(&room("one"))) && !allowed(&nowhere, Action::Join, None)
        );
    }

    #[test]
    fn grants_of_the_service_are_good_for_every_room() {
        let all = Grants { room_create: true, room_list: true, ..Grants::default() };
        for action in [Action::Create, Action::List, Action::FollowAll, Action::Read, Action::Stop] {
            assert!(allowed(&all, action, Some(&room("any"))), "{action:?}");
        }
        for action in [Action::Update, Action::Join, Action::Leave, Action::Remove] {
            assert!(!allowed(&all, action, Some(&room("any"))), "{action:?}");
        }
    }

    #[test]
    fn no_grant_opens_nothing() {
        for Rule { action, .. } in TABLE {
            assert!(
                !allowed(&Grants { room: "one".to_owned(), ..Grants::default() }, action, None),
                "{action:?}"
            );
        }
    }
}

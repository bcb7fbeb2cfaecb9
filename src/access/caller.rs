//! Caller of a request: the owner of a verified token.

use std::{sync::Arc, time::Duration};

use sha2::{Digest, Sha256};

use super::{Action, Grants, is_allowed, token::VerifiedToken};
use crate::domain::{Identity, RoomName, Timestamp};

/// Owner of a verified token, or a caller without restrictions if authentication is off.
#[derive(Clone, Debug)]
pub struct Caller {
    /// `None` if authentication is off.
    token: Option<Arc<VerifiedToken>>,
}

impl Caller {
    /// Returns the caller that every action is allowed to: `AUTH=off`.
    pub const fn unrestricted() -> Self {
        Self { token: None }
    }

    /// Returns the owner of a token.
    pub fn from_token(token: VerifiedToken) -> Self {
        Self { token: Some(Arc::new(token)) }
    }

    /// Returns the identity of the token's owner, for logs; `None` if authentication is off.
    pub fn identity(&self) -> Option<&str> {
        self.token.as_ref().map(|token| token.identity.as_str())
    }

    /// Returns the identity of the token's owner, for events; `None` if the token has none.
    pub fn named_identity(&self) -> Option<Identity> {
        Identity::reported(self.identity()?.to_owned()).filter(|identity| !identity.as_str().is_empty())
    }

    /// True if the caller may do this to at least one stream, whether it exists or not.
    pub fn is_allowed(&self, action: Action) -> bool {
        self.token.as_ref().is_none_or(|token| is_allowed(&token.grants, action, None))
    }

    /// True if the caller may do this to the stream of this room.
    pub fn is_allowed_in(&self, action: Action, room: &RoomName) -> bool {
        self.token.as_ref().is_none_or(|token| is_allowed(&token.grants, action, Some(room)))
    }

    /// Returns the room to whose streams alone the caller may do this; `None` if it may do it to those of every room or
    /// of none.
    pub fn only_room(&self, action: Action) -> Option<RoomName> {
        let room = RoomName::parse(self.token.as_ref()?.grants.room.clone()).ok()?;
        let is_everywhere = action.permission().grants.iter().any(|grant| {
            !grant.is_room_scoped() && self.token.as_ref().is_some_and(|token| token.grants.has(*grant))
        });
        (!is_everywhere && self.is_allowed_in(action, &room)).then_some(room)
    }

    /// Returns the action that ending this identity's session is: [`Action::Leave`] for the token's own identity,
    /// [`Action::Remove`] for any other.
    pub fn leave_action(&self, identity: &Identity) -> Action {
        if self.owns(identity) { Action::Leave } else { Action::Remove }
    }

    /// Returns the action that raising or lowering this identity's hand is: [`Action::RaiseHand`] for the token's own
    /// identity, [`Action::Moderate`] for any other.
    pub fn hand_action(&self, identity: &Identity) -> Action {
        if self.owns(identity) { Action::RaiseHand } else { Action::Moderate }
    }

    fn owns(&self, identity: &Identity) -> bool {
        self.token.as_ref().is_some_and(|token| token.identity == identity.as_str())
    }

    /// Returns the identity of a caller that may read the stream of this room as its participant only: by `roomJoin`.
    pub fn participant_in(&self, room: &RoomName) -> Option<Identity> {
        let Grants { room_list, room_join, .. } = self.token.as_ref()?.grants;
        let is_participant = room_join && !room_list && !self.is_allowed_in(Action::ReadHidden, room);
        self.named_identity().filter(|_| is_participant && self.is_allowed_in(Action::Read, room))
    }

    /// Returns the time until the caller's token expires; `None` for a token without `exp` and without authentication.
    pub fn token_lifetime(&self, now: Timestamp) -> Option<Duration> {
        let millis = self.token.as_ref()?.expires_at?.as_millis().saturating_sub(now.as_millis());
        Some(Duration::from_millis(u64::try_from(millis).unwrap_or_default()))
    }

    /// Returns a hash of the token's owner, the same for all tokens of one owner; `None` without authentication.
    ///
    /// The owner is the issuer, the identity, the room and the grants, because backends create a token for every
    /// request.
    pub fn fingerprint(&self) -> Option<String> {
        let VerifiedToken { issuer, identity, grants, .. } = self.token.as_deref()?;
        let Grants { room_create, room_list, room_admin, room_join, ingress_admin, room_record, room } =
            grants;
        let flags = [room_create, room_list, room_admin, room_join].map(|flag| u8::from(*flag));
        let mut hash = Sha256::new();
        // Absent from the hash without the grant, so that owners keep the hash that an earlier version gave them.
        let ingress_admin = ingress_admin.then_some(&b"ingressAdmin"[..]);
        let room_record = room_record.then_some(&b"roomRecord"[..]);
        let parts = [issuer.as_bytes(), identity.as_bytes(), room.as_bytes(), &flags];
        for part in parts.into_iter().chain(ingress_admin).chain(room_record) {
            // The length prefix makes the encoding of the parts unambiguous.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Some(hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(identity: &str, room: &str, expires: i64) -> VerifiedToken {
        VerifiedToken {
            issuer: "key".to_owned(),
            identity: identity.to_owned(),
            grants: Grants { room_join: true, room: room.to_owned(), ..Grants::default() },
            expires_at: Some(Timestamp::from_millis(expires)),
        }
    }

    #[test]
    fn fingerprint_is_equal_for_tokens_of_one_owner_only() {
        let fingerprint = |token| Caller::from_token(token).fingerprint().unwrap();
        assert_eq!(fingerprint(token("ann", "one", 1)), fingerprint(token("ann", "one", 2)));
        assert_ne!(fingerprint(token("ann", "one", 1)), fingerprint(token("bob", "one", 1)));
        assert_ne!(fingerprint(token("ann", "one", 1)), fingerprint(token("ann", "two", 1)));
        assert_ne!(fingerprint(token("ann", "one", 1)), fingerprint(token("anno", "ne", 1)));
        assert_eq!(Caller::unrestricted().fingerprint(), None);
    }

    #[test]
    fn only_token_without_other_grants_reads_as_participant() {
        let room = RoomName::parse("one").unwrap();
        let reads = |change: fn(&mut Grants)| {
            let mut token = token("ann", "one", 1);
            change(&mut token.grants);
            Caller::from_token(token).participant_in(&room).is_some()
        };
        assert!(reads(|_| {}) && reads(|grants| grants.room_create = true));
        assert!(!reads(|grants| grants.room_admin = true) && !reads(|grants| grants.room_list = true));
        assert!(!reads(|grants| grants.room = "two".to_owned()));
        assert_eq!(Caller::unrestricted().participant_in(&room), None);
    }

    #[test]
    fn leave_of_own_identity_is_allowed_and_of_another_is_not() {
        let ann = Caller::from_token(token("ann", "one", 1));
        let identity = |name: &str| Identity::parse(name).unwrap();
        assert_eq!(ann.leave_action(&identity("ann")), Action::Leave);
        assert_eq!(ann.leave_action(&identity("bob")), Action::Remove);
        let room = RoomName::parse("one").unwrap();
        assert!(ann.is_allowed_in(Action::Leave, &room) && !ann.is_allowed_in(Action::Remove, &room));
        let unrestricted = Caller::unrestricted();
        assert!(unrestricted.is_allowed_in(Action::Remove, &room) && unrestricted.is_allowed(Action::Create));
    }
}

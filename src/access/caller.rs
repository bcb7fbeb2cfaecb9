//! Who is asking.

use std::{sync::Arc, time::Duration};

use sha2::{Digest, Sha256};

use super::{Action, Grants, allowed};
use crate::domain::{Identity, RoomName, Timestamp};

/// A token that has been checked: what is left of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The key that signed it (`iss`).
    pub issuer: String,
    /// The identity of the token's owner (`sub`, or `jti` without one); empty where the token names none.
    pub identity: String,
    /// What it opens.
    pub grants: Grants,
    /// Until when it is good, leeway included; none for a token without `exp`.
    pub expires_at: Option<Timestamp>,
}

/// Who is asking: the owner of a token, or anybody where the API is open.
#[derive(Clone, Debug)]
pub struct Caller {
    token: Option<Arc<Token>>,
}

impl Caller {
    /// Anybody, who may do everything: `AUTH=off`.
    pub const fn anybody() -> Self {
        Self { token: None }
    }

    /// The owner of a token.
    pub fn of(token: Token) -> Self {
        Self { token: Some(Arc::new(token)) }
    }

    /// Whether there is a stream at all, or could be, to which the caller may do this.
    pub fn may(&self, action: Action) -> bool {
        self.token.as_ref().is_none_or(|token| allowed(&token.grants, action, None))
    }

    /// Whether the caller may do this to the stream of this room.
    pub fn may_to(&self, action: Action, room: &RoomName) -> bool {
        self.token.as_ref().is_none_or(|token| allowed(&token.grants, action, Some(room)))
    }

    /// What it is when the caller takes this identity out of a stream: leaving, or putting somebody out.
    pub fn leaving(&self, identity: &Identity) -> Action {
        let oneself = self.token.as_ref().is_some_and(|token| token.identity == identity.as_str());
        if oneself { Action::Leave } else { Action::Remove }
    }

    /// For how long the caller's token is good yet; none where it never expires, and where no token is needed.
    pub fn remaining(&self, now: Timestamp) -> Option<Duration> {
        let millis = self.token.as_ref()?.expires_at?.as_millis().saturating_sub(now.as_millis());
        Some(Duration::from_millis(u64::try_from(millis).unwrap_or_default()))
    }

    /// Tells callers apart without their tokens: backends make a new token for every call, and each of them is the same
    /// caller. None for anybody.
    pub fn fingerprint(&self) -> Option<String> {
        let Token { issuer, identity, grants, .. } = self.token.as_deref()?;
        let Grants { room_create, room_list, room_admin, room_join, room } = grants;
        let flags = [room_create, room_list, room_admin, room_join].map(|flag| u8::from(*flag));
        let mut hash = Sha256::new();
        for part in [issuer.as_bytes(), identity.as_bytes(), room.as_bytes(), &flags] {
            // With its length in front, so that no two callers read alike.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Some(hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(identity: &str, room: &str, expires: i64) -> Token {
        Token {
            issuer: "key".to_owned(),
            identity: identity.to_owned(),
            grants: Grants { room_join: true, room: room.to_owned(), ..Grants::default() },
            expires_at: Some(Timestamp::from_millis(expires)),
        }
    }

    #[test]
    fn a_caller_stays_the_same_with_a_new_token_and_is_nobody_else() {
        let fingerprint = |token| Caller::of(token).fingerprint().unwrap();
        assert_eq!(fingerprint(token("ann", "one", 1)), fingerprint(token("ann", "one", 2)));
        assert_ne!(fingerprint(token("ann", "one", 1)), fingerprint(token("bob", "one", 1)));
        assert_ne!(fingerprint(token("ann", "one", 1)), fingerprint(token("ann", "two", 1)));
        assert_ne!(fingerprint(token("ann", "one", 1)), fingerprint(token("anno", "ne", 1)));
        assert_eq!(Caller::anybody().fingerprint(), None);
    }

    #[test]
    fn leaving_as_oneself_is_not_putting_somebody_out() {
        let ann = Caller::of(token("ann", "one", 1));
        let identity = |name: &str| Identity::parse(name).unwrap();
        assert_eq!(ann.leaving(&identity("ann")), Action::Leave);
        assert_eq!(ann.leaving(&identity("bob")), Action::Remove);
        let room = RoomName::parse("one").unwrap();
        assert!(ann.may_to(Action::Leave, &room) && !ann.may_to(Action::Remove, &room));
        assert!(Caller::anybody().may_to(Action::Remove, &room) && Caller::anybody().may(Action::Create));
    }
}

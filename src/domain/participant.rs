//! One identity in one stream.

use std::{fmt, str::FromStr};

use serde::Serialize;

use super::{Attributes, DisplayName, Identity, ParticipantMetadata, ParticipantSid, Timestamp, Tracks};

/// What a participant may do: a host publishes, a viewer only watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May publish audio, video and data.
    Host,
    /// May only subscribe.
    Viewer,
}

impl Role {
    /// The word used in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Viewer => "viewer",
        }
    }
}

impl FromStr for Role {
    type Err = ();

    /// In any case: `host`, `Host` and `HOST` are the same role.
    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Host, Self::Viewer].into_iter().find(|role| role.as_str().eq_ignore_ascii_case(text)).ok_or(())
    }
}

/// LiveKit's word for how far a participant's connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ParticipantState {
    /// A token was issued; nobody has connected with it yet.
    Joining,
    /// Connected.
    Active,
    /// Was there, or was expected, and is gone.
    Disconnected,
}

impl ParticipantState {
    /// The word used in JSON and queries.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Active => "active",
            Self::Disconnected => "disconnected",
        }
    }
}

impl fmt::Display for ParticipantState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ParticipantState {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let all = [Self::Joining, Self::Active, Self::Disconnected];
        all.into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}

/// LiveKit's kind of a participant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ParticipantKind {
    /// A client of an app.
    #[default]
    Standard,
    /// Media that LiveKit's ingress service publishes.
    Ingress,
    /// LiveKit's egress service, or another recorder.
    Egress,
    /// A telephone caller.
    Sip,
    /// A LiveKit agent.
    Agent,
    /// A kind that this version does not know.
    Unknown,
}

impl ParticipantKind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::Standard, Self::Ingress, Self::Egress, Self::Sip, Self::Agent, Self::Unknown];

    /// The word used in JSON and queries.
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

    /// From LiveKit's word, in any case.
    pub fn of(word: &str) -> Self {
        let known = |kind: &Self| kind.as_str().eq_ignore_ascii_case(word);
        Self::ALL.into_iter().find(known).unwrap_or(Self::Unknown)
    }

    /// Whether participants of this kind count: in `participantCount`, against `maxParticipants`, and as a reason not
    /// to stop a stream for being idle. LiveKit exempts the same kinds (`IsDependent` in its participant.go).
    pub const fn counts(self) -> bool {
        !matches!(self, Self::Egress | Self::Agent)
    }

    /// Whether participants of this kind have events and are in lists.
    pub const fn is_listed(self) -> bool {
        !matches!(self, Self::Egress)
    }
}

/// The rank of unlisted participants in list order: after all listed ones.
pub const UNLISTED_RANK: u8 = 2;

/// A time after every other that still is an exact integer in Lua, whose scripts make the same list keys.
pub const END_OF_TIME_MS: u64 = 9_000_000_000_000_000;

/// The present entry of one identity. The newest LiveKit session of the identity is the one that counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Participant {
    /// Who it is; also its `id` in JSON.
    pub identity: Identity,
    /// What it is called, where somebody said so.
    pub name: Option<DisplayName>,
    /// What it may do.
    pub role: Role,
    /// How far its connection has come.
    pub state: ParticipantState,
    /// When it connected; while joining, when its token was issued.
    pub joined_at: Timestamp,
    /// When it left; none while it is here or expected.
    pub left_at: Option<Timestamp>,
    /// What the app attached to it.
    pub metadata: ParticipantMetadata,
    /// LiveKit's attributes of it.
    pub attributes: Attributes,
    /// LiveKit's kind of it.
    pub kind: ParticipantKind,
    /// Whether LiveKit hides it from the other participants.
    pub hidden: bool,
    /// The LiveKit participant sid of its newest session; none before the first.
    pub sid: Option<ParticipantSid>,
    /// LiveKit's own time of the newest session. An older session's late webhook is recognised by it.
    pub session_at: Option<Timestamp>,
    /// What it publishes now.
    pub tracks: Tracks,
    /// When this entry was last written. LiveKit's list of participants lags, so it corrects only what is older.
    pub changed_at: Timestamp,
    /// While joining: when the entry disappears unless somebody connects.
    pub expires_at: Option<Timestamp>,
    /// The visit before this `joining` entry, to go back to when the token is never used.
    pub last_visit: Option<(Timestamp, Timestamp)>,
}

impl Participant {
    /// An entry for somebody who has not been seen here before.
    pub fn expected(identity: Identity, role: Role, now: Timestamp) -> Self {
        Self {
            identity,
            name: None,
            role,
            state: ParticipantState::Joining,
            joined_at: now,
            left_at: None,
            metadata: ParticipantMetadata::default(),
            attributes: Attributes::default(),
            kind: ParticipantKind::Standard,
            hidden: false,
            sid: None,
            session_at: None,
            tracks: Tracks::default(),
            changed_at: now,
            expires_at: None,
            last_visit: None,
        }
    }

    /// Whether it is connected now.
    pub fn is_active(&self) -> bool {
        self.state == ParticipantState::Active
    }

    /// Whether it has events and is in lists. Hidden participants and recorders are not.
    pub fn is_listed(&self) -> bool {
        self.kind.is_listed() && !self.hidden
    }

    /// Whether it counts while it is active.
    pub fn counts(&self) -> bool {
        self.is_listed() && self.kind.counts()
    }

    /// The order of participant lists, as a key that sorts ascending: hosts, other listed participants, unlisted ones;
    /// the newest of each first, then by identity.
    pub fn list_key(&self) -> String {
        let joined = u64::try_from(self.joined_at.as_millis()).unwrap_or_default();
        let newest_first = END_OF_TIME_MS.saturating_sub(joined);
        let rank = match (self.is_listed(), self.role) {
            (false, _) => UNLISTED_RANK,
            (true, Role::Host) => 0,
            (true, Role::Viewer) => 1,
        };
        format!("{rank}:{newest_first:016}:{}", self.identity)
    }
}

impl Serialize for Participant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Json<'a> {
            id: &'a Identity,
            identity: &'a Identity,
            name: Option<&'a DisplayName>,
            role: Role,
            state: ParticipantState,
            joined_at: Timestamp,
            left_at: Option<Timestamp>,
            metadata: &'a ParticipantMetadata,
            attributes: &'a Attributes,
            sid: Option<&'a ParticipantSid>,
            tracks: &'a Tracks,
            #[serde(skip_serializing_if = "Option::is_none")]
            kind: Option<ParticipantKind>,
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            hidden: bool,
        }
        Json {
            id: &self.identity,
            identity: &self.identity,
            name: self.name.as_ref(),
            role: self.role,
            state: self.state,
            joined_at: self.joined_at,
            left_at: self.left_at,
            metadata: &self.metadata,
            attributes: &self.attributes,
            sid: self.sid.as_ref(),
            tracks: &self.tracks,
            kind: Some(self.kind).filter(|kind| *kind != ParticipantKind::Standard),
            hidden: self.hidden,
        }
        .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_put_hosts_first_then_the_newest() {
        let at = |role, ms, identity: &str| {
            Participant::expected(Identity::parse(identity).unwrap(), role, Timestamp::from_millis(ms))
                .list_key()
        };
        let mut keys = [
            at(Role::Viewer, 9, "v"),
            at(Role::Host, 1, "old"),
            at(Role::Host, 2, "b"),
            at(Role::Host, 2, "a"),
        ];
        keys.sort();
        let order: Vec<_> = keys.iter().map(|key| key.rsplit(':').next().unwrap()).collect();
        assert_eq!(order, ["a", "b", "old", "v"]);
    }

    #[test]
    fn a_role_is_read_in_any_case() {
        assert_eq!("HOST".parse(), Ok(Role::Host));
        assert_eq!("Viewer".parse(), Ok(Role::Viewer));
        assert_eq!("admin".parse::<Role>(), Err(()));
    }

    #[test]
    fn json_has_the_contract_fields_and_what_is_published() {
        let entry =
            Participant::expected(Identity::parse("ann").unwrap(), Role::Host, Timestamp::from_millis(0));
        let json = serde_json::to_value(entry).unwrap();
        let expected = serde_json::json!({"id": "ann", "identity": "ann", "name": null, "role": "host",
            "state": "joining", "joinedAt": "1970-01-01T00:00:00.000Z", "leftAt": null, "metadata": {}, "attributes": {},
            "sid": null, "tracks": []});
        assert_eq!(json, expected);
    }
}

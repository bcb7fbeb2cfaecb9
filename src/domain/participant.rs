//! Participant: the entry of one identity in one stream.

use serde::Serialize;

use super::{
    Attributes, DisplayName, Identity, ParticipantKind, ParticipantMetadata, ParticipantSid,
    ParticipantState, Removals, Role, Timestamp, Tracks,
};

/// Rank of hosts in list order, before all others.
pub const HOST_RANK: u8 = 0;

/// Rank of viewers with a raised hand, who are on stage too.
pub const HAND_RANK: u8 = 1;

/// Rank of listed participants that are not on stage.
pub const AUDIENCE_RANK: u8 = 2;

/// Rank of unlisted participants in list order, after all listed participants.
pub const UNLISTED_RANK: u8 = 3;

/// Maximum number of raised hands in a stream. Each of them is on the stage of a counted stream, which all followers
/// receive.
pub const MAX_HANDS: usize = 1_000;

/// Time after all others that is an exact integer in Lua, whose scripts make the same list keys.
pub const END_OF_TIME_MS: u64 = 9_000_000_000_000_000;

/// Current entry of one identity. It describes the newest LiveKit session of the identity.
#[derive(Clone, Debug, PartialEq)]
pub struct Participant {
    /// Identity, which is also the `id` in JSON.
    pub identity: Identity,
    /// Display name from the token request or from LiveKit.
    pub name: Option<DisplayName>,
    /// Recorded role, or else the role of the newest token or session.
    pub role: Role,
    /// True if a caller has set the role. It then holds for every token of the identity, whatever LiveKit reports.
    pub role_recorded: bool,
    /// Connection state.
    pub state: ParticipantState,
    /// Time of the connection; while joining, time of the token.
    pub joined_at: Timestamp,
    /// Time of the departure; `None` while joining or active.
    pub left_at: Option<Timestamp>,
    /// Metadata from the app or from LiveKit.
    pub metadata: ParticipantMetadata,
    /// LiveKit's attributes.
    pub attributes: Attributes,
    /// LiveKit's kind.
    pub kind: ParticipantKind,
    /// True if LiveKit hides the participant from others.
    pub hidden: bool,
    /// LiveKit's id of the newest session; `None` before the first session.
    pub sid: Option<ParticipantSid>,
    /// LiveKit's time of the newest session, which identifies late webhooks of older sessions.
    pub session_at: Option<Timestamp>,
    /// Published tracks.
    pub tracks: Tracks,
    /// Time at which the hand was raised; `None` while it is down. Only a joining or active viewer has a raised hand.
    pub hand_raised_at: Option<Timestamp>,
    /// Time of the last write. A list of LiveKit may lag, so it corrects only entries written before it.
    pub changed_at: Timestamp,
    /// Expiry of a joining entry without a connection.
    pub expires_at: Option<Timestamp>,
    /// Times of the visit before this joining entry. An unused token restores them when it expires.
    pub last_visit: Option<(Timestamp, Timestamp)>,
    /// Removals of the identity at callers' requests.
    pub removals: Removals,
}

impl Participant {
    /// Returns the joining entry of an identity without an earlier visit.
    pub fn joining(identity: Identity, role: Role, now: Timestamp) -> Self {
        Self {
            identity,
            name: None,
            role,
            role_recorded: false,
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
            hand_raised_at: None,
            changed_at: now,
            expires_at: None,
            last_visit: None,
            removals: Removals::default(),
        }
    }

    /// Reports whether the participant is connected.
    pub fn is_active(&self) -> bool {
        self.state == ParticipantState::Active
    }

    /// Reports whether the participant has events and is in lists. Hidden participants and recorders are not.
    pub fn is_listed(&self) -> bool {
        self.kind.is_listed() && !self.hidden
    }

    /// Reports whether the participant counts while it is active, see [`ParticipantKind::counts`].
    pub fn counts(&self) -> bool {
        self.is_listed() && self.kind.counts()
    }

    /// Reports whether LiveKit must be told the role: a caller has set it, and LiveKit reports another one.
    pub fn overrides(&self, reported: Option<Role>) -> bool {
        self.is_active()
            && self.role_recorded
            && self.counts()
            && reported.is_some_and(|role| role != self.role)
    }

    /// Reports whether the participant has no access to a stream that is backstage: a viewer that counts. Agents assist
    /// hosts, and recorders and hidden participants belong to the operator.
    pub fn is_audience(&self) -> bool {
        self.counts() && self.role == Role::Viewer
    }

    /// Reports whether the participant is on the stage of a counted stream, whose participants have events and are in
    /// documents: a host, or a viewer with a raised hand.
    pub fn is_on_stage(&self) -> bool {
        self.is_listed() && (self.role == Role::Host || self.hand_raised_at.is_some())
    }

    /// Sets the role. A host has no raised hand.
    pub fn set_role(&mut self, role: Role) {
        self.role = role;
        self.hand_raised_at.take_if(|_| role == Role::Host);
    }

    /// Returns a key that sorts participant lists ascending: hosts, viewers with a raised hand, other listed
    /// participants, unlisted participants; within each group the newest first, then by identity.
    pub fn list_key(&self) -> String {
        let joined = u64::try_from(self.joined_at.as_millis()).unwrap_or_default();
        let newest_first = END_OF_TIME_MS.saturating_sub(joined);
        let rank = match (self.is_listed(), self.role) {
            (false, _) => UNLISTED_RANK,
            (true, Role::Host) => HOST_RANK,
            (true, Role::Viewer) if self.hand_raised_at.is_some() => HAND_RANK,
            (true, Role::Viewer) => AUDIENCE_RANK,
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
            hand_raised_at: Option<Timestamp>,
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
            hand_raised_at: self.hand_raised_at,
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
    fn list_key_sorts_hosts_first_then_raised_hands_and_newest_first() {
        let entry = |role, ms, identity: &str| {
            Participant::joining(Identity::parse(identity).unwrap(), role, Timestamp::from_millis(ms))
        };
        let at = |role, ms, identity: &str| entry(role, ms, identity).list_key();
        let hand_raised_at = Some(Timestamp::from_millis(1));
        let mut keys = [
            at(Role::Viewer, 9, "v"),
            Participant { hand_raised_at, ..entry(Role::Viewer, 8, "hand") }.list_key(),
            at(Role::Host, 1, "old"),
            at(Role::Host, 2, "b"),
            at(Role::Host, 2, "a"),
        ];
        keys.sort();
        let order: Vec<_> = keys.iter().map(|key| key.rsplit(':').next().unwrap()).collect();
        assert_eq!(order, ["a", "b", "old", "hand", "v"]);
    }

    #[test]
    fn participant_json_has_the_contract_fields() {
        let entry =
            Participant::joining(Identity::parse("ann").unwrap(), Role::Host, Timestamp::from_millis(0));
        let json = serde_json::to_value(entry).unwrap();
        let expected = serde_json::json!({"id": "ann", "identity": "ann", "name": null, "role": "host",
            "state": "joining", "joinedAt": "1970-01-01T00:00:00.000Z", "leftAt": null, "metadata": {},
            "attributes": {}, "sid": null, "tracks": []});
        assert_eq!(json, expected);
    }
}

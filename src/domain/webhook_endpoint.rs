//! Webhook endpoint: a URL of an application to which events are posted.

use std::{fmt, str::FromStr};

use secrecy::SecretString;

use super::{EventKind, Metadata, Partition, Partitioning, StreamId, Timestamp};

/// Maximum number of endpoints of a deployment.
pub const MAX_ENDPOINTS: usize = 100;
/// Maximum length of an endpoint's URL in bytes.
pub const MAX_URL_BYTES: usize = 2_048;
/// Maximum size of an endpoint's metadata in bytes, so that a list of all endpoints has less than 1 MiB.
pub const MAX_ENDPOINT_METADATA_BYTES: usize = 4_096;
/// Maximum number of secrets of before rotations that sign too.
const MAX_PREVIOUS_SECRETS: usize = 2;
/// Maximum length of an endpoint's id in bytes.
pub const MAX_ENDPOINT_ID_BYTES: usize = 64;

/// Id of a webhook endpoint: a UUID, or the id that the file of endpoints gives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(String);

/// The text is not an id of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {MAX_ENDPOINT_ID_BYTES} letters, digits, `-` or `_`")]
pub struct InvalidEndpointId;

impl EndpointId {
    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EndpointId {
    type Err = InvalidEndpointId;

    fn from_str(text: &str) -> Result<Self, InvalidEndpointId> {
        let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let is_id = (1..=MAX_ENDPOINT_ID_BYTES).contains(&text.len()) && text.bytes().all(is_valid);
        is_id.then(|| Self(text.to_owned())).ok_or(InvalidEndpointId)
    }
}

impl From<StreamId> for EndpointId {
    /// Makes an id of the UUID that was reserved for a request.
    fn from(reserved: StreamId) -> Self {
        Self(reserved.to_string())
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why no events are delivered to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisabledReason {
    /// The endpoint answered 410.
    Gone,
    /// The last attempt at a delivery failed.
    Exhausted,
    /// A request has disabled it.
    Requested,
}

impl DisabledReason {
    const ALL: [Self; 3] = [Self::Gone, Self::Exhausted, Self::Requested];

    /// Returns the name used in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Exhausted => "exhausted",
            Self::Requested => "requested",
        }
    }

    /// Parses [`Self::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// Which events an endpoint gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointFilter {
    /// Types; `None` for all.
    pub events: Option<Vec<EventKind>>,
    /// The only stream; `None` for all streams.
    pub stream_id: Option<StreamId>,
}

impl EndpointFilter {
    /// Reports whether the endpoint gets events of a stream of this type.
    pub fn matches(&self, stream: StreamId, kind: EventKind) -> bool {
        self.stream_id.is_none_or(|id| id == stream)
            && self.events.as_ref().is_none_or(|kinds| kinds.contains(&kind))
    }

    /// Reports whether a partition may have events for the endpoint.
    pub fn follows(&self, partitioning: Partitioning, partition: Partition) -> bool {
        self.stream_id.is_none_or(|id| partitioning.of_stream(id) == partition)
    }
}

/// Secrets that sign the deliveries to an endpoint, in the form `whsec_…`.
#[derive(Clone, Debug)]
pub struct EndpointSecrets {
    /// The current secret.
    pub current: SecretString,
    /// The secrets before the last rotations, newest first, and the times until which they sign too.
    pub previous: Vec<(SecretString, Timestamp)>,
}

impl EndpointSecrets {
    /// Has no secret of before a rotation.
    pub const fn new(current: SecretString) -> Self {
        Self { current, previous: Vec::new() }
    }

    /// Replaces the current secret, which signs too until `until`. At most two old ones do.
    pub fn rotate(&mut self, new: SecretString, now: Timestamp, until: Timestamp) {
        let old = std::mem::replace(&mut self.current, new);
        self.previous.retain(|(_, until)| *until > now);
        self.previous.insert(0, (old, until));
        self.previous.truncate(MAX_PREVIOUS_SECRETS);
    }

    /// Returns the secrets that sign at this time, the current one first.
    pub fn signing(&self, now: Timestamp) -> impl Iterator<Item = &SecretString> {
        let previous = self.previous.iter().filter(move |(_, until)| *until > now);
        std::iter::once(&self.current).chain(previous.map(|(secret, _)| secret))
    }
}

/// A webhook endpoint.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Id.
    pub id: EndpointId,
    /// URL, `http` or `https`, without userinfo and fragment.
    pub url: String,
    /// Which events it gets.
    pub filter: EndpointFilter,
    /// Metadata of the application.
    pub metadata: Metadata,
    /// Secrets that sign deliveries.
    pub secrets: EndpointSecrets,
    /// Time of creation; `None` for an endpoint of the file.
    pub created_at: Option<Timestamp>,
    /// Time since which deliveries are made to this URL. Failures before it count no more.
    pub enabled_at: Timestamp,
    /// Why and since when no deliveries are made.
    pub disabled: Option<(DisabledReason, Timestamp)>,
    /// Deduplication key of the request that rotated the secret last.
    pub rotated_by: Option<String>,
}

impl Endpoint {
    /// True if the file of endpoints defines it, so that the API cannot change it.
    pub const fn is_from_file(&self) -> bool {
        self.created_at.is_none()
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn endpoint_id_has_only_characters_of_a_path_segment() {
        for text in ["a", "crm-1", "A_b", &"x".repeat(MAX_ENDPOINT_ID_BYTES)] {
            assert_eq!(text.parse::<EndpointId>().unwrap().as_str(), text);
        }
        for text in ["", "a b", "a/b", "ä", "..", &"x".repeat(MAX_ENDPOINT_ID_BYTES + 1)] {
            assert_eq!(text.parse::<EndpointId>(), Err(InvalidEndpointId), "{text:?}");
        }
    }

    #[test]
    fn replaced_secret_signs_until_its_own_end() {
        let at = Timestamp::from_millis;
        let mut secrets = EndpointSecrets::new("a".into());
        let signing = |secrets: &EndpointSecrets, now| {
            let secrets = secrets.signing(at(now)).map(|secret| secret.expose_secret().to_owned());
            secrets.collect::<Vec<_>>().concat()
        };
        secrets.rotate("b".into(), at(0), at(24));
        secrets.rotate("c".into(), at(6), at(30));
        for (now, expected) in [(23, "cba"), (24, "cb"), (29, "cb"), (30, "c")] {
            assert_eq!(signing(&secrets, now), expected, "{now}");
        }
        secrets.rotate("d".into(), at(7), at(31));
        assert_eq!(signing(&secrets, 7), "dcb", "at most two old ones");
        secrets.rotate("e".into(), at(40), at(64));
        assert_eq!(secrets.previous.len(), 1);
    }

    #[test]
    fn disabled_reason_parses_from_its_name() {
        for reason in DisabledReason::ALL {
            assert_eq!(DisabledReason::parse(reason.as_str()), Some(reason));
        }
        assert_eq!(DisabledReason::parse(""), None);
    }
}

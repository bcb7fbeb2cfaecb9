//! Webhook endpoint: a URL of an application to which events are posted.

use std::{fmt, str::FromStr};

use secrecy::SecretString;

use super::{Event, EventKind, Metadata, StreamId, Timestamp};

/// Maximum number of endpoints of a deployment.
pub const MAX_ENDPOINTS: usize = 100;
/// Maximum length of an endpoint's URL in bytes.
pub const MAX_URL_BYTES: usize = 2_048;
/// Maximum size of an endpoint's metadata in bytes, so that a list of all endpoints has less than 1 MiB.
pub const MAX_ENDPOINT_METADATA_BYTES: usize = 4_096;
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
    /// Reports whether the endpoint gets the event.
    pub fn matches(&self, event: &Event) -> bool {
        self.stream_id.is_none_or(|id| id == event.stream_id())
            && self.events.as_ref().is_none_or(|kinds| kinds.contains(&event.draft.kind))
    }
}

/// Secrets that sign the deliveries to an endpoint, in the form `whsec_…`.
#[derive(Clone, Debug)]
pub struct EndpointSecrets {
    /// The current secret.
    pub current: SecretString,
    /// The secret before the last rotation, and the time until which it signs too.
    pub previous: Option<(SecretString, Timestamp)>,
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
    /// Time since which deliveries are made. Failures before it count no more.
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
    fn disabled_reason_parses_from_its_name() {
        for reason in DisabledReason::ALL {
            assert_eq!(DisabledReason::parse(reason.as_str()), Some(reason));
        }
        assert_eq!(DisabledReason::parse(""), None);
    }
}

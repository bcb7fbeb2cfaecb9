//! The stored form of an endpoint, JSON: all of a created one with its secrets, and only the state of one of the file.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, de::IgnoredAny};

use crate::domain::{
    DisabledReason, Endpoint, EndpointFilter, EndpointId, EndpointSecrets, EventKind, Metadata, Timestamp,
};

/// A parsed record.
#[derive(Debug)]
pub(super) enum Record {
    /// An endpoint that the API has created.
    Created(Box<Endpoint>),
    /// What the API has changed of an endpoint of the file.
    State(EndpointState),
}

/// What the API can change of an endpoint of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EndpointState {
    pub(super) enabled_at: Timestamp,
    pub(super) disabled: Option<(DisabledReason, Timestamp)>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum RecordFields {
    Created(Box<EndpointFields>),
    State(StateFields),
}

#[derive(PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EndpointFields {
    url: String,
    events: Option<Vec<String>>,
    stream_id: Option<String>,
    metadata: String,
    secret: String,
    /// Secrets before the last rotations, and the times until which they sign too.
    previous_secrets: Vec<(String, i64)>,
    created_at: Option<i64>,
    rotated_by: Option<String>,
    #[serde(flatten)]
    state: StateFields,
}

#[derive(PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StateFields {
    enabled_at: i64,
    disabled: Option<String>,
    disabled_at: Option<i64>,
}

/// Returns the stored text of an endpoint. One of the file has no definition and no secret in it.
pub(super) fn to_text(endpoint: &Endpoint) -> String {
    let fields = if endpoint.is_from_file() {
        RecordFields::State(StateFields::of(endpoint))
    } else {
        RecordFields::Created(Box::new(EndpointFields::of(endpoint)))
    };
    serde_json::to_string(&fields).unwrap_or_default()
}

/// Reports whether two endpoints have the same definition and state, also if the file defines them.
pub(super) fn are_equal(one: &Endpoint, other: &Endpoint) -> bool {
    EndpointFields::of(one) == EndpointFields::of(other)
}

/// Parses [`to_text`]; `None` for any other text.
pub(super) fn parse(id: &EndpointId, text: &str) -> Option<Record> {
    /// Only a created endpoint's record has a URL.
    #[derive(Deserialize)]
    struct Definition {
        url: Option<IgnoredAny>,
    }
    let is_created = serde_json::from_str::<Definition>(text).ok()?.url.is_some();
    Some(if is_created {
        let fields: EndpointFields = serde_json::from_str(text).ok()?;
        Record::Created(Box::new(fields.parse(id)?))
    } else {
        let fields: StateFields = serde_json::from_str(text).ok()?;
        Record::State(fields.parse())
    })
}

impl StateFields {
    fn of(endpoint: &Endpoint) -> Self {
        Self {
            enabled_at: endpoint.enabled_at.as_millis(),
            disabled: endpoint.disabled.map(|(reason, _)| reason.as_str().to_owned()),
            disabled_at: endpoint.disabled.map(|(_, at)| at.as_millis()),
        }
    }

    fn parse(&self) -> EndpointState {
        let time = Timestamp::from_millis;
        let reason = self.disabled.as_deref().and_then(DisabledReason::parse);
        EndpointState { enabled_at: time(self.enabled_at), disabled: reason.zip(self.disabled_at.map(time)) }
    }
}

impl EndpointFields {
    fn of(endpoint: &Endpoint) -> Self {
        let Endpoint { url, filter, metadata, secrets, created_at, rotated_by, .. } = endpoint;
        let exposed = |secret: &SecretString| secret.expose_secret().to_owned();
        let kinds = |kinds: &Vec<EventKind>| kinds.iter().map(|kind| kind.as_str().to_owned()).collect();
        let previous = secrets.previous.iter().map(|(secret, until)| (exposed(secret), until.as_millis()));
        Self {
            url: url.clone(),
            events: filter.events.as_ref().map(kinds),
            stream_id: filter.stream_id.map(|id| id.to_string()),
            metadata: metadata.as_text().to_owned(),
            secret: exposed(&secrets.current),
            previous_secrets: previous.collect(),
            created_at: created_at.map(Timestamp::as_millis),
            rotated_by: rotated_by.clone(),
            state: StateFields::of(endpoint),
        }
    }

    fn parse(self, id: &EndpointId) -> Option<Endpoint> {
        let time = Timestamp::from_millis;
        let kinds = |kinds: Vec<String>| kinds.iter().map(|kind| kind.parse().ok()).collect::<Option<_>>();
        let previous = self.previous_secrets.into_iter().map(|(secret, until)| (secret.into(), time(until)));
        let EndpointState { enabled_at, disabled } = self.state.parse();
        Some(Endpoint {
            id: id.clone(),
            url: self.url,
            filter: EndpointFilter {
                events: match self.events {
                    Some(events) => Some(kinds(events)?),
                    None => None,
                },
                stream_id: match self.stream_id {
                    Some(id) => Some(id.parse().ok()?),
                    None => None,
                },
            },
            metadata: Metadata::stored(self.metadata).ok()?,
            secrets: EndpointSecrets { current: self.secret.into(), previous: previous.collect() },
            created_at: self.created_at.map(time),
            enabled_at,
            disabled,
            rotated_by: self.rotated_by,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::StreamId;

    #[test]
    fn endpoint_parses_from_its_text() {
        let at = Timestamp::from_millis(1_790_000_000_000);
        let endpoint = Endpoint {
            id: StreamId::generate().into(),
            url: "https://example.com/hook".to_owned(),
            filter: EndpointFilter {
                events: Some(vec![EventKind::StreamCreated, EventKind::StreamStopped]),
                stream_id: Some(StreamId::generate()),
            },
            metadata: Metadata::parse(r#"{"a":1.50}"#).unwrap(),
            secrets: EndpointSecrets { current: "whsec_b".into(), previous: vec![("whsec_a".into(), at)] },
            created_at: Some(at),
            enabled_at: at,
            disabled: Some((DisabledReason::Gone, at)),
            rotated_by: Some("key".to_owned()),
        };
        let text = to_text(&endpoint);
        let Some(Record::Created(parsed)) = parse(&endpoint.id, &text) else { panic!("{text}") };
        assert_eq!(to_text(&parsed), text);
        assert_eq!((parsed.filter, parsed.disabled), (endpoint.filter.clone(), endpoint.disabled));
        assert!(!format!("{endpoint:?}").contains("whsec_"));
        assert!(parse(&endpoint.id, "{}").is_none());
        let of_other_version = text.replace("previousSecrets", "formerSecrets");
        assert!(parse(&endpoint.id, &of_other_version).is_none(), "not a state of an endpoint of the file");
        let of_file = Endpoint { created_at: None, ..endpoint };
        let text = to_text(&of_file);
        assert!(!text.contains("whsec_") && !text.contains("example.com"), "{text}");
        let state = EndpointState { enabled_at: at, disabled: of_file.disabled };
        assert!(matches!(parse(&of_file.id, &text), Some(Record::State(parsed)) if parsed == state));
    }
}

//! The stored form of an endpoint: JSON, with the secrets.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::domain::{
    DisabledReason, Endpoint, EndpointFilter, EndpointId, EndpointSecrets, EventKind, Metadata, Timestamp,
};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    url: String,
    events: Option<Vec<String>>,
    stream_id: Option<String>,
    metadata: String,
    secret: String,
    previous_secret: Option<String>,
    previous_until: Option<i64>,
    created_at: Option<i64>,
    enabled_at: i64,
    disabled: Option<String>,
    disabled_at: Option<i64>,
    rotated_by: Option<String>,
}

/// Returns the stored text of an endpoint.
pub(super) fn to_text(endpoint: &Endpoint) -> String {
    let Endpoint { id: _, url, filter, metadata, secrets, created_at, enabled_at, disabled, rotated_by } =
        endpoint;
    let exposed = |secret: &SecretString| secret.expose_secret().to_owned();
    let kinds = |kinds: &Vec<EventKind>| kinds.iter().map(|kind| kind.as_str().to_owned()).collect();
    let fields = Fields {
        url: url.clone(),
        events: filter.events.as_ref().map(kinds),
        stream_id: filter.stream_id.map(|id| id.to_string()),
        metadata: metadata.as_text().to_owned(),
        secret: exposed(&secrets.current),
        previous_secret: secrets.previous.as_ref().map(|(secret, _)| exposed(secret)),
        previous_until: secrets.previous.as_ref().map(|(_, until)| until.as_millis()),
        created_at: created_at.map(Timestamp::as_millis),
        enabled_at: enabled_at.as_millis(),
        disabled: disabled.map(|(reason, _)| reason.as_str().to_owned()),
        disabled_at: disabled.map(|(_, at)| at.as_millis()),
        rotated_by: rotated_by.clone(),
    };
    serde_json::to_string(&fields).unwrap_or_default()
}

/// Parses [`to_text`]; `None` for any other text.
pub(super) fn parse(id: &EndpointId, text: &str) -> Option<Endpoint> {
    let fields: Fields = serde_json::from_str(text).ok()?;
    let time = Timestamp::from_millis;
    let events = fields.events.map(|kinds| kinds.iter().map(|kind| kind.parse().ok()).collect::<Option<_>>());
    let previous = fields.previous_secret.map(SecretString::from).zip(fields.previous_until.map(time));
    let disabled = fields.disabled.as_deref().and_then(DisabledReason::parse);
    Some(Endpoint {
        id: id.clone(),
        url: fields.url,
        filter: EndpointFilter {
            events: match events {
                Some(kinds) => Some(kinds?),
                None => None,
            },
            stream_id: match fields.stream_id {
                Some(id) => Some(id.parse().ok()?),
                None => None,
            },
        },
        metadata: Metadata::stored(fields.metadata).ok()?,
        secrets: EndpointSecrets { current: fields.secret.into(), previous },
        created_at: fields.created_at.map(time),
        enabled_at: time(fields.enabled_at),
        disabled: disabled.zip(fields.disabled_at.map(time)),
        rotated_by: fields.rotated_by,
    })
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
            secrets: EndpointSecrets { current: "whsec_b".into(), previous: Some(("whsec_a".into(), at)) },
            created_at: Some(at),
            enabled_at: at,
            disabled: Some((DisabledReason::Gone, at)),
            rotated_by: Some("key".to_owned()),
        };
        let text = to_text(&endpoint);
        let parsed = parse(&endpoint.id, &text).unwrap();
        assert_eq!(to_text(&parsed), text);
        assert_eq!((parsed.filter, parsed.disabled), (endpoint.filter.clone(), endpoint.disabled));
        assert!(!format!("{endpoint:?}").contains("whsec_"));
        assert!(parse(&endpoint.id, "{}").is_none());
    }
}

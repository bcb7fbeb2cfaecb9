//! Settings of outbound webhooks: endpoints of a file, and permitted addresses.

use std::collections::BTreeSet;

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Arguments, reader::Reader};
use crate::{
    delivery::{AddressPolicy, parse_url, signature::key_of},
    domain::{
        Endpoint, EndpointFilter, EndpointSecrets, EventKind, Metadata, Timestamp,
        webhook_endpoint::{MAX_ENDPOINT_METADATA_BYTES, MAX_ENDPOINTS},
    },
};

const FILE: &str = "WEBHOOK_ENDPOINTS_FILE";

/// Outbound webhooks.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    /// Endpoints of `WEBHOOK_ENDPOINTS_FILE`.
    pub endpoints: Vec<Endpoint>,
    /// Addresses to which deliveries may connect.
    pub addresses: AddressPolicy,
}

/// An entry of the file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    id: String,
    url: String,
    secret: String,
    events: Option<Vec<String>>,
    stream_id: Option<String>,
    metadata: Option<Box<RawValue>>,
}

impl Arguments {
    pub(super) fn parse_webhooks(&self, reader: &mut Reader) -> WebhookSettings {
        let allows_private = match self.webhook_allow_private.as_deref() {
            None => self.dev,
            Some("true") => true,
            Some("false") => false,
            Some(_) => reader.problem("WEBHOOK_ALLOW_PRIVATE", "must be true or false").unwrap_or_default(),
        };
        let path = self.webhook_endpoints_file.as_ref();
        let endpoints = path.map(|path| read_endpoints(path, reader)).unwrap_or_default();
        WebhookSettings { endpoints, addresses: AddressPolicy { allows_private } }
    }
}

/// Reads the file. Records each invalid entry with its position, without its values.
fn read_endpoints(path: &str, reader: &mut Reader) -> Vec<Endpoint> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            return reader.problem(FILE, &format!("cannot be read: {}", error.kind())).unwrap_or_default();
        }
    };
    let Ok(values) = serde_json::from_str::<Vec<Box<RawValue>>>(&text) else {
        return reader.problem(FILE, "must be a JSON array").unwrap_or_default();
    };
    if values.len() > MAX_ENDPOINTS {
        reader.problem::<()>(FILE, &format!("must have at most {MAX_ENDPOINTS} endpoints"));
    }
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for (index, value) in values.iter().enumerate() {
        match parse_entry(value) {
            Ok(endpoint) => endpoints.push(endpoint),
            Err(rule) => reader.problem(FILE, &format!("entry {}: {rule}", index + 1)).unwrap_or_default(),
        }
    }
    let ids: BTreeSet<_> = endpoints.iter().map(|endpoint| &endpoint.id).collect();
    if ids.len() < endpoints.len() {
        reader.problem::<()>(FILE, "must not have one id twice");
    }
    endpoints
}

fn parse_entry(value: &RawValue) -> Result<Endpoint, String> {
    let rule =
        "must be an object with `id`, `url`, `secret`, and optionally `events`, `streamId` and `metadata`";
    let entry: Entry = serde_json::from_str(value.get()).map_err(|_| rule.to_owned())?;
    let named = |field: &str, rule: &dyn std::fmt::Display| format!("`{field}` {rule}");
    let secret = SecretString::from(entry.secret);
    key_of(&secret).map_err(|rule| named("secret", &rule))?;
    let stream_id = entry.stream_id.map(|id| id.parse()).transpose();
    Ok(Endpoint {
        id: entry.id.parse().map_err(|rule| named("id", &rule))?,
        url: parse_url(&entry.url).map_err(|rule| named("url", &rule))?.into(),
        filter: EndpointFilter {
            events: entry.events.map(|kinds| parse_kinds(&kinds)).transpose()?,
            stream_id: stream_id.map_err(|_| named("streamId", &"must be the id of a stream"))?,
        },
        metadata: entry.metadata.map(|text| parse_metadata(&text)).transpose()?.unwrap_or_default(),
        secrets: EndpointSecrets::new(secret),
        created_at: None,
        enabled_at: Timestamp::default(),
        disabled: None,
        rotated_by: None,
    })
}

fn parse_kinds(kinds: &[String]) -> Result<Vec<EventKind>, String> {
    let parsed: Option<Vec<EventKind>> = kinds.iter().map(|kind| kind.parse().ok()).collect();
    let rule = "`events` must be a list of types of events, with at least one";
    parsed.filter(|kinds| !kinds.is_empty()).ok_or_else(|| rule.to_owned())
}

fn parse_metadata(text: &RawValue) -> Result<Metadata, String> {
    let metadata = Metadata::parse(text.get()).map_err(|_| "`metadata` must be a JSON object".to_owned())?;
    let is_small = metadata.as_text().len() <= MAX_ENDPOINT_METADATA_BYTES;
    let rule = || format!("`metadata` must be at most {MAX_ENDPOINT_METADATA_BYTES} bytes");
    is_small.then_some(metadata).ok_or_else(rule)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    /// Validates settings with a file of endpoints; returns its endpoints, or the problems.
    fn validate(text: &str) -> Result<Vec<Endpoint>, Vec<String>> {
        let path = std::env::temp_dir().join(format!("{}.json", uuid::Uuid::new_v4()));
        std::fs::write(&path, text).unwrap();
        let webhook_endpoints_file = path.to_str().map(str::to_owned);
        let validated = Arguments { dev: true, webhook_endpoints_file, ..Arguments::default() }.validate();
        std::fs::remove_file(&path).unwrap();
        validated.map(|settings| settings.webhooks.endpoints).map_err(|error| error.0)
    }

    fn entry(change: &Value) -> Value {
        let mut entry = json!({"id": "crm", "url": "https://example.com/hook", "secret": SECRET});
        let changes = change.as_object().unwrap().clone();
        entry.as_object_mut().unwrap().extend(changes);
        entry
    }

    #[test]
    fn file_defines_endpoints() {
        let change = json!({"events": ["stream_created"], "metadata": {"a": 1}});
        let endpoints =
            validate(&json!([entry(&json!({})), entry(&json!({"id": "b"})), entry(&change)]).to_string());
        assert_eq!(endpoints.unwrap_err(), ["WEBHOOK_ENDPOINTS_FILE must not have one id twice"]);
        let endpoints = validate(&json!([entry(&change)]).to_string()).unwrap();
        assert_eq!(endpoints[0].filter.events.as_deref(), Some(&[EventKind::StreamCreated][..]));
        assert!(endpoints[0].is_from_file());
    }

    #[test]
    fn fault_of_the_file_names_the_entry_and_the_field_and_shows_no_secret() {
        for (change, named) in [
            (json!({"id": "a b"}), "`id`"),
            (json!({"url": "ftp://example.com"}), "`url`"),
            (json!({"url": "https://user@example.com"}), "`url`"),
            (json!({"secret": "whsec_hunter2"}), "`secret`"),
            (json!({"events": []}), "`events`"),
            (json!({"events": ["no_such_type"]}), "`events`"),
            (json!({"streamId": "my-stream"}), "`streamId`"),
            (json!({"metadata": 1}), "`metadata`"),
            (json!({"metadata": {"a": "x".repeat(5_000)}}), "`metadata`"),
            (json!({"unknown": 1}), "must be an object with"),
        ] {
            let problems = validate(&json!([entry(&json!({})), entry(&change)]).to_string()).unwrap_err();
            assert_eq!(problems.len(), 1, "{problems:?}");
            let start = "WEBHOOK_ENDPOINTS_FILE entry 2: ";
            assert!(problems[0].starts_with(start) && problems[0].contains(named), "{named}: {problems:?}");
            assert!(!problems[0].contains("hunter2"));
        }
    }

    #[test]
    fn unreadable_file_is_a_problem() {
        for text in ["", "{}", "[", "null"] {
            assert_eq!(
                validate(text).unwrap_err(),
                ["WEBHOOK_ENDPOINTS_FILE must be a JSON array"],
                "{text}"
            );
        }
        let many: Vec<_> = (0..=MAX_ENDPOINTS).map(|n| entry(&json!({"id": format!("e{n}")}))).collect();
        let problems = validate(&json!(many).to_string()).unwrap_err();
        assert_eq!(problems, ["WEBHOOK_ENDPOINTS_FILE must have at most 100 endpoints"]);
        let absent = Some("/no/such/file".to_owned());
        let arguments = Arguments { dev: true, webhook_endpoints_file: absent, ..Arguments::default() };
        let problems = arguments.validate().unwrap_err().0;
        assert!(problems[0].starts_with("WEBHOOK_ENDPOINTS_FILE cannot be read"), "{problems:?}");
    }
}

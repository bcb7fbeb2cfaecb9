//! Requests of `/webhook-endpoints`.

use serde_json::json;
use url::Url;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use crate::{
    delivery::parse_url,
    domain::{Cursor, EventKind, Metadata, webhook_endpoint::MAX_ENDPOINT_METADATA_BYTES},
    http::extract::{BodyFields, FromBody},
};

/// Body of `POST /webhook-endpoints`.
pub struct NewEndpoint {
    pub(super) url: Url,
    pub(super) events: Option<Vec<EventKind>>,
    pub(super) stream: Option<String>,
    pub(super) metadata: Metadata,
}

const ABOUT_URL: &str = "`http` or `https`, without user name, password and fragment, at most 2,048 bytes. Its host \
                         must have globally reachable unicast addresses only.";
const ABOUT_METADATA: &str = "At most 4,096 bytes.";

fn events(fields: &mut BodyFields, about: &str) -> Option<Vec<EventKind>> {
    let mut kinds = fields
        .list("events", about, |text| text.parse::<EventKind>().map_err(|_| "is not a type of events"))?;
    if kinds.is_empty() {
        fields.refuse("events", "must name at least one type");
    }
    let mut seen = std::collections::HashSet::new();
    kinds.retain(|kind| seen.insert(*kind));
    Some(kinds)
}

fn metadata(fields: &mut BodyFields) -> Option<Metadata> {
    fields.bounded_metadata("metadata", ABOUT_METADATA, MAX_ENDPOINT_METADATA_BYTES)
}

impl FromBody for NewEndpoint {
    fn read(fields: &mut BodyFields) -> Option<Self> {
        let url = fields.required_text("url", ABOUT_URL, |text| parse_url(&text));
        let events =
            events(fields, "Types of the events to deliver. Default: all, also types of later versions.");
        let about_stream =
            "Id or room name of the only stream whose events are delivered. Default: all streams.";
        let stream = fields.text("streamId", about_stream, Ok::<_, String>);
        let metadata = metadata(fields).unwrap_or_default();
        Some(Self { url: url?, events, stream, metadata })
    }
}

impl PartialSchema for NewEndpoint {
    fn schema() -> RefOr<Schema> {
        BodyFields::describe(Self::read)
            .description(Some("The endpoint to create."))
            .examples([json!({"url": "https://app.example.com/hook", "events": ["stream_created"]})])
            .into()
    }
}

impl ToSchema for NewEndpoint {}

/// Body of `PATCH /webhook-endpoints/{endpointId}`.
pub struct EndpointPatch {
    pub(super) url: Option<Url>,
    pub(super) events: Option<Option<Vec<EventKind>>>,
    pub(super) metadata: Option<Metadata>,
    pub(super) disabled: Option<bool>,
}

impl FromBody for EndpointPatch {
    fn read(fields: &mut BodyFields) -> Option<Self> {
        fields.unchangeable("streamId");
        fields.unchangeable("secret");
        let (all_events, no_metadata) = (fields.take_null("events"), fields.take_null("metadata"));
        let events = events(fields, "Types of the events to deliver. Null stands for all.").map(Some);
        let metadata = metadata(fields);
        Some(Self {
            url: fields.text("url", ABOUT_URL, |text| parse_url(&text)),
            events: if all_events { Some(None) } else { events },
            metadata: if no_metadata { Some(Metadata::default()) } else { metadata },
            disabled: fields.flag(
                "disabled",
                "True ends the deliveries and keeps the position. False continues them from there.",
            ),
        })
    }
}

impl PartialSchema for EndpointPatch {
    fn schema() -> RefOr<Schema> {
        BodyFields::describe(Self::read)
            .description(Some("A change of an endpoint."))
            .examples([json!({"disabled": false})])
            .into()
    }
}

impl ToSchema for EndpointPatch {}

/// Body of `POST /webhook-endpoints/{endpointId}/replay`.
pub struct Replay {
    pub(super) after: Cursor,
}

impl FromBody for Replay {
    fn read(fields: &mut BodyFields) -> Option<Self> {
        let about = "Cursor of an event. Every later event is delivered again.";
        let after = fields.required_text("after", about, |text| text.parse::<Cursor>());
        Some(Self { after: after? })
    }
}

impl PartialSchema for Replay {
    fn schema() -> RefOr<Schema> {
        BodyFields::describe(Self::read)
            .description(Some("Where deliveries begin again."))
            .examples([json!({"after": "1790000000000-123"})])
            .into()
    }
}

impl ToSchema for Replay {}

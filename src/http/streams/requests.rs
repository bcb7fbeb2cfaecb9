//! Requests of `/streams`: each type parses itself and describes itself for the OpenAPI document.

use std::time::Duration;

use serde_json::json;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use crate::{
    domain::{AudienceMode, Metadata, MetadataPatch, RoomName, StreamStatus},
    http::{
        extract::{BodyFields, FromBody, FromQuery, QueryFields, impl_into_params},
        list_page::PageQuery,
    },
    store::StreamFilter,
};

/// Maximum of `maxParticipants`, far above what one LiveKit room can hold.
const MAX_PARTICIPANTS: u64 = 1_000_000;
/// Maximum of `emptyTimeout`: one day, the time to live of a live stream's keys.
const MAX_EMPTY_TIMEOUT_SECONDS: u64 = 86_400;

/// Body of `POST /streams`.
pub struct NewStream {
    pub(super) room_name: Option<RoomName>,
    pub(super) metadata: Metadata,
    /// `None` for no limit.
    pub(super) max_participants: Option<u32>,
    pub(super) empty_timeout: Option<Duration>,
    /// `None` for the configured one.
    pub(super) audience: Option<AudienceMode>,
    pub(super) backstage: bool,
}

impl FromBody for NewStream {
    fn read(fields: &mut BodyFields) -> Option<Self> {
        let room_name = fields.name(
            &["roomName", "name"],
            "1 to 256 bytes of UTF-8 without control characters. If a live stream has this room name, the response is \
             that stream. Without a name, the service generates one.",
            RoomName::parse,
        );
        let metadata = fields.metadata("metadata", "At most 60,000 bytes.");
        let max_participants = fields.integer(
            "maxParticipants",
            "Maximum number of active participants; 0 for no limit.",
            0..=MAX_PARTICIPANTS,
        );
        let empty_timeout = fields.integer(
            "emptyTimeout",
            "Seconds after which an empty stream is stopped, instead of the configured time.",
            1..=MAX_EMPTY_TIMEOUT_SECONDS,
        );
        let audience = fields.choice(
            "audience",
            "Whether each change of a viewer is an event, or viewers are only counted. `auto` begins as listed, and \
             becomes counted when more than `AUDIENCE_LISTED_MAX` viewers are active at once. Default: the setting \
             `AUDIENCE`.",
            "must be listed, counted or auto",
        );
        let backstage = fields.flag(
            "backstage",
            "True for a stream that begins backstage: viewers have no access until `POST /streams/{id}/go_live`. \
             Default: false, live at once.",
        );
        Some(Self {
            room_name,
            metadata: metadata.unwrap_or_default(),
            // As in LiveKit, 0 means no limit.
            max_participants: max_participants.and_then(|max| u32::try_from(max).ok()).filter(|max| *max > 0),
            empty_timeout: empty_timeout.map(Duration::from_secs),
            audience,
            backstage: backstage.unwrap_or_default(),
        })
    }
}

impl PartialSchema for NewStream {
    fn schema() -> RefOr<Schema> {
        BodyFields::describe(Self::read)
            .description(Some("The stream to create. `roomName` and `name` are one field."))
            .examples([json!({"roomName": "my-stream", "metadata": {"title": "My Stream"}})])
            .into()
    }
}

impl ToSchema for NewStream {}

/// Body of `PATCH /streams/{id}`.
pub struct StreamPatch {
    pub(super) metadata: Option<MetadataPatch>,
    pub(super) status: Option<StreamStatus>,
    pub(super) version: Option<u64>,
}

impl FromBody for StreamPatch {
    fn read(fields: &mut BodyFields) -> Option<Self> {
        fields.unchangeable("audience");
        fields.unchangeable("backstage");
        Some(Self {
            metadata: fields.metadata_patch("metadata", "A JSON Merge Patch (RFC 7396): null removes a key."),
            status: fields.choice(
                "status",
                "`stopped` stops the stream, as DELETE does. Any other status than the current one is an error.",
                "must be creating, active, stopping, stopped or error",
            ),
            version: fields.integer(
                "version",
                "The version that the change requires, as in `If-Match`.",
                1..=u64::MAX,
            ),
        })
    }
}

impl PartialSchema for StreamPatch {
    fn schema() -> RefOr<Schema> {
        BodyFields::describe(Self::read)
            .description(Some("A change of a stream."))
            .examples([json!({"metadata": {"title": "Another title"}})])
            .into()
    }
}

impl ToSchema for StreamPatch {}

/// Query of `GET /streams`.
pub struct ListStreams {
    pub(super) filter: StreamFilter,
    pub(super) page: PageQuery,
}

impl FromQuery for ListStreams {
    fn read(fields: &mut QueryFields) -> Self {
        let filter = fields.parsed(
            "status",
            "`creating`, `active`, `stopping`, `stopped`, `error` or `all`. Default: every stream that is not stopped.",
            "must be creating, active, stopping, stopped, error or all",
            parse_filter,
        );
        Self { filter: filter.unwrap_or(StreamFilter::NotStopped), page: PageQuery::read(fields) }
    }
}

impl_into_params!(ListStreams);

fn parse_filter(text: &str) -> Option<StreamFilter> {
    if text == "all" { Some(StreamFilter::All) } else { text.parse().ok().map(StreamFilter::Status) }
}

//! Requests of feeds and of the history: each type parses itself and describes itself for the OpenAPI document.

use std::str::FromStr;

use crate::{
    domain::Cursor,
    http::{
        extract::{FromQuery, QueryFields, impl_into_params},
        list_page::{DEFAULT_LIMIT, MAX_LIMIT},
    },
    relay::Start,
};

/// Cursor of the last event that a client has received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeCursor {
    /// A well-formed cursor.
    Parsed(Cursor),
    /// A value that is not a cursor, so the feed starts with a reset.
    Malformed,
}

impl ResumeCursor {
    /// Takes the cursor from the request; `None` if the request has no cursor.
    ///
    /// The header has precedence: a browser sets it when it reconnects, while its URL keeps the first parameter.
    fn read(fields: &mut QueryFields) -> Option<Self> {
        let about = "Cursor of the last received event.";
        let header = fields.header("Last-Event-ID", about).filter(|value| !value.is_empty());
        let about = "Cursor of the last received event, for clients that cannot set headers.";
        let parameter = fields.text("lastEventId", about).filter(|text| !text.is_empty());
        let value = header.or(parameter.map(str::as_bytes))?;
        let cursor = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
        Some(cursor.map_or(Self::Malformed, Self::Parsed))
    }
}

/// Query of `GET /events`.
pub struct FollowEvents {
    /// Id or room name; `None` for all streams.
    pub(super) stream: Option<String>,
    pub(super) start: Start,
}

impl FromQuery for FollowEvents {
    fn read(fields: &mut QueryFields) -> Self {
        let about = "The feed starts with this many of the newest events. A cursor has precedence.";
        let limit = fields.integer("limit", about, 0..=MAX_LIMIT);
        let about = "Id or room name of a stream. Default: all streams.";
        let stream = fields.parsed("streamId", about, "must not be empty", |text| {
            Some(text.to_owned()).filter(|text| !text.is_empty())
        });
        let start = match (ResumeCursor::read(fields), limit) {
            (Some(ResumeCursor::Parsed(cursor)), _) => Start::After(cursor),
            (Some(ResumeCursor::Malformed), _) => Start::Unknown,
            (None, Some(limit)) => Start::Newest(limit),
            (None, None) => Start::Now,
        };
        Self { stream, start }
    }
}

/// Query of `GET /sse/{id}/updates`.
pub struct FollowState {
    pub(super) cursor: Option<ResumeCursor>,
}

impl FromQuery for FollowState {
    fn read(fields: &mut QueryFields) -> Self {
        Self { cursor: ResumeCursor::read(fields) }
    }
}

/// Query of `GET /events/{id}`.
pub struct ReadHistory {
    pub(super) limit: usize,
    /// Checked after access to the stream, so that a malformed cursor has its own `code`.
    pub(super) after: Option<Result<Cursor, <Cursor as FromStr>::Err>>,
}

impl FromQuery for ReadHistory {
    fn read(fields: &mut QueryFields) -> Self {
        let limit = fields.integer_or("limit", "Maximum number of events.", 1..=MAX_LIMIT, DEFAULT_LIMIT);
        let about = "Returns the events after this cursor instead of the newest events.";
        Self { limit, after: fields.text("after", about).map(str::parse) }
    }
}

impl_into_params!(FollowEvents, FollowState, ReadHistory);

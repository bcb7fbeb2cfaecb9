//! Requests of `/history`: each type parses itself and describes itself for the OpenAPI document.

use std::{str::FromStr, time::Duration};

use chrono::DateTime;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    domain::{Cursor, ParticipantSid, RoomName, StreamId, Timestamp},
    history::StreamSelection,
    http::{
        extract::{FromQuery, QueryFields, impl_into_params},
        list_page::{DEFAULT_LIMIT, MAX_LIMIT, PageQuery},
    },
};

/// Path of a stream in the history.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct HistoryPath {
    /// The stream's id. Room names repeat in the history.
    pub id: String,
}

/// Path of a person in the history.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct PersonPath {
    /// The identity in every stream.
    pub identity: String,
}

/// Query of `GET /history/streams`.
pub struct ListHistory {
    pub(super) selection: StreamSelection,
    pub(super) page: PageQuery,
}

impl FromQuery for ListHistory {
    fn read(fields: &mut QueryFields) -> Self {
        let rule = "must be a time like 2026-01-14T10:00:00Z";
        let from =
            fields.parsed("from", "Only streams that were created at this time or later.", rule, parse_time);
        let to = fields.parsed("to", "Only streams that were created before this time.", rule, parse_time);
        let about = "Only streams of this room name.";
        let room_name =
            fields.parsed("roomName", about, "must be a room name", |text| RoomName::parse(text).ok());
        Self { selection: StreamSelection { from, to, room_name }, page: PageQuery::read(fields) }
    }
}

/// Query of a page of visits.
pub struct ListVisits {
    pub(super) page: PageQuery,
}

impl FromQuery for ListVisits {
    fn read(fields: &mut QueryFields) -> Self {
        Self { page: PageQuery::read(fields) }
    }
}

/// Query of a page of events.
pub struct ListEvents {
    pub(super) limit: usize,
    /// Checked after access to the stream, so that a malformed cursor has its own `code`.
    pub(super) after: Result<Cursor, <Cursor as FromStr>::Err>,
}

impl FromQuery for ListEvents {
    fn read(fields: &mut QueryFields) -> Self {
        let limit = fields.integer_or("limit", "Maximum number of events.", 1..=MAX_LIMIT, DEFAULT_LIMIT);
        let about = "Returns the events after this cursor instead of the first events.";
        Self { limit, after: fields.text("after", about).map_or(Ok(Cursor::ORIGIN), str::parse) }
    }
}

/// Query of the numbers of viewers over time.
pub struct ReadViewers {
    pub(super) step: Option<Duration>,
}

impl FromQuery for ReadViewers {
    fn read(fields: &mut QueryFields) -> Self {
        let about = "Length of a step, as `10s`, `5m` or `1h`. Default: one that gives at most 500 points.";
        let step = fields.parsed(
            "step",
            about,
            "must be a duration of whole seconds like 10s, 5m or 1h",
            parse_step,
        );
        Self { step }
    }
}

impl_into_params!(ListHistory, ListVisits, ListEvents, ReadViewers);

fn parse_time(text: &str) -> Option<Timestamp> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| Timestamp::from_millis(time.timestamp_millis()))
}

fn parse_step(text: &str) -> Option<Duration> {
    let step = humantime::parse_duration(text).ok()?;
    (step.as_secs() > 0 && step.subsec_nanos() == 0).then_some(step)
}

/// Splits a list key into its number and its text.
fn split(key: &str) -> Option<(Timestamp, &str)> {
    let (millis, rest) = key.split_once(':')?;
    Some((Timestamp::from_millis(millis.parse().ok()?), rest))
}

/// Parses the list key of a stream.
pub(super) fn stream_key(key: &str) -> Option<(Timestamp, StreamId)> {
    let (time, id) = split(key)?;
    Some((time, id.parse().ok()?))
}

/// Parses the list key of a visit.
pub(super) fn visit_key(key: &str) -> Option<(Timestamp, ParticipantSid)> {
    split(key).map(|(time, sid)| (time, sid.into()))
}

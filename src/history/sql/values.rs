//! The domain's values as SQL values.

use std::time::Duration;

use sha2::{Digest, Sha256};
use sqlx::types::Uuid;

use crate::{
    domain::{
        Cursor, DisplayName, Identity, Metadata, ParticipantCounts, ParticipantKind, Role, RoomName,
        StreamId, Timestamp, Visit,
    },
    history::{
        error::HistoryError,
        records::{EventRecord, Gap, RowLimit, Rows, StreamRecord, ViewerStep, WatchTime, WatchTimes},
    },
    store::ResetReason,
};

/// The columns of a cursor.
pub(super) type CursorColumns = (i64, i64);
/// The columns of an event, as `statements.rs` selects them. The last column of each row of a page is the number of
/// rows up to the first one after the page.
pub(super) type EventColumns = (Uuid, i64, i64, i32, i32, String, i64);
/// The columns of a gap.
pub(super) type GapColumns = (i64, i64, i64, i64, String);
/// The columns of a visit.
pub(super) type VisitColumns = (String, Vec<u8>, Option<String>, String, String, i64, i64, i64);
/// The columns of the watch times of one role.
pub(super) type WatchColumns = (String, i64, i64, i64, i64);
/// The columns of a stream.
pub(super) type StreamColumns = (
    Uuid,
    i64,
    i64,
    String,
    String,
    String,
    Option<String>,
    i64,
    Option<i64>,
    Option<i64>,
    Option<String>,
    i32,
    i64,
);

/// Returns the columns of a cursor. Both numbers fit, because Lua makes them with 53 bits.
pub(super) fn of_cursor(cursor: Cursor) -> CursorColumns {
    let column = |number| i64::try_from(number).unwrap_or(i64::MAX);
    (column(cursor.millis()), column(cursor.number()))
}

/// Returns the column of a number of participants.
pub(super) fn of_count(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// Returns the least id of a stream that is created at a time or later: ids are UUIDs of version 7.
pub(super) fn first_id_at(time: Timestamp) -> Uuid {
    const MAX_MILLIS: u64 = (1 << 48) - 1;
    let millis = u64::try_from(time.as_millis()).unwrap_or_default().min(MAX_MILLIS);
    Uuid::from_u128(u128::from(millis) << 80)
}

/// Returns the maximum number of bytes of a page.
pub(super) fn of_bytes(limit: RowLimit) -> i64 {
    i64::try_from(limit.bytes).unwrap_or(i64::MAX)
}

/// Returns a page. `total` is the number of rows up to the first one after it.
pub(super) fn page<R, T>(
    rows: Vec<R>,
    total: impl FnOnce(&R) -> i64,
    value: impl Fn(R) -> Result<T, HistoryError>,
) -> Result<Rows<T>, HistoryError> {
    let total = rows.first().map_or(0, total);
    let has_more = usize::try_from(total).is_ok_and(|total| total > rows.len());
    Ok(Rows { rows: rows.into_iter().map(value).collect::<Result<_, _>>()?, has_more })
}

/// Maximum size of the part of an identity that texts are searched for, in bytes. SQLite refuses patterns above 50,000.
const MAX_PATTERN_BYTES: usize = 1_000;

/// Returns a pattern of `LIKE` for texts that contain an identity, or its beginning, as JSON, with `!` as the escape
/// character.
pub(super) fn pattern_of(identity: &Identity) -> String {
    // A text always serializes.
    let json = serde_json::to_string(identity.as_str()).unwrap_or_default();
    let searched = &json[..json.floor_char_boundary(MAX_PATTERN_BYTES)];
    format!("%{}%", searched.replace('!', "!!").replace('%', "!%").replace('_', "!_"))
}

/// Returns a text without the character NUL, which Postgres does not store in texts.
pub(super) fn of_text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Maximum size of a text in an index, in bytes.
const MAX_KEY_BYTES: usize = 256;

/// Returns an id of LiveKit as a text that an index can have. An id that is too long is replaced by its SHA-256.
pub(super) fn of_key(id: &str) -> String {
    let text = of_text(id);
    if text.len() <= MAX_KEY_BYTES { text } else { format!("sha256:{:x}", Sha256::digest(id)) }
}

/// Returns what finds the streams of an identity, see `stream_identities`.
pub(super) fn of_identity(identity: &Identity) -> Vec<u8> {
    Sha256::digest(identity.as_str()).to_vec()
}

pub(super) fn cursor((ms, n): CursorColumns) -> Cursor {
    let number = |column| u64::try_from(column).unwrap_or_default();
    Cursor::new(number(ms), number(n))
}

fn count(column: i32) -> u32 {
    u32::try_from(column).unwrap_or_default()
}

pub(super) fn event((stream_id, ms, n, hosts, viewers, json, _): EventColumns) -> EventRecord {
    let counts = ParticipantCounts { hosts: count(hosts), viewers: count(viewers) };
    EventRecord { stream_id: StreamId::from_uuid(stream_id), cursor: cursor((ms, n)), counts, json }
}

pub(super) fn gap((ms, n, until_ms, until_n, reason): GapColumns) -> Result<Gap, HistoryError> {
    let reason = ResetReason::ALL.into_iter().find(|known| known.as_str() == reason);
    Ok(Gap {
        after: cursor((ms, n)),
        until: cursor((until_ms, until_n)),
        reason: reason.ok_or(HistoryError::Corrupt("reason"))?,
    })
}

pub(super) fn viewer_step((number, most, last): (i64, i32, i32)) -> ViewerStep {
    ViewerStep { number, most: count(most), last: count(last) }
}

pub(super) fn watch_times(rows: Vec<WatchColumns>) -> Result<WatchTimes, HistoryError> {
    let mut times = WatchTimes::default();
    for (role, persons, total, middle, in_middle) in rows {
        let millis = |column: i64| Duration::from_millis(u64::try_from(column).unwrap_or_default());
        let of_role = match role.parse().map_err(|_| HistoryError::Corrupt("role"))? {
            Role::Host => &mut times.hosts,
            Role::Viewer => &mut times.viewers,
        };
        *of_role = WatchTime {
            persons: u64::try_from(persons).unwrap_or_default(),
            total: millis(total),
            median: millis(middle / in_middle.max(1)),
        };
    }
    Ok(times)
}

pub(super) fn visit(
    stream_id: StreamId,
    (sid, identity, name, role, kind, joined_at, left_at, _): VisitColumns,
) -> Result<Visit, HistoryError> {
    let identity = String::from_utf8(identity).ok().and_then(Identity::reported);
    Ok(Visit {
        stream_id,
        identity: identity.ok_or(HistoryError::Corrupt("identity"))?,
        sid: sid.into(),
        name: name.and_then(DisplayName::reported),
        role: role.parse().map_err(|_| HistoryError::Corrupt("role"))?,
        kind: ParticipantKind::of(&kind),
        joined_at: Timestamp::from_millis(joined_at),
        left_at: Timestamp::from_millis(left_at),
    })
}

pub(super) fn stream(columns: StreamColumns) -> Result<StreamRecord, HistoryError> {
    let (
        id,
        ms,
        n,
        room_name,
        status,
        audience,
        metadata,
        created_at,
        started_at,
        stopped_at,
        stop_reason,
        peak,
        _,
    ) = columns;
    let metadata = metadata.map(Metadata::stored).transpose();
    let corrupt = HistoryError::Corrupt;
    Ok(StreamRecord {
        id: StreamId::from_uuid(id),
        newest: cursor((ms, n)),
        room_name: RoomName::parse(room_name).map_err(|_| corrupt("room_name"))?,
        status: status.parse().map_err(|_| corrupt("status"))?,
        audience: audience.parse().map_err(|_| corrupt("audience"))?,
        metadata: metadata.map_err(|_| corrupt("metadata"))?,
        created_at: Timestamp::from_millis(created_at),
        started_at: started_at.map(Timestamp::from_millis),
        stopped_at: stopped_at.map(Timestamp::from_millis),
        stop_reason,
        peak_viewers: count(peak),
    })
}

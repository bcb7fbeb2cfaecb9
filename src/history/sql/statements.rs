//! Statements that both backends share.

/// Parameters: partition, log.
pub(super) const POSITION: &str =
    "SELECT cursor_ms, cursor_n FROM archive_positions WHERE partition = $1 AND log = $2";
/// The newest migration, of a database that has any.
pub(super) const MIGRATION: &str = "SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations";
/// Parameters: partition, log, new position. A position that exists stays.
pub(super) const BEGIN_POSITION: &str = "INSERT INTO archive_positions (partition, log, cursor_ms, cursor_n) \
    VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
/// Parameters: partition, log, new position, expected position.
pub(super) const MOVE_POSITION: &str = "UPDATE archive_positions SET cursor_ms = $3, cursor_n = $4 \
    WHERE partition = $1 AND log = $2 AND cursor_ms = $5 AND cursor_n = $6";
/// Parameters: partition, log, both ends, reason.
pub(super) const INSERT_GAP: &str = "INSERT INTO gaps (partition, log, after_ms, after_n, until_ms, until_n, reason) \
    VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
/// Parameters: partition, log.
pub(super) const GAPS: &str = "SELECT after_ms, after_n, until_ms, until_n, reason FROM gaps \
    WHERE partition = $1 AND log = $2 ORDER BY after_ms, after_n, until_ms, until_n";
/// Yields a page of rows that ends before the first one that the bytes of those before it leave no room for, each with
/// the number of rows up to the first one after the page. `$columns` are those of `$rows`, which has one row more than
/// a page and a column `bytes`; `$order` is its order.
macro_rules! page {
    ($selected:literal, $columns:literal, $rows:expr, $order:literal, $limit:literal, $bytes:literal) => {
        concat!(
            "SELECT ",
            $selected,
            ", total FROM (SELECT ",
            $columns,
            ", COUNT(*) OVER () AS total, ROW_NUMBER() OVER page AS place, \
            SUM(bytes) OVER page - bytes AS bytes_before FROM (",
            $rows,
            " ORDER BY ",
            $order,
            " LIMIT ",
            $limit,
            " + 1) AS sizes WINDOW page AS (ORDER BY ",
            $order,
            " ROWS UNBOUNDED PRECEDING)) AS placed WHERE place <= ",
            $limit,
            " AND bytes_before < ",
            $bytes,
            " ORDER BY ",
            $order,
        )
    };
}

/// Parameters: stream, time of the connection and `sid` of the visit before the page, maximum number, maximum bytes.
pub(super) const VISITS: &str = page!(
    "sid, identity, name, role, kind, joined_at, left_at",
    "sid, identity, name, role, kind, joined_at, left_at",
    "SELECT sid, identity, name, role, kind, joined_at, left_at, \
        octet_length(sid) + octet_length(identity) + COALESCE(octet_length(name), 0) AS bytes FROM visits \
        WHERE stream_id = $1 AND (joined_at, sid) > ($2, $3)",
    "joined_at, sid",
    "$4",
    "$5"
);
/// Parameters: stream, maximum number, maximum bytes.
pub(super) const RECORDINGS: &str = page!(
    "(SELECT recording FROM recordings WHERE stream_id = $1 AND recording_id = placed.recording_id)",
    "recording_id, created_at",
    "SELECT recording_id, created_at, octet_length(recording) AS bytes FROM recordings WHERE stream_id = $1",
    "created_at, recording_id",
    "$2",
    "$3"
);
/// Parameters: stream. The last column is the number of rows.
pub(super) const STREAM: &str = "SELECT stream_id, newest_ms, newest_n, room_name, status, audience, metadata, \
    created_at, started_at, stopped_at, stop_reason, peak_viewers, CAST(1 AS BIGINT) FROM streams \
    WHERE stream_id = $1";
/// Parameters: stream, cursor, maximum number, maximum bytes. Reads the texts of the page alone.
pub(super) const EVENTS: &str = page!(
    "stream_id, cursor_ms, cursor_n, hosts, viewers, (SELECT event FROM events WHERE stream_id = $1 \
        AND cursor_ms = placed.cursor_ms AND cursor_n = placed.cursor_n)",
    "stream_id, cursor_ms, cursor_n, hosts, viewers",
    "SELECT stream_id, cursor_ms, cursor_n, hosts, viewers, octet_length(event) AS bytes FROM events \
        WHERE stream_id = $1 AND (cursor_ms, cursor_n) > ($2, $3)",
    "cursor_ms, cursor_n",
    "$4",
    "$5"
);

/// Parameters: partition, cursor, maximum number, maximum bytes. Reads the texts of the page alone.
pub(super) const EVENTS_OF_PARTITION: &str = page!(
    "stream_id, cursor_ms, cursor_n, hosts, viewers, (SELECT event FROM events \
        WHERE stream_id = placed.stream_id AND cursor_ms = placed.cursor_ms AND cursor_n = placed.cursor_n)",
    "stream_id, cursor_ms, cursor_n, hosts, viewers",
    "SELECT stream_id, cursor_ms, cursor_n, hosts, viewers, octet_length(event) AS bytes FROM events \
        WHERE partition = $1 AND (cursor_ms, cursor_n) > ($2, $3)",
    "cursor_ms, cursor_n",
    "$4",
    "$5"
);

/// A page of streams that fulfil a further condition. Reads the metadata of the page alone.
macro_rules! streams {
    ($condition:literal) => {
        page!(
            "stream_id, newest_ms, newest_n, room_name, status, audience, \
                (SELECT metadata FROM streams WHERE stream_id = placed.stream_id), \
                created_at, started_at, stopped_at, stop_reason, peak_viewers",
            "stream_id, newest_ms, newest_n, room_name, status, audience, created_at, started_at, stopped_at, \
                stop_reason, peak_viewers",
            concat!(
                "SELECT stream_id, newest_ms, newest_n, room_name, status, audience, created_at, started_at, \
                    stopped_at, stop_reason, peak_viewers, COALESCE(octet_length(metadata), 0) + \
                    octet_length(room_name) + COALESCE(octet_length(stop_reason), 0) AS bytes FROM streams \
                    WHERE created_at >= $1 AND created_at < $2 AND (created_at, stream_id) < ($3, $4)",
                $condition
            ),
            "created_at DESC, stream_id DESC",
            "$5",
            "$6"
        )
    };
}

/// Parameters: time of creation, from and before; time of creation and id of the stream before the page, maximum
/// number, maximum bytes.
pub(super) const STREAMS: &str = streams!("");
/// As [`STREAMS`], with the room's name as the last parameter.
pub(super) const STREAMS_OF_ROOM: &str = streams!(" AND room_name = $7");
/// Parameters: stream, time of the first step, its length. Yields the number of each step, and its greatest and its
/// last number of viewers.
pub(super) const VIEWER_STEPS: &str = "SELECT step, MAX(viewers), MAX(CASE WHEN place = 1 THEN viewers END) FROM ( \
        SELECT (cursor_ms - $2) / $3 AS step, viewers, ROW_NUMBER() OVER ( \
            PARTITION BY (cursor_ms - $2) / $3 ORDER BY cursor_ms DESC, cursor_n DESC) AS place \
        FROM events WHERE stream_id = $1) AS placed \
    GROUP BY step ORDER BY step";
/// Parameters: stream. Yields for each role the number of persons, the sum of their times, and the sum and the number
/// of the one or two times in the middle.
pub(super) const WATCH_TIMES: &str = "SELECT role, MAX(persons), CAST(SUM(watched) AS BIGINT), \
        CAST(SUM(CASE WHEN place IN ((persons + 1) / 2, (persons + 2) / 2) THEN watched ELSE 0 END) AS BIGINT), \
        SUM(CASE WHEN place IN ((persons + 1) / 2, (persons + 2) / 2) THEN 1 ELSE 0 END) FROM ( \
        SELECT role, watched, ROW_NUMBER() OVER (PARTITION BY role ORDER BY watched) AS place, \
            COUNT(*) OVER (PARTITION BY role) AS persons FROM ( \
            SELECT role, identity, SUM(left_at - joined_at) AS watched FROM visits \
            WHERE stream_id = $1 AND kind <> 'agent' GROUP BY role, identity) AS visitors) AS placed \
    GROUP BY role";
/// Parameters: time before which the stream has ended, or had its newest event.
pub(super) const EXPIRED_STREAM: &str = "SELECT stream_id FROM streams WHERE COALESCE(stopped_at, newest_ms) < $1 \
    ORDER BY COALESCE(stopped_at, newest_ms) LIMIT 1";
/// Parameters: the time of [`EXPIRED_STREAM`], and the id from which on streams were created later. Yields a stream
/// that has been removed, of which a visit or a recording was stored afterwards. Such rows precede the stream's own row
/// only while the events of their time are not stored. Ids sort by time, so few rows of each index are read.
pub(super) const REMOVED_STREAM: &str = "SELECT stream_id FROM recordings WHERE stream_id < $2 AND created_at < $1 \
        AND NOT EXISTS (SELECT 1 FROM streams WHERE streams.stream_id = recordings.stream_id) \
    UNION ALL SELECT stream_id FROM visits WHERE stream_id < $2 AND left_at < $1 \
        AND NOT EXISTS (SELECT 1 FROM streams WHERE streams.stream_id = visits.stream_id) LIMIT 1";
const REMOVE_VISITS: &str = "DELETE FROM visits WHERE stream_id = $1 AND sid IN (SELECT sid FROM visits \
    WHERE stream_id = $1 LIMIT 5000)";
const REMOVE_IDENTITIES: &str = "DELETE FROM stream_identities WHERE stream_id = $1 AND identity_sha256 IN (SELECT \
    identity_sha256 FROM stream_identities WHERE stream_id = $1 LIMIT 5000)";
const REMOVE_RECORDINGS: &str = "DELETE FROM recordings WHERE stream_id = $1";
/// Parts of a stream, in the order of their removal. A statement removes a bounded number of rows. Parameters: stream.
pub(super) const REMOVE_STREAM: [&str; 5] = [
    "DELETE FROM events WHERE stream_id = $1 AND (cursor_ms, cursor_n) IN (SELECT cursor_ms, cursor_n FROM events \
        WHERE stream_id = $1 ORDER BY cursor_ms, cursor_n LIMIT 5000)",
    REMOVE_VISITS,
    REMOVE_IDENTITIES,
    REMOVE_RECORDINGS,
    "DELETE FROM streams WHERE stream_id = $1",
];
/// The same of a stream that [`REMOVED_STREAM`] finds by its visits and recordings, which are therefore the last ones.
pub(super) const REMOVE_REMAINS: [&str; 3] = [REMOVE_IDENTITIES, REMOVE_VISITS, REMOVE_RECORDINGS];
/// Parameters: key of the identity. Yields first what was begun.
pub(super) const STREAM_OF_PERSON: &str = "SELECT stream_id, replacement FROM stream_identities \
    WHERE identity_sha256 = $1 ORDER BY replacement IS NULL, stream_id LIMIT 1";
/// Parameters: replacement, key of the identity, stream.
pub(super) const SET_REPLACEMENT: &str = "UPDATE stream_identities SET replacement = $1 \
    WHERE identity_sha256 = $2 AND stream_id = $3 AND replacement IS NULL";
/// Parameters: stream, cursor, pattern.
pub(super) const EVENTS_WITH_TEXT: &str = "SELECT cursor_ms, cursor_n, event FROM events \
    WHERE stream_id = $1 AND (cursor_ms, cursor_n) > ($2, $3) AND event LIKE $4 ESCAPE '!' \
    ORDER BY cursor_ms, cursor_n LIMIT 200";
/// Parameters: event, stream, cursor.
pub(super) const REPLACE_EVENT: &str =
    "UPDATE events SET event = $1 WHERE stream_id = $2 AND cursor_ms = $3 AND cursor_n = $4";
/// Parameters: replacement, stream, identity.
pub(super) const ERASE_VISITS: &str =
    "UPDATE visits SET identity = $1, name = NULL WHERE stream_id = $2 AND identity = $3";
/// Parameters: stream, pattern.
pub(super) const RECORDINGS_WITH_TEXT: &str =
    "SELECT recording_id, recording FROM recordings WHERE stream_id = $1 AND recording LIKE $2 ESCAPE '!'";
/// Parameters: recording, stream, id of the recording.
pub(super) const REPLACE_RECORDING: &str =
    "UPDATE recordings SET recording = $1 WHERE stream_id = $2 AND recording_id = $3";
/// Parameters: key of the identity, stream.
pub(super) const FORGET_PERSON: &str =
    "DELETE FROM stream_identities WHERE identity_sha256 = $1 AND stream_id = $2";

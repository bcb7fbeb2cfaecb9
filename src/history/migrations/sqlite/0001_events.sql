-- Times are milliseconds since 1970. A cursor is two numbers: its time, and the number behind it.

-- How far the logs of each partition are stored: that of all streams ('events'), and that of ended visits ('visits').
CREATE TABLE archive_positions (
    partition INTEGER NOT NULL,
    log TEXT NOT NULL,
    cursor_ms INTEGER NOT NULL,
    cursor_n INTEGER NOT NULL,
    PRIMARY KEY (partition, log)
);

-- What is between two cursors of a partition's log and may be missing.
CREATE TABLE gaps (
    partition INTEGER NOT NULL,
    log TEXT NOT NULL,
    after_ms INTEGER NOT NULL,
    after_n INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    until_n INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (partition, log, after_ms, after_n, until_ms, until_n)
);

-- Each stream as of its newest stored event, whose cursor is `newest_ms` and `newest_n`.
CREATE TABLE streams (
    stream_id BLOB PRIMARY KEY,
    newest_ms INTEGER NOT NULL,
    newest_n INTEGER NOT NULL,
    room_name TEXT NOT NULL,
    status TEXT NOT NULL,
    audience TEXT NOT NULL,
    metadata TEXT,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    stopped_at INTEGER,
    stop_reason TEXT,
    peak_viewers INTEGER NOT NULL
);
CREATE INDEX streams_by_time ON streams (created_at, stream_id);
CREATE INDEX streams_by_end ON streams (COALESCE(stopped_at, newest_ms));
CREATE INDEX streams_by_room ON streams (room_name, created_at, stream_id);

-- `event` is the JSON that clients received; `hosts` and `viewers` are its counts.
CREATE TABLE events (
    partition INTEGER NOT NULL,
    stream_id BLOB NOT NULL,
    cursor_ms INTEGER NOT NULL,
    cursor_n INTEGER NOT NULL,
    hosts INTEGER NOT NULL,
    viewers INTEGER NOT NULL,
    event TEXT NOT NULL,
    PRIMARY KEY (stream_id, cursor_ms, cursor_n)
);
CREATE INDEX events_by_partition ON events (partition, cursor_ms, cursor_n);

-- The streams whose events or visits name an identity, by its SHA-256: LiveKit reports identities of any size, and a
-- row of an index in Postgres has at most 2,704 bytes. `replacement` is what takes the place of the identity in the
-- stream while its erasure is not finished.
CREATE TABLE stream_identities (
    identity_sha256 BLOB NOT NULL,
    stream_id BLOB NOT NULL,
    replacement TEXT,
    PRIMARY KEY (identity_sha256, stream_id)
);
CREATE INDEX identities_by_stream ON stream_identities (stream_id);

-- Ended sessions of participants. A session whose end was recorded twice has the later one. LiveKit reports
-- identities of any characters, so they are bytes.
CREATE TABLE visits (
    stream_id BLOB NOT NULL,
    sid TEXT NOT NULL,
    identity BLOB NOT NULL,
    name TEXT,
    role TEXT NOT NULL,
    kind TEXT NOT NULL,
    joined_at INTEGER NOT NULL,
    left_at INTEGER NOT NULL,
    PRIMARY KEY (stream_id, sid)
);
CREATE INDEX visits_by_time ON visits (stream_id, joined_at, sid);

-- Recordings of streams. `recording` is the JSON of the newest state, without the location of files; `phase` and
-- `report` order the states. A recording may change after the end of its stream.
CREATE TABLE recordings (
    stream_id BLOB NOT NULL,
    recording_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    status TEXT NOT NULL,
    phase INTEGER NOT NULL,
    report INTEGER NOT NULL,
    recording TEXT NOT NULL,
    PRIMARY KEY (stream_id, recording_id)
);

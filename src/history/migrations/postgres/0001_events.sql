-- Times are milliseconds since 1970. A cursor is two numbers: its time, and the number behind it.

-- How far the logs of each partition are stored: that of all streams ('events'), and that of ended visits ('visits').
CREATE TABLE archive_positions (
    partition SMALLINT NOT NULL,
    log TEXT NOT NULL,
    cursor_ms BIGINT NOT NULL,
    cursor_n BIGINT NOT NULL,
    PRIMARY KEY (partition, log)
);

-- What is between two cursors of a partition's log and may be missing.
CREATE TABLE gaps (
    partition SMALLINT NOT NULL,
    log TEXT NOT NULL,
    after_ms BIGINT NOT NULL,
    after_n BIGINT NOT NULL,
    until_ms BIGINT NOT NULL,
    until_n BIGINT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (partition, log, after_ms, after_n, until_ms, until_n)
);

-- Each stream as of its newest stored event, whose cursor is `newest_ms` and `newest_n`.
CREATE TABLE streams (
    stream_id UUID PRIMARY KEY,
    newest_ms BIGINT NOT NULL,
    newest_n BIGINT NOT NULL,
    room_name TEXT NOT NULL,
    status TEXT NOT NULL,
    audience TEXT NOT NULL,
    metadata TEXT,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    stopped_at BIGINT,
    stop_reason TEXT,
    peak_viewers INTEGER NOT NULL
);
CREATE INDEX streams_by_time ON streams (created_at, stream_id);
CREATE INDEX streams_by_end ON streams (COALESCE(stopped_at, newest_ms));
CREATE INDEX streams_by_room ON streams (room_name, created_at, stream_id);

-- `event` is the JSON that clients received; `hosts` and `viewers` are its counts.
CREATE TABLE events (
    partition SMALLINT NOT NULL,
    stream_id UUID NOT NULL,
    cursor_ms BIGINT NOT NULL,
    cursor_n BIGINT NOT NULL,
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
    identity_sha256 BYTEA NOT NULL,
    stream_id UUID NOT NULL,
    replacement TEXT,
    PRIMARY KEY (identity_sha256, stream_id)
);
CREATE INDEX identities_by_stream ON stream_identities (stream_id);

-- Ended sessions of participants. A session whose end was recorded twice has the later one. LiveKit reports
-- identities of any characters, so they are bytes.
CREATE TABLE visits (
    stream_id UUID NOT NULL,
    sid TEXT NOT NULL,
    identity BYTEA NOT NULL,
    name TEXT,
    role TEXT NOT NULL,
    kind TEXT NOT NULL,
    joined_at BIGINT NOT NULL,
    left_at BIGINT NOT NULL,
    PRIMARY KEY (stream_id, sid)
);
CREATE INDEX visits_by_time ON visits (stream_id, joined_at, sid);

-- Recordings of streams. `recording` is the JSON of the newest state, without the location of files; `phase` and
-- `report` order the states. A recording may change after the end of its stream.
CREATE TABLE recordings (
    stream_id UUID NOT NULL,
    recording_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    status TEXT NOT NULL,
    phase SMALLINT NOT NULL,
    report BIGINT NOT NULL,
    recording TEXT NOT NULL,
    PRIMARY KEY (stream_id, recording_id)
);

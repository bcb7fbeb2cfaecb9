//! The history in an SQLite file, for dev mode. One row at a time is enough there.

use async_trait::async_trait;
use sqlx::{
    ConnectOptions, Sqlite, SqlitePool, Transaction,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions},
    types::Uuid,
};

use super::{
    failure::{bounded, of_migration},
    reads::impl_reads,
    removals::impl_removals,
    schema,
    shared::impl_history_store,
    statements, values,
};
use crate::{
    domain::{Cursor, Identity, ParticipantSid, Partition, StreamId, Timestamp, Visit},
    history::{
        batch::Batch,
        erasure::{erased, erased_recording},
        error::HistoryError,
        records::{
            EventRecord, Gap, Log, RecordingRecord, RowLimit, Rows, StreamRecord, StreamSelection,
            ViewerStep, WatchTimes,
        },
        store::{ArchiveOutcome, DatabaseInfo, HistoryStore},
    },
};

/// The version, and whether there are migrations.
const INFO: &str =
    "SELECT sqlite_version(), EXISTS (SELECT 1 FROM sqlite_schema WHERE name = '_sqlx_migrations')";
const INSERT_EVENT: &str = "INSERT INTO events (partition, stream_id, cursor_ms, cursor_n, hosts, viewers, \
        event) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
const INSERT_IDENTITY: &str = "INSERT INTO stream_identities (identity_sha256, stream_id) \
    VALUES ($1, $2) ON CONFLICT DO NOTHING";
/// A record as of an older event does not replace a newer one.
const UPSERT_STREAM: &str = "INSERT INTO streams (stream_id, newest_ms, newest_n, room_name, status, audience, \
        metadata, created_at, started_at, stopped_at, stop_reason, peak_viewers) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
    ON CONFLICT (stream_id) DO UPDATE SET newest_ms = EXCLUDED.newest_ms, newest_n = EXCLUDED.newest_n, \
        status = EXCLUDED.status, audience = EXCLUDED.audience, \
        metadata = COALESCE(EXCLUDED.metadata, streams.metadata), started_at = EXCLUDED.started_at, \
        stopped_at = EXCLUDED.stopped_at, stop_reason = EXCLUDED.stop_reason \
    WHERE (EXCLUDED.newest_ms, EXCLUDED.newest_n) > (streams.newest_ms, streams.newest_n)";
const RAISE_PEAK: &str = "UPDATE streams SET peak_viewers = $2 WHERE stream_id = $1 AND peak_viewers < $2";
/// A later end of a visit replaces the earlier one. What an erasure has replaced stays.
const UPSERT_VISIT: &str = "INSERT INTO visits (stream_id, sid, identity, name, role, kind, joined_at, left_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
    ON CONFLICT (stream_id, sid) DO UPDATE SET role = EXCLUDED.role, left_at = EXCLUDED.left_at \
    WHERE EXCLUDED.left_at > visits.left_at";

/// A state does not replace a later one.
const UPSERT_RECORDING: &str = "INSERT INTO recordings (stream_id, recording_id, created_at, status, phase, report, \
        recording) VALUES ($1, $2, $3, $4, $5, $6, $7) \
    ON CONFLICT (stream_id, recording_id) DO UPDATE SET status = EXCLUDED.status, phase = EXCLUDED.phase, \
        report = EXCLUDED.report, recording = EXCLUDED.recording \
    WHERE (EXCLUDED.phase, EXCLUDED.report) > (recordings.phase, recordings.report)";

/// An SQLite database.
pub(super) struct SqliteHistory {
    pool: SqlitePool,
}

impl_history_store!(SqliteHistory, Sqlite);
impl_reads!(SqliteHistory);
impl_removals!(SqliteHistory, Sqlite);

impl SqliteHistory {
    const KIND: &str = "sqlite";

    /// The pool has one connection, because transactions of an SQLite database exclude each other anyway. It is never
    /// closed, because a database in memory would end with it.
    pub(super) fn new(options: &SqliteConnectOptions) -> Self {
        let options = options.clone().journal_mode(SqliteJournalMode::Wal).disable_statement_logging();
        let pool = SqlitePoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
        Self { pool: pool.connect_lazy_with(options) }
    }

    async fn run_migrations(&self) -> Result<(), HistoryError> {
        let mut connection = self.pool.acquire().await?;
        let migrated = schema::migrator(schema::SQLITE).run_direct(None, &mut *connection, false).await;
        migrated.map_err(|error| of_migration(error, schema::newest(schema::SQLITE)))
    }

    async fn read_info(&self) -> Result<DatabaseInfo, HistoryError> {
        let info: (String, bool) = sqlx::query_as(INFO).fetch_one(&self.pool).await?;
        let ((version, has_migrations), known) = (info, schema::newest(schema::SQLITE));
        let migrations = if has_migrations { self.read_migration(known).await? } else { 0 };
        Ok(DatabaseInfo { version: format!("SQLite {version}"), migrations, known, may_create: true })
    }

    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, HistoryError> {
        Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?)
    }

    async fn add(transaction: &mut Transaction<'_, Sqlite>, batch: &Batch) -> Result<(), HistoryError> {
        for event in &batch.events {
            insert_event(transaction, batch.partition, event).await?;
        }
        for stream in batch.streams.values() {
            upsert_stream(transaction, stream).await?;
        }
        for (identity, id) in &batch.identities {
            let query = sqlx::query(INSERT_IDENTITY).bind(values::of_identity(identity)).bind(id.as_uuid());
            query.execute(&mut **transaction).await?;
        }
        for visit in batch.visits.values() {
            upsert_visit(transaction, visit).await?;
        }
        for recording in batch.recordings.values() {
            upsert_recording(transaction, recording).await?;
        }
        Ok(())
    }
}

async fn insert_event(
    transaction: &mut Transaction<'_, Sqlite>,
    partition: Partition,
    event: &EventRecord,
) -> Result<(), HistoryError> {
    let (ms, n) = values::of_cursor(event.cursor);
    let query = sqlx::query(INSERT_EVENT)
        .bind(i16::from(partition.number()))
        .bind(event.stream_id.as_uuid())
        .bind(ms)
        .bind(n)
        .bind(values::of_count(event.counts.hosts))
        .bind(values::of_count(event.counts.viewers))
        .bind(event.json.as_str());
    query.execute(&mut **transaction).await?;
    Ok(())
}

async fn upsert_stream(
    transaction: &mut Transaction<'_, Sqlite>,
    stream: &StreamRecord,
) -> Result<(), HistoryError> {
    let ((ms, n), peak) = (values::of_cursor(stream.newest), values::of_count(stream.peak_viewers));
    let query = sqlx::query(UPSERT_STREAM)
        .bind(stream.id.as_uuid())
        .bind(ms)
        .bind(n)
        .bind(stream.room_name.as_str())
        .bind(stream.status.as_str())
        .bind(stream.audience.as_str())
        .bind(stream.metadata.as_ref().map(|metadata| metadata.as_text()))
        .bind(stream.created_at.as_millis())
        .bind(stream.started_at.map(|time| time.as_millis()))
        .bind(stream.stopped_at.map(|time| time.as_millis()))
        .bind(stream.stop_reason.as_deref().map(values::of_text))
        .bind(peak);
    query.execute(&mut **transaction).await?;
    sqlx::query(RAISE_PEAK).bind(stream.id.as_uuid()).bind(peak).execute(&mut **transaction).await?;
    Ok(())
}

async fn upsert_visit(transaction: &mut Transaction<'_, Sqlite>, visit: &Visit) -> Result<(), HistoryError> {
    let query = sqlx::query(UPSERT_VISIT)
        .bind(visit.stream_id.as_uuid())
        .bind(values::of_key(visit.sid.as_str()))
        .bind(visit.identity.as_str().as_bytes())
        .bind(visit.name.as_ref().map(|name| values::of_text(name.as_str())))
        .bind(visit.role.as_str())
        .bind(visit.kind.as_str())
        .bind(visit.joined_at.as_millis())
        .bind(visit.left_at.as_millis());
    query.execute(&mut **transaction).await?;
    Ok(())
}

async fn upsert_recording(
    transaction: &mut Transaction<'_, Sqlite>,
    recording: &RecordingRecord,
) -> Result<(), HistoryError> {
    let query = sqlx::query(UPSERT_RECORDING)
        .bind(recording.stream_id.as_uuid())
        .bind(values::of_key(recording.id.as_str()))
        .bind(recording.created_at.as_millis())
        .bind(recording.status.as_str())
        .bind(i16::from(recording.time.phase))
        .bind(recording.time.report)
        .bind(recording.json.as_str());
    query.execute(&mut **transaction).await?;
    Ok(())
}

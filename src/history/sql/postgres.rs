//! The history in Postgres.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::{
    ConnectOptions, Connection, PgPool, Postgres, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
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

/// Maximum number of connections of one instance.
const MAX_CONNECTIONS: u32 = 8;
/// Maximum time until a connection is available.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Limits that Postgres enforces. A paused instance must not keep the lock on the position of a partition, because the
/// instance that takes over needs it.
const SERVER_LIMITS: [(&str, &str); 3] =
    [("statement_timeout", "15s"), ("lock_timeout", "10s"), ("idle_in_transaction_session_timeout", "10s")];

/// The version, whether there are migrations, and whether the user may create tables.
const INFO: &str = "SELECT current_setting('server_version'), to_regclass('_sqlx_migrations') IS NOT NULL, \
    COALESCE(has_schema_privilege(current_schema(), 'CREATE'), false)";
/// One text for any number of rows, so that Postgres plans it once.
const INSERT_EVENTS: &str = "INSERT INTO events (partition, stream_id, cursor_ms, cursor_n, hosts, viewers, event) \
    SELECT $7, * FROM UNNEST($1::uuid[], $2::bigint[], $3::bigint[], $4::integer[], $5::integer[], $6::text[]) \
    ON CONFLICT DO NOTHING";
const INSERT_IDENTITIES: &str = "INSERT INTO stream_identities (identity_sha256, stream_id) \
    SELECT * FROM UNNEST($1::bytea[], $2::uuid[]) ON CONFLICT DO NOTHING";
/// A record as of an older event does not replace a newer one.
const UPSERT_STREAMS: &str = "INSERT INTO streams (stream_id, newest_ms, newest_n, room_name, status, audience, \
        metadata, created_at, started_at, stopped_at, stop_reason, peak_viewers) \
    SELECT * FROM UNNEST($1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], \
        $7::text[], $8::bigint[], $9::bigint[], $10::bigint[], $11::text[], $12::integer[]) \
    ON CONFLICT (stream_id) DO UPDATE SET newest_ms = EXCLUDED.newest_ms, newest_n = EXCLUDED.newest_n, \
        status = EXCLUDED.status, audience = EXCLUDED.audience, \
        metadata = COALESCE(EXCLUDED.metadata, streams.metadata), started_at = EXCLUDED.started_at, \
        stopped_at = EXCLUDED.stopped_at, stop_reason = EXCLUDED.stop_reason \
    WHERE (EXCLUDED.newest_ms, EXCLUDED.newest_n) > (streams.newest_ms, streams.newest_n)";
const RAISE_PEAKS: &str = "UPDATE streams SET peak_viewers = batch.peak \
    FROM UNNEST($1::uuid[], $2::integer[]) AS batch (id, peak) \
    WHERE streams.stream_id = batch.id AND streams.peak_viewers < batch.peak";
/// A later end of a visit replaces the earlier one. What an erasure has replaced stays.
const UPSERT_VISITS: &str = "INSERT INTO visits (stream_id, sid, identity, name, role, kind, joined_at, left_at) \
    SELECT * FROM UNNEST($1::uuid[], $2::text[], $3::bytea[], $4::text[], $5::text[], $6::text[], $7::bigint[], \
        $8::bigint[]) \
    ON CONFLICT (stream_id, sid) DO UPDATE SET role = EXCLUDED.role, left_at = EXCLUDED.left_at \
    WHERE EXCLUDED.left_at > visits.left_at";

/// A state does not replace a later one.
const UPSERT_RECORDINGS: &str = "INSERT INTO recordings (stream_id, recording_id, created_at, status, phase, report, \
        recording) \
    SELECT * FROM UNNEST($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::smallint[], $6::bigint[], $7::text[]) \
    ON CONFLICT (stream_id, recording_id) DO UPDATE SET status = EXCLUDED.status, phase = EXCLUDED.phase, \
        report = EXCLUDED.report, recording = EXCLUDED.recording \
    WHERE (EXCLUDED.phase, EXCLUDED.report) > (recordings.phase, recordings.report)";

/// A Postgres database.
pub(super) struct PostgresHistory {
    options: PgConnectOptions,
    pool: PgPool,
}

impl_history_store!(PostgresHistory, Postgres);
impl_reads!(PostgresHistory);
impl_removals!(PostgresHistory, Postgres);

impl PostgresHistory {
    const KIND: &str = "postgres";

    pub(super) fn new(options: &PgConnectOptions) -> Self {
        let options = options.clone().application_name("livestream-orchestrator").disable_statement_logging();
        let pool = PgPoolOptions::new().max_connections(MAX_CONNECTIONS).acquire_timeout(CONNECT_TIMEOUT);
        Self { pool: pool.connect_lazy_with(options.clone().options(SERVER_LIMITS)), options }
    }

    /// Runs on a connection of its own, because a failure leaves the advisory lock of the migrations to the connection.
    async fn run_migrations(&self) -> Result<(), HistoryError> {
        let connect = bounded(async { Ok(self.options.connect().await?) });
        let mut connection = connect.await?;
        let migrated = schema::migrator(schema::POSTGRES).run_direct(None, &mut connection, false).await;
        let closed = connection.close().await;
        migrated.map_err(|error| of_migration(error, schema::newest(schema::POSTGRES)))?;
        Ok(closed?)
    }

    async fn read_info(&self) -> Result<DatabaseInfo, HistoryError> {
        let info: (String, bool, bool) = sqlx::query_as(INFO).fetch_one(&self.pool).await?;
        let ((version, has_migrations, may_create), known) = (info, schema::newest(schema::POSTGRES));
        let migrations = if has_migrations { self.read_migration(known).await? } else { 0 };
        Ok(DatabaseInfo { version: format!("Postgres {version}"), migrations, known, may_create })
    }

    async fn begin(&self) -> Result<Transaction<'static, Postgres>, HistoryError> {
        Ok(self.pool.begin().await?)
    }

    async fn add(transaction: &mut Transaction<'_, Postgres>, batch: &Batch) -> Result<(), HistoryError> {
        insert_events(transaction, batch).await?;
        upsert_streams(transaction, batch).await?;
        insert_identities(transaction, batch).await?;
        upsert_visits(transaction, batch).await?;
        upsert_recordings(transaction, batch).await
    }
}

async fn insert_events(
    transaction: &mut Transaction<'_, Postgres>,
    batch: &Batch,
) -> Result<(), HistoryError> {
    let events = &batch.events[..];
    if events.is_empty() {
        return Ok(());
    }
    let (ms, n): (Vec<i64>, Vec<i64>) = events.iter().map(|event| values::of_cursor(event.cursor)).unzip();
    let query = sqlx::query(INSERT_EVENTS)
        .bind(column(events, |event| event.stream_id.as_uuid()))
        .bind(ms)
        .bind(n)
        .bind(column(events, |event| values::of_count(event.counts.hosts)))
        .bind(column(events, |event| values::of_count(event.counts.viewers)))
        .bind(column(events, |event| event.json.as_str()))
        .bind(i16::from(batch.partition.number()));
    query.execute(&mut **transaction).await?;
    Ok(())
}

async fn upsert_streams(
    transaction: &mut Transaction<'_, Postgres>,
    batch: &Batch,
) -> Result<(), HistoryError> {
    let streams: Vec<&StreamRecord> = batch.streams.values().collect();
    if streams.is_empty() {
        return Ok(());
    }
    let ids = column(&streams, |stream| stream.id.as_uuid());
    let peaks = column(&streams, |stream| values::of_count(stream.peak_viewers));
    let (ms, n): (Vec<i64>, Vec<i64>) = streams.iter().map(|stream| values::of_cursor(stream.newest)).unzip();
    let query = sqlx::query(UPSERT_STREAMS)
        .bind(&ids)
        .bind(ms)
        .bind(n)
        .bind(column(&streams, |stream| stream.room_name.as_str()))
        .bind(column(&streams, |stream| stream.status.as_str()))
        .bind(column(&streams, |stream| stream.audience.as_str()))
        .bind(column(&streams, |stream| stream.metadata.as_ref().map(|metadata| metadata.as_text())))
        .bind(column(&streams, |stream| stream.created_at.as_millis()))
        .bind(column(&streams, |stream| stream.started_at.map(|time| time.as_millis())))
        .bind(column(&streams, |stream| stream.stopped_at.map(|time| time.as_millis())))
        .bind(column(&streams, |stream| stream.stop_reason.as_deref().map(values::of_text)))
        .bind(&peaks);
    query.execute(&mut **transaction).await?;
    sqlx::query(RAISE_PEAKS).bind(ids).bind(peaks).execute(&mut **transaction).await?;
    Ok(())
}

async fn insert_identities(
    transaction: &mut Transaction<'_, Postgres>,
    batch: &Batch,
) -> Result<(), HistoryError> {
    if batch.identities.is_empty() {
        return Ok(());
    }
    let named = || batch.identities.iter();
    let identities: Vec<_> = named().map(|(identity, _)| values::of_identity(identity)).collect();
    let streams: Vec<Uuid> = named().map(|(_, id)| id.as_uuid()).collect();
    sqlx::query(INSERT_IDENTITIES).bind(identities).bind(streams).execute(&mut **transaction).await?;
    Ok(())
}

async fn upsert_visits(
    transaction: &mut Transaction<'_, Postgres>,
    batch: &Batch,
) -> Result<(), HistoryError> {
    let visits: Vec<&Visit> = batch.visits.values().collect();
    if visits.is_empty() {
        return Ok(());
    }
    let query = sqlx::query(UPSERT_VISITS)
        .bind(column(&visits, |visit| visit.stream_id.as_uuid()))
        .bind(column(&visits, |visit| values::of_key(visit.sid.as_str())))
        .bind(column(&visits, |visit| visit.identity.as_str().as_bytes()))
        .bind(column(&visits, |visit| visit.name.as_ref().map(|name| values::of_text(name.as_str()))))
        .bind(column(&visits, |visit| visit.role.as_str()))
        .bind(column(&visits, |visit| visit.kind.as_str()))
        .bind(column(&visits, |visit| visit.joined_at.as_millis()))
        .bind(column(&visits, |visit| visit.left_at.as_millis()));
    query.execute(&mut **transaction).await?;
    Ok(())
}

async fn upsert_recordings(
    transaction: &mut Transaction<'_, Postgres>,
    batch: &Batch,
) -> Result<(), HistoryError> {
    let recordings: Vec<&RecordingRecord> = batch.recordings.values().collect();
    if recordings.is_empty() {
        return Ok(());
    }
    let query = sqlx::query(UPSERT_RECORDINGS)
        .bind(column(&recordings, |recording| recording.stream_id.as_uuid()))
        .bind(column(&recordings, |recording| values::of_key(recording.id.as_str())))
        .bind(column(&recordings, |recording| recording.created_at.as_millis()))
        .bind(column(&recordings, |recording| recording.status.as_str()))
        .bind(column(&recordings, |recording| i16::from(recording.time.phase)))
        .bind(column(&recordings, |recording| recording.time.report))
        .bind(column(&recordings, |recording| recording.json.as_str()));
    query.execute(&mut **transaction).await?;
    Ok(())
}

/// Returns one column of the rows.
fn column<'a, T, V>(rows: &'a [T], value: impl Fn(&'a T) -> V) -> Vec<V> {
    rows.iter().map(value).collect()
}

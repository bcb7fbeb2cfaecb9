//! Reads of both backends that differ in the type of the database alone, see `shared.rs`.

/// Implements the reads for a type with a `pool`.
macro_rules! impl_reads {
    ($store:ident) => {
        impl $store {
            async fn read_position(
                &self,
                partition: Partition,
                log: Log,
            ) -> Result<Option<Cursor>, HistoryError> {
                let query = sqlx::query_as(statements::POSITION).bind(i16::from(partition.number()));
                let query = query.bind(log.as_str());
                let columns: Option<values::CursorColumns> = query.fetch_optional(&self.pool).await?;
                Ok(columns.map(values::cursor))
            }

            async fn read_stream(&self, id: StreamId) -> Result<Option<StreamRecord>, HistoryError> {
                let query = sqlx::query_as(statements::STREAM).bind(id.as_uuid());
                let columns: Option<values::StreamColumns> = query.fetch_optional(&self.pool).await?;
                columns.map(values::stream).transpose()
            }

            async fn read_events(
                &self,
                id: StreamId,
                after: Cursor,
                limit: RowLimit,
            ) -> Result<Rows<EventRecord>, HistoryError> {
                let (ms, n) = values::of_cursor(after);
                let query = sqlx::query_as(statements::EVENTS).bind(id.as_uuid()).bind(ms).bind(n);
                let query = query.bind(i64::from(limit.rows)).bind(values::of_bytes(limit));
                let rows: Vec<values::EventColumns> = query.fetch_all(&self.pool).await?;
                values::page(rows, |row| row.6, |row| Ok(values::event(row)))
            }

            async fn read_events_of_partition(
                &self,
                partition: Partition,
                after: Cursor,
                limit: RowLimit,
            ) -> Result<Rows<EventRecord>, HistoryError> {
                let (ms, n) = values::of_cursor(after);
                let query = sqlx::query_as(statements::EVENTS_OF_PARTITION);
                let query = query.bind(i16::from(partition.number())).bind(ms).bind(n);
                let query = query.bind(i64::from(limit.rows)).bind(values::of_bytes(limit));
                let rows: Vec<values::EventColumns> = query.fetch_all(&self.pool).await?;
                values::page(rows, |row| row.6, |row| Ok(values::event(row)))
            }

            async fn read_visits(
                &self,
                id: StreamId,
                after: Option<(Timestamp, ParticipantSid)>,
                limit: RowLimit,
            ) -> Result<Rows<Visit>, HistoryError> {
                let (joined_at, sid) = match &after {
                    Some((joined_at, sid)) => (joined_at.as_millis(), sid.as_str()),
                    None => (i64::MIN, ""),
                };
                let query = sqlx::query_as(statements::VISITS).bind(id.as_uuid()).bind(joined_at);
                let query = query.bind(values::of_key(sid)).bind(i64::from(limit.rows));
                let query = query.bind(values::of_bytes(limit));
                let rows: Vec<values::VisitColumns> = query.fetch_all(&self.pool).await?;
                values::page(rows, |row| row.7, |row| values::visit(id, row))
            }

            async fn read_recordings(
                &self,
                id: StreamId,
                limit: RowLimit,
            ) -> Result<Rows<String>, HistoryError> {
                let query = sqlx::query_as(statements::RECORDINGS).bind(id.as_uuid());
                let query = query.bind(i64::from(limit.rows)).bind(values::of_bytes(limit));
                let rows: Vec<(String, i64)> = query.fetch_all(&self.pool).await?;
                values::page(rows, |row| row.1, |row| Ok(row.0))
            }

            async fn read_gaps(&self, partition: Partition, log: Log) -> Result<Vec<Gap>, HistoryError> {
                let query = sqlx::query_as(statements::GAPS).bind(i16::from(partition.number()));
                let query = query.bind(log.as_str());
                let rows: Vec<values::GapColumns> = query.fetch_all(&self.pool).await?;
                rows.into_iter().map(values::gap).collect()
            }

            async fn read_streams(
                &self,
                selection: &StreamSelection,
                before: Option<(Timestamp, StreamId)>,
                limit: RowLimit,
            ) -> Result<Rows<StreamRecord>, HistoryError> {
                let (from, to) = (selection.from.map_or(i64::MIN, Timestamp::as_millis), selection.to);
                let (time, id) =
                    before.map_or((i64::MAX, Uuid::max()), |(time, id)| (time.as_millis(), id.as_uuid()));
                let of_room = selection.room_name.is_some();
                let statement = if of_room { statements::STREAMS_OF_ROOM } else { statements::STREAMS };
                let mut query = sqlx::query_as(statement).bind(from);
                query = query
                    .bind(to.map_or(i64::MAX, Timestamp::as_millis))
                    .bind(time)
                    .bind(id)
                    .bind(i64::from(limit.rows))
                    .bind(values::of_bytes(limit));
                if let Some(room) = &selection.room_name {
                    query = query.bind(room.as_str());
                }
                let rows: Vec<values::StreamColumns> = query.fetch_all(&self.pool).await?;
                values::page(rows, |row| row.12, values::stream)
            }

            async fn read_viewer_steps(
                &self,
                id: StreamId,
                from: Timestamp,
                step_ms: i64,
            ) -> Result<Vec<ViewerStep>, HistoryError> {
                let query =
                    sqlx::query_as(statements::VIEWER_STEPS).bind(id.as_uuid()).bind(from.as_millis());
                let rows: Vec<(i64, i32, i32)> = query.bind(step_ms).fetch_all(&self.pool).await?;
                Ok(rows.into_iter().map(values::viewer_step).collect())
            }

            async fn read_watch_times(&self, id: StreamId) -> Result<WatchTimes, HistoryError> {
                let query = sqlx::query_as(statements::WATCH_TIMES).bind(id.as_uuid());
                let rows: Vec<values::WatchColumns> = query.fetch_all(&self.pool).await?;
                values::watch_times(rows)
            }
        }
    };
}
pub(super) use impl_reads;

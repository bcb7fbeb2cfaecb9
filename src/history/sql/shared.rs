//! Methods of both backends that differ in the type of the database alone: changes, and the trait itself. A macro makes
//! them, because generic functions would repeat sqlx's bounds for each type of each column.

/// Implements [`HistoryStore`](crate::history::store::HistoryStore) for a type with a `pool` and the methods
/// `run_migrations`, `read_info`, `begin` and `add`, and a constant `KIND`.
macro_rules! impl_history_store {
    ($store:ident, $database:ty) => {
        impl $store {
            /// Returns the newest migration. Refuses one that this program does not know.
            async fn read_migration(&self, known: i64) -> Result<i64, HistoryError> {
                let (found,): (i64,) = sqlx::query_as(statements::MIGRATION).fetch_one(&self.pool).await?;
                if found > known { Err(HistoryError::SchemaNewer { found, known }) } else { Ok(found) }
            }

            async fn write(&self, batch: &Batch) -> Result<ArchiveOutcome, HistoryError> {
                let mut transaction = self.begin().await?;
                if !Self::move_position(&mut transaction, batch).await? {
                    transaction.rollback().await?;
                    return Ok(ArchiveOutcome::Superseded);
                }
                Self::add(&mut transaction, batch).await?;
                if let Some(gap) = batch.gap {
                    Self::insert_gap(&mut transaction, batch, gap).await?;
                }
                transaction.commit().await?;
                Ok(ArchiveOutcome::Stored)
            }

            /// Moves the position of the log. Returns false if it is not the one that the batch follows. The change
            /// keeps back other writers of the log until the transaction ends.
            async fn move_position(
                transaction: &mut Transaction<'_, $database>,
                batch: &Batch,
            ) -> Result<bool, HistoryError> {
                let (ms, n) = values::of_cursor(batch.to);
                let statement =
                    if batch.from.is_some() { statements::MOVE_POSITION } else { statements::BEGIN_POSITION };
                let mut query = sqlx::query(statement).bind(i16::from(batch.partition.number()));
                query = query.bind(batch.log.as_str()).bind(ms).bind(n);
                if let Some((ms, n)) = batch.from.map(values::of_cursor) {
                    query = query.bind(ms).bind(n);
                }
                Ok(query.execute(&mut **transaction).await?.rows_affected() == 1)
            }

            async fn insert_gap(
                transaction: &mut Transaction<'_, $database>,
                batch: &Batch,
                gap: Gap,
            ) -> Result<(), HistoryError> {
                let ((after_ms, after_n), (until_ms, until_n)) =
                    (values::of_cursor(gap.after), values::of_cursor(gap.until));
                let query = sqlx::query(statements::INSERT_GAP).bind(i16::from(batch.partition.number()));
                let query =
                    query.bind(batch.log.as_str()).bind(after_ms).bind(after_n).bind(until_ms).bind(until_n);
                query.bind(gap.reason.as_str()).execute(&mut **transaction).await?;
                Ok(())
            }
        }

        #[async_trait]
        impl HistoryStore for $store {
            fn kind(&self) -> &'static str {
                Self::KIND
            }

            async fn examine(&self) -> Result<DatabaseInfo, HistoryError> {
                bounded(self.read_info()).await
            }

            async fn migrate(&self) -> Result<(), HistoryError> {
                self.run_migrations().await
            }

            async fn position(&self, partition: Partition, log: Log) -> Result<Option<Cursor>, HistoryError> {
                bounded(self.read_position(partition, log)).await
            }

            async fn archive(&self, batch: &Batch) -> Result<ArchiveOutcome, HistoryError> {
                bounded(self.write(batch)).await
            }

            async fn streams(
                &self,
                selection: &StreamSelection,
                before: Option<(Timestamp, StreamId)>,
                limit: RowLimit,
            ) -> Result<Rows<StreamRecord>, HistoryError> {
                bounded(self.read_streams(selection, before, limit)).await
            }

            async fn viewer_steps(
                &self,
                id: StreamId,
                from: Timestamp,
                step_ms: i64,
            ) -> Result<Vec<ViewerStep>, HistoryError> {
                bounded(self.read_viewer_steps(id, from, step_ms)).await
            }

            async fn watch_times(&self, id: StreamId) -> Result<WatchTimes, HistoryError> {
                bounded(self.read_watch_times(id)).await
            }

            async fn stream(&self, id: StreamId) -> Result<Option<StreamRecord>, HistoryError> {
                bounded(self.read_stream(id)).await
            }

            async fn events(
                &self,
                id: StreamId,
                after: Cursor,
                limit: RowLimit,
            ) -> Result<Rows<EventRecord>, HistoryError> {
                bounded(self.read_events(id, after, limit)).await
            }

            async fn events_of_partition(
                &self,
                partition: Partition,
                after: Cursor,
                limit: RowLimit,
            ) -> Result<Rows<EventRecord>, HistoryError> {
                bounded(self.read_events_of_partition(partition, after, limit)).await
            }

            async fn visits(
                &self,
                id: StreamId,
                after: Option<(Timestamp, ParticipantSid)>,
                limit: RowLimit,
            ) -> Result<Rows<Visit>, HistoryError> {
                bounded(self.read_visits(id, after, limit)).await
            }

            async fn recordings(&self, id: StreamId, limit: RowLimit) -> Result<Rows<String>, HistoryError> {
                bounded(self.read_recordings(id, limit)).await
            }

            async fn prune(&self, before: Timestamp) -> Result<bool, HistoryError> {
                bounded(self.remove_expired(before)).await
            }

            async fn erase(&self, identity: &Identity) -> Result<bool, HistoryError> {
                self.erase_in_stream(identity).await
            }

            async fn gaps(&self, partition: Partition, log: Log) -> Result<Vec<Gap>, HistoryError> {
                bounded(self.read_gaps(partition, log)).await
            }
        }
    };
}
pub(super) use impl_history_store;

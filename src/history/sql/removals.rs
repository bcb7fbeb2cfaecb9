//! Removals of both backends that differ in the type of the database alone, see `shared.rs`: retention, and the erasure
//! of a person.

/// Implements the removals for a type with a `pool` and the method `begin`.
macro_rules! impl_removals {
    ($store:ident, $database:ty) => {
        impl $store {
            /// Removes a part of the oldest expired stream, or of what was stored of one after its removal. Returns
            /// false if there is neither.
            async fn remove_expired(&self, before: Timestamp) -> Result<bool, HistoryError> {
                let mut transaction = self.begin().await?;
                let query = sqlx::query_as(statements::EXPIRED_STREAM).bind(before.as_millis());
                let expired: Option<(Uuid,)> = query.fetch_optional(&mut *transaction).await?;
                let (id, statements) = match expired {
                    Some((id,)) => (id, &statements::REMOVE_STREAM[..]),
                    None => match Self::removed_stream(&mut transaction, before).await? {
                        Some(id) => (id, &statements::REMOVE_REMAINS[..]),
                        None => return Ok(false),
                    },
                };
                // A statement that removes nothing is done; the next call continues with the first one that is not.
                for statement in statements {
                    let removed = sqlx::query(*statement).bind(id).execute(&mut *transaction).await?;
                    if removed.rows_affected() > 0 {
                        break;
                    }
                }
                transaction.commit().await?;
                Ok(true)
            }

            /// Returns a stream that was removed before some of its visits or recordings were stored.
            async fn removed_stream(
                transaction: &mut Transaction<'_, $database>,
                before: Timestamp,
            ) -> Result<Option<Uuid>, HistoryError> {
                let query = sqlx::query_as(statements::REMOVED_STREAM).bind(before.as_millis());
                let query = query.bind(values::first_id_at(before));
                let removed: Option<(Uuid,)> = query.fetch_optional(&mut **transaction).await?;
                Ok(removed.map(|(id,)| id))
            }

            /// Returns a stream in which a person has not been erased, with what replaces the person there.
            async fn next_erasure(
                &self,
                identity: &Identity,
            ) -> Result<Option<(StreamId, Identity)>, HistoryError> {
                loop {
                    let query = sqlx::query_as(statements::STREAM_OF_PERSON);
                    let query = query.bind(values::of_identity(identity));
                    let found: Option<(Uuid, Option<String>)> = query.fetch_optional(&self.pool).await?;
                    let Some((id, replacement)) = found else { return Ok(None) };
                    if let Some(replacement) = replacement {
                        let replacement = Identity::reported(replacement);
                        let replacement = replacement.ok_or(HistoryError::Corrupt("replacement"))?;
                        return Ok(Some((StreamId::from_uuid(id), replacement)));
                    }
                    let replacement = format!("erased-{}", Uuid::new_v4());
                    let query = sqlx::query(statements::SET_REPLACEMENT).bind(replacement);
                    query.bind(values::of_identity(identity)).bind(id).execute(&self.pool).await?;
                }
            }

            /// Erases a person from a page of the events after a position. Returns the position after the page; `None`
            /// at the end.
            async fn erase_in_events(
                &self,
                id: StreamId,
                (identity, replacement): (&Identity, &Identity),
                after: Cursor,
            ) -> Result<Option<Cursor>, HistoryError> {
                let mut transaction = self.begin().await?;
                let (ms, n) = values::of_cursor(after);
                let query = sqlx::query_as(statements::EVENTS_WITH_TEXT).bind(id.as_uuid()).bind(ms).bind(n);
                let query = query.bind(values::pattern_of(identity));
                let rows: Vec<(i64, i64, String)> = query.fetch_all(&mut *transaction).await?;
                let Some((ms, n, _)) = rows.last() else { return Ok(None) };
                let end = values::cursor((*ms, *n));
                for (ms, n, event) in &rows {
                    let erased = erased(event, identity, replacement);
                    let Some(event) = erased.map_err(|_| HistoryError::Corrupt("event"))? else { continue };
                    let query = sqlx::query(statements::REPLACE_EVENT).bind(event).bind(id.as_uuid());
                    query.bind(ms).bind(n).execute(&mut *transaction).await?;
                }
                transaction.commit().await?;
                Ok(Some(end))
            }

            /// Erases a person from the recordings of a stream.
            async fn erase_in_recordings(
                &self,
                id: StreamId,
                (identity, replacement): (&Identity, &Identity),
            ) -> Result<(), HistoryError> {
                let mut transaction = self.begin().await?;
                let query = sqlx::query_as(statements::RECORDINGS_WITH_TEXT).bind(id.as_uuid());
                let query = query.bind(values::pattern_of(identity));
                let rows: Vec<(String, String)> = query.fetch_all(&mut *transaction).await?;
                for (recording_id, recording) in rows {
                    let erased = erased_recording(&recording, identity, replacement);
                    let Some(erased) = erased.map_err(|_| HistoryError::Corrupt("recording"))? else {
                        continue;
                    };
                    let query = sqlx::query(statements::REPLACE_RECORDING).bind(erased).bind(id.as_uuid());
                    query.bind(recording_id).execute(&mut *transaction).await?;
                }
                Ok(transaction.commit().await?)
            }

            /// Erases a person from the visits of a stream, and records that the stream does not name the person.
            async fn erase_in_visits(
                &self,
                id: StreamId,
                (identity, replacement): (&Identity, &Identity),
            ) -> Result<(), HistoryError> {
                let mut transaction = self.begin().await?;
                let query = sqlx::query(statements::ERASE_VISITS).bind(replacement.as_str().as_bytes());
                let query = query.bind(id.as_uuid()).bind(identity.as_str().as_bytes());
                query.execute(&mut *transaction).await?;
                let query = sqlx::query(statements::FORGET_PERSON).bind(values::of_identity(identity));
                query.bind(id.as_uuid()).execute(&mut *transaction).await?;
                Ok(transaction.commit().await?)
            }

            async fn erase_in_stream(&self, identity: &Identity) -> Result<bool, HistoryError> {
                let Some((id, replacement)) = bounded(self.next_erasure(identity)).await? else {
                    return Ok(false);
                };
                let (person, mut after) = ((identity, &replacement), Cursor::ORIGIN);
                while let Some(end) = bounded(self.erase_in_events(id, person, after)).await? {
                    after = end;
                }
                bounded(self.erase_in_recordings(id, person)).await?;
                bounded(self.erase_in_visits(id, person)).await?;
                Ok(true)
            }
        }
    };
}
pub(super) use impl_removals;

//! What followers of the logs read of the history.

use async_trait::async_trait;

use super::{
    error::HistoryError,
    records::{EventRecord, Log, RowLimit},
    service::History,
};
use crate::{
    domain::{Cursor, EventKind, Partition, StreamId, Timestamp, size::MAX_MESSAGE_BYTES},
    followers::{PastError, PastEvent, PastEvents, PastRead},
};

/// Time before their removal from which events are no longer read, because a part of them may be removed already.
const MARGIN: std::time::Duration = std::time::Duration::from_secs(3_600);

#[async_trait]
impl PastEvents for History {
    async fn past_events(
        &self,
        partition: Partition,
        stream: Option<StreamId>,
        after: Cursor,
        limit: u32,
        now: Timestamp,
    ) -> Result<PastRead, PastError> {
        if self.may_be_removed(after, now) {
            return Ok(PastRead::Missing);
        }
        let read = self.read(self.read_past(partition, stream, after, limit));
        read.await.map_err(|error| PastError(error.to_string()))
    }
}

impl History {
    /// Reports whether events after a position may be removed, because their streams have ended long ago.
    fn may_be_removed(&self, after: Cursor, now: Timestamp) -> bool {
        let after = i64::try_from(after.millis()).unwrap_or(i64::MAX);
        self.retention.is_some_and(|retention| after < now.minus(retention).plus(MARGIN).as_millis())
    }

    async fn read_past(
        &self,
        partition: Partition,
        stream: Option<StreamId>,
        after: Cursor,
        limit: u32,
    ) -> Result<PastRead, HistoryError> {
        // Read first: gaps that are recorded later begin at this position or behind it.
        let stored = self.store.position(partition, Log::Events).await?;
        let Some(stored) = stored.filter(|stored| *stored > after) else { return Ok(PastRead::Behind) };
        let gaps = self.store.gaps(partition, Log::Events).await?;
        let gap = gaps.into_iter().filter(|gap| gap.until > after).map(|gap| gap.after).min();
        let until = gap.map_or(stored, |gap| gap.min(stored));
        let limit = RowLimit { rows: limit, bytes: MAX_MESSAGE_BYTES };
        let page = match stream {
            Some(id) => self.store.events(id, after, limit).await?,
            None => self.store.events_of_partition(partition, after, limit).await?,
        };
        let events = past(page.rows.into_iter().filter(|event| event.cursor <= until), after)?;
        Ok(match gap {
            _ if !events.is_empty() => PastRead::Events(events),
            Some(_) => PastRead::Missing,
            None => PastRead::UpTo(stored),
        })
    }
}

fn past(records: impl Iterator<Item = EventRecord>, after: Cursor) -> Result<Vec<PastEvent>, HistoryError> {
    let mut previous = after;
    let event = |EventRecord { stream_id, cursor, json, .. }: EventRecord| {
        let kind = kind_of(&json).ok_or(HistoryError::Corrupt("event"))?;
        let previous = std::mem::replace(&mut previous, cursor);
        Ok(PastEvent { cursor, previous, stream_id, kind, json })
    };
    records.map(event).collect()
}

fn kind_of(json: &str) -> Option<EventKind> {
    #[derive(serde::Deserialize)]
    struct Head<'a> {
        r#type: &'a str,
    }
    serde_json::from_str::<Head<'_>>(json).ok()?.r#type.parse().ok()
}

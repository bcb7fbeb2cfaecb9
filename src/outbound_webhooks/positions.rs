//! The positions of an endpoint in all partitions, as requests read and change them.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::try_join_all;

use super::{
    backlog::{Behind, Waiting},
    error::Error,
    progress::{POSITION, Progress},
};
use crate::{
    domain::{Cursor, Endpoint, EndpointId, StreamId, Timestamp, Topic},
    store::{
        EventFeed, FollowedPartition, FollowerChange, FollowerRecord, LogRead, ResetReason, SaveOutcome,
        StoreError,
    },
};

/// Maximum number of attempts at a change that a worker makes at the same time.
const ATTEMPTS: usize = 5;

/// Positions of endpoints.
pub(super) struct Positions {
    pub(super) partitions: Vec<Arc<dyn FollowedPartition>>,
    /// The log of all partitions.
    pub(super) feed: Arc<dyn EventFeed>,
}

impl Positions {
    /// Returns the time of the first partition.
    pub(super) async fn now(&self) -> Result<Timestamp, StoreError> {
        match self.partitions.first() {
            Some(partition) => partition.now().await,
            None => Ok(Timestamp::default()),
        }
    }

    /// Records the newest positions for an endpoint that has none.
    pub(super) async fn begin(&self, id: &EndpointId, now: Timestamp) -> Result<(), StoreError> {
        let begun = self.partitions.iter().map(|partition| async move {
            let position = partition.position_at(None).await?;
            let fields = Progress::at(position, now).changes_to(&BTreeMap::new());
            let change = FollowerChange { lease: None, expected: None, generation: 0, fields };
            // A position that exists is that of an earlier attempt at the same request.
            partition.save(id.as_str(), change).await.map(drop)
        });
        try_join_all(begun).await.map(drop)
    }

    /// Returns the state in each partition that has one, without the streams that are behind.
    pub(super) async fn read(&self, id: &EndpointId) -> Result<Vec<Progress>, StoreError> {
        let fields = self.partitions.iter().map(|partition| partition.follower_field(id.as_str(), POSITION));
        let fields = try_join_all(fields).await?.into_iter().flatten();
        let record = |text| {
            let fields = [(POSITION.to_owned(), text)].into();
            FollowerRecord { generation: 0, fields }
        };
        Ok(fields.filter_map(|text| Progress::parse(&record(text))).collect())
    }

    /// Sets the position of an endpoint back, so that everything after the cursor is delivered again.
    ///
    /// # Errors
    /// [`Error::CursorNotKept`] and [`Error::UnknownCursor`]; errors of the store.
    pub(super) async fn replay(
        &self,
        endpoint: &Endpoint,
        after: Cursor,
        now: Timestamp,
    ) -> Result<(), Error> {
        let topic = endpoint.filter.stream_id.map_or(Topic::All, Topic::Stream);
        match self.feed.read_after(topic, after, 1).await? {
            LogRead::Events { .. } => {}
            LogRead::Reset(ResetReason::Future) => return Err(Error::UnknownCursor),
            LogRead::Reset(_) => return Err(Error::CursorNotKept),
        }
        let changes = self.partitions.iter().map(|partition| {
            let change = move |progress: &mut Progress, position| match endpoint.filter.stream_id {
                Some(id) => replay_stream(progress, id, after, now),
                None => replay_all(progress, position),
            };
            change_position(&**partition, &endpoint.id, after, now, change)
        });
        try_join_all(changes).await.map(drop)
    }
}

/// Continues the only stream of an endpoint from its own log.
fn replay_stream(progress: &mut Progress, id: StreamId, after: Cursor, now: Timestamp) {
    let waiting = Waiting { attempts: 0, due: now };
    let again = Behind { after, waiting, undelivered: 1, oldest: now };
    let behind = progress.behind.entry(id).or_insert(again);
    behind.after = behind.after.min(after);
}

/// Continues from a position. Streams that are behind it stay behind.
fn replay_all(progress: &mut Progress, position: Cursor) {
    progress.behind.retain(|_, behind| behind.after < position);
    progress.position = progress.position.min(position);
}

/// Changes the position in one partition, and makes the worker read it again.
async fn change_position(
    partition: &dyn FollowedPartition,
    id: &EndpointId,
    after: Cursor,
    now: Timestamp,
    change: impl Fn(&mut Progress, Cursor),
) -> Result<(), Error> {
    for _ in 0..ATTEMPTS {
        let position = partition.position_at(Some(after)).await?;
        let record = partition.follower(id.as_str()).await?;
        let expected = record.as_ref().map(|record| record.generation);
        let FollowerRecord { generation, fields } = record.unwrap_or_default();
        let parsed = Progress::parse(&FollowerRecord { generation, fields: fields.clone() });
        let mut progress = parsed.unwrap_or_else(|| Progress::at(position, now));
        change(&mut progress, position);
        let fields = progress.changes_to(&fields);
        let change = FollowerChange { lease: None, expected, generation: generation + 1, fields };
        if partition.save(id.as_str(), change).await? == SaveOutcome::Saved {
            return Ok(());
        }
    }
    Err(Error::Contended)
}

//! The positions of an endpoint in all partitions, as requests read and change them.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::try_join_all;

use super::{
    backlog::{Behind, Waiting},
    error::Error,
    progress::{POSITION, Progress},
};
use crate::{
    domain::{Cursor, Endpoint, Partitioning, StreamId, Timestamp, Topic},
    store::{
        EventFeed, FollowedPartition, FollowerChange, FollowerRecord, LogRead, ResetReason, SaveOutcome,
        StoreError,
    },
};

/// Maximum number of attempts at a change that a worker makes at the same time.
const ATTEMPTS: usize = 5;

/// Positions of endpoints.
pub(super) struct Positions {
    partitions: Vec<Arc<dyn FollowedPartition>>,
    partitioning: Partitioning,
    /// The log of all partitions.
    feed: Arc<dyn EventFeed>,
}

impl Positions {
    pub(super) fn new(partitions: Vec<Arc<dyn FollowedPartition>>, feed: Arc<dyn EventFeed>) -> Self {
        let count = u16::try_from(partitions.len()).ok();
        let partitioning = count.and_then(Partitioning::new).unwrap_or(Partitioning::SINGLE);
        Self { partitions, partitioning, feed }
    }

    /// Returns the partitions that may have events for an endpoint.
    fn of(&self, endpoint: &Endpoint) -> impl Iterator<Item = &Arc<dyn FollowedPartition>> {
        let numbered = self.partitioning.all().zip(&self.partitions);
        let followed = numbered.filter(|(number, _)| endpoint.filter.follows(self.partitioning, *number));
        followed.map(|(_, partition)| partition)
    }

    /// Returns the time of the first partition.
    pub(super) async fn now(&self) -> Result<Timestamp, StoreError> {
        match self.partitions.first() {
            Some(partition) => partition.now().await,
            None => Ok(Timestamp::default()),
        }
    }

    /// Records the newest positions for an endpoint that has none.
    pub(super) async fn begin(&self, endpoint: &Endpoint) -> Result<(), StoreError> {
        let begun = self.of(endpoint).map(|partition| async move {
            let position = partition.position_at(None).await?;
            let fields = Progress::at(position, endpoint.enabled_at).changes_to(&BTreeMap::new());
            let change = FollowerChange { lease: None, expected: None, generation: 0, fields };
            // A position that exists is that of an earlier attempt at the same request.
            partition.save(endpoint.id.as_str(), change).await.map(drop)
        });
        try_join_all(begun).await.map(drop)
    }

    /// Returns the state in each partition that has one, without the streams that are behind.
    pub(super) async fn read(&self, endpoint: &Endpoint) -> Result<Vec<Progress>, StoreError> {
        let id = endpoint.id.as_str();
        let fields = self.of(endpoint).map(|partition| partition.follower_field(id, POSITION));
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
        let changes = self.of(endpoint).map(|partition| {
            let change = move |progress: &mut Progress, position| {
                match endpoint.filter.stream_id {
                    Some(id) => replay_stream(progress, id, after, now),
                    None => replay_all(progress, position),
                }
                progress.forget_failures(now);
            };
            change_position(&**partition, endpoint, after, change)
        });
        try_join_all(changes).await.map(drop)
    }
}

/// Continues the only stream of an endpoint from its own log.
fn replay_stream(progress: &mut Progress, id: StreamId, after: Cursor, now: Timestamp) {
    let waiting = Waiting { attempts: 0, due: now };
    let again = Behind { after, waiting, reset: None, undelivered: 1, oldest: now };
    let behind = progress.behind.entry(id).or_insert(again);
    (behind.after, behind.reset) = (behind.after.min(after), None);
}

/// Continues from a position. Streams that are behind it stay behind.
fn replay_all(progress: &mut Progress, position: Cursor) {
    progress.behind.retain(|_, behind| behind.after < position);
    (progress.position, progress.reset.cursor) = (progress.position.min(position), None);
}

/// Changes the position in one partition, and makes the worker read it again.
async fn change_position(
    partition: &dyn FollowedPartition,
    endpoint: &Endpoint,
    after: Cursor,
    change: impl Fn(&mut Progress, Cursor),
) -> Result<(), Error> {
    let id = endpoint.id.as_str();
    for _ in 0..ATTEMPTS {
        let position = partition.position_at(Some(after)).await?;
        let record = partition.follower(id).await?;
        let expected = record.as_ref().map(|record| record.generation);
        let FollowerRecord { generation, fields } = record.unwrap_or_default();
        let parsed = Progress::parse(&FollowerRecord { generation, fields: fields.clone() });
        let mut progress = parsed.unwrap_or_else(|| Progress::at(position, endpoint.enabled_at));
        change(&mut progress, position);
        let fields = progress.changes_to(&fields);
        let change = FollowerChange { lease: None, expected, generation: generation + 1, fields };
        if partition.save(id, change).await? == SaveOutcome::Saved {
            return Ok(());
        }
    }
    Err(Error::Contended)
}

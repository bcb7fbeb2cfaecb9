//! Keeping the position of a worker in the store.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::context::Context;
use crate::{
    domain::{Endpoint, Timestamp},
    followers::RecentEvents,
    outbound_webhooks::progress::Progress,
    store::{FollowerChange, FollowerRecord, SaveOutcome, StoreError},
};

/// Interval at which a position is saved. After a crash, the deliveries of this time are repeated.
const INTERVAL: Duration = Duration::from_millis(500);

/// What the store has of a worker's position.
pub(super) struct Saving {
    id: String,
    generation: u64,
    fields: BTreeMap<String, String>,
    saved: Option<Progress>,
    saved_at: Instant,
    /// Number of the last read event among those that all followers of this instance read.
    number: Option<u64>,
    /// Number of events that were not read, as of the last read.
    unread: u64,
}

impl Saving {
    /// Loads a position, or records the newest one.
    pub(super) async fn load(
        context: &Context,
        endpoint: &Endpoint,
        now: Timestamp,
    ) -> Result<(Self, Progress), StoreError> {
        let id = endpoint.id.to_string();
        let record = match context.partition.follower(&id).await? {
            Some(record) => record,
            None => begin(context, &id, now).await?,
        };
        let corrupt = || StoreError::Corrupt(format!("follower {id}"));
        let mut progress = Progress::parse(&record).ok_or_else(corrupt)?;
        if progress.saved_at < endpoint.enabled_at {
            progress.forget_failures(now);
        }
        let FollowerRecord { generation, fields } = record;
        let (unread, saved_at) = (progress.unread, Instant::now());
        Ok((Self { id, generation, fields, saved: None, saved_at, number: None, unread }, progress))
    }

    pub(super) fn is_due(&self) -> bool {
        self.saved_at.elapsed() >= INTERVAL
    }

    /// Records that events of the log of all streams were read.
    pub(super) fn has_read(&mut self, count: usize, number: Option<u64>) {
        self.unread = self.unread.saturating_sub(count as u64);
        self.number = number;
    }

    /// Reports whether a request has changed the position.
    pub(super) async fn is_superseded(&self, context: &Context) -> bool {
        let record = context.partition.follower(&self.id).await;
        record.is_ok_and(|record| record.is_none_or(|record| record.generation != self.generation))
    }
}

/// Records the newest position of the partition.
async fn begin(context: &Context, id: &str, now: Timestamp) -> Result<FollowerRecord, StoreError> {
    let position = context.partition.position_at(None).await?;
    let fields = Progress::at(position, now).changes_to(&BTreeMap::new());
    let lease = Some(context.lease.clone());
    let change = FollowerChange { lease, expected: None, generation: 0, fields: fields.clone() };
    match context.partition.save(id, change).await? {
        SaveOutcome::Saved => Ok(FollowerRecord { generation: 0, fields: fields.into_iter().collect() }),
        SaveOutcome::LeaseLost | SaveOutcome::Superseded => Err(StoreError::LeaseLost),
    }
}

impl Saving {
    /// Returns the number of events that were not read.
    pub(super) async fn unread(&mut self, recent: &RecentEvents) -> u64 {
        if let Some(number) = self.number {
            self.unread = recent.count().await.saturating_sub(number);
        }
        self.unread
    }

    /// Saves a position if it has changed. Returns false if the lease is lost or a request has changed the position.
    ///
    /// # Errors
    /// Errors of the store.
    pub(super) async fn save(&mut self, context: &Context, progress: Progress) -> Result<bool, StoreError> {
        self.saved_at = Instant::now();
        let unchanged =
            |saved: &Progress| Progress { saved_at: progress.saved_at, ..saved.clone() } == progress;
        if self.saved.as_ref().is_some_and(unchanged) {
            return Ok(true);
        }
        let fields = progress.changes_to(&self.fields);
        // Unknown until the store has answered: the next save writes these fields again.
        self.fields.extend(fields.iter().map(|(name, _)| (name.clone(), String::new())));
        let (lease, generation) = (Some(context.lease.clone()), self.generation);
        let change = FollowerChange { lease, expected: Some(generation), generation, fields: fields.clone() };
        let outcome = context.partition.save(&self.id, change).await?;
        if outcome == SaveOutcome::Saved {
            self.has_saved(progress, fields);
        }
        Ok(outcome == SaveOutcome::Saved)
    }

    fn has_saved(&mut self, progress: Progress, fields: Vec<(String, String)>) {
        for (name, value) in fields {
            if value.is_empty() {
                self.fields.remove(&name);
            } else {
                self.fields.insert(name, value);
            }
        }
        self.saved = Some(progress);
    }
}

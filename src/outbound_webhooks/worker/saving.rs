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
/// Interval at which an unchanged position is saved too, because a request may have changed it without notice.
const COMPARE_INTERVAL: Duration = Duration::from_secs(5);

/// What the store has of a worker's position.
pub(super) struct Saving {
    id: String,
    generation: u64,
    fields: BTreeMap<String, String>,
    saved: Option<Progress>,
    /// When the next save is due.
    due_at: Instant,
    /// When the store last confirmed that no request has changed the position; `None` if that is to be asked again.
    compared_at: Option<Instant>,
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
            None => begin(context, endpoint).await?,
        };
        let corrupt = || StoreError::Corrupt(format!("follower {id}"));
        let mut progress = Progress::parse(&record).ok_or_else(corrupt)?;
        if progress.enabled_at != endpoint.enabled_at {
            progress.forget_failures(now);
        }
        let FollowerRecord { generation, fields } = record;
        let (unread, now) = (progress.unread, Instant::now());
        let (due_at, compared_at) = (now + INTERVAL, Some(now));
        let (saved, number) = (None, None);
        Ok((Self { id, generation, fields, saved, due_at, compared_at, number, unread }, progress))
    }

    pub(super) fn is_due(&self) -> bool {
        self.due_at <= Instant::now()
    }

    /// Makes a save due.
    pub(super) fn save_now(&mut self) {
        self.due_at = Instant::now();
    }

    /// Records that events of the log of all streams were read.
    pub(super) fn has_read(&mut self, count: usize, number: Option<u64>) {
        self.unread = self.unread.saturating_sub(count as u64);
        self.number = number;
    }

    /// Makes a save due, which reports whether a request has changed the position.
    pub(super) fn compare_now(&mut self) {
        (self.due_at, self.compared_at) = (Instant::now(), None);
    }
}

/// Records the newest position of the partition.
async fn begin(context: &Context, endpoint: &Endpoint) -> Result<FollowerRecord, StoreError> {
    let position = context.partition.position_at(None).await?;
    let fields = Progress::at(position, endpoint.enabled_at).changes_to(&BTreeMap::new());
    let lease = Some(context.lease.clone());
    let change = FollowerChange { lease, expected: None, generation: 0, fields: fields.clone() };
    match context.partition.save(endpoint.id.as_str(), change).await? {
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

    /// Saves a position if it has changed or was not compared for [`COMPARE_INTERVAL`]. Returns false if the lease is
    /// lost or a request has changed the position.
    ///
    /// # Errors
    /// Errors of the store. The next call saves and compares again.
    pub(super) async fn save(&mut self, context: &Context, progress: Progress) -> Result<bool, StoreError> {
        let now = Instant::now();
        self.due_at = now + INTERVAL;
        let is_compared = self.compared_at.is_some_and(|at| at.elapsed() < COMPARE_INTERVAL);
        if is_compared && self.saved.as_ref() == Some(&progress) {
            return Ok(true);
        }
        let fields = progress.changes_to(&self.fields);
        // Unknown until the store has answered: the next save writes these fields again.
        self.fields.extend(fields.iter().map(|(name, _)| (name.clone(), String::new())));
        let (lease, generation) = (Some(context.lease.clone()), self.generation);
        let change = FollowerChange { lease, expected: Some(generation), generation, fields: fields.clone() };
        let outcome = context.partition.save(&self.id, change).await?;
        if outcome == SaveOutcome::Saved {
            self.compared_at = Some(now);
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

//! Positions of the jobs that follow the log of one partition.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{Lease, StoreError};
use crate::domain::Cursor;

/// What the store keeps of a follower.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FollowerRecord {
    /// Number of changes that were made without the follower's lease. Such a change, as to another position, makes the
    /// follower read its record again.
    pub generation: u64,
    /// Fields, whose names and contents the follower defines.
    pub fields: BTreeMap<String, String>,
}

/// Changes of a follower's record.
#[derive(Clone, Debug)]
pub struct FollowerChange {
    /// Lease of the instance that runs the follower; `None` for a change by a request.
    pub lease: Option<Lease>,
    /// The generation that the record must have; `None` for a record that must not exist.
    pub expected: Option<u64>,
    /// The generation after the change.
    pub generation: u64,
    /// Fields with their new values; the empty value removes a field. The last ones are written last.
    pub fields: Vec<(String, String)>,
}

/// Result of [`Followers::save`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveOutcome {
    /// The changes are made.
    Saved,
    /// The lease has ended. Nothing is changed.
    LeaseLost,
    /// The record has another generation. Nothing is changed.
    Superseded,
}

/// Records of the followers of a partition. A record has no time to live: the job that runs the followers removes
/// those that no longer exist.
///
/// # Errors
/// Every method returns [`StoreError::Unavailable`] after a bounded time without an answer.
#[async_trait]
pub trait Followers: Send + Sync {
    /// Returns the ids of all followers of the partition.
    async fn followers(&self) -> Result<Vec<String>, StoreError>;

    /// Returns the record of a follower.
    async fn follower(&self, id: &str) -> Result<Option<FollowerRecord>, StoreError>;

    /// Returns one field of a follower's record.
    async fn follower_field(&self, id: &str, name: &str) -> Result<Option<String>, StoreError>;

    /// Changes the record of a follower. Many fields are written in several steps, each of which is atomic.
    async fn save(&self, id: &str, change: FollowerChange) -> Result<SaveOutcome, StoreError>;

    /// Removes the record of a follower.
    async fn remove_follower(&self, id: &str) -> Result<(), StoreError>;

    /// Returns the cursor of the partition's newest event at or before `at`, or of the newest of all for `None`: the
    /// position from which a follower gets every later event.
    async fn position_at(&self, at: Option<Cursor>) -> Result<Cursor, StoreError>;

    /// Keeps every event after `position` in the log of all streams, beyond its minima and within its maxima. Holds for
    /// the time to live of a live stream's keys, so a follower repeats the call.
    async fn keep_after(&self, position: Cursor) -> Result<(), StoreError>;
}

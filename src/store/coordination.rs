//! What instances share besides streams: the clock, leases, locked room names, LiveKit's last listings, probe webhooks.
//!
//! Every method of these traits is one atomic step, whatever number of instances call at once. Every method returns
//! [`StoreError::Unavailable`] after a bounded time without an answer.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;

use super::StoreError;
use crate::domain::{RoomName, StreamId, Timestamp};

/// The clock of a partition, which is the time of all its records.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Returns the current time.
    async fn now(&self) -> Result<Timestamp, StoreError>;
}

/// The right to do a job that one instance at a time may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The job.
    pub job: Job,
    /// Unique token of this lease.
    pub token: String,
}

/// A job of a partition that one instance at a time does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Job {
    /// Reconciliation with LiveKit.
    Reconcile,
    /// Delivery of events to webhook endpoints.
    SendWebhooks,
    /// Storing of events in the history.
    Archive,
}

impl Job {
    /// Returns the job's name in keys and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reconcile => "reconcile",
            Self::SendWebhooks => "webhooks",
            Self::Archive => "archive",
        }
    }
}

/// The leases of a partition, one for each job.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Gives the lease of a job to the caller for `ttl`. Returns `None` if another instance holds it, or if the job
    /// ended less than `every` ago.
    async fn take_lease(&self, job: Job, ttl: Duration, every: Duration)
    -> Result<Option<Lease>, StoreError>;

    /// Extends a lease to `ttl` from now. Returns false if the caller does not hold it any more.
    async fn renew_lease(&self, lease: &Lease, ttl: Duration) -> Result<bool, StoreError>;

    /// Releases the lease and records the end of its job. Has no effect if the caller no longer holds the lease.
    ///
    /// The next [`Self::take_lease`] can succeed after its `every`, or after `again` if that is shorter.
    async fn end_lease(&self, lease: &Lease, again: Option<Duration>) -> Result<(), StoreError>;
}

/// Locks on the room names of ended streams.
///
/// No stream is created under a locked name, so that the deletion of an orphaned room never hits a new stream's room.
#[async_trait]
pub trait RoomNameLocks: Send + Sync {
    /// Locks the room name of an ended stream for `ttl`. Returns false if a live stream owns the name, if no join token
    /// can be valid for it any more, or if it is locked already.
    async fn lock_room_name(&self, room: &RoomName, ttl: Duration) -> Result<bool, StoreError>;

    /// Deletes the lock of a room name, even if another instance has taken it since: the lock has no token. The caller
    /// must know that its own lock has not expired.
    async fn unlock_room_name(&self, room: &RoomName) -> Result<(), StoreError>;
}

/// Streams whose rooms were missing in LiveKit's earlier listings, and the series of empty listings.
#[async_trait]
pub trait ListingHistory: Send + Sync {
    /// Returns the streams whose rooms LiveKit did not list, with the time of the first such listing.
    async fn missing(&self) -> Result<HashMap<StreamId, Timestamp>, StoreError>;

    /// Records that LiveKit does not list the rooms of these streams. Keeps the time of earlier records.
    async fn set_missing(&self, streams: &[StreamId]) -> Result<(), StoreError>;

    /// Removes these records: LiveKit lists the rooms, or the streams have ended.
    async fn clear_missing(&self, streams: &[StreamId]) -> Result<(), StoreError>;

    /// Records an empty listing. Returns true if the first one of an unbroken series is `after` or longer ago.
    async fn confirm_empty_listing(&self, after: Duration) -> Result<bool, StoreError>;

    /// Ends the series of empty listings.
    async fn clear_empty_listing(&self) -> Result<(), StoreError>;
}

/// Webhooks about the rooms that the command `check` creates.
#[async_trait]
pub trait ProbeWebhooks: Send + Sync {
    /// Records for a minute that a webhook about this room has arrived.
    async fn record_probe_webhook(&self, room: &RoomName) -> Result<(), StoreError>;

    /// Reports whether a webhook about this room is recorded.
    async fn has_probe_webhook(&self, room: &RoomName) -> Result<bool, StoreError>;
}

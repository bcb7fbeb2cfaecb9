//! What instances agree on besides streams: the time, who does the jobs that one at a time does, what was seen before, and
//! the names of rooms that are over.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;

use super::StoreError;
use crate::domain::{RoomName, StreamId, Timestamp};

/// The right to do a job that one instance at a time may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// A token that no other lease has.
    pub token: String,
}

/// What [`Coordination::keep`] did with one page of streams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// How many had their time renewed.
    pub renewed: u64,
    /// How many were in the lists and no longer there.
    pub dropped: u64,
    /// To be handed back for the next page; none after the last.
    pub next: Option<String>,
}

/// What instances agree on. Every method is one step, however many instances call at once.
///
/// # Errors
/// Every method fails with [`StoreError::Unavailable`] rather than wait longer than a bounded time.
#[async_trait]
pub trait Coordination: Send + Sync {
    /// The store's time, by which everything is recorded.
    async fn now(&self) -> Result<Timestamp, StoreError>;

    /// Gives the lease for reconciling to one caller at a time, for `ttl`, and not sooner than `every` after the job was
    /// last done. None for everybody else.
    async fn take_lease(&self, ttl: Duration, every: Duration) -> Result<Option<Lease>, StoreError>;

    /// Prolongs a lease to `ttl` from now; says whether it still was the caller's.
    async fn renew_lease(&self, lease: &Lease, ttl: Duration) -> Result<bool, StoreError>;

    /// Gives a lease back: the job is done. Where `again` is set, the job is due again after that time at the latest,
    /// whatever [`Self::take_lease`] says about `every`.
    async fn end_lease(&self, lease: &Lease, again: Option<Duration>) -> Result<(), StoreError>;

    /// Streams whose rooms LiveKit did not list, by when it first did not. See [`Self::set_missing`].
    async fn missing(&self) -> Result<HashMap<StreamId, Timestamp>, StoreError>;

    /// Remembers that LiveKit did not list the rooms of these streams, unless that is remembered already.
    async fn set_missing(&self, streams: &[StreamId]) -> Result<(), StoreError>;

    /// Forgets it: LiveKit lists the rooms, or the streams have ended.
    async fn clear_missing(&self, streams: &[StreamId]) -> Result<(), StoreError>;

    /// Something was seen that is to be believed only when it is seen again, `after` or longer after the first time;
    /// says whether it is. See [`Self::trust`].
    async fn suspect(&self, after: Duration) -> Result<bool, StoreError>;

    /// Forgets what was suspected: it was not seen again.
    async fn trust(&self) -> Result<(), StoreError>;

    /// Holds the name of a room that is over, for `ttl`, so that no stream begins under it meanwhile. False where a live
    /// stream has the name, where no join token can be good for it any more, and where somebody holds it already.
    async fn hold_room(&self, room: &RoomName, ttl: Duration) -> Result<bool, StoreError>;

    /// Lets go of a name that [`Self::hold_room`] held.
    async fn release_room(&self, room: &RoomName) -> Result<(), StoreError>;

    /// Remembers for a minute that a webhook about this room has arrived.
    async fn note(&self, room: &RoomName) -> Result<(), StoreError>;

    /// Whether [`Self::note`] was called for this room.
    async fn is_noted(&self, room: &RoomName) -> Result<bool, StoreError>;

    /// Names of rooms that are over and for which a join token may still be good.
    async fn closed_rooms(&self, limit: usize, offset: usize) -> Result<Vec<RoomName>, StoreError>;

    /// Renews the time of streams that live, and takes those out of the lists that are no longer there. One page.
    async fn keep(&self, limit: usize, after: Option<&str>) -> Result<Kept, StoreError>;
}

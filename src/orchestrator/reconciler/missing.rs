//! Streams whose rooms LiveKit does not list.

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::Ordering,
    time::Duration,
};

use super::{
    report::{Repairs, count},
    service::{PAGE, Reconciler},
};
use crate::{
    domain::{Change, RoomName, StopReason, Stream, StreamId, StreamStatus, Timestamp},
    orchestrator::error::Error,
    rooms::Room,
    store::{Guard, Lease, StoreError},
};

/// Number of active streams, in all partitions, from which an empty list must be confirmed by a second one.
const CONFIRM_FROM: usize = 2;
/// Upper bound of the time that must pass between the first empty listing and the one that confirms it.
const MAX_CONFIRMATION_DELAY: Duration = Duration::from_secs(15);

/// A stream whose room LiveKit did not list.
pub(super) struct MissingRoom {
    pub(super) stream: Stream,
    /// Records after this time may be newer than the list.
    pub(super) before: Timestamp,
    /// Time of the first list without the room; `None` if this is the first.
    pub(super) since: Option<Timestamp>,
    /// True if LiveKit lists another room of the same name, which proves that the stream's room is gone.
    pub(super) replaced: bool,
}

impl MissingRoom {
    /// Reports whether the list proves that the room is gone. A stream that started later may be newer than the list. A
    /// room with connected participants must be missing in two lists, one of them from before the grace period: nodes
    /// of a LiveKit cluster may omit a room for a moment (livekit issue 4316).
    fn is_decided(&self) -> bool {
        let confirmed = || self.since.is_some_and(|since| since <= self.before);
        let started = self.stream.started_at.is_some_and(|at| at < self.before);
        let occupied = self.stream.is_occupied();
        started && (self.replaced || !occupied || confirmed())
    }
}

impl Reconciler {
    /// Updates the record of missing rooms from one page of LiveKit's list. A listed room is removed from it.
    pub(super) async fn remember_missing(
        &self,
        known: &HashMap<StreamId, Timestamp>,
        found: &[(Stream, Room)],
        missing: &[MissingRoom],
    ) -> Result<(), Error> {
        let back: Vec<_> =
            found.iter().map(|(stream, _)| stream.id).filter(|id| known.contains_key(id)).collect();
        let new: Vec<_> = missing
            .iter()
            .filter(|missing| missing.since.is_none())
            .map(|missing| missing.stream.id)
            .collect();
        self.store.set_missing(&new).await?;
        Ok(self.store.clear_missing(&back).await?)
    }

    /// Drops streams that have ended from the record of missing rooms.
    pub(super) async fn forget_ended(
        &self,
        known: &HashMap<StreamId, Timestamp>,
        missing: &[MissingRoom],
    ) -> Result<(), Error> {
        let still: HashSet<_> = missing.iter().map(|missing| missing.stream.id).collect();
        let ended: Vec<_> = known.keys().copied().filter(|id| !still.contains(id)).collect();
        Ok(self.store.clear_missing(&ended).await?)
    }

    /// Reports whether streams may be stopped because of this listing. An empty listing while two or more streams are
    /// active must be confirmed by a second one.
    pub(super) async fn confirm_listing(&self, listed: usize, missing: usize) -> Result<bool, Error> {
        if listed > 0 || missing == 0 || self.active_streams(missing).await? < CONFIRM_FROM {
            self.store.clear_empty_listing().await?;
            return Ok(true);
        }
        let again = self
            .store
            .confirm_empty_listing((self.policy.reconcile_interval / 2).min(MAX_CONFIRMATION_DELAY))
            .await?;
        if !again {
            tracing::warn!(
                streams = missing,
                "LiveKit lists no rooms; streams are stopped only if a second list confirms it"
            );
        }
        Ok(again)
    }

    /// Returns the number of active streams in all partitions, of which at least `missing` are in this one. Reads it
    /// only if that decides nothing.
    async fn active_streams(&self, missing: usize) -> Result<usize, Error> {
        if missing >= CONFIRM_FROM {
            return Ok(missing);
        }
        let totals = self.orchestrator.store.totals().await?;
        let active = totals.streams.iter().find(|(status, _)| *status == StreamStatus::Active);
        Ok(active.map_or(missing, |(_, count)| usize::try_from(*count).unwrap_or(usize::MAX)))
    }

    /// Stops the streams whose rooms are gone. Lists the rooms again first, because the first listing may be stale.
    pub(super) async fn stop_missing(
        &self,
        missing: Vec<MissingRoom>,
        lease: &Lease,
        repairs: &Repairs,
    ) -> Result<(), Error> {
        let (missing, undecided): (Vec<_>, Vec<_>) = missing.into_iter().partition(MissingRoom::is_decided);
        repairs.undecided.fetch_add(undecided.len() as u64, Ordering::Relaxed);
        for page in missing.chunks(PAGE) {
            let names: Vec<RoomName> = page.iter().map(|missing| missing.stream.room_name.clone()).collect();
            let rooms = self.rooms.list(&names).await?;
            for MissingRoom { stream, .. } in page {
                if rooms.iter().any(|room| is_room_of(room, stream)) {
                    continue;
                }
                self.renew_lease(lease).await?;
                let begin =
                    Change::BeginStop { reason: StopReason::RoomGone, room_sid: stream.room_sid.clone() };
                let guard = Guard { lease: Some(lease.clone()), ..Guard::default() };
                match self.orchestrator.stop_with_change(stream, begin, guard).await {
                    Ok(stopped) if stopped.status == StreamStatus::Stopped => {
                        tracing::warn!(stream = %stream.id, "stream stopped: LiveKit no longer has its room");
                        count(&repairs.stopped);
                    }
                    // Another instance stops the stream, or the sweeper does when LiveKit answers again.
                    Ok(_) | Err(Error::Store(StoreError::NotFound | StoreError::Rejected(_))) => {}
                    Err(error @ (Error::Rooms(_) | Error::Ingress(_) | Error::OperationInProgress(_))) => {
                        tracing::warn!(
                            stream = %stream.id,
                            %error,
                            "stream without a room not stopped; the sweeper retries"
                        );
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

/// Reports whether a room is the stream's own room and not a later one of the same name.
pub(super) fn is_room_of(room: &Room, stream: &Stream) -> bool {
    room.name == stream.room_name.as_str() && stream.room_sid.as_ref() == Some(&room.sid)
}

//! Streams whose rooms LiveKit does not list.

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::Ordering,
    time::Duration,
};

use super::{MANY, Missing, PAGE, Repairs, count, is_room_of};
use crate::{
    domain::{Change, RoomName, StopReason, Stream, StreamId, StreamStatus, Timestamp},
    orchestrator::{Error, Orchestrator},
    rooms::Room,
    store::{Guard, Lease, StoreError},
};

/// How long an empty list of LiveKit's must last at the most until it is believed.
const EMPTY_LIST_LASTS: Duration = Duration::from_secs(15);

impl Missing {
    /// Whether the list decides. A stream that was started since may be newer than the list. A room with connected
    /// participants must be missing in two lists, one of them from before the grace: nodes of a LiveKit cluster may
    /// stop listing a room for a moment (livekit issue 4316).
    fn is_decided(&self) -> bool {
        let confirmed = || self.since.is_some_and(|since| since <= self.before);
        let started = self.stream.started_at.is_some_and(|at| at < self.before);
        let occupied = self.stream.participant_count + self.stream.uncounted > 0;
        started && (self.replaced || !occupied || confirmed())
    }
}

impl Orchestrator {
    /// Keeps the record of missing rooms as one page of LiveKit's list has it. A room that is listed again counts as
    /// never missed.
    pub(super) async fn remember_missing(
        &self,
        known: &HashMap<StreamId, Timestamp>,
        found: &[(Stream, Room)],
        missing: &[Missing],
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
        missing: &[Missing],
    ) -> Result<(), Error> {
        let still: HashSet<_> = missing.iter().map(|missing| missing.stream.id).collect();
        let ended: Vec<_> = known.keys().copied().filter(|id| !still.contains(id)).collect();
        Ok(self.store.clear_missing(&ended).await?)
    }

    /// Whether what LiveKit listed can be acted on: not if it lists nothing while many streams are live, unless it did so
    /// before.
    pub(super) async fn is_believable(&self, listed: usize, missing: usize) -> Result<bool, Error> {
        if listed > 0 || missing < MANY {
            self.store.clear_empty_listing().await?;
            return Ok(true);
        }
        let again = self
            .store
            .confirm_empty_listing((self.policy.reconcile_interval / 2).min(EMPTY_LIST_LASTS))
            .await?;
        if !again {
            tracing::warn!(
                streams = missing,
                "LiveKit lists none of the rooms; nothing is stopped unless it says so again"
            );
        }
        Ok(again)
    }

    /// Stops the streams whose rooms are gone. Each is asked about once more: it may be that only the list was late.
    pub(super) async fn stop_missing(
        &self,
        missing: Vec<Missing>,
        lease: &Lease,
        repairs: &Repairs,
    ) -> Result<(), Error> {
        let (missing, undecided): (Vec<_>, Vec<_>) = missing.into_iter().partition(Missing::is_decided);
        repairs.undecided.fetch_add(undecided.len() as u64, Ordering::Relaxed);
        for page in missing.chunks(PAGE) {
            let names: Vec<RoomName> = page.iter().map(|missing| missing.stream.room_name.clone()).collect();
            let rooms = self.rooms.list(&names).await?;
            for Missing { stream, .. } in page {
                if rooms.iter().any(|room| is_room_of(room, stream)) {
                    continue;
                }
                self.keep_lease(lease).await?;
                let begin =
                    Change::BeginStop { reason: StopReason::RoomGone, room_sid: stream.room_sid.clone() };
                let guard = Guard { lease: Some(lease.clone()), ..Guard::default() };
                match self.stop_by(stream, begin, guard).await {
                    Ok(stopped) if stopped.status == StreamStatus::Stopped => {
                        tracing::warn!(stream = %stream.id, "stopped: LiveKit no longer has its room");
                        count(&repairs.stopped);
                    }
                    // Another instance stops it, or it is finished when LiveKit answers again.
                    Ok(_) | Err(Error::Store(StoreError::NotFound | StoreError::Rejected(_))) => {}
                    Err(Error::Rooms(error)) => {
                        tracing::warn!(stream = %stream.id, %error, "a stream without a room could not be stopped yet");
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

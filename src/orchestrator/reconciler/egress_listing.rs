//! LiveKit's list of all egresses.

use std::collections::HashMap;

use super::{report::Repairs, service::Reconciler};
use crate::{
    domain::{EgressStatus, RoomName, Stream, Timestamp},
    media::{ListedEgress, MediaError},
    orchestrator::error::Error,
    store::Lease,
};

/// LiveKit's egresses by room.
pub(super) struct EgressListing {
    by_room: HashMap<String, Vec<ListedEgress>>,
    /// Records after this time may be newer than the listing.
    pub(super) before: Timestamp,
    /// Time of the listing.
    pub(super) now: Timestamp,
}

/// Reports whether a listed egress has not ended.
pub(super) const fn is_running(listed: &ListedEgress) -> bool {
    !listed.report.state.status.is_over()
}

impl EgressListing {
    /// Returns the egresses in a stream's room.
    pub(super) fn of(&self, stream: &Stream) -> &[ListedEgress] {
        self.by_room.get(stream.room_name.as_str()).map(Vec::as_slice).unwrap_or_default()
    }

    /// Reports whether a stream's egresses need a comparison.
    pub(super) fn concerns(&self, stream: &Stream) -> bool {
        stream.recording || stream.broadcasting || self.of(stream).iter().any(is_running)
    }
}

impl Reconciler {
    /// Lists all egresses of LiveKit. Returns `None` if LiveKit runs without Redis.
    ///
    /// # Errors
    /// [`Error::Egress`] if LiveKit does not answer; errors of the store.
    pub(super) async fn list_egresses(&self) -> Result<Option<EgressListing>, Error> {
        let now = self.store.now().await?;
        let listed = match self.orchestrator.media.egresses(None).await {
            Err(MediaError::Unsupported) => return Ok(None),
            listed => listed.map_err(Error::Egress)?,
        };
        let mut by_room: HashMap<String, Vec<ListedEgress>> = HashMap::new();
        for egress in listed {
            by_room.entry(egress.room.clone()).or_default().push(egress);
        }
        Ok(Some(EgressListing { by_room, before: now.minus(self.policy.listing_grace), now }))
    }

    /// Stops egresses in the rooms of ended streams: LiveKit has started them after the stop.
    ///
    /// # Errors
    /// Errors of the store.
    pub(super) async fn stop_orphaned_egresses(
        &self,
        listing: &EgressListing,
        lease: &Lease,
        repairs: &Repairs,
    ) -> Result<(), Error> {
        for ListedEgress { room, report } in listing.by_room.values().flatten() {
            let takes_media = matches!(report.state.status, EgressStatus::Starting | EgressStatus::Active);
            let Some(sid) = report.room_sid.as_ref().filter(|_| takes_media) else { continue };
            let Ok(room) = RoomName::parse(room.clone()) else { continue };
            let Some(id) = self.store.id_of_room(&room).await? else { continue };
            let stream = self.store.get(id).await?;
            let is_of_ended =
                |stream: &Stream| stream.status.is_final() && stream.room_sid.as_ref() == Some(sid);
            if stream.is_some_and(|stream| is_of_ended(&stream)) {
                self.stop_listed(report, lease, &repairs.egresses).await?;
            }
        }
        Ok(())
    }
}

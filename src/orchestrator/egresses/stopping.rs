//! Stop of recordings and broadcasts: by a caller, and with their stream.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::time::{Instant, sleep, timeout};

use super::view::EgressView;
use crate::{
    access::{Action, Caller},
    domain::{EgressId, EgressKind, StreamRef},
    media::{ListedEgress, MediaError},
    orchestrator::{error::Error, find::permit, policy::MEDIA_DEADLINE, service::Orchestrator},
    store::{Guard, StoreError},
};

/// Interval at which LiveKit is asked whether the egresses of a stream that stops have ended.
const POLL: Duration = Duration::from_millis(250);
/// Maximum number of calls to LiveKit at once.
const CONCURRENCY: usize = 8;

impl Orchestrator {
    /// Stops a recording or a broadcast, which then completes its outputs. Returns one that has ended unchanged.
    ///
    /// # Errors
    /// [`Error::RecordingNotFound`], [`Error::BroadcastNotFound`]; [`Error::Egress`] if LiveKit does not stop it,
    /// within 5 s; [`Error::Forbidden`].
    #[tracing::instrument(level = "debug", skip_all, fields(caller = caller.identity(), stream = %stream.id))]
    pub async fn stop_egress(
        &self,
        caller: &Caller,
        stream: &StreamRef,
        (kind, id): (EgressKind, &EgressId),
        guard: Guard,
    ) -> Result<EgressView, Error> {
        permit(caller, Action::Record, &stream.room_name)?;
        let known = self.egress_view(caller, stream, (kind, id)).await?;
        if !known.egress.is_running() {
            return Ok(known);
        }
        let until = Instant::now() + MEDIA_DEADLINE;
        self.media.stop_egress(id).await.map_err(Error::Egress)?;
        self.try_refresh_egress(stream, id, guard, until).await;
        self.egress_view(caller, stream, (kind, id)).await
    }

    /// Stops the egresses of a stream's room, because the stream ends, and waits until they have ended, for at most
    /// `wait`. LiveKit may refuse: the end of the room then ends them.
    ///
    /// # Errors
    /// Errors of the store.
    pub(in crate::orchestrator) async fn end_egresses(
        &self,
        stream: &StreamRef,
        wait: Duration,
    ) -> Result<(), Error> {
        match timeout(wait, self.stop_all(stream)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Error::Egress(MediaError::Unsupported))) => Ok(()),
            Ok(Err(Error::Egress(error))) => {
                tracing::warn!(stream = %stream.id, %error, "egresses of a stream that ends not stopped");
                Ok(())
            }
            // The stream has ended in the meantime.
            Ok(Err(Error::Store(StoreError::NotFound))) => Ok(()),
            Ok(Err(error)) => Err(error),
            Err(_) => {
                tracing::info!(stream = %stream.id, "egresses outlive their stream: only GET shows their results");
                Ok(())
            }
        }
    }

    async fn stop_all(&self, stream: &StreamRef) -> Result<(), Error> {
        let mut running = self.running_egresses(stream).await?;
        let stops = stream::iter(running.clone()).map(async |id| {
            // A worker that has died does not answer. Its egress ends with the room.
            if let Err(error) = self.media.stop_egress(&id).await {
                tracing::debug!(stream = %stream.id, egress = %id, %error, "egress not stopped");
            }
        });
        stops.buffer_unordered(CONCURRENCY).collect::<()>().await;
        loop {
            running = self.record_ends(stream, running).await?;
            if running.is_empty() {
                return Ok(());
            }
            sleep(POLL).await;
        }
    }

    /// Returns the egresses that run in a stream's room: those of its record, and those of other tools.
    async fn running_egresses(&self, stream: &StreamRef) -> Result<Vec<EgressId>, Error> {
        let room_sid = self.store.get(stream.id).await?.ok_or(StoreError::NotFound)?.room_sid;
        let recorded = self.store.egresses(stream.id).await?.egresses.into_iter();
        let mut ids: Vec<_> = recorded.filter(|egress| egress.is_running()).map(|egress| egress.id).collect();
        for ListedEgress { report, .. } in self.list_egresses_of(stream).await? {
            if report.is_in(room_sid.as_ref()) && !report.state.status.is_over() && !ids.contains(&report.id)
            {
                ids.push(report.id);
            }
        }
        Ok(ids)
    }

    async fn list_egresses_of(&self, stream: &StreamRef) -> Result<Vec<ListedEgress>, Error> {
        self.media.egresses(Some(&stream.room_name)).await.map_err(Error::Egress)
    }

    /// Records the states of these egresses; returns those that have not ended.
    async fn record_ends(&self, stream: &StreamRef, ids: Vec<EgressId>) -> Result<Vec<EgressId>, Error> {
        if ids.is_empty() {
            return Ok(ids);
        }
        let listed = self.list_egresses_of(stream).await?.into_iter();
        let mut listed: BTreeMap<_, _> = listed.map(|one| (one.report.id.clone(), one)).collect();
        let mut running = Vec::new();
        for id in ids {
            let Some(state) = listed.remove(&id) else { continue };
            if !state.report.state.status.is_over() {
                running.push(id);
            }
            self.record_egress(stream, state, Guard::default()).await?;
        }
        Ok(running)
    }
}

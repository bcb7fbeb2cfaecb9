//! Reconciler: compares the recorded streams with LiveKit and repairs differences by ordinary changes.
//!
//! Webhooks are fast but can be lost. One instance at a time, which holds the reconciliation lease, therefore lists the
//! rooms of all live streams and their participants. LiveKit's lists may be late too, so a repair changes only what was
//! recorded before a given time. Every change carries the lease: an instance that was suspended and has lost the lease
//! changes nothing.
//!
//! An empty list must be confirmed by a second one. Otherwise a LiveKit server that has just lost its state, or a proxy
//! that answers for it, would end every live stream.

mod compare;
mod missing;
mod orphaned_rooms;
mod report;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{TryStreamExt, stream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use self::missing::{MissingRoom, is_room_of};
pub use self::report::Report;
use super::{error::Error, policy::Policy, service::Orchestrator};
use crate::{
    domain::StreamStatus,
    rooms::Rooms,
    store::{Lease, Store, StoreError, StreamFilter},
    telemetry::Metrics,
};

/// Maximum interval at which an instance polls whether a reconciliation is due.
const POLL: Duration = Duration::from_secs(1);
/// Time without a renewal after which another instance takes over.
const LEASE: Duration = Duration::from_secs(10);
/// Maximum streams in one list request to LiveKit.
const PAGE: usize = 500;
/// Maximum concurrent comparisons, each of which takes one or two LiveKit calls.
const CONCURRENCY: usize = 8;

/// Compares the recorded streams with LiveKit's rooms and repairs differences.
pub struct Reconciler {
    orchestrator: Arc<Orchestrator>,
    store: Arc<dyn Store>,
    rooms: Arc<dyn Rooms>,
    policy: Policy,
    metrics: Arc<Metrics>,
}

impl Reconciler {
    /// Creates a reconciler.
    pub fn new(orchestrator: Arc<Orchestrator>) -> Self {
        let (store, rooms) = (orchestrator.store.clone(), orchestrator.rooms.clone());
        let (policy, metrics) = (orchestrator.policy, orchestrator.metrics.clone());
        Self { orchestrator, store, rooms, policy, metrics }
    }

    /// Reconciles at the start and then once an interval over all instances, until `shutdown`.
    pub async fn run(&self, shutdown: CancellationToken) {
        let interval = self.policy.reconcile_interval;
        let mut every = Duration::ZERO;
        loop {
            match shutdown.run_until_cancelled(self.reconcile(every)).await {
                Some(Ok(_)) => {}
                Some(Err(error)) => tracing::warn!(%error, "reconciliation with LiveKit failed"),
                None => return,
            }
            // A poll is more frequent than the interval, because young differences need a second comparison. The jitter
            // spreads the polls of the instances.
            every = interval;
            let pause = (interval / 4).min(POLL).mul_f64(0.75 + fastrand::f64() / 2.0);
            if shutdown.run_until_cancelled(sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    /// Compares all streams with LiveKit. Returns `None` if another instance does so, or if the last reconciliation ended
    /// less than `every` ago.
    ///
    /// # Errors
    /// Errors of the store and of LiveKit. Nothing is changed while LiveKit does not answer.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn reconcile(&self, every: Duration) -> Result<Option<Report>, Error> {
        let Some(lease) = self.store.take_lease(LEASE, every).await? else { return Ok(None) };
        let timer = self.metrics.reconcile_duration.start_timer();
        let done = tokio::select! {
            done = self.compare_all(&lease) => done,
            lost = self.hold_lease(&lease) => Err(lost),
        };
        timer.observe_duration();
        let outcome = match &done {
            Ok(report) if report.held_back => "held_back",
            Ok(report) if report.failed > 0 => "failed",
            Ok(_) => "done",
            Err(Error::Store(StoreError::Fenced)) => "fenced",
            Err(_) => "failed",
        };
        self.metrics.reconciliations.with_label_values(&[outcome]).inc();
        // Undecided differences and failed comparisons are compared again after the grace period, whatever the interval.
        let unfinished = done.as_ref().map_or(true, Report::is_unfinished);
        let again = unfinished.then_some(self.policy.listing_grace);
        self.store.end_lease(&lease, again).await?;
        done.map(Some)
    }

    /// Renews the lease until it is lost. It may still be held while the store does not answer.
    async fn hold_lease(&self, lease: &Lease) -> Error {
        loop {
            sleep(LEASE / 3).await;
            match self.renew_lease(lease).await {
                Err(error @ Error::Store(StoreError::Fenced)) => return error,
                Err(error) => tracing::warn!(%error, "lease renewal failed; retrying"),
                Ok(()) => {}
            }
        }
    }

    /// Renews the lease before a LiveKit call, which no lease can guard.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] if the lease is lost.
    pub(super) async fn renew_lease(&self, lease: &Lease) -> Result<(), Error> {
        if self.store.renew_lease(lease, LEASE).await? { Ok(()) } else { Err(StoreError::Fenced.into()) }
    }

    async fn compare_all(&self, lease: &Lease) -> Result<Report, Error> {
        let mut report = Report::default();
        let compared = self.compare_streams(lease, &mut report).await;
        // Renews TTLs also if LiveKit does not answer.
        let kept = self.renew_and_prune_all().await;
        let other_settings = report.repairs.other_settings.load(Ordering::Relaxed);
        self.metrics.rooms_with_other_settings.set(i64::try_from(other_settings).unwrap_or(i64::MAX));
        for (kind, count) in report.repairs.counts() {
            self.metrics.repairs.with_label_values(&[kind]).inc_by(count);
        }
        compared?;
        kept?;
        let repairs = report.repairs();
        if repairs > 0 {
            tracing::warn!(repairs = ?report.repairs.counts(), "repaired differences from LiveKit: webhooks were lost, or an instance ended");
        }
        Ok(report)
    }

    async fn compare_streams(&self, lease: &Lease, report: &mut Report) -> Result<(), Error> {
        self.rooms.ping().await?;
        let known_missing = self.store.missing().await?;
        let (mut missing, mut listed, mut after) = (Vec::new(), 0, None);
        loop {
            let before = self.store.now().await?.minus(self.policy.listing_grace);
            let active = StreamFilter::Status(StreamStatus::Active);
            let page = self.store.list(active, PAGE, after.as_deref()).await?;
            let names: Vec<_> = page.items.iter().map(|stream| stream.room_name.clone()).collect();
            let rooms = self.rooms.list(&names).await?;
            listed += rooms.len();
            let mut rooms: HashMap<_, _> = rooms.into_iter().map(|room| (room.name.clone(), room)).collect();
            let mut found = Vec::new();
            for stream in page.items.iter().map(|stream| (***stream).clone()) {
                match rooms.remove(stream.room_name.as_str()) {
                    Some(room) if is_room_of(&room, &stream) => found.push((stream, room)),
                    other => {
                        let since = known_missing.get(&stream.id).copied();
                        missing.push(MissingRoom { stream, before, since, replaced: other.is_some() });
                    }
                }
            }
            self.remember_missing(&known_missing, &found, &missing).await?;
            let failed = AtomicU64::new(0);
            stream::iter(found.into_iter().map(Ok))
                .try_for_each_concurrent(CONCURRENCY, |(stream, room)| {
                    self.compare_or_skip(stream, room, before, lease, &report.repairs, &failed)
                })
                .await?;
            report.failed += failed.into_inner();
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        self.forget_ended(&known_missing, &missing).await?;
        if self.is_believable(listed, missing.len()).await? {
            self.stop_missing(missing, lease, &report.repairs).await?;
            let (deleted, failed) = self.delete_orphaned_rooms(lease).await?;
            report.repairs.room_deleted.fetch_add(deleted, Ordering::Relaxed);
            report.failed += failed;
        } else {
            report.held_back = true;
        }
        Ok(())
    }

    /// Renews the TTLs of all live streams, and removes expired streams from the lists.
    async fn renew_and_prune_all(&self) -> Result<(), Error> {
        let mut after = None;
        loop {
            let kept = self.store.renew_and_prune(PAGE, after.as_deref()).await?;
            self.orchestrator.count_cleanup("renewed", kept.renewed);
            self.orchestrator.count_cleanup("forgotten", kept.removed);
            after = kept.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }
}

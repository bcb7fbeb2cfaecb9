//! When reconciliations run: one instance at a time, once an interval.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    report::Report,
    service::{LEASE, Reconciler},
};
use crate::{
    orchestrator::error::Error,
    store::{Job, Lease, StoreError},
};

/// Maximum interval at which an instance polls whether a reconciliation is due.
const POLL: Duration = Duration::from_secs(1);

impl Reconciler {
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

    /// Compares all streams with LiveKit. Returns `None` if another instance does so, or if the last reconciliation
    /// ended less than `every` ago.
    ///
    /// # Errors
    /// Errors of the store and of LiveKit. Nothing is changed while LiveKit does not answer.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn reconcile(&self, every: Duration) -> Result<Option<Report>, Error> {
        let Some(lease) = self.store.take_lease(Job::Reconcile, LEASE, every).await? else { return Ok(None) };
        let timer = self.metrics.reconcile_duration.start_timer();
        let done = tokio::select! {
            done = self.compare_all(&lease) => done,
            lost = self.hold_lease(&lease) => Err(lost),
        };
        timer.observe_duration();
        self.metrics.reconciliations.with_label_values(&[outcome(&done)]).inc();
        // Undecided differences and failed comparisons are compared again after the grace period, whatever the
        // interval.
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
                Err(error @ Error::Store(StoreError::LeaseLost)) => return error,
                Err(error) => tracing::warn!(%error, "lease renewal failed; retrying"),
                Ok(()) => {}
            }
        }
    }
}

/// Returns the metric label of a reconciliation.
fn outcome(done: &Result<Report, Error>) -> &'static str {
    match done {
        Ok(report) if report.held_back => "held_back",
        Ok(report) if report.failed > 0 => "failed",
        Ok(_) => "done",
        Err(Error::Store(StoreError::LeaseLost)) => "fenced",
        Err(_) => "failed",
    }
}

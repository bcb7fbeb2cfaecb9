//! Runs a job on one instance at a time.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::store::{FollowedPartition, Job, Lease, StoreError};

/// Time without a renewal after which another instance takes over.
const LEASE: Duration = Duration::from_secs(10);
/// Interval of renewals.
const RENEW_INTERVAL: Duration = Duration::from_secs(3);
/// Interval at which an instance tries to get the lease.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// Time that an attempt in progress at shutdown has to end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// A job of one partition that needs its lease.
#[async_trait]
pub trait LeasedJob: Send + Sync {
    /// Returns which lease the job needs.
    fn job(&self) -> Job;

    /// Does the job until `ended`, which is cancelled at shutdown and when the lease may be lost.
    async fn run(&self, lease: Lease, ended: CancellationToken);
}

/// Runs a job whenever this instance gets its lease, until `shutdown`. Releases the lease then, so that another
/// instance continues at once.
pub async fn run_while_leased(
    job: &dyn LeasedJob,
    partition: &dyn FollowedPartition,
    shutdown: &CancellationToken,
) {
    loop {
        match take(job, partition, shutdown).await {
            Some(Ok(Some(lease))) => run_under(job, partition, lease, shutdown).await,
            Some(Ok(None)) => {}
            Some(Err(error)) => {
                tracing::debug!(%error, job = job.job().as_str(), "lease not taken; retrying");
            }
            None => return,
        }
        let pause = POLL_INTERVAL.mul_f64(0.75 + fastrand::f64() / 2.0);
        if shutdown.run_until_cancelled(sleep(pause)).await.is_none() {
            return;
        }
    }
}

/// Tries to get the lease. An attempt that a shutdown interrupts is awaited, because an instance that was given the
/// lease without learning it would keep the job from others until the lease expires. Returns `None` after a shutdown
/// without an answer.
async fn take(
    job: &dyn LeasedJob,
    partition: &dyn FollowedPartition,
    shutdown: &CancellationToken,
) -> Option<Result<Option<Lease>, StoreError>> {
    let mut attempt = partition.take_lease(job.job(), LEASE, Duration::ZERO);
    match shutdown.run_until_cancelled(&mut attempt).await {
        Some(taken) => Some(taken),
        None => timeout(SHUTDOWN_TIMEOUT, attempt).await.ok(),
    }
}

async fn run_under(
    job: &dyn LeasedJob,
    partition: &dyn FollowedPartition,
    lease: Lease,
    shutdown: &CancellationToken,
) {
    let ended = shutdown.child_token();
    let mut run = job.run(lease.clone(), ended.clone());
    tokio::select! {
        () = &mut run => {}
        () = renew_until_lost(partition, &lease) => {
            tracing::warn!(job = lease.job.as_str(), "lease lost; another instance may have taken over");
            ended.cancel();
            run.await;
        }
    }
    if let Err(error) = partition.end_lease(&lease, None).await {
        tracing::debug!(%error, job = lease.job.as_str(), "lease not released; it expires");
    }
}

/// Renews the lease, until it is lost or has not been renewed for its whole time.
async fn renew_until_lost(partition: &dyn FollowedPartition, lease: &Lease) {
    let mut renewed_at = Instant::now();
    while renewed_at.elapsed() < LEASE {
        sleep(RENEW_INTERVAL).await;
        let began_at = Instant::now();
        match partition.renew_lease(lease, LEASE).await {
            Ok(true) => renewed_at = began_at,
            Ok(false) => return,
            Err(error) => tracing::debug!(%error, job = lease.job.as_str(), "lease not renewed; retrying"),
        }
    }
}

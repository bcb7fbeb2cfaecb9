//! Sweeper: expires unused join tokens and blocks, stops idle streams, and completes or undoes operations whose
//! instance ended.
//!
//! Every instance sweeps. Each change checks again that its job is due, so concurrent sweeps are harmless.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{error::Error, service::Orchestrator};
use crate::{
    domain::{Change, StopReason, Stream, StreamId, StreamStatus, change::Effect},
    rooms::Rooms,
    store::{Guard, PartitionStore, ScheduledJob, StoreError},
};

/// Interval at which each instance reads the scheduled jobs.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum jobs in one sweep.
const SWEEP_BATCH: usize = 100;
/// Maximum concurrent jobs, because LiveKit may take seconds to answer for one.
const SWEEP_CONCURRENCY: usize = 8;

/// Executes scheduled jobs.
pub struct Sweeper {
    orchestrator: Arc<Orchestrator>,
    store: Arc<dyn PartitionStore>,
    rooms: Arc<dyn Rooms>,
}

impl Sweeper {
    /// Creates a sweeper of a partition.
    pub fn new(orchestrator: Arc<Orchestrator>, partition: Arc<dyn PartitionStore>) -> Self {
        let rooms = orchestrator.rooms.clone();
        Self { orchestrator, store: partition, rooms }
    }

    /// Sweeps once in [`SWEEP_INTERVAL`] until `shutdown`.
    pub async fn run(&self, shutdown: CancellationToken) {
        let mut tick = interval(SWEEP_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(tick.tick()).await.is_some() {
            if let Err(error) = self.sweep().await {
                tracing::warn!(%error, "scheduled jobs not read");
            }
        }
    }

    /// Executes the jobs that are due and returns their number. A failed job is logged and stays scheduled.
    ///
    /// # Errors
    /// Errors of the store when it lists the jobs.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn sweep(&self) -> Result<usize, Error> {
        let jobs = self.store.scheduled_jobs(SWEEP_BATCH).await?;
        let count = jobs.len();
        stream::iter(jobs).for_each_concurrent(SWEEP_CONCURRENCY, |job| self.execute(job)).await;
        Ok(count)
    }

    async fn execute(&self, job: ScheduledJob) {
        let done = match (self.existing(job.stream_id()).await, job) {
            (Err(error), _) => Err(error),
            (Ok(stream), ScheduledJob::ExpireJoining(_)) => self.expire_joining(&stream).await,
            (Ok(stream), ScheduledJob::ExpireBlocks(_)) => self.expire_blocks(&stream).await,
            (Ok(stream), ScheduledJob::StopIdle(_)) => self.stop_idle(&stream).await,
            (Ok(stream), ScheduledJob::ResumeOperation(_)) => self.resume(&stream).await,
            // `CountTeller` executes these.
            (Ok(_), ScheduledJob::TellCounts(_)) => Ok(()),
        };
        let done = match done {
            Err(Error::Store(StoreError::NotFound)) => self.store.remove_job(job).await.map_err(Error::from),
            other => other,
        };
        if let Err(error) = done {
            tracing::warn!(%error, ?job, "scheduled job failed; retrying");
        }
    }

    async fn existing(&self, id: StreamId) -> Result<Stream, Error> {
        Ok(self.store.get(id).await?.ok_or(StoreError::NotFound)?)
    }

    async fn expire_joining(&self, stream: &Stream) -> Result<(), Error> {
        let (reference, mut known) = (stream.reference(), stream.version);
        loop {
            let applied = self.store.apply(&reference, Change::ExpireJoining, Guard::default()).await?;
            // Each expired entry is one event, which increments the version. Those of viewers in a counted stream have
            // none, and count as one for each call.
            let version = std::mem::replace(&mut known, applied.stream.version);
            if applied.effect != Effect::Unchanged {
                self.orchestrator
                    .count_cleanup("joining_expired", applied.stream.version.saturating_sub(version).max(1));
            }
            if applied.effect != Effect::Partial {
                return Ok(());
            }
        }
    }

    async fn expire_blocks(&self, stream: &Stream) -> Result<(), Error> {
        let (reference, mut known) = (stream.reference(), stream.blocks);
        loop {
            let applied = self.store.apply(&reference, Change::ExpireBlocks, Guard::default()).await?;
            let before = std::mem::replace(&mut known, applied.stream.blocks);
            if applied.effect != Effect::Unchanged {
                let ended = before.saturating_sub(applied.stream.blocks).max(1);
                self.orchestrator.count_cleanup("blocks_expired", ended.into());
            }
            if applied.effect != Effect::Partial {
                return Ok(());
            }
        }
    }

    /// Stops an idle stream, unless LiveKit lists participants whose webhooks were lost. The reconciler records those.
    async fn stop_idle(&self, stream: &Stream) -> Result<(), Error> {
        let occupants = self.rooms.occupants(&stream.room_name).await?;
        if occupants.is_some_and(|occupants| occupants.keeps_open()) {
            tracing::debug!(
                stream = %stream.id,
                "stream not idle: LiveKit lists participants that no webhook reported"
            );
            return Ok(());
        }
        let after = self.orchestrator.stop_for(stream, StopReason::Idle, Guard::default()).await?;
        if after.status == StreamStatus::Stopped {
            tracing::info!(stream = %stream.id, "stream stopped: empty for its idle time");
            self.orchestrator.count_cleanup("idle_stopped", 1);
        }
        Ok(())
    }

    /// Completes a stop, or undoes a creation, whose instance ended or gave up. Does nothing if another instance holds
    /// the operation lock.
    async fn resume(&self, stream: &Stream) -> Result<(), Error> {
        let reference = stream.reference();
        let Some((current, lock)) = self.orchestrator.take_lock(&reference).await? else { return Ok(()) };
        let ended = if current.status == StreamStatus::Stopping {
            self.orchestrator.finish_stop(&reference, &lock).await?
        } else {
            let undo = async {
                let deleted = self.orchestrator.delete_unused_room(&reference, &lock).await;
                self.orchestrator.release_lock_on_error(&reference, &lock, deleted).await?;
                self.orchestrator
                    .close(&reference, Change::Fail { reason: "creation_abandoned".to_owned() })
                    .await
            };
            self.orchestrator.while_locked(&reference, &lock, undo).await?
        };
        tracing::info!(
            stream = %stream.id,
            from = %current.status,
            to = %ended.status,
            "operation of an ended instance completed or undone"
        );
        self.orchestrator.count_cleanup("finished", 1);
        Ok(())
    }
}

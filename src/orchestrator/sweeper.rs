//! What the passing of time does: unused tokens stop counting as joining, idle streams are stopped, and a creation or
//! a stop whose instance died half-way is undone or finished.
//!
//! Every instance sweeps. What is due is looked at again within the change itself, so it does not matter how many do,
//! or which is quicker.

use std::time::Duration;

use futures_util::{StreamExt, stream};

use super::{Error, Orchestrator};
use crate::{
    domain::{Change, StopReason, Stream, StreamId, StreamStatus, change::Effect},
    store::{Guard, ScheduledJob, StoreError},
};

/// How often an instance looks for what is due.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// How much it takes on at a time.
const SWEEP_BATCH: usize = 100;
/// How much of it at once: LiveKit may take seconds to answer for one.
const SWEEP_CONCURRENCY: usize = 8;

impl Orchestrator {
    /// Does what is due by now; says how much that was.
    ///
    /// # Errors
    /// The store's, where it cannot say what is due. What fails for one stream is logged and tried again next time.
    pub async fn sweep(&self) -> Result<usize, Error> {
        let due = self.store.scheduled_jobs(SWEEP_BATCH).await?;
        let count = due.len();
        stream::iter(due).for_each_concurrent(SWEEP_CONCURRENCY, |item| self.settle(item)).await;
        Ok(count)
    }

    async fn settle(&self, item: ScheduledJob) {
        let done = match (self.existing(item.stream_id()).await, item) {
            (Err(error), _) => Err(error),
            (Ok(stream), ScheduledJob::ExpireJoining(_)) => self.expire_joining(&stream).await,
            (Ok(stream), ScheduledJob::StopIdle(_)) => self.stop_idle(&stream).await,
            (Ok(stream), ScheduledJob::ResumeOperation(_)) => self.heal(&stream).await,
        };
        let done = match done {
            Err(Error::Store(StoreError::NotFound)) => self.store.remove_job(item).await.map_err(Error::from),
            other => other,
        };
        if let Err(error) = done {
            tracing::warn!(%error, ?item, "what is due could not be done");
        }
    }

    async fn existing(&self, id: StreamId) -> Result<Stream, Error> {
        Ok(self.store.get(id).await?.ok_or(StoreError::NotFound)?)
    }

    async fn expire_joining(&self, stream: &Stream) -> Result<(), Error> {
        let (reference, mut known) = (stream.reference(), stream.version);
        loop {
            let applied = self.store.apply(&reference, Change::ExpireJoining, Guard::default()).await?;
            // Every entry that has expired is one event.
            let version = std::mem::replace(&mut known, applied.stream.version);
            if applied.effect != Effect::Unchanged {
                self.cleaned("joining_expired", applied.stream.version.saturating_sub(version));
            }
            if applied.effect != Effect::Partial {
                return Ok(());
            }
        }
    }

    /// Counts what the passing of time has done.
    pub(super) fn cleaned(&self, kind: &str, count: u64) {
        self.metrics.cleanups.with_label_values(&[kind]).inc_by(count);
    }

    /// LiveKit is asked first: while webhooks do not arrive, somebody may be there of whom nobody has told. The reconciler
    /// records them then.
    async fn stop_idle(&self, stream: &Stream) -> Result<(), Error> {
        let occupants = self.rooms.occupants(&stream.room_name).await?;
        if occupants.is_some_and(|occupants| occupants.keeps_open()) {
            tracing::debug!(stream = %stream.id, "not idle: LiveKit lists participants that no webhook reported");
            return Ok(());
        }
        let after = self.stop(stream, StopReason::Idle, Guard::default()).await?;
        if after.status == StreamStatus::Stopped {
            tracing::info!(stream = %stream.id, "stopped: nobody was in it for its idle time");
            self.cleaned("idle_stopped", 1);
        }
        Ok(())
    }

    /// Whoever was creating or stopping this stream has died or given up: what can be finished is finished, the rest is
    /// undone. Only who gets the claim does so.
    async fn heal(&self, stream: &Stream) -> Result<(), Error> {
        let reference = stream.reference();
        let Some((current, lock)) = self.take_lock(&reference).await? else { return Ok(()) };
        let healed = if current.status == StreamStatus::Stopping {
            self.finish_stop(&reference, &lock).await?
        } else {
            let undo = async {
                let deleted = self.delete_unused_room(&reference, &lock).await;
                self.or_release(&reference, &lock, deleted).await?;
                self.close(&reference, Change::Fail { reason: "creation_abandoned".to_owned() }).await
            };
            self.while_locked(&reference, &lock, undo).await?
        };
        tracing::info!(stream = %stream.id, from = %current.status, to = %healed.status, "healed");
        self.cleaned("finished", 1);
        Ok(())
    }
}

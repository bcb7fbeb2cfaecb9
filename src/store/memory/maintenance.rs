//! Scheduled jobs, computed from the streams.

use async_trait::async_trait;

use super::state::MemoryStore;
use crate::{
    domain::{Block, Participant, RoomName, StreamId},
    store::{DueCounts, Maintenance, Pruned, ScheduledJob, StoreError},
};

#[async_trait]
impl Maintenance for MemoryStore {
    async fn scheduled_jobs(&self, limit: usize) -> Result<Vec<ScheduledJob>, StoreError> {
        let (inner, now) = self.current();
        let mut jobs = Vec::new();
        for (id, kept) in &inner.streams {
            let expired = |entry: &Participant| entry.expires_at.is_some_and(|at| at <= now);
            if kept.aggregate.participants.values().any(expired) {
                jobs.push(ScheduledJob::ExpireJoining(*id));
            }
            let ended = |block: &Block| block.expires_at.is_some_and(|at| at <= now);
            if kept.aggregate.blocks.values().any(ended) {
                jobs.push(ScheduledJob::ExpireBlocks(*id));
            }
            let stream = &kept.aggregate.stream;
            if stream.is_idle(now) {
                jobs.push(ScheduledJob::StopIdle(*id));
            }
            if stream.is_under_way() && stream.lock_expires_at.is_none_or(|until| until <= now) {
                jobs.push(ScheduledJob::ResumeOperation(*id));
            }
        }
        jobs.truncate(limit);
        Ok(jobs)
    }

    async fn due_counts(&self, limit: usize) -> Result<DueCounts, StoreError> {
        let (inner, now) = self.current();
        let mut due = DueCounts::default();
        for (id, kept) in &inner.streams {
            match kept.aggregate.counts_due_at(self.retention.count_interval) {
                Some(at) if at <= now => due.streams.push(*id),
                Some(at) => {
                    let left = now.until(at);
                    due.next_in = Some(due.next_in.map_or(left, |known| known.min(left)));
                }
                None => {}
            }
        }
        due.streams.truncate(limit);
        Ok(due)
    }

    async fn postpone_counts(&self, _: StreamId) -> Result<(), StoreError> {
        Ok(())
    }

    async fn remove_job(&self, _: ScheduledJob) -> Result<(), StoreError> {
        Ok(())
    }

    async fn closed_rooms(&self, limit: usize, offset: usize) -> Result<Vec<RoomName>, StoreError> {
        let (inner, now) = self.current();
        let closed = inner.closed_rooms.closed.iter().filter(|(_, until)| **until > now);
        Ok(closed.map(|(room, _)| room.clone()).skip(offset).take(limit).collect())
    }

    async fn renew_and_prune(&self, _: usize, _: Option<&str>) -> Result<Pruned, StoreError> {
        // Streams in memory have no TTL while they are live.
        Ok(Pruned::default())
    }
}

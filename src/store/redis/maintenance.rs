//! Scheduled jobs, renewal of TTLs and removal of expired entries.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    client::RedisStore,
    codec::corrupt,
    keys::lexical_bound,
    scripts::{
        BLOCK_JOB, ClosedRooms, DueCountsCall, IDLE_JOB, JOINING_JOB, OPERATION_JOB, PostponeCounts,
        RenewAndPrune, Scheduled,
    },
};
use crate::{
    domain::{RoomName, StreamId, StreamStatus, Topic},
    store::{DueCounts, Maintenance, Pruned, ScheduledJob, StoreError},
};

/// Parses a member of the sorted set of scheduled jobs.
fn job(member: &str) -> Option<ScheduledJob> {
    let id = |prefix| member.strip_prefix(prefix)?.parse().ok();
    id(JOINING_JOB)
        .map(ScheduledJob::ExpireJoining)
        .or_else(|| id(IDLE_JOB).map(ScheduledJob::StopIdle))
        .or_else(|| id(BLOCK_JOB).map(ScheduledJob::ExpireBlocks))
        .or_else(|| id(OPERATION_JOB).map(ScheduledJob::ResumeOperation))
}

#[async_trait]
impl Maintenance for RedisStore {
    async fn scheduled_jobs(&self, limit: usize) -> Result<Vec<ScheduledJob>, StoreError> {
        let call = Scheduled {
            scheduled: self.keys.scheduled(),
            ended_streams: self.keys.ended_streams(),
            all_streams: self.keys.all_streams(),
            live_streams: self.keys.live_streams(),
            stopped_streams: self.keys.streams_in(StreamStatus::Stopped),
            error_streams: self.keys.streams_in(StreamStatus::Error),
            limit,
            stopped_ttl_ms: self.retention.stopped,
            stream_key_prefix: self.keys.stream_prefix(),
        };
        let members: Vec<String> = self.run("due", call).await?;
        members.iter().map(|member| job(member).ok_or_else(|| corrupt("scheduled"))).collect()
    }

    async fn due_counts(&self, limit: usize) -> Result<DueCounts, StoreError> {
        let call = DueCountsCall { scheduled_counts: self.keys.scheduled_counts(), limit };
        let (ids, next_in): (Vec<String>, String) = self.run("due_counts", call).await?;
        let ids = ids.iter().map(|id| id.parse().map_err(|_| corrupt("scheduled:counts")));
        let next_in = Some(next_in).filter(|text| !text.is_empty());
        let next_in =
            next_in.map(|text| text.parse().map_err(|_| corrupt("scheduled:counts"))).transpose()?;
        Ok(DueCounts { streams: ids.collect::<Result<_, _>>()?, next_in: next_in.map(Duration::from_millis) })
    }

    async fn postpone_counts(&self, stream_id: StreamId) -> Result<(), StoreError> {
        let call = PostponeCounts {
            scheduled_counts: self.keys.scheduled_counts(),
            interval_ms: self.retention.count_interval,
            stream_id,
        };
        self.run("postpone_counts", call).await
    }

    async fn remove_job(&self, due: ScheduledJob) -> Result<(), StoreError> {
        let member = match due {
            ScheduledJob::ExpireJoining(id) => format!("{JOINING_JOB}{id}"),
            ScheduledJob::ExpireBlocks(id) => format!("{BLOCK_JOB}{id}"),
            ScheduledJob::StopIdle(id) => format!("{IDLE_JOB}{id}"),
            ScheduledJob::ResumeOperation(id) => format!("{OPERATION_JOB}{id}"),
            ScheduledJob::TellCounts(id) => id.to_string(),
        };
        let index = match due {
            ScheduledJob::TellCounts(_) => self.keys.scheduled_counts(),
            _ => self.keys.scheduled(),
        };
        self.query("forget_due", redis::cmd("ZREM").arg(index).arg(member)).await
    }

    async fn closed_rooms(&self, limit: usize, offset: usize) -> Result<Vec<RoomName>, StoreError> {
        let call = ClosedRooms { closed_rooms: self.keys.closed_rooms(), limit, offset };
        let names: Vec<String> = self.run_bulk("closed_rooms", call).await?;
        names.into_iter().map(|name| RoomName::parse(name).map_err(|_| corrupt("closed"))).collect()
    }

    async fn renew_and_prune(&self, limit: usize, after: Option<&str>) -> Result<Pruned, StoreError> {
        let call = RenewAndPrune {
            all_streams: self.keys.all_streams(),
            live_streams: self.keys.live_streams(),
            creating_streams: self.keys.streams_in(StreamStatus::Creating),
            active_streams: self.keys.streams_in(StreamStatus::Active),
            stopping_streams: self.keys.streams_in(StreamStatus::Stopping),
            stopped_streams: self.keys.streams_in(StreamStatus::Stopped),
            error_streams: self.keys.streams_in(StreamStatus::Error),
            ended_streams: self.keys.ended_streams(),
            scheduled: self.keys.scheduled(),
            scheduled_counts: self.keys.scheduled_counts(),
            participant_total: self.keys.participant_total(),
            participant_counts: self.keys.participant_counts(),
            events: self.keys.log(Topic::All),
            events_bytes: self.keys.events_bytes(),
            visits: self.keys.visits(),
            tail: self.keys.tail(),
            from: lexical_bound("-", after),
            limit,
            live_ttl_ms: self.retention.live,
            stream_key_prefix: self.keys.stream_prefix(),
            room_key_prefix: self.keys.room_prefix(),
        };
        let (next, renewed, removed): (String, u64, u64) = self.run_bulk("keep", call).await?;
        Ok(Pruned { renewed, removed, next: Some(next).filter(|next| !next.is_empty()) })
    }
}

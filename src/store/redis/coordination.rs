//! Who may do the jobs that one instance at a time does, and what else instances agree on.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;

use super::{
    client::RedisStore,
    codec::{self, corrupt},
    keys::lexical_bound,
    scripts::{
        AcquireLease, ClosedRooms, ConfirmEmptyListing, LockRoomName, RecordMissing, ReleaseLease,
        RenewAndPrune, RenewLease,
    },
};
use crate::{
    domain::{RoomName, StreamId, StreamStatus, Timestamp},
    store::{Coordination, Kept, Lease, StoreError, Topic},
};

/// How long it is remembered when a job was last done: longer than anybody would set the interval to.
const DONE_TTL: Duration = Duration::from_secs(24 * 3600);
/// How many streams one command names.
const MISSING_PAGE: usize = 500;
/// How many times the waiting time a suspicion is remembered.
const SUSPICION_LIVES: u32 = 10;

/// How long it is remembered that a webhook about a room of `check` arrived.
const NOTE_SECONDS: u64 = 60;

#[async_trait]
impl Coordination for RedisStore {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        let (seconds, micros): (i64, i64) = self.query("time", &redis::cmd("TIME")).await?;
        let millis = seconds.checked_mul(1_000).and_then(|millis| millis.checked_add(micros / 1_000));
        millis.map(Timestamp::from_millis).ok_or_else(|| corrupt("time"))
    }

    async fn take_lease(&self, ttl: Duration, every: Duration) -> Result<Option<Lease>, StoreError> {
        let lease = Lease { token: uuid::Uuid::now_v7().to_string() };
        let call = AcquireLease {
            lease: self.keys.lease(),
            finished_at: self.keys.lease_finished_at(),
            due_at: self.keys.lease_due_at(),
            token: lease.token.clone(),
            ttl_ms: ttl,
            interval_ms: every,
        };
        let taken: bool = self.run("take_lease", call).await?;
        Ok(taken.then_some(lease))
    }

    async fn renew_lease(&self, lease: &Lease, ttl: Duration) -> Result<bool, StoreError> {
        let call = RenewLease { lease: self.keys.lease(), token: lease.token.clone(), ttl_ms: ttl };
        self.run("renew_lease", call).await
    }

    async fn end_lease(&self, lease: &Lease, again: Option<Duration>) -> Result<(), StoreError> {
        let call = ReleaseLease {
            lease: self.keys.lease(),
            finished_at: self.keys.lease_finished_at(),
            due_at: self.keys.lease_due_at(),
            token: lease.token.clone(),
            record_ttl_ms: DONE_TTL,
            due_after_ms: again,
        };
        self.run("end_lease", call).await
    }

    async fn missing(&self) -> Result<HashMap<StreamId, Timestamp>, StoreError> {
        let mut command = redis::cmd("ZRANGE");
        command.arg(self.keys.missing_streams()).arg(0).arg(-1).arg("WITHSCORES");
        let found: Vec<(String, f64)> = self.query("missing", &command).await?;
        let entry = |(id, since): (String, f64)| {
            Ok((id.parse().map_err(|_| corrupt("missing"))?, codec::instant(since)))
        };
        found.into_iter().map(entry).collect()
    }

    async fn set_missing(&self, streams: &[StreamId]) -> Result<(), StoreError> {
        for page in streams.chunks(MISSING_PAGE) {
            let call = RecordMissing {
                missing_streams: self.keys.missing_streams(),
                ttl_ms: self.retention.live,
                stream_ids: page.to_vec(),
            };
            let _: i64 = self.run("set_missing", call).await?;
        }
        Ok(())
    }

    async fn clear_missing(&self, streams: &[StreamId]) -> Result<(), StoreError> {
        for page in streams.chunks(MISSING_PAGE) {
            let mut command = redis::cmd("ZREM");
            command
                .arg(self.keys.missing_streams())
                .arg(page.iter().map(StreamId::to_string).collect::<Vec<_>>());
            let _: i64 = self.query("clear_missing", &command).await?;
        }
        Ok(())
    }

    async fn suspect(&self, after: Duration) -> Result<bool, StoreError> {
        let call = ConfirmEmptyListing {
            empty_since: self.keys.empty_listing_since(),
            after_ms: after,
            record_ttl_ms: after * SUSPICION_LIVES,
        };
        self.run("suspect", call).await
    }

    async fn trust(&self) -> Result<(), StoreError> {
        self.query("trust", redis::cmd("DEL").arg(self.keys.empty_listing_since())).await
    }

    async fn hold_room(&self, room: &RoomName, ttl: Duration) -> Result<bool, StoreError> {
        let call = LockRoomName {
            room: self.keys.room(room),
            closed_rooms: self.keys.closed_rooms(),
            room_lock: self.keys.room_lock(room),
            room_name: room.clone(),
            ttl_ms: ttl,
        };
        self.run("hold_room", call).await
    }

    async fn release_room(&self, room: &RoomName) -> Result<(), StoreError> {
        self.query("release_room", redis::cmd("DEL").arg(self.keys.room_lock(room))).await
    }

    async fn note(&self, room: &RoomName) -> Result<(), StoreError> {
        let mut command = redis::cmd("SET");
        command.arg(self.keys.webhook_probe(room)).arg("1").arg("EX").arg(NOTE_SECONDS);
        self.query("note", &command).await
    }

    async fn is_noted(&self, room: &RoomName) -> Result<bool, StoreError> {
        self.query("is_noted", redis::cmd("EXISTS").arg(self.keys.webhook_probe(room))).await
    }

    async fn closed_rooms(&self, limit: usize, offset: usize) -> Result<Vec<RoomName>, StoreError> {
        let call = ClosedRooms { closed_rooms: self.keys.closed_rooms(), limit, offset };
        let names: Vec<String> = self.run("closed_rooms", call).await?;
        names.into_iter().map(|name| RoomName::parse(name).map_err(|_| corrupt("closed"))).collect()
    }

    async fn keep(&self, limit: usize, after: Option<&str>) -> Result<Kept, StoreError> {
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
            participant_total: self.keys.participant_total(),
            events: self.keys.log(Topic::All),
            tail: self.keys.tail(),
            from: lexical_bound("-", after),
            limit,
            live_ttl_ms: self.retention.live,
            stream_key_prefix: self.keys.stream_prefix(),
            room_key_prefix: self.keys.room_prefix(),
        };
        let (next, renewed, dropped): (String, u64, u64) = self.run("keep", call).await?;
        Ok(Kept { renewed, dropped, next: Some(next).filter(|next| !next.is_empty()) })
    }
}

//! Who may do the jobs that one instance at a time does, and what else instances agree on.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;

use super::{RedisStore, codec, corrupt};
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

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

#[async_trait]
impl Coordination for RedisStore {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        let (seconds, micros): (i64, i64) = self.query("time", &redis::cmd("TIME")).await?;
        let millis = seconds.checked_mul(1_000).and_then(|millis| millis.checked_add(micros / 1_000));
        millis.map(Timestamp::from_millis).ok_or_else(|| corrupt("time"))
    }

    async fn take_lease(&self, ttl: Duration, every: Duration) -> Result<Option<Lease>, StoreError> {
        let lease = Lease { token: uuid::Uuid::now_v7().to_string() };
        let keys = [self.keys.lease(), self.keys.lease_done(), self.keys.lease_again()];
        let args = [lease.token.clone(), millis(ttl), millis(every)];
        let taken: bool = self.run("take_lease", &self.scripts.lease, &keys, &args).await?;
        Ok(taken.then_some(lease))
    }

    async fn renew_lease(&self, lease: &Lease, ttl: Duration) -> Result<bool, StoreError> {
        let args = [lease.token.clone(), millis(ttl)];
        self.run("renew_lease", &self.scripts.lease_renew, &[self.keys.lease()], &args).await
    }

    async fn end_lease(&self, lease: &Lease, again: Option<Duration>) -> Result<(), StoreError> {
        let keys = [self.keys.lease(), self.keys.lease_done(), self.keys.lease_again()];
        let args = [lease.token.clone(), millis(DONE_TTL), again.map(millis).unwrap_or_default()];
        self.run("end_lease", &self.scripts.lease_end, &keys, &args).await
    }

    async fn missing(&self) -> Result<HashMap<StreamId, Timestamp>, StoreError> {
        let mut command = redis::cmd("ZRANGE");
        command.arg(self.keys.missing()).arg(0).arg(-1).arg("WITHSCORES");
        let found: Vec<(String, f64)> = self.query("missing", &command).await?;
        let entry = |(id, since): (String, f64)| {
            Ok((id.parse().map_err(|_| corrupt("missing"))?, codec::instant(since)))
        };
        found.into_iter().map(entry).collect()
    }

    async fn set_missing(&self, streams: &[StreamId]) -> Result<(), StoreError> {
        for page in streams.chunks(MISSING_PAGE) {
            let mut args = vec![millis(self.retention.live)];
            args.extend(page.iter().map(StreamId::to_string));
            let _: i64 =
                self.run("set_missing", &self.scripts.set_missing, &[self.keys.missing()], &args).await?;
        }
        Ok(())
    }

    async fn clear_missing(&self, streams: &[StreamId]) -> Result<(), StoreError> {
        for page in streams.chunks(MISSING_PAGE) {
            let mut command = redis::cmd("ZREM");
            command.arg(self.keys.missing()).arg(page.iter().map(StreamId::to_string).collect::<Vec<_>>());
            let _: i64 = self.query("clear_missing", &command).await?;
        }
        Ok(())
    }

    async fn suspect(&self, after: Duration) -> Result<bool, StoreError> {
        let args = [millis(after), millis(after * SUSPICION_LIVES)];
        self.run("suspect", &self.scripts.suspect, &[self.keys.suspicion()], &args).await
    }

    async fn trust(&self) -> Result<(), StoreError> {
        self.query("trust", redis::cmd("DEL").arg(self.keys.suspicion())).await
    }

    async fn hold_room(&self, room: &RoomName, ttl: Duration) -> Result<bool, StoreError> {
        let keys = [self.keys.room(room), self.keys.closed(), self.keys.hold(room)];
        self.run("hold_room", &self.scripts.hold_room, &keys, &[room.to_string(), millis(ttl)]).await
    }

    async fn release_room(&self, room: &RoomName) -> Result<(), StoreError> {
        self.query("release_room", redis::cmd("DEL").arg(self.keys.hold(room))).await
    }

    async fn note(&self, room: &RoomName) -> Result<(), StoreError> {
        let mut command = redis::cmd("SET");
        command.arg(self.keys.note(room)).arg("1").arg("EX").arg(NOTE_SECONDS);
        self.query("note", &command).await
    }

    async fn is_noted(&self, room: &RoomName) -> Result<bool, StoreError> {
        self.query("is_noted", redis::cmd("EXISTS").arg(self.keys.note(room))).await
    }

    async fn closed_rooms(&self, limit: usize, offset: usize) -> Result<Vec<RoomName>, StoreError> {
        let args = [limit.to_string(), offset.to_string()];
        let names: Vec<String> =
            self.run("closed_rooms", &self.scripts.closed_rooms, &[self.keys.closed()], &args).await?;
        names.into_iter().map(|name| RoomName::parse(name).map_err(|_| corrupt("closed"))).collect()
    }

    async fn keep(&self, limit: usize, after: Option<&str>) -> Result<Kept, StoreError> {
        let mut keys = vec![self.keys.all(), self.keys.live()];
        keys.extend(StreamStatus::ALL.map(|status| self.keys.status(status)));
        keys.extend([
            self.keys.over(),
            self.keys.due(),
            self.keys.total(),
            self.keys.log(Topic::All),
            self.keys.tail(),
        ]);
        let from = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        let args = [
            from,
            limit.to_string(),
            millis(self.retention.live),
            self.keys.stream_prefix(),
            self.keys.room_prefix(),
        ];
        let (next, renewed, dropped): (String, u64, u64) =
            self.run("keep", &self.scripts.keep, &keys, &args).await?;
        Ok(Kept { renewed, dropped, next: Some(next).filter(|next| !next.is_empty()) })
    }
}

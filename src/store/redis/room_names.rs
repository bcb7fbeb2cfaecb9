//! Locks on room names of ended streams, and probe webhooks.

use std::time::Duration;

use async_trait::async_trait;

use super::{client::RedisStore, scripts::LockRoomName};
use crate::{
    domain::RoomName,
    store::{ProbeWebhooks, RoomNameLocks, StoreError},
};

/// Lifetime of the record of a probe webhook.
const PROBE_WEBHOOK_SECONDS: u64 = 60;

#[async_trait]
impl RoomNameLocks for RedisStore {
    async fn lock_room_name(&self, room: &RoomName, ttl: Duration) -> Result<bool, StoreError> {
        let call = LockRoomName {
            room: self.keys.room(room),
            closed_rooms: self.keys.closed_rooms(),
            room_lock: self.keys.room_lock(room),
            room_name: room.clone(),
            ttl_ms: ttl,
        };
        self.run("hold_room", call).await
    }

    async fn unlock_room_name(&self, room: &RoomName) -> Result<(), StoreError> {
        self.query("release_room", redis::cmd("DEL").arg(self.keys.room_lock(room))).await
    }
}

#[async_trait]
impl ProbeWebhooks for RedisStore {
    async fn record_probe_webhook(&self, room: &RoomName) -> Result<(), StoreError> {
        let mut command = redis::cmd("SET");
        command.arg(self.keys.webhook_probe(room)).arg("1").arg("EX").arg(PROBE_WEBHOOK_SECONDS);
        self.query("note", &command).await
    }

    async fn has_probe_webhook(&self, room: &RoomName) -> Result<bool, StoreError> {
        self.query("is_noted", redis::cmd("EXISTS").arg(self.keys.webhook_probe(room))).await
    }
}

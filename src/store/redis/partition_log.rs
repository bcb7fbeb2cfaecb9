//! The logs of one of several partitions: their pages, the clock, and the positions of the newest events.

use async_trait::async_trait;

use super::{
    client::RedisStore,
    codec::corrupt,
    scripts::{AdvanceClock, NewestCursorsCall},
};
use crate::{
    domain::{Cursor, Topic},
    store::{ClockReading, LogRead, NewestCursors, PageRequest, PartitionLog, StoreError, log::LogFacts},
};

fn cursor(text: &str) -> Result<Cursor, StoreError> {
    text.parse().map_err(|_| corrupt("cursor"))
}

#[async_trait]
impl PartitionLog for RedisStore {
    async fn read_page(
        &self,
        topic: Topic,
        after: Cursor,
        request: PageRequest,
    ) -> Result<(LogFacts, Option<LogRead>), StoreError> {
        self.read_log(topic, after, request).await
    }

    async fn advance_clock(&self, floor: u64, finds_event: bool) -> Result<ClockReading, StoreError> {
        let call = AdvanceClock {
            clock_floor: self.keys.clock_floor(),
            tail: self.keys.tail(),
            events: self.keys.log(Topic::All),
            lost_until: self.keys.lost_until(),
            floor_ms: floor,
            live_ttl_ms: self.retention.live,
            finds_event,
        };
        type Answer = (u64, String, String, String);
        let (millis, tail, before_floor, lost_until): Answer = self.run("advance_clock", call).await?;
        let (before_floor, lost_until) = (cursor(&before_floor)?, cursor(&lost_until)?);
        Ok(ClockReading { millis, tail: cursor(&tail)?, before_floor, lost_until })
    }

    async fn record_loss(&self, until: Cursor) -> Result<(), StoreError> {
        let mut command = redis::cmd("SET");
        command.arg(self.keys.lost_until()).arg(until.to_string());
        command.arg("PX").arg(u64::try_from(self.retention.live.as_millis()).unwrap_or(u64::MAX));
        self.query("record_loss", &command).await
    }

    async fn newest_cursors(&self, count: usize) -> Result<NewestCursors, StoreError> {
        let (mut newest, mut left, mut from) = (NewestCursors::default(), count, "+".to_owned());
        while left > 0 {
            let call = NewestCursorsCall { log: self.keys.log(Topic::All), count: left, from };
            type Answer = (Vec<String>, String, usize, String);
            let (cursors, previous, rest, next): Answer = self.run("newest_cursors", call).await?;
            for text in cursors {
                newest.cursors.push(cursor(&text)?);
            }
            // The log may have been trimmed since the call before.
            if !previous.is_empty() {
                newest.previous = cursor(&previous)?;
            }
            (left, from) = (rest, next);
        }
        Ok(newest)
    }
}

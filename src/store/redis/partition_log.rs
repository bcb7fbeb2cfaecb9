//! The log of one of several partitions: its clock, and the positions of its newest events.

use async_trait::async_trait;

use super::{
    client::RedisStore,
    codec::corrupt,
    scripts::{AdvanceClock, NewestCursorsCall},
};
use crate::{
    domain::{Cursor, Topic},
    store::{ClockReading, NewestCursors, PartitionLog, StoreError},
};

fn cursor(text: &str) -> Result<Cursor, StoreError> {
    text.parse().map_err(|_| corrupt("cursor"))
}

#[async_trait]
impl PartitionLog for RedisStore {
    async fn advance_clock(&self, floor: u64, finds_event: bool) -> Result<ClockReading, StoreError> {
        let call = AdvanceClock {
            clock_floor: self.keys.clock_floor(),
            tail: self.keys.tail(),
            events: self.keys.log(Topic::All),
            floor_ms: floor,
            live_ttl_ms: self.retention.live,
            finds_event,
        };
        let (millis, tail, before_floor): (u64, String, String) = self.run("advance_clock", call).await?;
        Ok(ClockReading { millis, tail: cursor(&tail)?, before_floor: cursor(&before_floor)? })
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

//! What LiveKit's earlier room listings lacked.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;

use super::{
    client::RedisStore,
    codec::{self, corrupt},
    scripts::{ConfirmEmptyListing, RecordMissing},
};
use crate::{
    domain::{StreamId, Timestamp},
    store::{ListingHistory, StoreError},
};

/// Maximum streams in one command.
const MISSING_PAGE: usize = 500;
/// Lifetime of the record of an empty listing, as a multiple of the time after which the next one confirms it.
const EMPTY_LISTING_LIVES: u32 = 10;

#[async_trait]
impl ListingHistory for RedisStore {
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
            let _: i64 = self.run_bulk("set_missing", call).await?;
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

    async fn confirm_empty_listing(&self, after: Duration) -> Result<bool, StoreError> {
        let call = ConfirmEmptyListing {
            empty_since: self.keys.empty_listing_since(),
            after_ms: after,
            record_ttl_ms: after * EMPTY_LISTING_LIVES,
        };
        self.run("suspect", call).await
    }

    async fn clear_empty_listing(&self) -> Result<(), StoreError> {
        self.query("trust", redis::cmd("DEL").arg(self.keys.empty_listing_since())).await
    }
}

//! Decodes blocks.

use serde::Deserialize;

use super::{error::corrupt, stored_time::StoredTime};
use crate::{
    domain::{Block, BlockReason, Identity},
    store::StoreError,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredBlock {
    reason: Option<String>,
    blocked_at: StoredTime,
    expires_at: Option<StoredTime>,
    by: Option<String>,
}

/// Decodes the block of an identity from its JSON.
///
/// # Errors
/// [`StoreError::Corrupt`] for invalid JSON or an invalid field.
pub fn block(identity: &str, json: &str) -> Result<Block, StoreError> {
    let stored: StoredBlock = serde_json::from_str(json).map_err(|_| corrupt("block"))?;
    let reason = stored.reason.map(BlockReason::parse).transpose();
    Ok(Block {
        identity: Identity::reported(identity).ok_or_else(|| corrupt("block"))?,
        reason: reason.map_err(|_| corrupt("reason of a block"))?,
        blocked_at: stored.blocked_at.0,
        expires_at: stored.expires_at.map(|time| time.0),
        by: stored.by.and_then(Identity::reported),
    })
}

//! Blocks: identities that a stream does not admit.

use serde::Serialize;

use super::{Identity, Timestamp, ids::BlockReason};

/// Maximum number of blocks of a stream. All of them take at most about 1 MB, which one call reads in milliseconds.
pub const MAX_BLOCKS: usize = 1_000;

/// Block of one identity in one stream. It ends with the stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Block {
    /// Blocked identity.
    pub identity: Identity,
    /// Reason from the caller.
    pub reason: Option<BlockReason>,
    /// Time of the block.
    pub blocked_at: Timestamp,
    /// Time at which the block ends by itself; `None` for never.
    pub expires_at: Option<Timestamp>,
    /// Identity of the caller, if its token has one.
    pub by: Option<Identity>,
}

impl Block {
    /// Returns a key that sorts lists of blocks: by time, then by identity.
    pub fn list_key(&self) -> String {
        format!("{:016}:{}", self.blocked_at.as_millis(), self.identity)
    }
}

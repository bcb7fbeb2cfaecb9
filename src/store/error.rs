//! Errors of a store.

use crate::domain::Rejection;

/// Error of a store operation.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The stream does not exist, or its retention time is over.
    #[error("the stream does not exist")]
    NotFound,
    /// A rule of the domain rejects the change. The stream is unchanged.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The store did not answer in time, or refused the command. A change that was sent may have been made.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The caller's lease has ended, and another instance may hold it. The stream is unchanged.
    #[error("another instance has taken over the lease")]
    LeaseLost,
    /// A stored value cannot be parsed: a bug, or another program writes under the same prefix.
    #[error("a stored value cannot be parsed: {0}")]
    Corrupt(String),
}

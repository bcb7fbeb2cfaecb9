//! The error for a stored value that cannot be decoded.

use crate::store::StoreError;

/// Returns the error for a stored value that cannot be decoded.
pub(in crate::store::redis) fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt(what.to_owned())
}

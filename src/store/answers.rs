//! Requests that a caller may send again, and the answers that they got (`Idempotency-Key`).
//!
//! An answer makes a retry cheap; it does not make it safe, because who was answering may die between the change and its
//! record. So the record also has what makes the change itself happen once: the id that a stream will have, and the name
//! of the mark that the change leaves ([`super::Once::Request`]).

use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;
use crate::domain::{StreamId, Timestamp};

/// For how long a request is remembered (contract, section 3).
pub const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// The right to carry out a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// A token that no other attempt has.
    pub holder: String,
    /// The id of a stream that the request creates: the same at every attempt.
    pub seed: StreamId,
    /// What is known of the attempts before this one, if there were any.
    pub earlier: Option<Earlier>,
}

/// Attempts whose answer was never kept: whoever was at them has died, or failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// When the first of them began, by the store's clock.
    pub since: Timestamp,
    /// The stream that one of them has changed under [`super::Once::Request`]. A room name in the request may be another
    /// stream's by now.
    pub done: Option<StreamId>,
}

/// What is known of a request when it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing, or that whoever was at it has died: the caller is to carry it out.
    Begun(Attempt),
    /// Somebody is at it.
    UnderWay,
    /// It was another request.
    Other,
    /// Its answer.
    Answered(String),
}

/// What requests were answered with.
///
/// # Errors
/// Every method fails with [`StoreError::Unavailable`] rather than wait longer than a bounded time.
#[async_trait]
pub trait Answers: Send + Sync {
    /// Looks a request up by its key, and takes it on for `lease` where nobody else is at it. Of any number of concurrent
    /// callers one gets [`Known::Begun`].
    async fn begin(&self, key: &str, fingerprint: &str, lease: Duration) -> Result<Known, StoreError>;

    /// Prolongs an attempt to `lease` from now; says whether it still was the caller's.
    async fn hold(&self, key: &str, attempt: &Attempt, lease: Duration) -> Result<bool, StoreError>;

    /// Records the answer, unless the attempt is not the caller's any more.
    async fn answer(&self, key: &str, attempt: &Attempt, answer: &str) -> Result<(), StoreError>;

    /// Gives an attempt up: the next caller may carry the request out.
    async fn give_up(&self, key: &str, attempt: &Attempt) -> Result<(), StoreError>;
}

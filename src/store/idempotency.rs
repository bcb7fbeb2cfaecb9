//! Idempotent requests (`Idempotency-Key`) and deduplication keys.
//!
//! A recorded answer makes a retry cheap but not safe, because an instance may end between a change and the record of
//! its answer. The record therefore also holds what makes the change itself idempotent: the id of a stream that the
//! request creates, and the deduplication key that the change stores ([`DedupKey::Request`]).

use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;
use crate::domain::{StreamId, Timestamp};

/// How long a request is remembered (contract, section 3).
pub const IDEMPOTENCY_TTL: Duration = Duration::from_secs(24 * 3600);
/// Maximum number of live keys of one caller. An older key never gives way to a new one, because a repetition of its
/// request would then be executed again.
pub const MAX_LIVE_KEYS: usize = 10_000;
/// Maximum number of live keys of a caller that may not stop any stream. A viewer's requests are few, and their
/// records outlive the stream.
pub const MAX_LIVE_KEYS_OF_VIEWER: usize = 100;
/// How long a request is remembered after an attempt that changed nothing and has no stored answer. At the default
/// limits of writes and joins, a caller's failures of this time are fewer than [`MAX_LIVE_KEYS`].
pub const FAILURE_TTL: Duration = Duration::from_secs(30 * 60);
/// How long a webhook is remembered. LiveKit stops retrying an event after less than a minute.
const WEBHOOK_TTL: Duration = Duration::from_secs(3_600);

/// Key under which a change is made at most once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DedupKey {
    /// A webhook, by the id of its event.
    Webhook(String),
    /// A request, by its idempotency key.
    Request(String),
}

impl DedupKey {
    /// Returns how long the key is remembered.
    pub const fn ttl(&self) -> Duration {
        match self {
            Self::Webhook(_) => WEBHOOK_TTL,
            Self::Request(_) => IDEMPOTENCY_TTL,
        }
    }
}

/// Idempotency key of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestKey {
    /// Key, different for requests of different callers.
    pub key: String,
    /// Caller whose live keys are counted.
    pub caller: String,
    /// Maximum number of the caller's live keys.
    pub max_live: usize,
}

/// The right to execute a request, which one caller at a time holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Unique token of this attempt.
    pub holder: String,
    /// Id for a stream that the request creates: the same for every attempt.
    pub reserved_id: StreamId,
    /// Attempts before this one, if any.
    pub previous: Option<PreviousAttempt>,
}

/// Earlier attempts of the same request, which ended without a stored answer: they failed, or their instance ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviousAttempt {
    /// Start of the first attempt, by the store's clock.
    pub since: Timestamp,
    /// Stream that an attempt changed under [`DedupKey::Request`]. Another stream may own the room name by now.
    pub changed_stream: Option<StreamId>,
}

/// Outcome of [`IdempotencyStore::begin`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BeginOutcome {
    /// The caller must execute the request: it is new, or its last attempt ended without an answer.
    Begun(Attempt),
    /// Another caller executes the request.
    InProgress,
    /// The key belongs to a request with another fingerprint.
    Mismatch,
    /// The request was executed; this is its recorded answer.
    Completed(String),
    /// The key is new and the caller has [`RequestKey::max_live`].
    TooManyKeys {
        /// Time until the first of them expires.
        retry_after: Duration,
    },
}

/// Executed requests and their answers.
///
/// # Errors
/// Every method returns [`StoreError::Unavailable`] after a bounded time without an answer.
#[async_trait]
pub trait IdempotencyStore: Send + Sync {
    /// Looks up a request by `key`. Leases its execution to the caller for `lease` if no answer is recorded, no other
    /// caller holds the lease, and the fingerprint matches. The key then lives for [`IDEMPOTENCY_TTL`].
    ///
    /// At most one of several concurrent callers gets [`BeginOutcome::Begun`]. The cost does not depend on the number
    /// of the caller's keys.
    async fn begin(
        &self,
        key: &RequestKey,
        fingerprint: &str,
        lease: Duration,
    ) -> Result<BeginOutcome, StoreError>;

    /// Extends an attempt to `lease` from now. Returns false if the caller does not hold it any more.
    async fn renew(&self, key: &RequestKey, attempt: &Attempt, lease: Duration) -> Result<bool, StoreError>;

    /// Records the answer, unless the caller does not hold the attempt any more. The key lives for `keep` from now. A
    /// key under which a stream was created or changed keeps its time to live.
    async fn complete(
        &self,
        key: &RequestKey,
        attempt: &Attempt,
        answer: &str,
        keep: Duration,
    ) -> Result<(), StoreError>;

    /// Ends an attempt without an answer: the next caller may execute the request. The key lives for `keep` from now. A
    /// key under which a stream was created or changed keeps its time to live.
    async fn abandon(&self, key: &RequestKey, attempt: &Attempt, keep: Duration) -> Result<(), StoreError>;
}

/// What a partition knows of the change that a request has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestChange {
    /// Stream that was changed under the request's deduplication key.
    pub applied: Option<StreamId>,
    /// True if the stream with the reserved id exists.
    pub is_created: bool,
}

impl RequestChange {
    /// Reports whether the request has created or changed a stream.
    pub const fn is_made(&self) -> bool {
        self.applied.is_some() || self.is_created
    }
}

/// Changes of requests in one partition. The record of a request may be in another one.
#[async_trait]
pub trait RequestChanges: Send + Sync {
    /// Looks up the change of a request by its key and by the id that the request would have created a stream with.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] after a bounded time without an answer.
    async fn request_change(&self, key: &str, reserved_id: StreamId) -> Result<RequestChange, StoreError>;
}

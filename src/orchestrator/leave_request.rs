//! Request to end a session.

use crate::{
    domain::{Identity, Participant},
    store::{DedupKey, PreviousAttempt},
};

/// Request to end a participant's session.
#[derive(Clone, Debug)]
pub struct LeaveRequest {
    /// Identity of the participant within the stream.
    pub identity: Identity,
    /// Key under which the departure is recorded at most once.
    pub dedup_key: Option<DedupKey>,
    /// Earlier attempts of the same request.
    pub previous: Option<PreviousAttempt>,
}

impl LeaveRequest {
    /// Makes a request without an idempotency key.
    pub const fn of(identity: Identity) -> Self {
        Self { identity, dedup_key: None, previous: None }
    }

    /// Reports whether an earlier attempt has ended the session, so that a present participant has rejoined since.
    pub(super) fn is_done(&self, known: Option<&Participant>) -> bool {
        let rejoined = |since| known.is_some_and(|known| known.is_active() && known.joined_at > since);
        self.previous
            .as_ref()
            .is_some_and(|previous| previous.changed_stream.is_some() || rejoined(previous.since))
    }
}

//! Dispatch of a change to its rule.

use super::{
    recorder::{Applied, UNCHANGED},
    state::Aggregate,
};
use crate::domain::{Change, StreamStatus, Timestamp};

impl Aggregate {
    /// Makes one change at the time `now`.
    ///
    /// # Errors
    /// [`Rejection`](crate::domain::Rejection) if a precondition fails. Nothing has changed then.
    pub fn apply(&mut self, change: Change, now: Timestamp) -> Applied {
        match change {
            Change::Activate { room_sid } => self.activate(room_sid, now),
            Change::BeginStop { reason, room_sid } => self.begin_stop(reason, room_sid.as_ref(), now),
            Change::AcquireLock => Ok((self.acquire_lock(now), Vec::new())),
            Change::ReleaseLock { until } => Ok((self.release_lock(until), Vec::new())),
            Change::RenewLock { until } => Ok((self.renew_lock(until, now), Vec::new())),
            Change::Close => self.close(StreamStatus::Stopped, None, now),
            Change::Fail { reason } => self.close(StreamStatus::Error, Some(reason), now),
            change @ Change::IssueToken { .. } => self.issue_token(change, now),
            Change::Connect(session) => self.connect(session, None, now),
            Change::Observe { session, before } => self.connect(session, Some(before), now),
            Change::Lose { identity, sid, before } => self.lose(&identity, &sid, before, now),
            Change::Publish { .. } | Change::Unpublish { .. } if self.stream.status.is_final() => UNCHANGED,
            Change::Publish { identity, sid, track } => self.publish(&identity, &sid, track, now),
            Change::Unpublish { identity, sid, track } => self.unpublish(&identity, &sid, track, now),
            Change::Disconnect { identity, sid, at } => self.disconnect(&identity, sid.as_ref(), at, now),
            Change::ExpireJoining => self.expire_joining(now),
            Change::SetMetadata { expected, metadata } => self.set_metadata(&expected, metadata, now),
        }
    }
}

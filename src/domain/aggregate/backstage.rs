//! Backstage: whether viewers have access to the stream.

use super::{
    recorder::{Applied, UNCHANGED},
    state::Aggregate,
};
use crate::domain::{Identity, Rejection, StreamStatus, Timestamp, event::EventKind};

impl Aggregate {
    /// Takes the stream backstage or live. The sessions of present viewers end by changes of their own, when LiveKit
    /// has removed them.
    ///
    /// # Errors
    /// [`Rejection::NotActive`] if the stream is not active.
    pub(super) fn set_backstage(&mut self, backstage: bool, by: Option<Identity>, now: Timestamp) -> Applied {
        if self.stream.status != StreamStatus::Active {
            return Err(Rejection::NotActive { status: self.stream.status });
        }
        if self.stream.backstage == backstage {
            return UNCHANGED;
        }
        self.stream.backstage = backstage;
        let kind = if backstage {
            EventKind::StreamLiveStopped
        } else {
            self.stream.live_at = Some(now);
            EventKind::StreamLiveStarted
        };
        self.recorded(now, |recorder| {
            recorder.record(kind, None);
            recorder.attribute_to(by);
        })
    }
}

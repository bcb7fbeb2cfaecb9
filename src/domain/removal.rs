//! Removal of a participant at a caller's request, and the tokens that it ends.

use std::{collections::BTreeMap, fmt};

use super::{Identity, ParticipantSid, StreamId};

/// Key of the LiveKit attribute that holds the [`TokenMark`] of a join token.
pub const MARK_KEY: &str = "lso.token";

/// Removal of a participant at a caller's request.
#[derive(Clone, Debug, PartialEq)]
pub struct Removal {
    /// Identity of the participant.
    pub identity: Identity,
    /// Session that is removed; `None` for a participant that is not recorded as connected.
    pub sid: Option<ParticipantSid>,
    /// Identity of the caller, if its token has one.
    pub by: Option<Identity>,
}

/// What is recorded of the removals of one identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removals {
    /// Number of removals so far.
    pub count: u32,
    /// Session that the newest removal has ended.
    pub last: Option<ParticipantSid>,
    /// Removal that was requested and not recorded yet.
    pub pending: Option<PendingRemoval>,
    /// Number of removals that precede the token of the newest session; `None` if this service has not made the token.
    pub before_token: Option<u32>,
}

impl Default for Removals {
    fn default() -> Self {
        Self { count: 0, last: None, pending: None, before_token: Some(0) }
    }
}

/// Removal that LiveKit has been asked for. The departure of the participant completes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingRemoval {
    /// Identity of the caller, if its token has one.
    pub by: Option<Identity>,
}

impl Removals {
    /// Reports whether the newest session must end: its token precedes a removal, or its removal was requested.
    pub fn end_session(&self) -> bool {
        self.pending.is_some() || self.before_token.is_some_and(|before| before < self.count)
    }

    /// Returns what a new joining entry of the identity keeps.
    pub(super) fn without_session(&self) -> Self {
        Self { count: self.count, last: self.last.clone(), ..Self::default() }
    }

    /// Completes a removal that is under way, because its session `sid` has ended.
    pub(super) fn complete_pending(&mut self, sid: Option<ParticipantSid>) -> Option<PendingRemoval> {
        let pending = self.pending.take();
        if pending.is_some() {
            self.complete(sid);
        }
        pending
    }

    /// Counts a removal of the session `sid`, or of an identity without a session.
    pub(super) fn complete(&mut self, sid: Option<ParticipantSid>) {
        self.count += 1;
        self.last = sid.or(self.last.take());
        self.pending = None;
    }
}

/// Mark of a join token: its stream, and the number of removals of its identity that precede it.
///
/// The stream is part of it because a later stream may have the same room name, and numbers of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenMark {
    stream: String,
    removals: u32,
}

impl TokenMark {
    /// Returns the mark of a token that follows `removals` removals of its identity in a stream.
    pub fn new(stream: StreamId, removals: u32) -> Self {
        Self { stream: short(stream), removals }
    }

    /// Takes the mark out of the attributes of a LiveKit participant; `None` if this service has not made its token.
    pub fn take(attributes: &mut BTreeMap<String, String>) -> Option<Self> {
        let text = attributes.remove(MARK_KEY)?;
        let (stream, removals) = text.split_once('.')?;
        Some(Self { stream: stream.to_owned(), removals: removals.parse().ok()? })
    }

    /// Returns the number of removals in a stream that precede the token: none if the token is of an earlier stream.
    pub fn removals_in(&self, stream: StreamId) -> u32 {
        if self.stream == short(stream) { self.removals } else { 0 }
    }
}

/// Returns the last group of an id's text, which is random.
fn short(stream: StreamId) -> String {
    let mut buffer = [0; StreamId::LENGTH];
    let text = stream.encode(&mut buffer);
    text.rsplit('-').next().unwrap_or_default().to_owned()
}

impl fmt::Display for TokenMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.stream, self.removals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mark_counts_removals_of_its_own_stream() {
        let (stream, other) = (StreamId::generate(), StreamId::generate());
        let text = TokenMark::new(stream, 3).to_string();
        let mut attributes = BTreeMap::from([(MARK_KEY.to_owned(), text), ("a".to_owned(), "b".to_owned())]);
        let mark = TokenMark::take(&mut attributes).unwrap();
        assert_eq!((mark.removals_in(stream), mark.removals_in(other)), (3, 0));
        assert_eq!(attributes.into_keys().collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn text_that_is_no_mark_is_taken_out() {
        for text in ["", "1", "a.", "a.-1", "a.4294967296"] {
            let mut attributes = BTreeMap::from([(MARK_KEY.to_owned(), text.to_owned())]);
            assert_eq!(TokenMark::take(&mut attributes), None, "{text:?}");
            assert!(attributes.is_empty());
        }
    }
}

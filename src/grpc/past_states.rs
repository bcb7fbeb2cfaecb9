//! States at past events, which no cache holds: folded from the log of their stream.

use std::collections::HashSet;

use super::known_states::KnownState;
use crate::{
    domain::{Cursor, Event, EventKind, Identity, Participant, ParticipantState},
    orchestrator::ReadGrant,
    relay::Relay,
    store::{LogRead, StoreError},
};

/// Maximum events of the first read, more than any log has.
const ALL: usize = 10_000_000;
/// Maximum events of a further read.
const PAGE: usize = 250;

/// Returns the state after an event of a stream, and the number of bytes that were read for it. `None` if the log does
/// not hold the event.
///
/// `grant` is one of the stream, and `newest` a state of the stream that is later than the event.
///
/// # Errors
/// [`StoreError::Unavailable`] if the store does not answer, [`StoreError::Corrupt`] if the log cannot be parsed.
pub async fn state_at(
    relay: &Relay,
    grant: &ReadGrant,
    newest: &KnownState,
    event: &Event,
) -> Result<Option<(KnownState, usize)>, StoreError> {
    let mut past = Past::new(newest, event.cursor);
    let mut read = relay.newest(grant, ALL).await?;
    loop {
        let LogRead::Events { events, complete } = read else { return Ok(None) };
        events.iter().for_each(|event| past.add(event));
        match events.last() {
            Some(last) if !complete && !past.is_complete() => {
                read = relay.read_after(grant, last.cursor, PAGE).await?;
            }
            _ => return Ok(past.finish()),
        }
    }
}

/// The state of the past while the log is folded, from its first event.
///
/// A log that begins with the stream has all of it. Otherwise a participant without an event in the log is as in the
/// newest state, and one whose first event there is later than the wanted state is as that event tells.
struct Past<'a> {
    newest: &'a KnownState,
    /// Cursor of the wanted state.
    at: Cursor,
    /// The state after the events so far that are not later than `at`; `None` before the first event.
    state: Option<KnownState>,
    begins_with_stream: bool,
    /// Cursor of the last event so far.
    last: Cursor,
    /// Participants with an event so far.
    seen: HashSet<Identity>,
    bytes: usize,
}

impl<'a> Past<'a> {
    fn new(newest: &'a KnownState, at: Cursor) -> Self {
        Self {
            newest,
            at,
            state: None,
            begins_with_stream: false,
            last: Cursor::ORIGIN,
            seen: HashSet::new(),
            bytes: 0,
        }
    }

    fn add(&mut self, event: &Event) {
        if self.is_complete() {
            return;
        }
        (self.last, self.bytes) = (event.cursor, self.bytes + event.approximate_bytes());
        let mut state = self.state.take().unwrap_or_else(|| {
            self.begins_with_stream = event.seq() == 1;
            if self.begins_with_stream { KnownState::before_first() } else { self.newest.clone() }
        });
        let participant = event.draft.participant.as_ref();
        let first = participant.filter(|participant| self.seen.insert(participant.identity.clone()));
        if event.cursor <= self.at {
            state.apply(event);
        } else if let Some(participant) = first {
            state.participants.set(&participant.identity, before(event, participant).as_ref());
        }
        self.state = Some(state);
    }

    /// Reports whether no further event can change the wanted state.
    fn is_complete(&self) -> bool {
        self.last >= if self.begins_with_stream { self.at } else { self.newest.cursor }
    }

    fn finish(self) -> Option<(KnownState, usize)> {
        let state = self.state.filter(|state| state.cursor == self.at)?;
        Some((state.unshared(), self.bytes))
    }
}

/// Returns the entry of a participant before an event, as far as the event tells; `None` if there was none, or if it
/// had left before.
fn before(event: &Event, participant: &Participant) -> Option<Participant> {
    match (event.draft.kind, participant.state) {
        (EventKind::ParticipantLeft, _) => {
            Some(Participant { state: ParticipantState::Active, left_at: None, ..participant.clone() })
        }
        (EventKind::ParticipantJoined, _) => None,
        (_, ParticipantState::Joining) if !event.draft.removed => None,
        _ => Some(participant.clone()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::{
        InitialAudience, Metadata, Role, RoomName, Stream, StreamId, StreamView, Timestamp, event::Draft,
        stream::NewStream,
    };

    const AT: Timestamp = Timestamp::from_millis(1);

    fn stream() -> Stream {
        let new = NewStream {
            id: StreamId::generate(),
            room_name: RoomName::parse("room").unwrap(),
            metadata: Metadata::default(),
            max_participants: None,
            idle_after: None,
            audience: InitialAudience::LISTED,
            backstage: false,
        };
        Stream::unrecorded(new, AT)
    }

    fn participant(identity: &str, state: ParticipantState) -> Participant {
        let joining = Participant::joining(Identity::parse(identity).unwrap(), Role::Host, AT);
        Participant { state, ..joining }
    }

    /// Returns the events of these participants, with the numbers from `first` on as cursors and versions.
    fn log(first: u64, changes: &[(EventKind, Participant)]) -> Vec<Arc<Event>> {
        let stream = stream();
        let event = |(version, (kind, participant)): (u64, &(EventKind, Participant))| {
            let next = Stream { version, ..stream.clone() };
            let draft = Draft { participant: Some(participant.clone()), ..Draft::new(*kind, &next, None) };
            let (cursor, previous) = (Cursor::new(version, 0), Cursor::new(version - 1, 0));
            Arc::new(Event { cursor, previous, previous_of_all: previous, timestamp: AT, draft })
        };
        (first..).zip(changes).map(event).collect()
    }

    /// Returns the states after each event of the log, each folded on its own, and the log's newest state.
    fn pasts(newest: &[Participant], log: &[Arc<Event>]) -> Vec<usize> {
        let view = StreamView {
            stream: stream(),
            participants: newest.to_vec(),
            participants_truncated: false,
            cursor: log.last().unwrap().cursor,
        };
        let newest = KnownState::of(&view);
        let count = |at: &Arc<Event>| {
            let mut past = Past::new(&newest, at.cursor);
            log.iter().for_each(|event| past.add(event));
            let (state, _) = past.finish().unwrap();
            assert_eq!(state.cursor, at.cursor);
            state.participants.within(usize::MAX).0.len()
        };
        log.iter().map(count).collect()
    }

    #[test]
    fn past_of_whole_log_is_folded_from_the_first_event() {
        use EventKind::{ParticipantJoined, ParticipantLeft, ParticipantUpdated};
        use ParticipantState::{Active, Disconnected, Joining};
        let changes = [
            (ParticipantUpdated, participant("ann", Joining)),
            (ParticipantJoined, participant("ann", Active)),
            (ParticipantJoined, participant("bob", Active)),
            (ParticipantLeft, participant("ann", Disconnected)),
        ];
        assert_eq!(pasts(&[], &log(1, &changes)), [1, 1, 2, 2], "the newest state is not needed");
    }

    #[test]
    fn past_before_the_first_event_of_a_participant_is_told_by_that_event() {
        use EventKind::{ParticipantJoined, ParticipantLeft, ParticipantUpdated};
        use ParticipantState::{Active, Disconnected, Joining};
        let changes = [
            (ParticipantUpdated, participant("old", Active)),
            (ParticipantLeft, participant("gone", Disconnected)),
            (ParticipantUpdated, participant("new", Joining)),
            (ParticipantJoined, participant("new", Active)),
        ];
        let newest = ["unchanged", "old", "gone", "new"].map(|identity| participant(identity, Active));
        assert_eq!(pasts(&newest, &log(5, &changes)), [3, 3, 4, 4]);
        let left = &changes[1].1;
        let before = before(&log(5, &changes)[1], left).unwrap();
        assert_eq!((before.state, before.left_at), (Active, None));
    }

    #[test]
    fn event_that_the_log_does_not_hold_has_no_state() {
        let changes = [(EventKind::ParticipantJoined, participant("ann", ParticipantState::Active))];
        let newest = KnownState::before_first();
        let mut past = Past::new(&newest, Cursor::new(1, 0));
        log(5, &changes).iter().for_each(|event| past.add(event));
        assert!(past.finish().is_none());
    }
}

//! Known states: metadata and participants of streams, shared by the `StreamUpdates` feeds of an instance.
//!
//! A feed processes every event of a stream in order, and each event names the one before. So the state at an event is
//! that of the event before, changed by the event, and a stream is read only after an interval in which no feed has
//! followed it. All feeds share the state at an event, whichever of them makes it.

use std::{
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    sync::Arc,
};

use quick_cache::{Weighter, sync::Cache};
use tokio::sync::Mutex;

use super::{convert, participant_list::ParticipantList};
use crate::domain::{Cursor, Event, Stream, StreamId, StreamView, Timestamp, Topic};

/// Metadata as messages carry it.
pub type MetadataMap = HashMap<String, String>;

/// Maximum size of the newest states together.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Maximum size of what the states at recent events do not share with the newest ones.
const MAX_RECENT_BYTES: u64 = 8 * 1024 * 1024;
/// Number of states for which room is reserved.
const EXPECTED_STATES: usize = 256;
/// Maximum number of logs that are read at a time.
const PAST_LOCKS: usize = 8;
/// Approximate size of a state, or of a member of its metadata, without its texts.
const ENTRY_BYTES: usize = 256;

/// State of a stream after an event.
#[derive(Clone, Debug)]
pub struct KnownState {
    /// Cursor of the event.
    pub cursor: Cursor,
    seq: u64,
    updated_at: Timestamp,
    /// Metadata of the stream.
    pub metadata: Arc<MetadataMap>,
    /// Participants of the stream.
    pub participants: ParticipantList,
    /// About the size of what the state does not share with the one before.
    own_bytes: usize,
}

impl KnownState {
    /// Encodes the state of a document.
    pub fn of(view: &StreamView) -> Self {
        let state = Self {
            cursor: view.cursor,
            seq: view.stream.version,
            updated_at: view.stream.updated_at,
            metadata: Arc::new(convert::metadata(view.stream.metadata.as_text())),
            participants: ParticipantList::of(view),
            own_bytes: 0,
        };
        state.unshared()
    }

    /// Returns the state as one that shares nothing with another.
    pub fn unshared(self) -> Self {
        Self { own_bytes: self.bytes(), ..self }
    }

    /// Returns the state before the first event of a stream.
    pub fn before_first() -> Self {
        Self {
            cursor: Cursor::ORIGIN,
            seq: 0,
            updated_at: Timestamp::from_millis(0),
            metadata: Arc::default(),
            participants: ParticipantList::default(),
            own_bytes: 0,
        }
    }

    /// Returns the state after an event, of which this is the state before.
    pub fn after(&self, event: &Event) -> Self {
        let mut next = self.clone();
        next.apply(event);
        next
    }

    /// Makes of the state before an event the one after it.
    pub fn apply(&mut self, event: &Event) {
        if let Some(carried) = &event.draft.stream.metadata {
            self.metadata = Arc::new(convert::metadata(carried.as_text()));
        }
        self.participants.apply(event);
        (self.cursor, self.seq, self.updated_at) = (event.cursor, event.seq(), event.draft.stream.updated_at);
        self.own_bytes = ENTRY_BYTES + self.participants.own_bytes() + event.approximate_bytes();
    }

    /// Returns about how many bytes the state keeps in memory.
    pub fn bytes(&self) -> usize {
        let texts = self.metadata.iter().map(|(key, value)| ENTRY_BYTES + key.len() + value.len());
        ENTRY_BYTES + texts.sum::<usize>() + self.participants.bytes()
    }
}

/// States that feeds have last sent. Each of the two bounds is one of bytes.
pub struct KnownStates {
    /// The newest state of each stream.
    newest: Cache<StreamId, Arc<KnownState>, ByBytes>,
    /// States by the cursors of their events, for feeds that are behind others. Cursors are unique among all streams.
    recent: Cache<Cursor, Arc<KnownState>, ByOwnBytes>,
    /// Locks by hashes of stream ids: feeds that resume at the same time read a log once, and few logs at a time.
    past_locks: [Mutex<()>; PAST_LOCKS],
}

impl Default for KnownStates {
    fn default() -> Self {
        Self {
            newest: Cache::with_weighter(EXPECTED_STATES, MAX_BYTES, ByBytes),
            recent: Cache::with_weighter(EXPECTED_STATES, MAX_RECENT_BYTES, ByOwnBytes),
            past_locks: Default::default(),
        }
    }
}

impl KnownStates {
    /// Returns the state after an event; `None` if neither this state nor the one before is known.
    pub fn at(&self, event: &Event) -> Option<Arc<KnownState>> {
        let newest = self.newest.get(&event.stream_id());
        let known = |cursor: Cursor| {
            newest.clone().filter(|newest| newest.cursor == cursor).or_else(|| self.recent.get(&cursor))
        };
        if let Some(state) = known(event.cursor) {
            return Some(state);
        }
        let state = Arc::new(known(event.previous)?.after(event));
        if state.participants.is_sparse() {
            return None;
        }
        self.put(event.stream_id(), &state);
        Some(state)
    }

    /// Returns the newest known state of the event's stream if it is later than the event.
    pub fn later(&self, event: &Event) -> Option<Arc<KnownState>> {
        self.newest.get(&event.stream_id()).filter(|newest| newest.cursor > event.cursor)
    }

    /// Returns the lock under which the past states of a stream are read.
    pub fn past_lock(&self, id: StreamId) -> &Mutex<()> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(id);
        &self.past_locks[usize::try_from(hash % PAST_LOCKS as u64).unwrap_or_default()]
    }

    /// Records the state after an event of this stream.
    pub fn record_past(&self, id: StreamId, state: &Arc<KnownState>) {
        self.put(id, state);
    }

    /// Returns the state of a stream as of its document without participants; `None` if it must be read.
    pub fn of(&self, stream: &Stream) -> Option<Arc<KnownState>> {
        let version = (stream.version, stream.updated_at);
        self.newest.get(&stream.id).filter(|known| (known.seq, known.updated_at) == version)
    }

    /// Records and returns the state of a document.
    pub fn record(&self, view: &StreamView) -> Arc<KnownState> {
        let newest = self.newest.get(&view.stream.id);
        newest.filter(|newest| newest.cursor == view.cursor).unwrap_or_else(|| {
            let state = Arc::new(KnownState::of(view));
            self.put(view.stream.id, &state);
            state
        })
    }

    fn put(&self, id: StreamId, state: &Arc<KnownState>) {
        self.recent.insert(state.cursor, state.clone());
        if self.newest.peek(&id).is_none_or(|newest| newest.cursor < state.cursor) {
            self.newest.insert(id, state.clone());
        }
    }

    /// Forgets the states of a topic that are later than a reset's snapshot, because Redis may have lost the events
    /// that led to them. Keeps the others, so that a cursor that needs a reset costs other feeds no reads.
    pub fn forget_after(&self, topic: Topic, snapshot: Cursor) {
        let is_of_topic = |id: &StreamId| topic == Topic::All || topic == Topic::Stream(*id);
        self.newest.retain(|id, state| state.cursor <= snapshot || !is_of_topic(id));
    }
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<StreamId, Arc<KnownState>> for ByBytes {
    fn weight(&self, _: &StreamId, state: &Arc<KnownState>) -> u64 {
        state.bytes() as u64
    }
}

#[derive(Clone)]
struct ByOwnBytes;

impl Weighter<Cursor, Arc<KnownState>> for ByOwnBytes {
    fn weight(&self, _: &Cursor, state: &Arc<KnownState>) -> u64 {
        state.own_bytes as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        EventKind, Identity, InitialAudience, Metadata, Participant, Role, RoomName, event::Draft,
        stream::NewStream,
    };

    fn stream(version: u64) -> Stream {
        let new = NewStream {
            id: StreamId::generate(),
            room_name: RoomName::parse("room").unwrap(),
            metadata: Metadata::default(),
            max_participants: None,
            idle_after: None,
            audience: InitialAudience::LISTED,
            backstage: false,
        };
        Stream { version, ..Stream::unrecorded(new, Timestamp::from_millis(1)) }
    }

    fn view(stream: &Stream, cursor: Cursor) -> StreamView {
        StreamView { stream: stream.clone(), participants: Vec::new(), participants_truncated: false, cursor }
    }

    fn cursor(number: u64) -> Cursor {
        Cursor::new(number, 0)
    }

    /// Returns the event of a new participant.
    fn event(stream: &Stream, previous: Cursor, cursor: Cursor) -> Event {
        let identity = Identity::parse(cursor.to_string()).unwrap();
        let participant = Participant::joining(identity, Role::Host, Timestamp::from_millis(1));
        let next = Stream { version: stream.version + 1, ..stream.clone() };
        let draft = Draft::new(EventKind::ParticipantUpdated, &next, None);
        let draft = Draft { participant: Some(participant), ..draft };
        Event { cursor, previous, previous_of_all: previous, timestamp: Timestamp::from_millis(1), draft }
    }

    fn count(state: Option<Arc<KnownState>>) -> Option<usize> {
        state.map(|state| state.participants.within(usize::MAX).0.len())
    }

    #[test]
    fn state_is_known_for_feeds_that_are_ahead_and_behind() {
        let (known, stream) = (KnownStates::default(), stream(1));
        let events: Vec<_> = (11..14).map(|n| event(&stream, cursor(n - 1), cursor(n))).collect();
        assert!(known.at(&events[0]).is_none());
        known.record(&view(&stream, cursor(10)));
        let ahead: Vec<_> = events.iter().map(|event| count(known.at(event))).collect();
        assert_eq!(ahead, [Some(1), Some(2), Some(3)]);
        let behind: Vec<_> = events.iter().map(|event| count(known.at(event))).collect();
        assert_eq!(behind, ahead);
        let late = event(&stream, cursor(4), cursor(5));
        assert!(known.at(&late).is_none(), "a state of the past");
        assert_eq!(known.later(&late).map(|state| state.cursor), Some(cursor(13)));
    }

    #[test]
    fn state_is_read_after_an_event_that_no_feed_has_processed() {
        let (known, stream) = (KnownStates::default(), stream(1));
        known.record(&view(&stream, cursor(1)));
        assert!(known.at(&event(&stream, cursor(2), cursor(3))).is_none());
    }

    #[test]
    fn only_states_later_than_the_snapshot_of_a_reset_are_forgotten() {
        let (known, stream) = (KnownStates::default(), stream(1));
        known.record(&view(&stream, cursor(2)));
        let other = StreamId::generate();
        for (topic, snapshot) in [(Topic::All, 2), (Topic::Stream(stream.id), 3), (Topic::Stream(other), 1)] {
            known.forget_after(topic, cursor(snapshot));
            assert!(known.of(&stream).is_some(), "{topic:?} {snapshot}");
        }
        for topic in [Topic::All, Topic::Stream(stream.id)] {
            known.record(&view(&stream, cursor(2)));
            known.forget_after(topic, cursor(1));
            assert!(known.of(&stream).is_none(), "{topic:?}");
        }
    }

    #[test]
    fn state_of_a_document_is_that_of_its_newest_event() {
        let (known, stream) = (KnownStates::default(), stream(1));
        let first = known.record(&view(&stream, cursor(1)));
        assert!(Arc::ptr_eq(&first, &known.record(&view(&stream, cursor(1)))));
        assert!(known.of(&stream).is_some());
        assert!(known.of(&Stream { version: 2, ..stream.clone() }).is_none());
        let later = Timestamp::from_millis(2);
        assert!(known.of(&Stream { updated_at: later, ..stream }).is_none(), "another history");
    }
}

//! Participants of a stream, encoded once for all messages that have them.

use std::sync::Arc;

use prost::{Message, bytes::Bytes, length_delimiter_len};

use super::convert;
use crate::domain::{
    Audience, Event, Identity, Participant, StreamView, event::Draft, size::MAX_MESSAGE_BYTES,
    stream::MAX_LISTED_PARTICIPANTS,
};

/// Approximate size of an entry without its message and texts.
const ENTRY_BYTES: usize = 128;

#[derive(Debug)]
struct Entry {
    list_key: String,
    identity: Identity,
    is_on_stage: bool,
    message: Bytes,
}

impl Entry {
    fn of(participant: &Participant) -> Arc<Self> {
        Arc::new(Self {
            list_key: participant.list_key(),
            identity: participant.identity.clone(),
            is_on_stage: participant.is_on_stage(),
            message: convert::participant(participant).encode_to_vec().into(),
        })
    }

    /// Returns the size of the entry in a message, with the tag and the length of its field.
    fn encoded_len(&self) -> usize {
        1 + length_delimiter_len(self.message.len()) + self.message.len()
    }

    fn bytes(&self) -> usize {
        ENTRY_BYTES + 2 * self.identity.as_str().len() + self.message.len()
    }
}

/// The first participants of a stream in list order, as of one event: at most [`MAX_LISTED_PARTICIPANTS`], and at most
/// [`MAX_MESSAGE_BYTES`]. Copies share the entries.
#[derive(Clone, Debug, Default)]
pub struct ParticipantList {
    entries: Vec<Arc<Entry>>,
    /// The last entry that was read, if the stream has further participants. Those behind it are unknown.
    end: Option<Arc<Entry>>,
    /// Number of entries that were read.
    read: usize,
}

impl ParticipantList {
    /// Encodes the participants of a document.
    pub fn of(view: &StreamView) -> Self {
        let entries: Vec<_> = view.participants.iter().map(Entry::of).collect();
        let end = entries.last().filter(|_| view.participants_truncated).cloned();
        let mut list = Self { end, read: entries.len(), entries };
        list.bound();
        list
    }

    /// Makes of the list before an event the one after it.
    pub fn apply(&mut self, event: &Event) {
        let Draft { stream, participant, removed, .. } = &event.draft;
        if let Some(participant) = participant {
            self.set(&participant.identity, Some(participant).filter(|_| !removed));
        }
        if stream.audience == Audience::Counted {
            self.entries.retain(|entry| entry.is_on_stage);
            self.end.take_if(|end| !end.is_on_stage);
        }
        self.bound();
    }

    /// Puts a participant in the place of the entry of its identity, or removes that.
    pub fn set(&mut self, identity: &Identity, participant: Option<&Participant>) {
        self.entries.retain(|entry| entry.identity != *identity);
        if let Some(participant) = participant.filter(|participant| participant.is_listed()) {
            self.insert(Entry::of(participant));
        }
    }

    fn insert(&mut self, entry: Arc<Entry>) {
        if self.end.as_ref().is_none_or(|end| entry.list_key <= end.list_key) {
            let index = self.entries.partition_point(|known| known.list_key < entry.list_key);
            self.entries.insert(index, entry);
        }
    }

    /// Ends the list where its bounds do.
    fn bound(&mut self) {
        let kept = self.count_within(MAX_MESSAGE_BYTES).min(MAX_LISTED_PARTICIPANTS);
        if kept < self.entries.len() {
            self.entries.truncate(kept);
            self.end = self.entries.last().cloned();
            self.read = kept;
        }
    }

    /// Returns the number of entries that fit in a number of bytes.
    fn count_within(&self, bytes: usize) -> usize {
        let mut size = 0;
        let fits = |entry: &&Arc<Entry>| {
            size += entry.encoded_len();
            size <= bytes
        };
        self.entries.iter().take_while(fits).count()
    }

    /// Returns the participants that fit in a number of bytes, and true if the stream has further ones.
    pub fn within(&self, bytes: usize) -> (Vec<Bytes>, bool) {
        let count = self.count_within(bytes);
        let messages = self.entries.iter().take(count).map(|entry| entry.message.clone());
        (messages.collect(), count < self.entries.len() || self.end.is_some())
    }

    /// Reports whether so many participants have gone behind the end that the list should be read again.
    pub fn is_sparse(&self) -> bool {
        self.end.is_some() && self.entries.len() < self.read - self.read / 10
    }

    /// Returns about how many bytes the list keeps in memory, with all of its entries.
    pub fn bytes(&self) -> usize {
        self.own_bytes() + self.entries.iter().map(|entry| entry.bytes()).sum::<usize>()
    }

    /// Returns about how many bytes the list keeps in memory besides the entries, which it shares.
    pub const fn own_bytes(&self) -> usize {
        self.entries.len() * size_of::<Arc<Entry>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        Cursor, EventKind, InitialAudience, Metadata, ParticipantMetadata, Role, RoomName, Stream, StreamId,
        Timestamp, stream::NewStream,
    };

    fn participant(identity: &str, role: Role) -> Participant {
        Participant::joining(Identity::parse(identity).unwrap(), role, Timestamp::from_millis(1))
    }

    fn stream(audience: Audience) -> Stream {
        let new = NewStream {
            id: StreamId::generate(),
            room_name: RoomName::parse("room").unwrap(),
            metadata: Metadata::default(),
            max_participants: None,
            idle_after: None,
            audience: InitialAudience::LISTED,
            backstage: false,
        };
        Stream { audience, ..Stream::unrecorded(new, Timestamp::from_millis(1)) }
    }

    fn list(participants: &[Participant], participants_truncated: bool) -> ParticipantList {
        ParticipantList::of(&StreamView {
            stream: stream(Audience::Listed),
            participants: participants.to_vec(),
            participants_truncated,
            cursor: Cursor::ORIGIN,
        })
    }

    fn event(audience: Audience, participant: Option<Participant>, removed: bool) -> Event {
        let draft = Draft::new(EventKind::ParticipantUpdated, &stream(audience), None);
        let (cursor, timestamp) = (Cursor::ORIGIN, Timestamp::from_millis(1));
        let draft = Draft { participant, removed, ..draft };
        Event { cursor, previous: cursor, previous_of_all: cursor, timestamp, draft }
    }

    fn after(list: &ParticipantList, event: &Event) -> ParticipantList {
        let mut next = list.clone();
        next.apply(event);
        next
    }

    fn identities(list: &ParticipantList) -> Vec<&str> {
        list.entries.iter().map(|entry| entry.identity.as_str()).collect()
    }

    #[test]
    fn participant_of_an_event_replaces_its_entry_in_list_order() {
        let viewer = || Some(participant("a", Role::Viewer));
        let list = list(&[participant("b", Role::Host), participant("c", Role::Viewer)], false);
        let list = after(&list, &event(Audience::Listed, viewer(), false));
        assert_eq!(identities(&list), ["b", "a", "c"]);
        let list = after(&list, &event(Audience::Listed, Some(participant("a", Role::Host)), false));
        assert_eq!(identities(&list), ["a", "b", "c"]);
        let list = after(&list, &event(Audience::Listed, viewer(), true));
        assert_eq!(identities(&list), ["b", "c"]);
        let list = after(&list, &event(Audience::Counted, None, false));
        assert_eq!((identities(&list), list.within(usize::MAX).1), (vec!["b"], false));
    }

    #[test]
    fn participants_behind_the_end_of_a_truncated_list_are_unknown() {
        let all: Vec<_> = (10..20).map(|n| participant(&n.to_string(), Role::Viewer)).collect();
        let list = list(&all, true);
        let behind = after(&list, &event(Audience::Listed, Some(participant("20", Role::Viewer)), false));
        assert_eq!(identities(&behind), identities(&list));
        let fewer = after(&list, &event(Audience::Listed, Some(all[0].clone()), true));
        assert!(fewer.within(usize::MAX).1 && !fewer.is_sparse());
        let fewer = after(&fewer, &event(Audience::Listed, Some(all[1].clone()), true));
        assert!(fewer.is_sparse(), "a fifth is missing");
        let counted = after(&fewer, &event(Audience::Counted, None, false));
        assert!(!counted.within(usize::MAX).1, "the stage is known");
    }

    #[test]
    fn list_ends_at_its_bounds() {
        let all: Vec<_> = (1_000..2_000).map(|n| participant(&n.to_string(), Role::Viewer)).collect();
        let full = list(&all, false);
        assert!(!full.within(usize::MAX).1);
        let newest = participant("0", Role::Host);
        let longer = after(&full, &event(Audience::Listed, Some(newest), false));
        assert_eq!((longer.entries.len(), longer.within(usize::MAX).1), (MAX_LISTED_PARTICIPANTS, true));

        let text = format!(r#"{{"a":"{}"}}"#, "x".repeat(59_000));
        let metadata = ParticipantMetadata::from(Metadata::parse(&text).unwrap());
        let large = |one: &Participant| Participant { metadata: metadata.clone(), ..one.clone() };
        let list = list(&all[..30].iter().map(large).collect::<Vec<_>>(), false);
        let (messages, is_truncated) = list.within(MAX_MESSAGE_BYTES);
        let bytes: usize = messages.iter().map(Bytes::len).sum();
        assert!(is_truncated && bytes <= MAX_MESSAGE_BYTES && bytes > MAX_MESSAGE_BYTES / 2, "{bytes}");
        assert!(list.within(MAX_MESSAGE_BYTES / 2).0.len() < messages.len());
    }
}

//! What was read before, cached in this process: a read asks Redis only whether it is still so.
//!
//! Nothing here is ever believed by itself. Every read asks the master for the stream's mark, and takes what is kept only
//! where the mark is the same; so a read is never older than the last change that was acknowledged, on any instance. Every
//! change of what a reader sees gives the stream a new cursor, which no other change ever gets (see `next_cursor` in
//! `lua/prelude.lua`); claims and unlisted participants change nothing else.

use quick_cache::{Weighter, sync::Cache};

use super::codec::Fields;
use crate::domain::{Rendered, RoomName, Shared, Stream, StreamId, StreamView};

/// How many bytes each kind may take, about.
const MOST_BYTES: u64 = 16 * 1024 * 1024;
/// How many names of rooms.
const MOST_ROOMS: usize = 20_000;
/// How many entries each kind is prepared for: few, so that it is cut into few parts, and a large state fits into one.
const ENTRIES: usize = 128;
/// What a stream or a participant takes besides its metadata, about, as a value and as JSON.
const OWN_BYTES: usize = 1_024;
/// How often the text of metadata is there: itself, and in two JSON documents.
const METADATA_TIMES: usize = 3;

/// Tells one state of a stream from every other: the fields of its hash that are named here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark([String; 3]);

impl Mark {
    /// The fields that make a mark.
    pub const FIELDS: [&str; 3] = ["cursor", "claimedUntil", "others"];

    /// From the values of those fields; none where there is no such stream.
    pub fn of(values: [Option<String>; 3]) -> Option<Self> {
        let [Some(cursor), Some(claimed), others] = values else { return None };
        Some(Self([cursor, claimed, others.unwrap_or_default()]))
    }

    /// From a whole hash.
    pub fn in_fields(fields: &Fields) -> Option<Self> {
        Self::of(Self::FIELDS.map(|field| fields.get(field).cloned()))
    }
}

type Marked<T> = (Mark, Shared<T>);

/// See the module's words.
pub struct Cached {
    pub(super) streams: Shelf<Stream>,
    pub(super) views: Shelf<StreamView>,
    /// The names of their rooms, which need no mark: they never change.
    pub(super) rooms: Cache<StreamId, RoomName>,
}

impl Cached {
    pub(super) fn new() -> Self {
        Self { streams: Shelf::new(), views: Shelf::new(), rooms: Cache::new(MOST_ROOMS) }
    }
}

/// States by stream; the ones that are asked for most stay.
pub(super) struct Shelf<T>(Cache<StreamId, Marked<T>, BySize>);

impl<T: Sizeable> Shelf<T> {
    fn new() -> Self {
        Self(Cache::with_weighter(ENTRIES, MOST_BYTES, BySize))
    }

    /// Whether it is worth asking for a mark first.
    pub(super) fn has(&self, id: StreamId) -> bool {
        self.0.peek(&id).is_some()
    }

    /// What was kept under just this mark.
    pub(super) fn get(&self, id: StreamId, mark: &Mark) -> Option<Shared<T>> {
        self.0.get(&id).filter(|(kept, _)| kept == mark).map(|(_, value)| value)
    }

    /// Keeps what was read together with this mark.
    pub(super) fn keep(&self, id: StreamId, mark: Option<Mark>, value: T) -> Shared<T> {
        let value = Rendered::shared(value);
        if let Some(mark) = mark {
            self.0.insert(id, (mark, value.clone()));
        }
        value
    }
}

/// What can be kept.
pub(super) trait Sizeable {
    /// How many bytes of memory it takes, about.
    fn bytes(&self) -> usize;
}

fn bytes_with(text: &str) -> usize {
    OWN_BYTES + METADATA_TIMES * text.len()
}

impl Sizeable for Stream {
    fn bytes(&self) -> usize {
        bytes_with(self.metadata.as_text())
    }
}

impl Sizeable for StreamView {
    fn bytes(&self) -> usize {
        let people = self.participants.iter().map(|entry| {
            bytes_with(entry.metadata.as_text()) + METADATA_TIMES * entry.attributes.as_text().len()
        });
        self.stream.bytes() + people.sum::<usize>()
    }
}

#[derive(Clone)]
struct BySize;

impl<T: Sizeable> Weighter<StreamId, Marked<T>> for BySize {
    fn weight(&self, _: &StreamId, (_, value): &Marked<T>) -> u64 {
        value.bytes() as u64
    }
}

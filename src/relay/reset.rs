//! Reset: a snapshot that replaces everything a client received before, in one message or in several parts.
//!
//! No message is above 1 MiB. The parts of a reset are rendered once for all its clients, and one at a time, so that a
//! client that does not read holds one part.

use std::{
    fmt,
    ops::Range,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use serde::Serialize;

use super::{
    budget::Charge,
    frame::to_json,
    pieces::{PART_BYTES, Pieces, with_participants},
};
use crate::{
    domain::{Cursor, Participant, Stream, StreamView},
    store::{SharedState, Snapshot, SnapshotContent},
};

/// A snapshot with its division into parts. All resets to it share both.
pub(super) struct MeasuredSnapshot {
    pub(super) snapshot: Snapshot,
    pieces: Pieces,
    /// Charge of the snapshot, which clients that do not read keep in memory.
    _charge: Option<Charge>,
}

impl MeasuredSnapshot {
    /// Measures a snapshot, which serialises it once without keeping the text. `charge` is called with its size.
    pub(super) fn new(snapshot: Snapshot, charge: impl FnOnce(usize) -> Option<Charge>) -> Self {
        let pieces = Pieces::of(&snapshot.content);
        let charge = charge(pieces.bytes);
        Self { snapshot, pieces, _charge: charge }
    }

    /// Returns the size of the snapshot as JSON text.
    pub(super) const fn bytes(&self) -> usize {
        self.pieces.bytes
    }
}

/// A reset to a snapshot, for one reason.
pub struct ResetFrame {
    /// The snapshot contains every event up to this cursor.
    pub cursor: Cursor,
    /// Machine-readable reason; also a metric label.
    pub reason: &'static str,
    measured: Arc<MeasuredSnapshot>,
    /// Rendered parts.
    rendered: Vec<Rendered>,
}

impl fmt::Debug for ResetFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResetFrame")
            .field("cursor", &self.cursor)
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Rendered {
    json: OnceLock<Bytes>,
    message: OnceLock<Bytes>,
}

impl ResetFrame {
    /// Creates a reset without encoding anything.
    pub(super) fn new(reason: &'static str, measured: Arc<MeasuredSnapshot>) -> Self {
        let pieces = &measured.pieces;
        let parts = if pieces.is_whole() { 1 } else { pieces.ranges.len() };
        let rendered = std::iter::repeat_with(Rendered::default).take(parts).collect();
        Self { cursor: measured.snapshot.cursor, reason, measured, rendered }
    }

    /// Reports whether the feed ends with this reset, because the stream has ended or does not exist.
    pub fn ends(&self) -> bool {
        match &self.measured.snapshot.content {
            SnapshotContent::Stream(view) => view.as_ref().is_none_or(|view| view.stream.status.is_final()),
            SnapshotContent::All(_) => false,
        }
    }

    /// Returns the size of the snapshot as JSON text.
    pub fn bytes(&self) -> usize {
        self.measured.bytes()
    }

    /// Returns the bytes that one waiting client keeps in memory beyond the shared snapshot, at most.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.measured.pieces.bytes.min(PART_BYTES)
    }
}

/// The messages of a reset, in order.
#[derive(Clone)]
pub struct ResetParts {
    frame: Arc<ResetFrame>,
    next: usize,
    count: usize,
}

impl ResetParts {
    /// Returns the parts of a JSON transport: one message if it fits.
    pub fn of(frame: Arc<ResetFrame>) -> Self {
        let count = frame.rendered.len();
        Self { frame, next: 0, count }
    }

    /// Returns the parts of a transport whose messages are larger than JSON text: every piece is one part.
    pub fn divided(frame: Arc<ResetFrame>) -> Self {
        let count = frame.measured.pieces.ranges.len();
        Self { frame, next: 0, count }
    }

    /// Reports whether a part follows.
    pub const fn has_next(&self) -> bool {
        self.next < self.count
    }

    /// Returns the size of the whole snapshot as JSON text.
    pub fn bytes(&self) -> usize {
        self.frame.bytes()
    }

    /// Returns the number of all parts.
    pub const fn total(&self) -> usize {
        self.count
    }
}

impl Iterator for ResetParts {
    type Item = ResetPart;

    fn next(&mut self) -> Option<ResetPart> {
        let index = self.next;
        self.has_next().then(|| {
            self.next += 1;
            ResetPart { frame: self.frame.clone(), index, count: self.count }
        })
    }
}

/// Content of one part.
pub enum PartContent<'a> {
    /// Streams without their participants.
    Streams(&'a [Stream]),
    /// The stream of the topic with its first participants; `None` if it does not exist.
    Stream(Option<(&'a SharedState<StreamView>, &'a [Participant])>),
    /// Further participants of the stream.
    Participants(&'a StreamView, &'a [Participant]),
}

/// One message of a reset.
pub struct ResetPart {
    frame: Arc<ResetFrame>,
    index: usize,
    count: usize,
}

impl ResetPart {
    /// Returns the reason of the reset.
    pub fn reason(&self) -> &'static str {
        self.frame.reason
    }

    /// Returns the cursor to resume from; only the last part has it.
    pub fn cursor(&self) -> Option<Cursor> {
        (self.index + 1 == self.count).then_some(self.frame.cursor)
    }

    /// Returns the number of this part, from 1, and the number of parts; `None` for a reset in one message.
    pub fn numbers(&self) -> Option<(usize, usize)> {
        (self.count > 1).then_some((self.index + 1, self.count))
    }

    /// Returns the content.
    pub fn content(&self) -> PartContent<'_> {
        let measured = &self.frame.measured;
        let range = (self.count > 1).then(|| measured.pieces.ranges.get(self.index)).flatten();
        match &measured.snapshot.content {
            SnapshotContent::All(streams) => PartContent::Streams(part_of(streams, range)),
            SnapshotContent::Stream(None) => PartContent::Stream(None),
            SnapshotContent::Stream(Some(view)) => {
                let participants = part_of(&view.participants, range);
                if self.index == 0 {
                    PartContent::Stream(Some((view, participants)))
                } else {
                    PartContent::Participants(view, participants)
                }
            }
        }
    }

    /// Returns the JSON text, which is rendered once for all clients.
    pub fn json(&self) -> Bytes {
        match self.rendered() {
            Some(rendered) => rendered.json.get_or_init(|| self.render()).clone(),
            None => self.render(),
        }
    }

    /// Returns the cached message of a transport; the first call makes it from the JSON text with `encode`.
    pub fn encoded(&self, encode: impl FnOnce(&[u8]) -> Bytes) -> Bytes {
        match self.rendered() {
            Some(rendered) => rendered.message.get_or_init(|| encode(&self.render())).clone(),
            None => encode(&self.render()),
        }
    }

    fn rendered(&self) -> Option<&Rendered> {
        let rendered = &self.frame.rendered;
        rendered.get(self.index).filter(|_| rendered.len() == self.count)
    }

    fn render(&self) -> Bytes {
        match self.content() {
            PartContent::Streams(streams) => self.to_json(streams),
            PartContent::Stream(None) => self.to_json(()),
            PartContent::Stream(Some((view, participants))) => {
                if participants.len() == view.participants.len() {
                    self.to_json(view.state())
                } else {
                    self.to_json(with_participants(view, participants).state())
                }
            }
            PartContent::Participants(_, participants) => self.to_json(participants),
        }
    }

    fn to_json(&self, snapshot: impl Serialize) -> Bytes {
        #[derive(Serialize)]
        struct Data<S: Serialize> {
            reason: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            cursor: Option<Cursor>,
            #[serde(skip_serializing_if = "Option::is_none")]
            part: Option<usize>,
            #[serde(skip_serializing_if = "Option::is_none")]
            parts: Option<usize>,
            snapshot: S,
        }
        let (part, parts) = self.numbers().unzip();
        to_json(&Data { reason: self.reason(), cursor: self.cursor(), part, parts, snapshot })
    }
}

fn part_of<'a, T>(items: &'a [T], range: Option<&Range<usize>>) -> &'a [T] {
    range.map_or(items, |range| items.get(range.clone()).unwrap_or_default())
}

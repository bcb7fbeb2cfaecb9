//! Reset: a snapshot that replaces everything a client received before, in one message or in several parts.
//!
//! No message is above 1 MiB. A part is rendered when a client needs it and shared by the clients that send it at that
//! moment, so that a client that does not read holds one part. While a snapshot is reused for new clients, its parts are
//! kept.

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use serde::Serialize;

use super::{
    budget::{Budget, Charge},
    frame::to_json,
    pieces::{PART_BYTES, Pieces, with_participants},
    rendering::Rendering,
};
use crate::{
    domain::{Cursor, Participant, Stream, StreamView},
    store::{SharedState, Snapshot, SnapshotContent},
};

/// A snapshot with its division into parts. All resets to it share both.
pub(super) struct MeasuredSnapshot {
    pub(super) snapshot: Snapshot,
    pieces: Pieces,
    budget: Budget,
    /// True while new clients may get resets to this snapshot.
    is_reused: AtomicBool,
    /// Charge of the snapshot, which clients that do not read keep in memory.
    _charge: Charge,
}

impl MeasuredSnapshot {
    /// Measures a snapshot, which serialises it once without keeping the text.
    pub(super) fn new(snapshot: Snapshot, budget: &Budget, is_reused: bool) -> Self {
        let pieces = Pieces::of(&snapshot.content);
        let (charge, is_reused) = (budget.charge(pieces.bytes), AtomicBool::new(is_reused));
        Self { snapshot, pieces, budget: budget.clone(), is_reused, _charge: charge }
    }

    /// Records that new clients get another snapshot.
    pub(super) fn set_replaced(&self) {
        self.is_reused.store(false, Ordering::SeqCst);
    }

    /// Returns the budget of the renderings that are kept; `None` if they are not.
    fn keeper(&self) -> Option<&Budget> {
        self.is_reused.load(Ordering::SeqCst).then_some(&self.budget)
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
    parts: Vec<RenderedPart>,
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
struct RenderedPart {
    json: Rendering,
    message: Rendering,
}

impl ResetFrame {
    /// Creates a reset without encoding anything.
    pub(super) fn new(reason: &'static str, measured: Arc<MeasuredSnapshot>) -> Self {
        let pieces = &measured.pieces;
        let count = if pieces.is_whole() { 1 } else { pieces.ranges.len() };
        let parts = std::iter::repeat_with(RenderedPart::default).take(count).collect();
        Self { cursor: measured.snapshot.cursor, reason, measured, parts }
    }

    /// Keeps no rendering that no client sends. Called after [`MeasuredSnapshot::set_replaced`].
    pub(super) fn release_renderings(&self) {
        for RenderedPart { json, message } in &self.parts {
            json.release();
            message.release();
        }
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
        let count = frame.parts.len();
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

    /// Returns the JSON text, which clients share.
    pub fn json(&self) -> Bytes {
        self.shared(|part| &part.json, || self.render())
    }

    /// Returns the message of a transport, which clients share. `encode` makes it from the JSON text.
    pub fn encoded(&self, encode: impl FnOnce(&[u8]) -> Bytes) -> Bytes {
        self.shared(|part| &part.message, || encode(&self.render()))
    }

    fn shared(
        &self,
        rendering: impl FnOnce(&RenderedPart) -> &Rendering,
        render: impl FnOnce() -> Bytes,
    ) -> Bytes {
        let parts = &self.frame.parts;
        match parts.get(self.index).filter(|_| parts.len() == self.count) {
            Some(part) => rendering(part).get_or_render(|| self.frame.measured.keeper(), render),
            None => render(),
        }
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

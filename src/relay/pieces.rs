//! Division of a snapshot into pieces that fit a message.

use std::ops::Range;

use crate::{
    domain::{
        Participant, StreamView,
        size::{ENVELOPE_BYTES, MAX_MESSAGE_BYTES, json_size},
    },
    store::SnapshotContent,
};

/// Maximum size of a snapshot in one message. The rest of 1 MiB is for the message around it.
const MAX_WHOLE_BYTES: usize = MAX_MESSAGE_BYTES - ENVELOPE_BYTES;
/// Size at which a piece ends. Smaller than a message may be, because a client that does not read holds a message.
pub(super) const PART_BYTES: usize = 512 * 1024;

/// Division of a snapshot: ranges of its streams, or of the participants of its one stream.
pub(super) struct Pieces {
    pub(super) ranges: Vec<Range<usize>>,
    /// Size of the whole as JSON text.
    pub(super) bytes: usize,
}

impl Pieces {
    /// Measures and divides a snapshot.
    pub(super) fn of(content: &SnapshotContent) -> Self {
        match content {
            SnapshotContent::All(streams) => Self::divide(0, streams.iter().map(json_size)),
            SnapshotContent::Stream(None) => Self::divide(0, std::iter::empty()),
            SnapshotContent::Stream(Some(view)) => {
                let head = json_size(&with_participants(view, &[]).state());
                Self::divide(head, view.participants.iter().map(json_size))
            }
        }
    }

    /// Divides items of these sizes. The first piece also has a head.
    fn divide(head: usize, sizes: impl Iterator<Item = usize>) -> Self {
        let (mut ranges, mut bytes) = (Vec::new(), head);
        let (mut start, mut end, mut piece) = (0, 0, head);
        for size in sizes.map(|size| size + ",".len()) {
            if end > start && piece + size > PART_BYTES {
                ranges.push(start..end);
                (start, piece) = (end, 0);
            }
            (end, piece, bytes) = (end + 1, piece + size, bytes + size);
        }
        ranges.push(start..end);
        Self { ranges, bytes }
    }

    /// Reports whether the snapshot fits one message.
    pub(super) const fn is_whole(&self) -> bool {
        self.bytes <= MAX_WHOLE_BYTES
    }
}

/// Returns the view with these participants instead of its own.
pub(super) fn with_participants(view: &StreamView, participants: &[Participant]) -> StreamView {
    let StreamView { stream, participants_truncated, cursor, .. } = view;
    StreamView {
        stream: stream.clone(),
        participants: participants.to_vec(),
        participants_truncated: *participants_truncated,
        cursor: *cursor,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(head: usize, sizes: &[usize]) -> Vec<Range<usize>> {
        Pieces::divide(head, sizes.iter().copied()).ranges
    }

    #[test]
    fn pieces_end_at_the_bound_and_have_at_least_one_item() {
        assert_eq!(ranges(7, &[]).first(), Some(&(0..0)));
        assert_eq!(ranges(0, &[PART_BYTES / 2 - 1; 5]), [0..2, 2..4, 4..5]);
        assert_eq!(ranges(PART_BYTES, &[1, 1]), [0..1, 1..2]);
        assert_eq!(ranges(0, &[PART_BYTES * 2, 1]), [0..1, 1..2]);
    }
}

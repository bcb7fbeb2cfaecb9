//! Batch: consecutive messages that a fan-out writes directly with one write for each client.

use bytes::Bytes;

use crate::{
    domain::{Cursor, Topic},
    relay::{frame::EventFrame, subscriber::Delivery},
};

/// Encodes events for direct writes. The transport provides it, because it owns the wire format.
///
/// Both functions cache their result in the frame, so an instance encodes an event once.
#[derive(Clone, Copy, Debug)]
pub struct EventEncoder {
    /// Returns the event as one message of the transport; its length is the number of delivered bytes in the metrics.
    pub message: fn(&EventFrame) -> &Bytes,
    /// Returns the message in connection framing, as a [`DirectSink`](super::DirectSink) writes it.
    pub chunk: fn(&EventFrame) -> &Bytes,
}

/// Consecutive messages with their encoded bytes.
pub(super) struct Batch {
    /// Buffer index of the first message.
    pub(super) first_index: u64,
    /// Number of messages.
    pub(super) count: u64,
    /// Bytes of the messages without chunk framing.
    pub(super) message_bytes: u64,
    pub(super) first: Cursor,
    pub(super) last: Cursor,
    /// The encoded messages; `None` if a reset or a stream's last event requires the subscription's own handling.
    pub(super) chunks: Option<Bytes>,
}

impl Batch {
    pub(super) fn new(
        first_index: u64,
        topic: Topic,
        deliveries: &[Delivery],
        encoder: EventEncoder,
    ) -> Self {
        let frames: Option<Vec<&EventFrame>> =
            deliveries.iter().map(|delivery| direct_event(topic, delivery)).collect();
        let frames = frames.unwrap_or_default();
        let cursor = |frame: Option<&&EventFrame>| frame.map_or(Cursor::ORIGIN, |frame| frame.event().cursor);
        Self {
            first_index,
            count: deliveries.len() as u64,
            message_bytes: frames.iter().map(|frame| (encoder.message)(frame).len() as u64).sum(),
            first: cursor(frames.first()),
            last: cursor(frames.last()),
            chunks: concat_chunks(&frames, encoder),
        }
    }
}

/// Joins the chunks of all frames. A single chunk is shared without a copy.
fn concat_chunks(frames: &[&EventFrame], encoder: EventEncoder) -> Option<Bytes> {
    match frames {
        [] => None,
        [frame] => Some((encoder.chunk)(frame).clone()),
        many => {
            let chunks: Vec<&[u8]> = many.iter().map(|frame| &(encoder.chunk)(frame)[..]).collect();
            Some(chunks.concat().into())
        }
    }
}

/// Returns the frame of an event that does not end the feed of its topic.
fn direct_event(topic: Topic, delivery: &Delivery) -> Option<&EventFrame> {
    match delivery {
        Delivery::Event(frame) if topic == Topic::All || !frame.event().is_last() => Some(frame),
        _ => None,
    }
}

//! Frames: messages with their encoded bytes, which all clients of an instance share.
//!
//! A frame makes its JSON itself. Framing for a transport is encoded by that transport and cached in the frame.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::Serialize;

use crate::domain::Event;

/// Cache slot of an [`EventFrame`] for bytes that a transport encodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireForm {
    /// The event as one message of the transport.
    Message,
    /// The message in the framing of the connection below it.
    Chunk,
}

/// An event with its encoded bytes, each made at most once an instance.
#[derive(Debug)]
pub struct EventFrame {
    event: Arc<Event>,
    json: OnceLock<Bytes>,
    message: OnceLock<Bytes>,
    chunk: OnceLock<Bytes>,
}

impl EventFrame {
    /// Creates a frame without encoding anything.
    pub fn new(event: Arc<Event>) -> Self {
        Self { event, json: OnceLock::new(), message: OnceLock::new(), chunk: OnceLock::new() }
    }

    /// Returns the event.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// Returns the event's JSON text.
    pub fn json(&self) -> &Bytes {
        self.json.get_or_init(|| to_json(&*self.event))
    }

    /// Returns the cached bytes of a wire form; the first call makes them with `encode`.
    pub fn encoded(&self, form: WireForm, encode: impl FnOnce() -> Bytes) -> &Bytes {
        let slot = match form {
            WireForm::Message => &self.message,
            WireForm::Chunk => &self.chunk,
        };
        slot.get_or_init(encode)
    }
}

/// Serialises a value as JSON text.
///
/// The types passed here have string keys only, so serialisation cannot fail. If it fails nevertheless, the error is
/// logged and the text is `{}`.
pub(super) fn to_json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).map(Bytes::from).unwrap_or_else(|error| {
        tracing::error!(%error, "message serialisation failed");
        Bytes::from_static(b"{}")
    })
}

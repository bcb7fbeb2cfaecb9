//! Frames: messages with their encoded bytes, which all clients of an instance share.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::Serialize;

use crate::{
    domain::{Cursor, Event},
    store::{Snapshot, SnapshotContent},
};

/// An event with its encoded bytes, each made at most once an instance.
#[derive(Debug)]
pub struct EventFrame {
    event: Arc<Event>,
    json: OnceLock<Bytes>,
    sse: OnceLock<Bytes>,
    chunk: OnceLock<Bytes>,
}

impl EventFrame {
    /// Creates a frame without encoding anything.
    pub fn new(event: Arc<Event>) -> Self {
        Self { event, json: OnceLock::new(), sse: OnceLock::new(), chunk: OnceLock::new() }
    }

    /// Returns the event.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// Returns the event's JSON text.
    pub fn json(&self) -> &Bytes {
        self.json.get_or_init(|| to_json(&*self.event))
    }

    /// Returns the event as a server-sent event.
    pub fn sse(&self) -> &Bytes {
        self.sse
            .get_or_init(|| server_sent(Some(self.event.draft.kind.as_str()), self.event.cursor, self.json()))
    }

    /// Returns the server-sent event as one chunk of an HTTP/1.1 body.
    pub fn chunk(&self) -> &Bytes {
        self.chunk.get_or_init(|| chunk(self.sse()))
    }
}

/// A snapshot that replaces everything a client received before.
#[derive(Debug)]
pub struct ResetFrame {
    /// The snapshot contains every event up to this cursor.
    pub cursor: Cursor,
    /// Machine-readable reason; also a metric label.
    pub reason: &'static str,
    json: Bytes,
    sse: Bytes,
    snapshot: Snapshot,
}

impl ResetFrame {
    /// Creates a reset to this snapshot and encodes its JSON text.
    pub fn new(reason: &'static str, snapshot: Snapshot) -> Self {
        #[derive(Serialize)]
        struct Data<'a, S: Serialize> {
            reason: &'a str,
            cursor: Cursor,
            snapshot: S,
        }
        let cursor = snapshot.cursor;
        let json = match &snapshot.content {
            SnapshotContent::Stream(view) => {
                to_json(&Data { reason, cursor, snapshot: view.as_ref().map(|view| view.state()) })
            }
            SnapshotContent::All(streams) => to_json(&Data { reason, cursor, snapshot: streams }),
        };
        let sse = server_sent(Some("reset"), cursor, &json);
        Self { cursor, reason, json, sse, snapshot }
    }

    /// Returns `{reason, cursor, snapshot}` as JSON text.
    pub fn json(&self) -> &Bytes {
        &self.json
    }

    /// Returns the reset as a server-sent event.
    pub fn sse(&self) -> &Bytes {
        &self.sse
    }

    /// Reports whether the feed ends with this reset, because the stream has ended or does not exist.
    pub fn ends(&self) -> bool {
        match &self.snapshot.content {
            SnapshotContent::Stream(view) => view.as_ref().is_none_or(|view| view.stream.status.is_final()),
            SnapshotContent::All(_) => false,
        }
    }

    /// Returns the snapshot.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
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

/// Encodes one server-sent event. `data` must have no line breaks, which holds for compact JSON text.
pub(super) fn server_sent(name: Option<&str>, id: Cursor, data: &[u8]) -> Bytes {
    let head = match name {
        Some(name) => format!("event: {name}\nid: {id}\ndata: "),
        None => format!("id: {id}\ndata: "),
    };
    [head.as_bytes(), data, b"\n\n"].concat().into()
}

/// Encodes one chunk of an HTTP/1.1 body.
fn chunk(data: &[u8]) -> Bytes {
    [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_sent_event_with_name_has_event_id_and_data_lines() {
        let named = server_sent(Some("reset"), Cursor::new(1, 2), b"{}");
        assert_eq!(&named[..], b"event: reset\nid: 1-2\ndata: {}\n\n");
        assert_eq!(&server_sent(None, Cursor::new(1, 2), b"{}")[..], b"id: 1-2\ndata: {}\n\n");
    }

    #[test]
    fn chunk_of_data_has_hexadecimal_length_and_line_ends() {
        assert_eq!(&chunk(b"0123456789abcdefg")[..], b"11\r\n0123456789abcdefg\r\n");
    }
}

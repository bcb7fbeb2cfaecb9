//! Events as bytes: made once for an instance, shared by all its clients.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::Serialize;

use crate::{
    domain::{Cursor, Event},
    store::{Snapshot, SnapshotContent},
};

/// One event, with its bytes for each wire form once somebody has asked for them.
#[derive(Debug)]
pub struct EventFrame {
    event: Arc<Event>,
    json: OnceLock<Bytes>,
    sse: OnceLock<Bytes>,
    chunk: OnceLock<Bytes>,
}

impl EventFrame {
    /// A frame whose bytes have not been asked for yet.
    pub fn new(event: Arc<Event>) -> Self {
        Self { event, json: OnceLock::new(), sse: OnceLock::new(), chunk: OnceLock::new() }
    }

    /// The event.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// The event's JSON text.
    pub fn json(&self) -> &Bytes {
        self.json.get_or_init(|| to_json(&*self.event))
    }

    /// The event as a server-sent event.
    pub fn sse(&self) -> &Bytes {
        self.sse
            .get_or_init(|| server_sent(Some(self.event.draft.kind.as_str()), self.event.cursor, self.json()))
    }

    /// The event as a server-sent event, as a chunk of an HTTP/1.1 body.
    pub fn chunk(&self) -> &Bytes {
        self.chunk.get_or_init(|| chunk(self.sse()))
    }
}

/// A chunk of a body without an end, as HTTP/1.1 sends it.
fn chunk(data: &[u8]) -> Bytes {
    [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat().into()
}

/// A message that tells a client to start again from a snapshot.
#[derive(Debug)]
pub struct ResetFrame {
    /// What the snapshot contains everything up to.
    pub cursor: Cursor,
    /// Why.
    pub reason: &'static str,
    json: Bytes,
    sse: Bytes,
    snapshot: Snapshot,
}

impl ResetFrame {
    /// A reset to this snapshot.
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

    /// `{reason, cursor, snapshot}` as JSON text.
    pub fn json(&self) -> &Bytes {
        &self.json
    }

    /// The reset as a server-sent event.
    pub fn sse(&self) -> &Bytes {
        &self.sse
    }

    /// Whether nothing can follow: the stream is over or gone.
    pub fn ends(&self) -> bool {
        match &self.snapshot.content {
            SnapshotContent::Stream(view) => view.as_ref().is_none_or(|view| view.stream.status.is_final()),
            SnapshotContent::All(_) => false,
        }
    }

    /// The state to start again from.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }
}

/// JSON text. The types that come here have string keys only, so serialising cannot fail; should it all the same, the
/// message is empty and the error is in the log.
pub(super) fn to_json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).map(Bytes::from).unwrap_or_else(|error| {
        tracing::error!(%error, "a message could not be serialised");
        Bytes::from_static(b"{}")
    })
}

/// A message of the event stream format (WHATWG HTML, "Server-sent events"). JSON text has no line breaks.
pub(super) fn server_sent(name: Option<&str>, id: Cursor, data: &[u8]) -> Bytes {
    let head = match name {
        Some(name) => format!("event: {name}\nid: {id}\ndata: "),
        None => format!("id: {id}\ndata: "),
    };
    [head.as_bytes(), data, b"\n\n"].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_name_id_and_data() {
        let named = server_sent(Some("reset"), Cursor::new(1, 2), b"{}");
        assert_eq!(&named[..], b"event: reset\nid: 1-2\ndata: {}\n\n");
        assert_eq!(&server_sent(None, Cursor::new(1, 2), b"{}")[..], b"id: 1-2\ndata: {}\n\n");
    }
}

//! Framing of event streams.
//!
//! Messages follow WHATWG HTML, "Server-sent events"; chunks follow RFC 9112, section 7.1.

use actix_web::web::Bytes;

use crate::{
    domain::Cursor,
    relay::{EventEncoder, EventFrame, ResetFrame, WireForm},
};

/// Encoder for direct writes of the relay.
pub const EVENT_ENCODER: EventEncoder = EventEncoder { message: event, chunk: event_chunk };

/// Returns an event as a server-sent event named by its type. Encoded once an instance and cached in the frame.
pub fn event(frame: &EventFrame) -> &Bytes {
    frame.encoded(WireForm::Message, || {
        let event = frame.event();
        server_sent(Some(event.draft.kind.as_str()), event.cursor, frame.json())
    })
}

/// Returns [`event`] as one chunk of an HTTP/1.1 body. Encoded once an instance and cached in the frame.
fn event_chunk(frame: &EventFrame) -> &Bytes {
    frame.encoded(WireForm::Chunk, || chunk(event(frame)))
}

/// Returns a reset as a server-sent event named `reset`. Encoded once an instance and cached in the frame.
pub fn reset(frame: &ResetFrame) -> &Bytes {
    frame.encoded(|| server_sent(Some("reset"), frame.cursor, frame.json()))
}

/// Encodes a state document as an unnamed server-sent event.
pub fn state(cursor: Cursor, json: &[u8]) -> Bytes {
    server_sent(None, cursor, json)
}

/// Encodes one server-sent event. `data` must have no line breaks, which holds for compact JSON text.
fn server_sent(name: Option<&str>, id: Cursor, data: &[u8]) -> Bytes {
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
        assert_eq!(&state(Cursor::new(1, 2), b"{}")[..], b"id: 1-2\ndata: {}\n\n");
    }

    #[test]
    fn chunk_of_data_has_hexadecimal_length_and_line_ends() {
        assert_eq!(&chunk(b"0123456789abcdefg")[..], b"11\r\n0123456789abcdefg\r\n");
    }
}

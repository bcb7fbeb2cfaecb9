//! Framing of event streams.
//!
//! Messages follow WHATWG HTML, "Server-sent events"; chunks follow RFC 9112, section 7.1.

use actix_web::web::Bytes;

use crate::{
    domain::Cursor,
    relay::{EventEncoder, EventFrame, ResetPart, WireForm},
};

/// Encoder for direct writes of the relay.
pub const EVENT_ENCODER: EventEncoder = EventEncoder { message: event, chunk: event_chunk };

/// Returns an event as a server-sent event named by its type. Encoded once an instance and cached in the frame.
pub fn event(frame: &EventFrame) -> &Bytes {
    frame.encoded(WireForm::Message, || {
        let event = frame.event();
        server_sent(Some(event.draft.kind.as_str()), Some(event.cursor), frame.json())
    })
}

/// Returns [`event`] as one chunk of an HTTP/1.1 body. Encoded once an instance and cached in the frame.
fn event_chunk(frame: &EventFrame) -> &Bytes {
    frame.encoded(WireForm::Chunk, || chunk(event(frame)))
}

/// Returns a part of a reset as a server-sent event named `reset`; only the last part has an id. Encoded once an
/// instance and cached in the reset.
pub fn reset(part: &ResetPart) -> Bytes {
    part.encoded(|json| server_sent(Some("reset"), part.cursor(), json))
}

/// Encodes a state document as an unnamed server-sent event.
pub fn state(cursor: Cursor, json: &[u8]) -> Bytes {
    server_sent(None, Some(cursor), json)
}

/// Returns a comment, which clients ignore: empty, or with the partitions that the feed waits for.
pub fn heartbeat(waiting_partitions: &[usize]) -> Bytes {
    match waiting_partitions {
        [] => Bytes::from_static(b":\n\n"),
        [partition] => format!(": waiting for partition {partition}\n\n").into(),
        [first, others @ ..] => {
            let others: String = others.iter().map(|partition| format!(", {partition}")).collect();
            format!(": waiting for partitions {first}{others}\n\n").into()
        }
    }
}

/// Encodes one server-sent event. `data` must have no line breaks, which holds for compact JSON text.
fn server_sent(name: Option<&str>, id: Option<Cursor>, data: &[u8]) -> Bytes {
    let name = name.map(|name| format!("event: {name}\n")).unwrap_or_default();
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    [name.as_bytes(), id.as_bytes(), b"data: ", data, b"\n\n"].concat().into()
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
        let named = server_sent(Some("reset"), Some(Cursor::new(1, 2)), b"{}");
        assert_eq!(&named[..], b"event: reset\nid: 1-2\ndata: {}\n\n");
        assert_eq!(&state(Cursor::new(1, 2), b"{}")[..], b"id: 1-2\ndata: {}\n\n");
        assert_eq!(&server_sent(Some("reset"), None, b"{}")[..], b"event: reset\ndata: {}\n\n");
    }

    #[test]
    fn heartbeat_names_the_partitions_that_are_down() {
        assert_eq!(&heartbeat(&[])[..], b":\n\n");
        assert_eq!(&heartbeat(&[2])[..], b": waiting for partition 2\n\n");
        assert_eq!(&heartbeat(&[0, 2, 3])[..], b": waiting for partitions 0, 2, 3\n\n");
    }

    #[test]
    fn chunk_of_data_has_hexadecimal_length_and_line_ends() {
        assert_eq!(&chunk(b"0123456789abcdefg")[..], b"11\r\n0123456789abcdefg\r\n");
    }
}

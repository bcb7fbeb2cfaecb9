//! Messages of both directions, and close frames.

use std::time::Duration;

use actix_web::web::Bytes;
use actix_ws::{CloseCode, CloseReason, ProtocolError};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    domain::ErrorCode,
    error_mapping::ErrorMapping,
    http::{problem::Problem, sse::retry_hint},
};

/// Maximum size of a client's message.
pub(super) const MAX_MESSAGE_BYTES: usize = 16 * 1024;
/// Maximum time that a message may wait for a client that takes no bytes.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(15);

/// Command of a client.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Command {
    Subscribe {
        #[serde(rename = "streamId")]
        stream_id: String,
        after: Option<String>,
    },
    Unsubscribe {
        #[serde(rename = "streamId")]
        stream_id: String,
    },
    Ping,
}

/// Text message of the server, in two pieces. The second one is shared by all clients that receive it.
pub(super) struct Message {
    head: Bytes,
    body: Bytes,
}

impl<T: Into<Bytes>> From<T> for Message {
    fn from(body: T) -> Self {
        Self { head: Bytes::new(), body: body.into() }
    }
}

impl Message {
    pub(super) fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// Returns the whole text. Without a head, it is not copied.
    pub(super) fn joined(self) -> Bytes {
        if self.head.is_empty() { self.body } else { [self.head, self.body].concat().into() }
    }

    /// Returns the text in pieces of at most this size, without a copy.
    pub(super) fn fragments(self, size: usize) -> impl Iterator<Item = Bytes> {
        let divide = move |mut bytes: Bytes| {
            std::iter::from_fn(move || {
                let next = bytes.split_to(size.min(bytes.len()));
                (!next.is_empty()).then_some(next)
            })
        };
        [self.head, self.body].into_iter().flat_map(divide)
    }
}

pub(super) fn connected(instance: &str) -> String {
    json!({"type": "connected", "instance": instance}).to_string()
}

/// Returns the message of a feed of all streams that waits for partitions.
pub(super) fn waiting(partitions: &[usize]) -> String {
    json!({"type": "waiting", "partitions": partitions}).to_string()
}

pub(super) fn pong() -> String {
    json!({"type": "pong"}).to_string()
}

pub(super) fn subscribed(stream_id: &str, from: &str) -> String {
    json!({"type": "subscribed", "streamId": stream_id, "cursor": from}).to_string()
}

pub(super) fn unsubscribed(stream_id: &str, reason: &str) -> String {
    json!({"type": "unsubscribed", "streamId": stream_id, "reason": reason}).to_string()
}

/// Adds the type and the stream to a part of a reset. Joins two JSON objects as text, because snapshots are large.
pub(super) fn reset(stream_id: &str, document: &Bytes) -> Message {
    let mut head = json!({"type": "reset", "streamId": stream_id}).to_string();
    head.pop();
    head.push(',');
    Message { head: head.into(), body: document.slice(1..) }
}

/// Returns a problem document as a message. `type` is the message's; the problem's own follows from its `code`.
pub(super) fn error(problem: &Problem, stream_id: Option<&str>) -> String {
    let mut document = problem.document();
    if let Value::Object(fields) = &mut document {
        fields.insert("type".to_owned(), "error".into());
        if let Some(stream_id) = stream_id {
            fields.insert("streamId".to_owned(), stream_id.into());
        }
    }
    document.to_string()
}

/// Returns the close frame of an error.
pub(super) fn close(code: ErrorCode, description: String) -> CloseReason {
    CloseReason { code: CloseCode::from(ErrorMapping::of(code).close), description: Some(description) }
}

/// Returns the close frame of an error after which the client should reconnect, with a reconnection time.
pub(super) fn close_with_retry(code: ErrorCode) -> CloseReason {
    close(code, json!({"reason": ErrorMapping::of(code).code, "retry": retry_hint()}).to_string())
}

/// Returns the close frame of a violation of the WebSocket protocol.
pub(super) fn protocol_error(error: &ProtocolError) -> CloseReason {
    match error {
        ProtocolError::Overflow => {
            close(ErrorCode::PayloadTooLarge, format!("a message may have {MAX_MESSAGE_BYTES} bytes"))
        }
        _ => CloseReason { code: CloseCode::Protocol, description: None },
    }
}

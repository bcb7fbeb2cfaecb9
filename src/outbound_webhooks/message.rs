//! The requests that an endpoint gets: events, resets and tests.

use std::time::SystemTime;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::backlog::QueuedEvent;
use crate::{
    delivery::{Message, signature::sign},
    domain::{Cursor, Endpoint, StreamId, Timestamp},
    store::ResetReason,
};

/// What a request carries.
pub(super) struct Content {
    /// `webhook-id`.
    id: String,
    body: Bytes,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResetBody {
    r#type: &'static str,
    reason: &'static str,
    cursor: Cursor,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_id: Option<StreamId>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TestBody<'a> {
    r#type: &'static str,
    endpoint_id: &'a str,
    timestamp: Timestamp,
}

impl Content {
    /// An event, as feeds show it.
    pub(super) fn event(event: &QueuedEvent) -> Self {
        let id = format!("msg_{}", event.cursor());
        match event {
            QueuedEvent::Logged(event) => Self::new(id, &**event),
            QueuedEvent::Past(event) => Self { id, body: event.json.clone().into() },
        }
    }

    /// The loss of events of all streams, or of one. The next event is the one after the cursor.
    pub(super) fn reset(reason: ResetReason, cursor: Cursor, stream_id: Option<StreamId>) -> Self {
        let body = ResetBody { r#type: "reset", reason: reason.as_str(), cursor, stream_id };
        let of_stream = stream_id.map(|id| format!("_{id}")).unwrap_or_default();
        Self::new(format!("msg_reset_{cursor}{of_stream}"), &body)
    }

    /// A test of the endpoint.
    pub(super) fn test(endpoint: &Endpoint, now: Timestamp) -> Self {
        let id = format!("msg_test_{}", uuid::Uuid::now_v7());
        Self::new(id, &TestBody { r#type: "test", endpoint_id: endpoint.id.as_str(), timestamp: now })
    }

    fn new(id: String, body: &impl Serialize) -> Self {
        // Every body serializes: it has no maps with keys that are not texts.
        Self { id, body: serde_json::to_vec(body).unwrap_or_default().into() }
    }

    /// Signs the content for one attempt. `now` is the store's time, which ends the validity of an old secret. The
    /// timestamp is this machine's, because receivers compare it with their own clock.
    pub(super) fn sign(self, endpoint: &Endpoint, now: Timestamp) -> Message {
        let timestamp = DateTime::<Utc>::from(SystemTime::now()).timestamp();
        let signature = sign(endpoint.secrets.signing(now), &self.id, timestamp, &self.body);
        Message { id: self.id, timestamp, signature, body: self.body }
    }
}

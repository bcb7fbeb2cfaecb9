//! Requests of LiveKit's webhooks.

use livestream_orchestrator::domain::StreamRef;
use serde_json::{Value, json};

use super::{
    http::post,
    service::{ROOM_SID, viewer_sid},
    sse_clients::MARKER,
    statistics::now,
    support::{app::sign_webhook, unique},
};

/// Returns the request of a signed `participant_joined` webhook, whose event carries the marker with `due`.
pub fn webhook(stream: &StreamRef, due: u64) -> String {
    let name = format!("{}{due:016}", MARKER.trim_start_matches('"'));
    let permission = json!({"canSubscribe": true, "canPublish": true});
    let participant = json!({"sid": unique("PA"), "identity": format!("person-{due}"), "name": name,
        "state": "ACTIVE", "permission": permission});
    signed("participant_joined", stream, due / 1_000_000, &participant)
}

/// Returns the request of a signed webhook about the session of a viewer.
pub fn viewer_webhook(event: &str, stream: &StreamRef, number: usize) -> String {
    let participant = json!({"sid": viewer_sid(number), "identity": format!("viewer-{number}"), "state": "ACTIVE",
        "permission": {"canSubscribe": true}});
    signed(event, stream, now() / 1_000_000, &participant)
}

/// Returns the request of a signed webhook that was created at a time, in seconds since 1970.
fn signed(event: &str, stream: &StreamRef, created_at: u64, participant: &Value) -> String {
    let body = json!({
        "event": event, "id": unique("EV"), "createdAt": created_at.to_string(),
        "room": {"sid": ROOM_SID, "name": stream.room_name.as_str()}, "participant": participant,
    });
    let body = body.to_string();
    let headers =
        format!("content-type: application/webhook+json\r\nauthorization: {}\r\n", sign_webhook(&body));
    post("/webhooks/livekit", &headers, &body)
}

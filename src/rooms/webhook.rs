//! Tolerant parser of LiveKit's webhooks.
//!
//! A body with a valid signature is never rejected because of a name, a field or an enum value that this version does
//! not know. livekit-api's own receiver is not used, because it decodes strictly.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    RoomEvent, RoomEventKind,
    participant_permission::ParticipantPermission,
    protojson::{integer, text},
    webhook_egress, webhook_ingress,
};
use crate::domain::{
    Attributes, DisplayName, Identity, ParticipantKind, ParticipantMetadata, RoomName, RoomSid, Session,
    Timestamp, TokenMark, Track, TrackSource, Tracks,
};

/// Names of the events that LiveKit 1.13 sends. Metrics count any other name as `other`.
const KNOWN_EVENTS: [&str; 12] = [
    "room_started",
    "room_finished",
    "participant_joined",
    "participant_left",
    "participant_connection_aborted",
    "track_published",
    "track_unpublished",
    "egress_started",
    "egress_updated",
    "egress_ended",
    "ingress_started",
    "ingress_ended",
];

/// Content of a webhook.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Name of the event, or `other`.
    pub name: &'static str,
    /// Event of a room; `None` if the body names no room or lacks a required field.
    pub event: Option<RoomEvent>,
}

/// Parses the body of a verified webhook. Never fails: an unknown event is named `other`, and a body that is not JSON
/// or lacks a required field has no [`Webhook::event`].
pub fn parse(body: &[u8]) -> Webhook {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let event_name = json["event"].as_str().unwrap_or_default();
    let name = KNOWN_EVENTS.into_iter().find(|known| *known == event_name).unwrap_or("other");
    Webhook { name, event: event(&json, name) }
}

fn event(json: &Value, name: &str) -> Option<RoomEvent> {
    if matches!(name, "ingress_started" | "ingress_ended") {
        return ingress_event(json);
    }
    if matches!(name, "egress_started" | "egress_updated" | "egress_ended") {
        return egress_event(json);
    }
    let room = &json["room"];
    let room_sid: Option<RoomSid> = text(&room["sid"]).map(Into::into);
    let kind = match name {
        "participant_joined" => RoomEventKind::Joined(session(&json["participant"], room_sid.clone()?)?),
        "participant_left" | "participant_connection_aborted" => {
            RoomEventKind::Left { identity: identity(json)?, sid: text(&json["participant"]["sid"])?.into() }
        }
        "track_published" => RoomEventKind::Published {
            identity: identity(json)?,
            sid: text(&json["participant"]["sid"])?.into(),
            track: track(&json["track"])?,
        },
        "track_unpublished" => RoomEventKind::Unpublished {
            identity: identity(json)?,
            sid: text(&json["participant"]["sid"])?.into(),
            track: text(&json["track"]["sid"])?.into(),
        },
        "room_started" => RoomEventKind::Started,
        "room_finished" => RoomEventKind::Finished,
        _ => RoomEventKind::Other,
    };
    Some(RoomEvent {
        id: text(&json["id"]),
        room: RoomName::parse(text(&room["name"])?).ok()?,
        room_sid,
        at: integer(&json["createdAt"]).map(|seconds| Timestamp::from_millis(seconds.saturating_mul(1000))),
        kind,
    })
}

/// An event of an ingress has no `room`.
fn ingress_event(json: &Value) -> Option<RoomEvent> {
    let ingress = &json["ingressInfo"];
    Some(RoomEvent {
        id: text(&json["id"]),
        room: RoomName::parse(text(&ingress["roomName"])?).ok()?,
        room_sid: None,
        at: None,
        kind: RoomEventKind::IngressChanged(webhook_ingress::report(ingress)?),
    })
}

/// An event of an egress has no `room`.
fn egress_event(json: &Value) -> Option<RoomEvent> {
    let egress = &json["egressInfo"];
    let report = webhook_egress::report(egress)?;
    Some(RoomEvent {
        id: text(&json["id"]),
        room: RoomName::parse(text(&egress["roomName"])?).ok()?,
        room_sid: None,
        at: None,
        kind: RoomEventKind::EgressChanged(Box::new(report)),
    })
}

fn identity(json: &Value) -> Option<Identity> {
    Identity::reported(json["participant"]["identity"].as_str()?)
}

/// Protojson omits false values and the first value of an enum, `UNKNOWN`.
fn track(json: &Value) -> Option<Track> {
    Some(Track {
        sid: text(&json["sid"])?.into(),
        source: TrackSource::of(json["source"].as_str().unwrap_or_default()),
        muted: json["muted"].as_bool().unwrap_or_default(),
    })
}

fn session(participant: &Value, room_sid: RoomSid) -> Option<Session> {
    let seconds = || integer(&participant["joinedAt"]).map(|seconds| seconds.saturating_mul(1000));
    let joined_at = integer(&participant["joinedAtMs"]).or_else(seconds);
    let permission = participant["permission"].as_object().map(permission);
    let attributes = participant["attributes"].as_object().into_iter().flatten();
    let mut attributes: BTreeMap<_, _> =
        attributes.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect();
    let kind = participant
        .get("kind")
        .map_or(ParticipantKind::Standard, |kind| ParticipantKind::of(kind.as_str().unwrap_or_default()));
    Some(Session {
        room_sid,
        sid: text(&participant["sid"])?.into(),
        identity: Identity::reported(participant["identity"].as_str()?)?,
        name: participant["name"].as_str().and_then(DisplayName::reported),
        role: permission.map(ParticipantPermission::role),
        metadata: text(&participant["metadata"]).map(|text| ParticipantMetadata::reported(&text)),
        mark: TokenMark::take(&mut attributes),
        attributes: Attributes::reported(attributes),
        kind: ParticipantPermission::kind(permission, kind),
        hidden: permission.is_some_and(|permission| permission.hidden),
        joined_at: joined_at.map(Timestamp::from_millis),
        tracks: Tracks::new(participant["tracks"].as_array().into_iter().flatten().filter_map(track)),
    })
}

/// Protojson omits false values, so a permission without `canPublish` is a viewer's.
fn permission(json: &Map<String, Value>) -> ParticipantPermission {
    let is_true = |name: &str| json.get(name) == Some(&Value::Bool(true));
    ParticipantPermission {
        can_publish: is_true("canPublish"),
        hidden: is_true("hidden"),
        recorder: is_true("recorder"),
        agent: is_true("agent"),
    }
}

#[cfg(test)]
mod tests;

//! Tolerant parser of LiveKit's webhooks.
//!
//! A body with a valid signature is never rejected because of a name, a field or an enum value that this version does
//! not know. livekit-api's own receiver is not used, because it decodes strictly.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{RoomEvent, RoomEventKind, participant_permission::ParticipantPermission};
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

/// Returns a text that is not empty. Protojson may omit empty texts.
fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Protojson writes 64-bit integers as strings.
fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok()).filter(|number| *number > 0)
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use livekit_api::access_token::AccessToken;
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::{
        access::token::{ApiKey, TokenError, TokenVerifier, WebhookError},
        domain::Role,
    };

    const BODY: &[u8] = br#"{"event":"participant_joined","id":"EV_1","createdAt":"1768384800","future":[1],
        "room":{"sid":"RM_1","name":"room","turnPassword":"x"},
        "participant":{"sid":"PA_1","identity":"ann","state":"NEW_STATE","joinedAt":"1768384799",
        "joinedAtMs":"1768384799123","permission":{"canSubscribe":true},"metadata":"plain words"}}"#;

    fn verify_and_parse(authorization: &str, body: &[u8]) -> Result<Webhook, WebhookError> {
        let verifier = TokenVerifier::new([&ApiKey { key: "devkey".to_owned(), secret: "secret".into() }]);
        let now = Timestamp::from_millis(chrono::Utc::now().timestamp_millis());
        verifier.verify_webhook(authorization, now)?.verify(&Sha256::digest(body)).map(|()| parse(body))
    }

    fn signed(key: &str, secret: &str, body: &[u8]) -> String {
        let hash = STANDARD.encode(Sha256::digest(body));
        AccessToken::with_api_key(key, secret).with_sha256(&hash).to_jwt().unwrap()
    }

    #[test]
    fn signed_body_with_unknown_content_is_parsed() {
        for prefix in ["", "Bearer "] {
            let webhook =
                verify_and_parse(&format!("{prefix}{}", signed("devkey", "secret", BODY)), BODY).unwrap();
            assert_eq!(webhook.name, "participant_joined");
            let event = webhook.event.unwrap();
            assert_eq!((event.id.as_deref(), event.room.as_str()), (Some("EV_1"), "room"));
            let RoomEventKind::Joined(session) = event.kind else { panic!("not a join") };
            assert_eq!((session.sid.as_str(), session.role), ("PA_1", Some(Role::Viewer)));
            assert_eq!(session.joined_at, Some(Timestamp::from_millis(1_768_384_799_123)));
            assert_eq!(serde_json::to_string(&session.metadata.unwrap()).unwrap(), "\"plain words\"");
        }
    }

    #[test]
    fn webhook_with_bad_signature_is_refused_with_its_reason() {
        let good = signed("devkey", "secret", BODY);
        let mut changed = BODY.to_vec();
        changed[10] ^= 1;
        let unhashed = AccessToken::with_api_key("devkey", "secret").to_jwt().unwrap();
        for (authorization, body, expected) in [
            ("", BODY, WebhookError::Missing),
            ("Bearer ", BODY, WebhookError::Missing),
            ("nonsense", BODY, TokenError::Malformed.into()),
            (good.as_str(), &changed[..], WebhookError::BodyHashMismatch),
            (signed("devkey", "wrong", BODY).as_str(), BODY, TokenError::Signature.into()),
            (signed("other", "secret", BODY).as_str(), BODY, TokenError::UnknownIssuer.into()),
            (unhashed.as_str(), BODY, WebhookError::BodyHashMissing),
        ] {
            assert_eq!(verify_and_parse(authorization, body).err(), Some(expected));
        }
    }

    proptest! {
        #[test]
        fn signed_body_of_any_bytes_is_accepted_without_a_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(verify_and_parse(&signed("devkey", "secret", &body), &body).is_ok());
        }
    }
}

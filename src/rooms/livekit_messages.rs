//! Conversion of LiveKit's messages.

use livekit_protocol::{ParticipantInfo, TrackInfo, participant_info::Kind};

use super::{Room, participant_permission::ParticipantPermission};
use crate::domain::{
    Attributes, DisplayName, Identity, ParticipantKind, ParticipantMetadata, Role, RoomSid, Session,
    Timestamp, TokenMark, Track, TrackSource, Tracks,
};

/// Returns the permission of a role, equal to that of a join token.
pub(super) fn permission_of(role: Role) -> livekit_protocol::ParticipantPermission {
    let publishes = role == Role::Host;
    livekit_protocol::ParticipantPermission {
        can_subscribe: true,
        can_publish: publishes,
        can_publish_data: publishes,
        ..livekit_protocol::ParticipantPermission::default()
    }
}

/// Converts a room.
pub(super) fn room_of(room: livekit_protocol::Room) -> Room {
    Room {
        name: room.name,
        sid: room.sid.into(),
        metadata: room.metadata,
        participants: room.num_participants,
        max_participants: room.max_participants,
        empty_timeout: room.empty_timeout,
        departure_timeout: room.departure_timeout,
    }
}

/// Converts a listed participant; `None` for an entry without an identity, which LiveKit does not send.
pub(super) fn session(room_sid: &RoomSid, participant: ParticipantInfo) -> Option<Session> {
    let millis = if participant.joined_at_ms > 0 {
        participant.joined_at_ms
    } else {
        participant.joined_at.saturating_mul(1000)
    };
    let kind = Kind::try_from(participant.kind).map(|kind| ParticipantKind::of(kind.as_str_name()));
    let permission = participant.permission.map(|permission| ParticipantPermission {
        can_publish: permission.can_publish,
        hidden: permission.hidden,
        #[expect(deprecated, reason = "older recorders and agents have no kind")]
        recorder: permission.recorder,
        #[expect(deprecated, reason = "older recorders and agents have no kind")]
        agent: permission.agent,
    });
    let mut attributes = participant.attributes.into_iter().collect();
    Some(Session {
        room_sid: room_sid.clone(),
        sid: participant.sid.into(),
        identity: Identity::reported(participant.identity)?,
        name: DisplayName::reported(participant.name),
        role: permission.map(ParticipantPermission::role),
        metadata: Some(participant.metadata)
            .filter(|text| !text.is_empty())
            .map(|text| ParticipantMetadata::reported(&text)),
        mark: TokenMark::take(&mut attributes),
        attributes: Attributes::reported(attributes),
        kind: ParticipantPermission::kind(permission, kind.unwrap_or(ParticipantKind::Unknown)),
        hidden: permission.is_some_and(|permission| permission.hidden),
        joined_at: (millis > 0).then(|| Timestamp::from_millis(millis)),
        tracks: Tracks::new(participant.tracks.into_iter().map(track)),
    })
}

/// Converts a track.
pub(super) fn track(track: TrackInfo) -> Track {
    Track { source: TrackSource::of(track.source().as_str_name()), sid: track.sid.into(), muted: track.muted }
}

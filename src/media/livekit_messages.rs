//! Conversion of LiveKit's messages.

use livekit_protocol::{IngressInfo, IngressInput, ingress_state::Status};
use secrecy::SecretString;

use super::ListedIngress;
use crate::domain::{
    DisplayName, ErrorSecrets, Identity, IngressId, IngressKind, IngressReport, IngressState, IngressStatus,
    MaskedUrl, Timestamp, ingress::StateTime,
};

/// Converts nanoseconds since 1970; `None` for 0, which LiveKit sends for an absent time.
fn time(nanos: i64) -> Option<Timestamp> {
    (nanos > 0).then(|| Timestamp::from_millis(nanos / 1_000_000))
}

/// Returns LiveKit's value of a kind; `None` for [`IngressKind::Unknown`].
pub(super) const fn input_of(kind: IngressKind) -> Option<IngressInput> {
    match kind {
        IngressKind::Rtmp => Some(IngressInput::RtmpInput),
        IngressKind::Whip => Some(IngressInput::WhipInput),
        IngressKind::Url => Some(IngressInput::UrlInput),
        IngressKind::Unknown => None,
    }
}

fn kind(input: i32) -> IngressKind {
    match IngressInput::try_from(input) {
        Ok(IngressInput::RtmpInput) => IngressKind::Rtmp,
        Ok(IngressInput::WhipInput) => IngressKind::Whip,
        Ok(IngressInput::UrlInput) => IngressKind::Url,
        Err(_) => IngressKind::Unknown,
    }
}

/// A state that this version does not know counts as inactive.
fn state(state: &livekit_protocol::IngressState, secrets: &ErrorSecrets) -> IngressState {
    let status = match Status::try_from(state.status) {
        Ok(Status::EndpointInactive) | Err(_) => IngressStatus::Inactive,
        Ok(Status::EndpointBuffering) => IngressStatus::Buffering,
        Ok(Status::EndpointPublishing) => IngressStatus::Publishing,
        Ok(Status::EndpointError) => IngressStatus::Error,
        Ok(Status::EndpointComplete) => IngressStatus::Complete,
    };
    IngressState {
        status,
        error: secrets.mask(&state.error),
        started_at: time(state.started_at),
        ended_at: time(state.ended_at),
        time: StateTime { session: state.started_at / 1_000, report: state.updated_at / 1_000 },
    }
}

/// Converts an ingress; `None` without an id or an identity, which LiveKit requires.
pub(super) fn ingress(info: IngressInfo) -> Option<ListedIngress> {
    let kind = kind(info.input_type);
    let secrets = ErrorSecrets::of_ingress(&info.stream_key, &info.url);
    let url = Some(info.url).filter(|url| !url.is_empty());
    let report = IngressReport {
        id: Some(info.ingress_id).filter(|id| !id.is_empty()).map(IngressId::from)?,
        mark: info.name.parse().ok(),
        kind,
        identity: Identity::reported(info.participant_identity)?,
        name: DisplayName::reported(info.participant_name),
        url: url.map(|url| address(kind, url)),
        state: info.state.as_ref().map(|one| state(one, &secrets)).unwrap_or_default(),
    };
    let stream_key = Some(info.stream_key).filter(|key| !key.is_empty()).map(SecretString::from);
    Some(ListedIngress { room: info.room_name, report, stream_key })
}

/// The operator publishes the addresses of RTMP and WHIP. Any other address may have a password.
fn address(kind: IngressKind, url: String) -> MaskedUrl {
    match kind {
        IngressKind::Rtmp | IngressKind::Whip => MaskedUrl::public(url),
        IngressKind::Url | IngressKind::Unknown => MaskedUrl::of(&url),
    }
}

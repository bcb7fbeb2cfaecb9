//! Examination of LiveKit's Redis, and of its programs for ingresses and egresses.

use super::finding::{Finding, Subject};
use crate::{
    domain::{EgressSource, Identity, IngressKind, JobId, JobMark, RoomName, StreamId},
    media::{ListedEgress, ListedIngress, MediaError, MediaJobs, NewEgress, NewIngress},
    settings::EgressSettings,
};

/// Source that no machine serves (RFC 6761), so that the program for ingresses publishes nothing.
const NO_SOURCE: &str = "http://livestream-orchestrator-check.invalid/";

/// Identity of the ingresses. No participant has it, because nothing is published.
const IDENTITY: &str = "livestream-orchestrator-check";

/// Tries ingresses and egresses in `room`, which exists, and rates the answers. Nothing is published or recorded, and
/// nothing is left in LiveKit.
pub(super) async fn examine(
    media: &dyn MediaJobs,
    room: &RoomName,
    settings: &EgressSettings,
) -> Vec<Finding> {
    match media.ingresses(Some(room)).await {
        Err(MediaError::Unsupported) => vec![Subject::LiveKit.warning(
            "runs without Redis (`redis` in its configuration), so there are no ingresses, recordings and broadcasts",
        )],
        Err(error) => vec![Subject::LiveKit.warning(format!("does not list ingresses: {error}"))],
        Ok(_) => {
            let (mut findings, egress) =
                tokio::join!(examine_ingress(media, room), examine_egress(media, room, settings));
            findings.push(egress);
            findings
        }
    }
}

async fn examine_ingress(media: &dyn MediaJobs, room: &RoomName) -> Vec<Finding> {
    let Some(identity) = Identity::reported(IDENTITY) else { return Vec::new() };
    let pushed = create(media, room, &identity, IngressKind::Rtmp).await;
    let pulled = create(media, room, &identity, IngressKind::Url).await;
    let mut findings = vec![rate_program(&pulled)];
    findings.extend(rate_address(pushed));
    findings.extend(delete_all(media, room).await);
    findings
}

async fn create(
    media: &dyn MediaJobs,
    room: &RoomName,
    identity: &Identity,
    kind: IngressKind,
) -> Result<ListedIngress, MediaError> {
    let mark = JobMark { stream: StreamId::generate(), job: JobId::generate() };
    let source = (kind == IngressKind::Url).then(|| NO_SOURCE.into());
    let (room, identity) = (room.clone(), identity.clone());
    media.create_ingress(&NewIngress { kind, room, identity, name: None, source, mark }).await
}

/// Rates the answer to the start of a pulled URL, which is the only ingress that needs the program at once.
fn rate_program(pulled: &Result<ListedIngress, MediaError>) -> Finding {
    match pulled {
        Ok(_) => Subject::Ingress.ok("the program for ingresses answers"),
        Err(MediaError::Unavailable(_)) => Subject::Ingress.warning(
            "no program for ingresses answers (livekit/ingress), so nothing can be sent by RTMP, WHIP and URLs",
        ),
        Err(error) => Subject::Ingress.warning(format!("an ingress cannot be created: {error}")),
    }
}

/// Rates the address for encoders; `None` if there is one.
fn rate_address(pushed: Result<ListedIngress, MediaError>) -> Option<Finding> {
    match pushed.map(|pushed| pushed.report.url) {
        Ok(Some(_)) => None,
        Ok(None) => Some(Subject::Ingress.warning(
            "LiveKit has no `ingress.rtmp_base_url` in its configuration, so ingresses have no address",
        )),
        Err(error) => Some(Subject::Ingress.warning(format!("an RTMP ingress cannot be created: {error}"))),
    }
}

/// Deletes the ingresses of the room; returns a finding for each that stays.
async fn delete_all(media: &dyn MediaJobs, room: &RoomName) -> Vec<Finding> {
    let listed = media.ingresses(Some(room)).await.unwrap_or_default();
    let mut findings = Vec::new();
    for id in listed.into_iter().map(|ingress| ingress.report.id) {
        if let Err(error) = media.delete_ingress(&id).await {
            findings.push(Subject::Ingress.warning(format!("{id} cannot be deleted in LiveKit: {error}")));
        }
    }
    findings
}

/// Asks for an egress without outputs, which each program refuses and none starts. LiveKit looks for a program for 22
/// s, also after this, and one that appears refuses it too.
async fn examine_egress(media: &dyn MediaJobs, room: &RoomName, settings: &EgressSettings) -> Finding {
    let nothing = NewEgress {
        room: room.clone(),
        source: EgressSource::Room(None),
        audio_only: false,
        preset: None,
        file: None,
        hls: None,
        rtmp: Vec::new(),
    };
    let answer = media.start_egress(&nothing).await;
    if let Ok(ListedEgress { report, .. }) = &answer
        && let Err(error) = media.stop_egress(&report.id).await
    {
        return Subject::Egress.warning(format!("{} cannot be stopped in LiveKit: {error}", report.id));
    }
    match answer {
        Ok(_) | Err(MediaError::Refused(_)) if settings.storage.is_some() => {
            Subject::Egress.ok("the program for egresses answers")
        }
        Ok(_) | Err(MediaError::Refused(_)) => Subject::Egress
            .ok("the program for egresses answers; without EGRESS_STORAGE_URL there are no recordings and no HLS"),
        Err(MediaError::Unavailable(_)) => Subject::Egress.warning(
            "no program for egresses answers (livekit/egress), or all are busy, so there are no recordings and \
             broadcasts",
        ),
        Err(error) => Subject::Egress.warning(format!("no egress can be started: {error}")),
    }
}

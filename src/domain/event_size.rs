//! Approximate size of events.

use super::{Egress, Event, Ingress, MediaPath, Participant, event::Draft};

/// Approximate JSON size of an event without metadata and participant.
const EVENT_BYTES: usize = 700;
/// Approximate JSON size of an event's ingress without its texts.
const INGRESS_BYTES: usize = 250;
/// Approximate JSON size of an event's recording or broadcast without its texts, files and targets.
const EGRESS_BYTES: usize = 400;
/// Approximate JSON size of a file or a target of an event's recording or broadcast without its texts.
const OUTPUT_BYTES: usize = 60;
/// Approximate JSON size of an event's participant without metadata and attributes.
const PARTICIPANT_BYTES: usize = 250;

impl Event {
    /// Returns about the size of the event's JSON text in bytes, without encoding it.
    pub fn approximate_bytes(&self) -> usize {
        let Draft { stream, participant, .. } = &self.draft;
        let metadata = stream.metadata.as_ref().map_or(0, |metadata| metadata.as_text().len());
        let ingress = self.draft.ingress.as_ref().map_or(0, |ingress| ingress_bytes(ingress));
        let egress = self.draft.egress.as_ref().map_or(0, |egress| egress_bytes(egress));
        EVENT_BYTES + metadata + ingress + egress + participant.as_ref().map_or(0, approximate_bytes)
    }
}

fn ingress_bytes(ingress: &Ingress) -> usize {
    let Ingress { identity, name, url, error, .. } = ingress;
    let texts = [
        name.as_ref().map(|name| name.as_str()),
        url.as_ref().map(|url| url.as_str()),
        error.as_deref(),
        Some(identity.as_str()),
    ];
    INGRESS_BYTES + texts.into_iter().flatten().map(str::len).sum::<usize>()
}

/// No event has the location of a file.
fn egress_bytes(egress: &Egress) -> usize {
    let Egress { outputs, spec, files, targets, error, .. } = egress;
    let paths = [outputs.file.as_ref(), outputs.playlist.as_ref()].into_iter().flatten();
    let paths = paths.chain(files.iter().map(|file| &file.path)).map(MediaPath::as_str);
    let addresses = [&spec.playlist_url, &spec.live_playlist_url].map(Option::as_deref);
    let of_targets = targets.iter().flat_map(|target| [Some(target.url.as_str()), target.error.as_deref()]);
    let texts = addresses.into_iter().chain([error.as_deref()]).chain(of_targets).flatten();
    let outputs = (files.len() + targets.len()) * OUTPUT_BYTES;
    EGRESS_BYTES + outputs + texts.chain(paths).map(str::len).sum::<usize>()
}

fn approximate_bytes(participant: &Participant) -> usize {
    PARTICIPANT_BYTES + participant.metadata.as_text().len() + participant.attributes.as_text().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        Attributes, Cursor, EgressKind, EgressOutputs, EgressReport, EgressSpec, EgressState,
        EgressStateTime, EgressStatus, EventKind, Identity, IngressKind, IngressReport, IngressState,
        InitialAudience, JobId, MaskedUrl, Metadata, ParticipantMetadata, Role, RoomName, RtmpAddress,
        RtmpTarget, Stream, StreamId, TargetId, Timestamp, stream::NewStream,
    };

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn metadata(bytes: usize) -> Metadata {
        Metadata::parse(&format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes))).unwrap()
    }

    fn event(stream_bytes: usize, participant_bytes: Option<usize>) -> Event {
        let new = NewStream {
            id: StreamId::generate(),
            room_name: RoomName::parse("room").unwrap(),
            metadata: metadata(stream_bytes),
            max_participants: None,
            idle_after: None,
            audience: InitialAudience::LISTED,
            backstage: false,
        };
        let participant = participant_bytes.map(|bytes| Participant {
            metadata: ParticipantMetadata::from(metadata(bytes)),
            attributes: Attributes::reported([("a".to_owned(), "x".repeat(bytes))]),
            ..Participant::joining(Identity::parse("ann").unwrap(), Role::Host, NOW)
        });
        let draft = Draft::new(EventKind::StreamCreated, &Stream::unrecorded(new, NOW), None);
        let cursor = Cursor::new(1_790_000_000_000, 7);
        let draft = Draft { participant, ..draft };
        Event { cursor, previous: cursor, previous_of_all: cursor, timestamp: NOW, draft }
    }

    fn ingress(url_bytes: usize) -> Event {
        let report = IngressReport {
            id: "IN_1".into(),
            mark: None,
            kind: IngressKind::Url,
            identity: Identity::parse("obs").unwrap(),
            name: None,
            url: Some(MaskedUrl::public("x".repeat(url_bytes))),
            state: IngressState::default(),
        };
        let mut event = event(0, None);
        event.draft.ingress = Some(Ingress::new(report, None, NOW).into());
        event
    }

    fn broadcast(targets: u32, address_bytes: usize) -> Event {
        let state = EgressState {
            status: EgressStatus::Active,
            error: None,
            started_at: None,
            ended_at: None,
            files: Vec::new(),
            hls: None,
            targets: Vec::new(),
            time: EgressStateTime::default(),
        };
        let (kind, outputs) = (EgressKind::Broadcast, EgressOutputs::default());
        let report = EgressReport { id: "EG_1".into(), room_sid: None, kind, outputs, state };
        let mut egress = Egress::new(&report, EgressSpec::default(), None, NOW);
        let address = format!("rtmp://a.example/{}/key", "x".repeat(address_bytes));
        let address = RtmpAddress::parse(address).unwrap();
        let target = |id| RtmpTarget::requested(TargetId(id), &address, JobId::generate(), NOW);
        egress.targets = (1..=targets).map(target).collect();
        let mut event = event(0, None);
        event.draft.egress = Some(egress.into());
        event
    }

    #[test]
    fn approximate_size_is_within_a_third_of_the_json_text() {
        for event in [
            event(0, None),
            event(50_000, None),
            event(0, Some(0)),
            event(1_000, Some(5_000)),
            ingress(0),
            ingress(2_048),
            broadcast(0, 10),
            broadcast(16, 10),
            broadcast(16, 900),
        ] {
            let exact = serde_json::to_string(&event).unwrap().len();
            let approximate = event.approximate_bytes();
            assert!(approximate.abs_diff(exact) * 3 <= exact, "{approximate} for {exact}");
        }
    }
}

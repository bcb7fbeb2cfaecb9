//! Conversion of LiveKit's egresses.

use std::time::Duration;

use livekit_protocol::{
    EgressInfo, EgressStatus as Status, EncodedFileOutput, FileInfo, Output, SegmentedFileOutput,
    SegmentsInfo, StreamInfo, StreamOutput, egress_info::Request, output::Config,
    room_composite_egress_request::Output as RoomOutput, stream_info::Status as StreamStatus,
    track_composite_egress_request::Output as TrackOutput, track_egress_request::Output as DirectOutput,
    web_egress_request::Output as WebOutput,
};

use super::ListedEgress;
use crate::domain::{
    AddressFingerprint, EgressFile, EgressId, EgressKind, EgressOutputs, EgressReport, EgressState,
    EgressStateTime, EgressStatus, EgressTarget, ErrorSecrets, HlsResult, MaskedUrl, MediaPath, TargetStatus,
    Timestamp,
};

/// Converts an egress; `None` without an id, which LiveKit requires.
pub(super) fn egress(mut info: EgressInfo) -> Option<ListedEgress> {
    let requested = info.request.take().map(requested).unwrap_or_default();
    let addresses = requested.addresses.iter().chain(info.stream_results.iter().map(|stream| &stream.url));
    let state = state(&info, &ErrorSecrets::of_targets(addresses.map(String::as_str)));
    let outputs = requested.outputs();
    let report = EgressReport {
        id: Some(info.egress_id).filter(|id| !id.is_empty()).map(EgressId::from)?,
        room_sid: Some(info.room_id).filter(|sid| !sid.is_empty()).map(Into::into),
        kind: EgressKind::of(&outputs),
        outputs,
        state,
    };
    Some(ListedEgress { room: info.room_name, report: report.bounded() })
}

/// A state that this version does not know counts as active.
fn state(info: &EgressInfo, secrets: &ErrorSecrets) -> EgressState {
    let status = match Status::try_from(info.status) {
        Ok(Status::EgressStarting) => EgressStatus::Starting,
        Ok(Status::EgressActive) | Err(_) => EgressStatus::Active,
        Ok(Status::EgressEnding) => EgressStatus::Ending,
        Ok(Status::EgressComplete) => EgressStatus::Complete,
        Ok(Status::EgressFailed) => EgressStatus::Failed,
        Ok(Status::EgressAborted) => EgressStatus::Aborted,
        Ok(Status::EgressLimitReached) => EgressStatus::LimitReached,
    };
    EgressState {
        status,
        error: secrets.mask(&info.error),
        started_at: time(info.started_at),
        ended_at: time(info.ended_at),
        files: info.file_results.iter().filter_map(file).collect(),
        hls: info.segment_results.first().map(hls),
        targets: info.stream_results.iter().map(|stream| target(stream, secrets)).collect(),
        time: EgressStateTime::of(status, info.updated_at),
    }
}

/// Converts nanoseconds since 1970; `None` for 0, which LiveKit sends for an absent time.
fn time(nanos: i64) -> Option<Timestamp> {
    (nanos > 0).then(|| Timestamp::from_millis(nanos / 1_000_000))
}

fn duration(nanos: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or_default())
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// LiveKit lists a file from the start of its egress, and gives it a location when it is complete.
fn file(info: &FileInfo) -> Option<EgressFile> {
    Some(EgressFile {
        path: MediaPath::reported(info.filename.clone()),
        size: count(info.size),
        duration: duration(info.duration),
        location: Some(non_empty(&info.location)?),
    })
}

fn hls(info: &SegmentsInfo) -> HlsResult {
    HlsResult {
        playlist: MediaPath::reported(info.playlist_name.clone()),
        segments: count(info.segment_count),
        size: count(info.size),
        duration: duration(info.duration),
        location: non_empty(&info.playlist_location),
    }
}

fn target(info: &StreamInfo, secrets: &ErrorSecrets) -> EgressTarget {
    EgressTarget {
        fingerprint: AddressFingerprint::of_reported(&info.url),
        url: MaskedUrl::of_target(&info.url),
        status: match StreamStatus::try_from(info.status) {
            Ok(StreamStatus::Active) | Err(_) => TargetStatus::Active,
            Ok(StreamStatus::Finished) => TargetStatus::Finished,
            Ok(StreamStatus::Failed) => TargetStatus::Failed,
        },
        error: secrets.mask(&info.error),
    }
}

/// Returns the requested outputs. LiveKit accepts at most one file and one playlist.
#[expect(deprecated, reason = "other tools may use the older fields")]
fn requested(request: Request) -> Requested {
    let mut outputs = Requested::default();
    match request {
        Request::Egress(request) => outputs.unified(request.outputs),
        Request::Replay(request) => outputs.unified(request.outputs),
        Request::RoomComposite(request) => {
            outputs.encoded(request.file_outputs, request.stream_outputs, request.segment_outputs);
            match request.output {
                Some(RoomOutput::File(file)) => outputs.file(file.filepath),
                Some(RoomOutput::Stream(stream)) => outputs.stream(stream),
                Some(RoomOutput::Segments(segments)) => outputs.playlist(segments.playlist_name),
                None => {}
            }
        }
        Request::Web(request) => {
            outputs.encoded(request.file_outputs, request.stream_outputs, request.segment_outputs);
            match request.output {
                Some(WebOutput::File(file)) => outputs.file(file.filepath),
                Some(WebOutput::Stream(stream)) => outputs.stream(stream),
                Some(WebOutput::Segments(segments)) => outputs.playlist(segments.playlist_name),
                None => {}
            }
        }
        Request::Participant(request) => {
            outputs.encoded(request.file_outputs, request.stream_outputs, request.segment_outputs);
        }
        Request::TrackComposite(request) => {
            outputs.encoded(request.file_outputs, request.stream_outputs, request.segment_outputs);
            match request.output {
                Some(TrackOutput::File(file)) => outputs.file(file.filepath),
                Some(TrackOutput::Stream(stream)) => outputs.stream(stream),
                Some(TrackOutput::Segments(segments)) => outputs.playlist(segments.playlist_name),
                None => {}
            }
        }
        Request::Track(request) => {
            if let Some(DirectOutput::File(file)) = request.output {
                outputs.file(file.filepath);
            }
        }
    }
    outputs
}

/// Requested outputs, with the addresses of RTMP targets.
#[derive(Default)]
struct Requested {
    file: Option<String>,
    playlist: Option<String>,
    addresses: Vec<String>,
}

impl Requested {
    fn outputs(self) -> EgressOutputs {
        let mut rtmp: Vec<_> =
            self.addresses.iter().map(|address| AddressFingerprint::of_reported(address)).collect();
        rtmp.sort();
        let [file, playlist] = [self.file, self.playlist].map(|path| path.map(MediaPath::reported));
        EgressOutputs { file, playlist, rtmp }
    }

    fn file(&mut self, path: String) {
        self.file = Some(path);
    }

    fn playlist(&mut self, path: String) {
        self.playlist = Some(path);
    }

    fn stream(&mut self, stream: StreamOutput) {
        self.addresses.extend(stream.urls);
    }

    fn encoded(
        &mut self,
        files: Vec<EncodedFileOutput>,
        streams: Vec<StreamOutput>,
        segments: Vec<SegmentedFileOutput>,
    ) {
        files.into_iter().for_each(|file| self.file(file.filepath));
        streams.into_iter().for_each(|stream| self.stream(stream));
        segments.into_iter().for_each(|segments| self.playlist(segments.playlist_name));
    }

    fn unified(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output.config {
                Some(Config::File(file)) => self.file(file.filepath),
                Some(Config::Stream(stream)) => self.stream(stream),
                Some(Config::Segments(segments)) => self.playlist(segments.playlist_name),
                Some(Config::Images(_)) | None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use livekit_protocol::{DirectFileOutput, RoomCompositeEgressRequest, TrackEgressRequest};

    use super::*;

    #[test]
    fn secrets_of_an_egress_are_not_read() {
        let url = "rtmp://a.example/live/{se...et}".to_owned();
        let streams = StreamOutput { urls: vec![url.clone()], ..Default::default() };
        let request = RoomCompositeEgressRequest { stream_outputs: vec![streams], ..Default::default() };
        let result = StreamInfo {
            url,
            error: "cannot open rtmp://a.example/live/secret: secret is in use".to_owned(),
            status: StreamStatus::Failed as i32,
            ..Default::default()
        };
        let info = EgressInfo {
            egress_id: "EG_1".to_owned(),
            room_name: "room".to_owned(),
            status: Status::EgressFailed as i32,
            error: "rtmp://a.example/live/secret is away, so is secret".to_owned(),
            updated_at: 1_795_000_000_123_456_789,
            request: Some(Request::RoomComposite(request)),
            stream_results: vec![result],
            ..Default::default()
        };
        let egress = egress(info).unwrap();
        let debug = format!("{egress:?}");
        assert!(!debug.contains("secret") && !debug.contains("se.."), "{debug}");
        let report = egress.report;
        assert_eq!(report.kind, EgressKind::Broadcast);
        assert_eq!(report.state.error.as_deref(), Some("rtmp://a.example/live/*** is away, so is ***"));
        let error = "cannot open rtmp://a.example/live/***: *** is in use";
        assert_eq!(report.state.targets[0].error.as_deref(), Some(error));
        assert_eq!(report.state.targets[0].url.as_str(), "rtmp://a.example/live/***");
        assert_eq!(report.outputs.rtmp, [report.state.targets[0].fingerprint.clone()]);
        assert_eq!(report.state.time, EgressStateTime { phase: 3, report: 1_795_000_000_123_456 });
    }

    #[test]
    fn file_without_location_is_not_complete_and_each_request_has_its_outputs() {
        let file = DirectFileOutput { filepath: "a.ogg".to_owned(), ..Default::default() };
        let output = Some(DirectOutput::File(file));
        let mut info = EgressInfo {
            egress_id: "EG_1".to_owned(),
            request: Some(Request::Track(TrackEgressRequest { output, ..Default::default() })),
            file_results: vec![FileInfo { filename: "a.ogg".to_owned(), ..Default::default() }],
            ..Default::default()
        };
        let running = egress(info.clone()).unwrap().report;
        assert_eq!((running.kind, running.state.files.len()), (EgressKind::Recording, 0));
        assert_eq!(running.state.status, EgressStatus::Starting);
        info.file_results[0].location = "https://store.example/a.ogg".to_owned();
        assert_eq!(egress(info.clone()).unwrap().report.state.files.len(), 1);
        info.file_results = vec![info.file_results[0].clone(); 100];
        info.file_results[0].location = "x".repeat(10_000);
        let files = egress(info).unwrap().report.state.files;
        assert_eq!((files.len(), files[0].location.as_deref()), (4, None), "results of absurd size");
        assert!(egress(EgressInfo::default()).is_none());
    }
}

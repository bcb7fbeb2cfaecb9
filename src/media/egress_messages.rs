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
    EgressStateTime, EgressStatus, EgressTarget, HlsResult, MaskedUrl, MediaPath, TargetStatus, Timestamp,
    egress_report::masked_error,
};

/// Converts an egress; `None` without an id, which LiveKit requires.
pub(super) fn egress(info: EgressInfo) -> Option<ListedEgress> {
    let state = state(&info);
    let outputs = info.request.map(outputs_of).unwrap_or_default();
    let report = EgressReport {
        id: Some(info.egress_id).filter(|id| !id.is_empty()).map(EgressId::from)?,
        room_sid: Some(info.room_id).filter(|sid| !sid.is_empty()).map(Into::into),
        kind: EgressKind::of(&outputs),
        outputs,
        state,
    };
    Some(ListedEgress { room: info.room_name, report })
}

/// A state that this version does not know counts as active.
fn state(info: &EgressInfo) -> EgressState {
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
        error: masked_error(&info.error),
        started_at: time(info.started_at),
        ended_at: time(info.ended_at),
        files: info.file_results.iter().filter_map(file).collect(),
        hls: info.segment_results.first().map(hls),
        targets: info.stream_results.iter().map(target).collect(),
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

fn target(info: &StreamInfo) -> EgressTarget {
    EgressTarget {
        fingerprint: AddressFingerprint::of_reported(&info.url),
        url: MaskedUrl::of_target(&info.url),
        status: match StreamStatus::try_from(info.status) {
            Ok(StreamStatus::Active) | Err(_) => TargetStatus::Active,
            Ok(StreamStatus::Finished) => TargetStatus::Finished,
            Ok(StreamStatus::Failed) => TargetStatus::Failed,
        },
        error: masked_error(&info.error),
    }
}

/// Returns the requested outputs. LiveKit accepts at most one file and one playlist.
#[expect(deprecated, reason = "other tools may use the older fields")]
fn outputs_of(request: Request) -> EgressOutputs {
    let mut outputs = Collected::default();
    match request {
        Request::Egress(request) => outputs.unified(request.outputs),
        Request::Replay(request) => outputs.unified(request.outputs),
        Request::RoomComposite(request) => {
            outputs.encoded(request.file_outputs, request.stream_outputs, request.segment_outputs);
            match request.output {
                Some(RoomOutput::File(file)) => outputs.file(file.filepath),
                Some(RoomOutput::Stream(stream)) => outputs.stream(&stream),
                Some(RoomOutput::Segments(segments)) => outputs.playlist(segments.playlist_name),
                None => {}
            }
        }
        Request::Web(request) => {
            outputs.encoded(request.file_outputs, request.stream_outputs, request.segment_outputs);
            match request.output {
                Some(WebOutput::File(file)) => outputs.file(file.filepath),
                Some(WebOutput::Stream(stream)) => outputs.stream(&stream),
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
                Some(TrackOutput::Stream(stream)) => outputs.stream(&stream),
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
    outputs.0.rtmp.sort();
    outputs.0
}

#[derive(Default)]
struct Collected(EgressOutputs);

impl Collected {
    fn file(&mut self, path: String) {
        self.0.file = Some(MediaPath::reported(path));
    }

    fn playlist(&mut self, path: String) {
        self.0.playlist = Some(MediaPath::reported(path));
    }

    fn stream(&mut self, stream: &StreamOutput) {
        self.0.rtmp.extend(stream.urls.iter().map(|url| AddressFingerprint::of_reported(url)));
    }

    fn encoded(
        &mut self,
        files: Vec<EncodedFileOutput>,
        streams: Vec<StreamOutput>,
        segments: Vec<SegmentedFileOutput>,
    ) {
        files.into_iter().for_each(|file| self.file(file.filepath));
        streams.into_iter().for_each(|stream| self.stream(&stream));
        segments.into_iter().for_each(|segments| self.playlist(segments.playlist_name));
    }

    fn unified(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output.config {
                Some(Config::File(file)) => self.file(file.filepath),
                Some(Config::Stream(stream)) => self.stream(&stream),
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
        let url = "rtmp://a.example/live/{sec...ret}".to_owned();
        let streams = StreamOutput { urls: vec![url.clone()], ..Default::default() };
        let request = RoomCompositeEgressRequest { stream_outputs: vec![streams], ..Default::default() };
        let result = StreamInfo {
            url,
            error: "cannot open rtmp://a.example/live/secret".to_owned(),
            status: StreamStatus::Failed as i32,
            ..Default::default()
        };
        let info = EgressInfo {
            egress_id: "EG_1".to_owned(),
            room_name: "room".to_owned(),
            status: Status::EgressFailed as i32,
            error: "rtmp://a.example/live/secret is away".to_owned(),
            updated_at: 1_795_000_000_123_456_789,
            request: Some(Request::RoomComposite(request)),
            stream_results: vec![result],
            ..Default::default()
        };
        let egress = egress(info).unwrap();
        let debug = format!("{egress:?}");
        assert!(!debug.contains("secret") && !debug.contains("sec.."), "{debug}");
        let report = egress.report;
        assert_eq!(report.kind, EgressKind::Broadcast);
        assert_eq!(report.state.error.as_deref(), Some("rtmp://a.example/live/*** is away"));
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
        assert_eq!(egress(info).unwrap().report.state.files.len(), 1);
        assert!(egress(EgressInfo::default()).is_none());
    }
}

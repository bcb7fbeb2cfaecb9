//! Conversion of the settings of an egress to LiveKit's requests.
//!
//! The requests are those of the first version of LiveKit's API, because egress programs before 1.14 know no other.
//! Only the audio of a participant needs the second one.

use livekit_api::services::egress::{
    EgressOutput, ParticipantEgressOptions, RoomCompositeOptions, TrackCompositeOptions,
    encoding::{self, EncodingOptions},
};
use livekit_protocol::{
    AudioCodec, AudioConfig, AudioRoute, AzureBlobUpload, EncodedFileOutput, EncodedFileType, FileOutput,
    GcpUpload, MediaSource, Output, S3Upload, SegmentedFileOutput, SegmentedFileProtocol, StartEgressRequest,
    StorageConfig, StreamOutput, StreamProtocol, audio_route::Match, encoded_file_output, output::Config,
    segmented_file_output, start_egress_request, storage_config::Provider,
};
use secrecy::ExposeSecret;

use super::{NewEgress, Storage, StorageBackend};
use crate::domain::{EgressPreset, EgressSource, HlsOutput, Identity, MediaPath, RtmpAddress};

/// Request of one of LiveKit's calls that start an egress.
pub(super) enum StartRequest {
    /// Of a room, arranged by a template.
    Room(Vec<EgressOutput>, RoomCompositeOptions),
    /// Of a participant.
    Participant(String, Vec<EgressOutput>, ParticipantEgressOptions),
    /// Of a track.
    Track(Vec<EgressOutput>, TrackCompositeOptions),
    /// Of the audio of a participant.
    Audio(Box<StartEgressRequest>),
}

/// Makes the request of an egress. Returns `None` for what LiveKit cannot do: files without a storage, audio of a video
/// track, audio of a participant that is not recorded in a file.
pub(super) fn request(new: &NewEgress, storage: Option<&Storage>) -> Option<StartRequest> {
    let encoding = encoding_of(new.preset);
    Some(match &new.source {
        EgressSource::Room(layout) => {
            let layout = layout.as_ref().map(|layout| layout.as_str().to_owned()).unwrap_or_default();
            let audio_only = new.audio_only;
            let options = RoomCompositeOptions { layout, encoding, audio_only, ..Default::default() };
            StartRequest::Room(outputs(new, storage)?, options)
        }
        EgressSource::Participant(identity) if new.audio_only => {
            let output = audio_file(new.file.as_ref()?, storage?);
            StartRequest::Audio(Box::new(audio_request(new, identity, output, encoding)))
        }
        EgressSource::Participant(identity) => {
            let options = ParticipantEgressOptions { encoding, ..Default::default() };
            StartRequest::Participant(identity.to_string(), outputs(new, storage)?, options)
        }
        EgressSource::AudioTrack(sid) => {
            let options =
                TrackCompositeOptions { encoding, audio_track_id: sid.to_string(), ..Default::default() };
            StartRequest::Track(outputs(new, storage)?, options)
        }
        EgressSource::VideoTrack(_) if new.audio_only => return None,
        EgressSource::VideoTrack(sid) => {
            let options =
                TrackCompositeOptions { encoding, video_track_id: sid.to_string(), ..Default::default() };
            StartRequest::Track(outputs(new, storage)?, options)
        }
    })
}

/// Returns LiveKit's options of a preset. The constants of livekit-api ask for Opus, which HLS and RTMP cannot carry;
/// without a codec LiveKit takes one that all outputs can.
fn encoding_of(preset: Option<EgressPreset>) -> EncodingOptions {
    let options = match preset.unwrap_or(EgressPreset::H264P720F30) {
        EgressPreset::H264P720F30 => encoding::H264_720P_30,
        EgressPreset::H264P720F60 => encoding::H264_720P_60,
        EgressPreset::H264P1080F30 => encoding::H264_1080P_30,
        EgressPreset::H264P1080F60 => encoding::H264_1080P_60,
        EgressPreset::PortraitH264P720F30 => encoding::PORTRAIT_H264_720P_30,
        EgressPreset::PortraitH264P720F60 => encoding::PORTRAIT_H264_720P_60,
        EgressPreset::PortraitH264P1080F30 => encoding::PORTRAIT_H264_1080P_30,
        EgressPreset::PortraitH264P1080F60 => encoding::PORTRAIT_H264_1080P_60,
    };
    EncodingOptions { audio_codec: AudioCodec::DefaultAc, ..options }
}

fn outputs(new: &NewEgress, storage: Option<&Storage>) -> Option<Vec<EgressOutput>> {
    let mut outputs = Vec::new();
    match &new.file {
        Some(path) => outputs.push(EgressOutput::File(file(path, storage?))),
        // Without a stream output, even an empty one, LiveKit's egress accepts no RTMP target later.
        None => outputs.push(EgressOutput::Stream(stream(&new.rtmp))),
    }
    if let Some(hls) = &new.hls {
        outputs.push(EgressOutput::Segments(segments(hls, storage?)));
    }
    Some(outputs)
}

fn stream(targets: &[RtmpAddress]) -> StreamOutput {
    let urls = targets.iter().map(|target| target.expose().to_owned()).collect();
    StreamOutput { protocol: StreamProtocol::Rtmp as i32, urls }
}

fn file(path: &MediaPath, storage: &Storage) -> EncodedFileOutput {
    EncodedFileOutput {
        file_type: EncodedFileType::Mp4 as i32,
        filepath: storage.prefix.absolute(path),
        disable_manifest: true,
        output: upload(&storage.backend).map(|upload| match upload {
            Provider::S3(upload) => encoded_file_output::Output::S3(upload),
            Provider::Gcp(upload) => encoded_file_output::Output::Gcp(upload),
            Provider::Azure(upload) => encoded_file_output::Output::Azure(upload),
            Provider::AliOss(upload) => encoded_file_output::Output::AliOss(upload),
        }),
    }
}

/// The segments and the live playlist, which has the newest of them, are beside the playlist. Their names begin with
/// its name.
fn segments(hls: &HlsOutput, storage: &Storage) -> SegmentedFileOutput {
    let playlist = storage.prefix.absolute(&hls.playlist);
    SegmentedFileOutput {
        protocol: SegmentedFileProtocol::HlsProtocol as i32,
        filename_prefix: playlist.strip_suffix(".m3u8").unwrap_or(&playlist).to_owned(),
        playlist_name: playlist,
        live_playlist_name: storage.prefix.absolute(&hls.playlist.live_playlist()),
        segment_duration: hls.segment_seconds,
        disable_manifest: true,
        output: upload(&storage.backend).map(|upload| match upload {
            Provider::S3(upload) => segmented_file_output::Output::S3(upload),
            Provider::Gcp(upload) => segmented_file_output::Output::Gcp(upload),
            Provider::Azure(upload) => segmented_file_output::Output::Azure(upload),
            Provider::AliOss(upload) => segmented_file_output::Output::AliOss(upload),
        }),
        ..Default::default()
    }
}

fn upload(backend: &StorageBackend) -> Option<Provider> {
    Some(match backend {
        StorageBackend::Worker => return None,
        StorageBackend::S3 { bucket, endpoint, region, credentials } => {
            let (key, secret) =
                credentials.as_ref().map_or(("", ""), |(key, secret)| (key, secret.expose_secret()));
            Provider::S3(S3Upload {
                access_key: key.to_owned(),
                secret: secret.to_owned(),
                region: region.clone().unwrap_or_default(),
                endpoint: endpoint.clone().unwrap_or_default(),
                bucket: bucket.clone(),
                // Compatible stores seldom have a host name for each bucket.
                force_path_style: endpoint.is_some(),
                ..Default::default()
            })
        }
        StorageBackend::Gcs { bucket, credentials } => Provider::Gcp(GcpUpload {
            credentials: credentials.as_ref().map(|json| json.expose_secret().to_owned()).unwrap_or_default(),
            bucket: bucket.clone(),
            proxy: None,
        }),
        StorageBackend::Azure { container, account, key } => Provider::Azure(AzureBlobUpload {
            account_name: account.clone(),
            account_key: key.expose_secret().to_owned(),
            container_name: container.clone(),
        }),
    })
}

fn audio_file(path: &MediaPath, storage: &Storage) -> Output {
    let file = FileOutput {
        file_type: EncodedFileType::Mp4 as i32,
        filepath: storage.prefix.absolute(path),
        disable_manifest: true,
    };
    let storage = upload(&storage.backend).map(|provider| StorageConfig { provider: Some(provider) });
    Output { config: Some(Config::File(file)), storage }
}

/// Makes the request for all audio of a participant, also after it joins again.
fn audio_request(
    new: &NewEgress,
    identity: &Identity,
    output: Output,
    encoding: EncodingOptions,
) -> StartEgressRequest {
    let route =
        AudioRoute { r#match: Some(Match::ParticipantIdentity(identity.to_string())), ..Default::default() };
    let audio = AudioConfig { capture_all: false, routes: vec![route] };
    StartEgressRequest {
        room_name: new.room.to_string(),
        source: Some(start_egress_request::Source::Media(MediaSource { audio: Some(audio), video: None })),
        encoding: Some(start_egress_request::Encoding::Advanced(encoding.into())),
        outputs: vec![output],
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{RoomName, StoragePrefix};

    fn new() -> NewEgress {
        NewEgress {
            room: RoomName::parse("room").unwrap(),
            source: EgressSource::Room(None),
            audio_only: false,
            preset: None,
            file: None,
            hls: None,
            rtmp: Vec::new(),
        }
    }

    fn storage(backend: StorageBackend) -> Storage {
        Storage { backend, prefix: StoragePrefix::of("folder") }
    }

    fn hls() -> HlsOutput {
        HlsOutput { playlist: MediaPath::reported("a/live.m3u8".to_owned()), segment_seconds: 4 }
    }

    fn outputs_of(request: StartRequest) -> Vec<EgressOutput> {
        match request {
            StartRequest::Room(outputs, _)
            | StartRequest::Participant(_, outputs, _)
            | StartRequest::Track(outputs, _) => outputs,
            StartRequest::Audio(_) => Vec::new(),
        }
    }

    #[test]
    fn broadcast_without_targets_has_a_stream_output_and_no_codec_that_hls_cannot_carry() {
        let new = NewEgress { hls: Some(hls()), ..new() };
        let storage = storage(StorageBackend::Worker);
        let request = request(&new, Some(&storage)).unwrap();
        let StartRequest::Room(outputs, options) = request else { panic!("of the room") };
        assert!(matches!(options.encoding.audio_codec, AudioCodec::DefaultAc));
        let [EgressOutput::Stream(stream), EgressOutput::Segments(segments)] = outputs.as_slice() else {
            panic!("{} outputs", outputs.len())
        };
        assert_eq!((stream.protocol(), stream.urls.len()), (StreamProtocol::Rtmp, 0));
        assert_eq!(segments.filename_prefix, "folder/a/live");
        assert_eq!((segments.playlist_name.as_str(), segments.output.as_ref()), ("folder/a/live.m3u8", None));
        assert_eq!(segments.live_playlist_name, "folder/a/live.live.m3u8");
    }

    #[test]
    fn files_need_a_storage_and_a_video_track_has_no_audio() {
        let file = Some(MediaPath::reported("a.mp4".to_owned()));
        assert!(request(&NewEgress { file: file.clone(), ..new() }, None).is_none());
        assert!(request(&NewEgress { hls: Some(hls()), ..new() }, None).is_none());
        assert!(request(&new(), None).is_some());
        let source = EgressSource::VideoTrack("TR_1".into());
        let storage = storage(StorageBackend::Worker);
        assert!(request(&NewEgress { source, audio_only: true, file, ..new() }, Some(&storage)).is_none());
    }

    #[test]
    fn credentials_go_to_the_upload_of_their_backend() {
        let file = Some(MediaPath::reported("a.mp4".to_owned()));
        let credentials = Some(("key".to_owned(), "secret".into()));
        let (bucket, endpoint) = ("bucket".to_owned(), Some("http://store:7070".to_owned()));
        let storage = storage(StorageBackend::S3 { bucket, endpoint, region: None, credentials });
        let outputs = outputs_of(request(&NewEgress { file, ..new() }, Some(&storage)).unwrap());
        let [EgressOutput::File(file)] = outputs.as_slice() else { panic!("one file") };
        let Some(encoded_file_output::Output::S3(upload)) = &file.output else { panic!("an upload") };
        assert_eq!((upload.secret.as_str(), upload.force_path_style), ("secret", true));
        assert_eq!(file.filepath, "folder/a.mp4");
        assert!(!format!("{storage:?}").contains("secret\""));
    }
}

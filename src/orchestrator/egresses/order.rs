//! What a request for a recording or a broadcast asks for, and the settings of LiveKit's egress that follow.

use crate::{
    domain::{
        EgressPreset, EgressSource, EgressSpec, HlsOutput, Identity, JobId, Layout, MediaPath, PathError,
        PathTemplate, PathValues, RtmpAddress, StreamRef, TrackSid, TrackSource,
    },
    media::NewEgress,
    orchestrator::{error::Error, media_storage::MediaStorage, service::Orchestrator},
};

/// Media that a recording takes.
#[derive(Clone, Debug)]
pub enum RecordedSource {
    /// All of the room, in a layout; LiveKit's default without one.
    Room(Option<Layout>),
    /// One participant.
    Participant(Identity),
    /// One track.
    Track(TrackSid),
}

/// Recording that a request asks for.
#[derive(Clone, Debug)]
pub struct RecordingOrder {
    /// Media.
    pub source: RecordedSource,
    /// True to leave video out.
    pub audio_only: bool,
    /// Size and rate of the encoded video; LiveKit's default without one.
    pub preset: Option<EgressPreset>,
    /// Path of the file; one of the stream and the job without it.
    pub path: Option<PathTemplate>,
}

/// HLS output that a request asks for.
#[derive(Clone, Debug)]
pub struct HlsOrder {
    /// Path of the playlist; one of the stream and the job without it.
    pub path: Option<PathTemplate>,
    /// Duration of a segment, in seconds.
    pub segment_seconds: u32,
}

/// Broadcast that a request asks for, with at least one output.
#[derive(Clone, Debug)]
pub struct BroadcastOrder {
    /// HLS output.
    pub hls: Option<HlsOrder>,
    /// RTMP targets, each once.
    pub rtmp: Vec<RtmpAddress>,
}

/// Recording or broadcast that a request asks for.
#[derive(Clone, Debug)]
pub enum EgressOrder {
    /// A recording.
    Recording(RecordingOrder),
    /// A broadcast.
    Broadcast(BroadcastOrder),
}

/// Values of the placeholders in paths: the same for each attempt of a request.
struct Paths<'a> {
    job: JobId,
    values: PathValues<'a>,
}

impl Paths<'_> {
    fn file(&self, template: Option<&PathTemplate>) -> Result<MediaPath, Error> {
        let default = MediaPath::of_recording(self.values.stream, self.job);
        template
            .map_or(Ok(default), |template| template.file(&self.values))
            .map_err(|rule| invalid("path", rule))
    }

    fn playlist(&self, template: Option<&PathTemplate>) -> Result<MediaPath, Error> {
        let default = MediaPath::of_playlist(self.values.stream, self.job);
        let path = template.map_or(Ok(default), |template| template.playlist(&self.values));
        path.map_err(|rule| invalid("hls.path", rule))
    }
}

fn invalid(field: &'static str, rule: PathError) -> Error {
    Error::InvalidField { field, rule: rule.to_string() }
}

impl Orchestrator {
    /// Returns the settings of the egress that a request asks for, and what is recorded of them.
    ///
    /// # Errors
    /// [`Error::StorageNotConfigured`]; [`Error::InvalidField`]; [`Error::ParticipantNotFound`],
    /// [`Error::TrackNotFound`]; errors of the store.
    pub(super) async fn settings_of(
        &self,
        stream: &StreamRef,
        job: JobId,
        order: EgressOrder,
    ) -> Result<(NewEgress, EgressSpec), Error> {
        let values = PathValues { stream: stream.id, room: &stream.room_name, time: job.created_at() };
        let paths = Paths { job, values };
        match order {
            EgressOrder::Recording(order) => self.recording(stream, &paths, order).await,
            EgressOrder::Broadcast(order) => self.broadcast(stream, &paths, order),
        }
    }

    fn storage(&self) -> Result<&MediaStorage, Error> {
        self.storage.as_ref().ok_or(Error::StorageNotConfigured)
    }

    async fn recording(
        &self,
        stream: &StreamRef,
        paths: &Paths<'_>,
        order: RecordingOrder,
    ) -> Result<(NewEgress, EgressSpec), Error> {
        self.storage()?;
        let RecordingOrder { source, audio_only, preset, path } = order;
        let source = self.source_of(stream, source).await?;
        if audio_only && matches!(source, EgressSource::VideoTrack(_)) {
            return Err(Error::InvalidField {
                field: "audioOnly",
                rule: "is not possible for a track of video".to_owned(),
            });
        }
        let new = NewEgress {
            room: stream.room_name.clone(),
            source: source.clone(),
            audio_only,
            preset,
            file: Some(paths.file(path.as_ref())?),
            hls: None,
            rtmp: Vec::new(),
        };
        let spec = EgressSpec { source: Some(source), audio_only, preset, ..EgressSpec::default() };
        Ok((new, spec))
    }

    fn broadcast(
        &self,
        stream: &StreamRef,
        paths: &Paths<'_>,
        order: BroadcastOrder,
    ) -> Result<(NewEgress, EgressSpec), Error> {
        let source = EgressSource::Room(None);
        let mut spec = EgressSpec { source: Some(source.clone()), ..EgressSpec::default() };
        let mut hls = None;
        if let Some(HlsOrder { path, segment_seconds }) = order.hls {
            let (storage, playlist) = (self.storage()?, paths.playlist(path.as_ref())?);
            spec.segment_seconds = Some(segment_seconds);
            spec.playlist_url = storage.public_url(&playlist);
            spec.live_playlist_url = storage.public_url(&playlist.live_playlist());
            hls = Some(HlsOutput { playlist, segment_seconds });
        }
        let new = NewEgress {
            room: stream.room_name.clone(),
            source,
            audio_only: false,
            preset: None,
            file: None,
            hls,
            rtmp: order.rtmp,
        };
        Ok((new, spec))
    }

    /// Finds what is to be recorded in the stream.
    async fn source_of(&self, stream: &StreamRef, source: RecordedSource) -> Result<EgressSource, Error> {
        match source {
            RecordedSource::Room(layout) => Ok(EgressSource::Room(layout)),
            RecordedSource::Participant(identity) => {
                let entry = self.store.participant(stream.id, identity.as_str()).await?;
                entry.ok_or(Error::ParticipantNotFound)?;
                Ok(EgressSource::Participant(identity))
            }
            RecordedSource::Track(sid) => {
                // Only participants that publish have tracks, and they are the first of the view.
                let view = self.store.view(stream.id).await?.ok_or(Error::TrackNotFound)?;
                let mut tracks = view.participants.iter().flat_map(|entry| entry.tracks.as_slice());
                let track = tracks.find(|track| track.sid == sid).ok_or(Error::TrackNotFound)?;
                Ok(match track.source {
                    TrackSource::Microphone | TrackSource::ScreenShareAudio => EgressSource::AudioTrack(sid),
                    _ => EgressSource::VideoTrack(sid),
                })
            }
        }
    }
}

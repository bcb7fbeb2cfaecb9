//! Requests about recordings: each type parses itself and describes itself for the OpenAPI document.

use serde::Deserialize;
use serde_json::json;
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use crate::{
    domain::{EgressId, EgressPreset, Identity, Layout, PathTemplate, TrackSid},
    http::extract::{BodyFields, FromBody},
    orchestrator::{RecordedSource, RecordingOrder},
};

/// Maximum length of LiveKit's id of a track, in bytes.
const MAX_SID_BYTES: usize = 64;

/// Path of a recording.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path, rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct RecordingPath {
    /// The stream's id or room name.
    pub(super) id: String,
    /// Id of the recording.
    recording_id: String,
}

impl RecordingPath {
    pub(super) fn recording_id(&self) -> EgressId {
        self.recording_id.as_str().into()
    }
}

/// Body of `POST /streams/{id}/recordings`.
pub struct NewRecording(pub(super) RecordingOrder);

fn parse_sid(text: String) -> Result<TrackSid, &'static str> {
    let is_sid =
        (1..=MAX_SID_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_sid.then(|| text.into()).ok_or("must be LiveKit's id of a track")
}

fn read_source(fields: &mut BodyFields) -> RecordedSource {
    let given = ["layout", "identity", "trackSid"].map(|name| fields.has(name).then_some(name));
    for other in given.into_iter().flatten().skip(1) {
        fields.refuse(
            other,
            "is given besides another source: layout, identity and trackSid exclude each other",
        );
    }
    let about = "Records the room in this layout of LiveKit's template, such as `grid` or `speaker`. Default: the \
                 room in the template's default.";
    let layout = fields.text("layout", about, |text| text.parse::<Layout>());
    let about = "Records this participant instead of the room.";
    let identity = fields.name(&["identity"], about, Identity::parse);
    let about = "Records this track instead of the room, by LiveKit's id.";
    let track = fields.text("trackSid", about, parse_sid);
    match (identity, track) {
        (Some(identity), _) => RecordedSource::Participant(identity),
        (None, Some(sid)) => RecordedSource::Track(sid),
        (None, None) => RecordedSource::Room(layout),
    }
}

impl FromBody for NewRecording {
    fn read(fields: &mut BodyFields) -> Option<Self> {
        let source = read_source(fields);
        let about = "Leaves video out. Of a participant, this needs LiveKit's egress service from 1.14 on.";
        let audio_only = fields.flag("audioOnly", about).unwrap_or_default();
        let about = "Size and rate of the video. Default: LiveKit's, `H264_720P_30`.";
        let rule = "must be one of LiveKit's presets, such as H264_1080P_30";
        let preset = fields.choice::<EgressPreset>("preset", about, rule);
        let about = "Path of the file in the deployment's storage. `{stream}`, `{room}` and `{time}` are replaced; \
                     `.mp4` is appended if it is missing. Default: one of its own.";
        let path = fields.text("path", about, |text| text.parse::<PathTemplate>());
        Some(Self(RecordingOrder { source, audio_only, preset, path }))
    }
}

impl PartialSchema for NewRecording {
    fn schema() -> RefOr<Schema> {
        BodyFields::describe(Self::read)
            .description(Some("A new recording. At most one of `layout`, `identity` and `trackSid`."))
            .examples([json!({"layout": "grid", "path": "{room}/{time}.mp4"})])
            .into()
    }
}

impl ToSchema for NewRecording {}

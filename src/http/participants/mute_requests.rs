//! Requests to mute participants.

use serde_json::json;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use crate::{
    domain::{Identity, TrackSid, TrackSource, ids::NameError},
    http::extract::{BodyFields, FromBody},
    orchestrator::MuteAll,
    rooms::TrackSelection,
};

/// Body of `POST /streams/{id}/participants/{identity}/mute`.
pub struct Mute(pub(super) TrackSelection);

fn source(fields: &mut BodyFields) -> TrackSource {
    let rule = "must be camera, microphone, screen_share, screen_share_audio or unknown";
    fields.choice("source", "Default: `microphone`.", rule).unwrap_or(TrackSource::Microphone)
}

impl FromBody for Mute {
    fn read(fields: &mut BodyFields) -> Option<Self> {
        let source = source(fields);
        let parse = |text: String| Ok::<_, NameError>(TrackSid::from(text));
        let sid = fields.name(&["trackSid"], "LiveKit's id of one track, in place of a source.", parse);
        Some(Self(sid.map_or(TrackSelection::Source(source), TrackSelection::Sid)))
    }
}

impl PartialSchema for Mute {
    fn schema() -> RefOr<Schema> {
        BodyFields::describe(Self::read)
            .description(Some("The tracks to mute."))
            .examples([json!({"source": "microphone"})])
            .into()
    }
}

impl ToSchema for Mute {}

/// Body of `POST /streams/{id}/mute`.
pub struct MuteEverybody(pub(super) MuteAll);

impl FromBody for MuteEverybody {
    fn read(fields: &mut BodyFields) -> Option<Self> {
        let source = source(fields);
        let parse = |text| Identity::reported(text).ok_or(NameError::Empty);
        let except = fields.list("except", "Identities of participants that are not muted.", parse);
        Some(Self(MuteAll { source, except: except.unwrap_or_default().into_iter().collect() }))
    }
}

impl PartialSchema for MuteEverybody {
    fn schema() -> RefOr<Schema> {
        BodyFields::describe(Self::read)
            .description(Some("The tracks to mute, and whose."))
            .examples([json!({"source": "microphone", "except": ["ann"]})])
            .into()
    }
}

impl ToSchema for MuteEverybody {}

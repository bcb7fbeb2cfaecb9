//! Encodes and decodes what a request for a recording or a broadcast asks for besides the outputs.

use serde::{Deserialize, Serialize};

use super::{
    error::corrupt,
    text::{decode, encode, parsed},
};
use crate::{
    domain::{EgressSource, EgressSpec, Identity},
    store::StoreError,
};

#[derive(Deserialize, Serialize)]
enum StoredSource {
    Room(Option<String>),
    Participant(String),
    AudioTrack(String),
    VideoTrack(String),
}

#[derive(Default, Deserialize, Serialize)]
struct StoredSpec {
    source: Option<StoredSource>,
    audio_only: bool,
    preset: Option<String>,
    segment_seconds: Option<u32>,
    playlist_url: Option<String>,
    live_playlist_url: Option<String>,
}

/// Encodes what a request asks for besides the outputs.
pub fn egress_spec(spec: &EgressSpec) -> String {
    let source = spec.source.as_ref().map(|source| match source {
        EgressSource::Room(layout) => {
            StoredSource::Room(layout.as_ref().map(|layout| layout.as_str().to_owned()))
        }
        EgressSource::Participant(identity) => StoredSource::Participant(identity.to_string()),
        EgressSource::AudioTrack(sid) => StoredSource::AudioTrack(sid.to_string()),
        EgressSource::VideoTrack(sid) => StoredSource::VideoTrack(sid.to_string()),
    });
    encode(&StoredSpec {
        source,
        audio_only: spec.audio_only,
        preset: spec.preset.map(|preset| preset.as_str().to_owned()),
        segment_seconds: spec.segment_seconds,
        playlist_url: spec.playlist_url.clone(),
        live_playlist_url: spec.live_playlist_url.clone(),
    })
}

fn source(stored: StoredSource) -> Result<EgressSource, StoreError> {
    Ok(match stored {
        StoredSource::Room(layout) => {
            EgressSource::Room(layout.map(|layout| parsed("layout", &layout)).transpose()?)
        }
        StoredSource::Participant(identity) => {
            EgressSource::Participant(Identity::reported(identity).ok_or_else(|| corrupt("identity"))?)
        }
        StoredSource::AudioTrack(sid) => EgressSource::AudioTrack(sid.into()),
        StoredSource::VideoTrack(sid) => EgressSource::VideoTrack(sid.into()),
    })
}

/// Decodes what [`egress_spec`] encodes; the default without a text.
///
/// # Errors
/// [`StoreError::Corrupt`] for invalid JSON or an invalid field.
pub(super) fn spec(json: Option<&str>) -> Result<EgressSpec, StoreError> {
    let stored: StoredSpec = json.map(|json| decode("spec", json)).transpose()?.unwrap_or_default();
    Ok(EgressSpec {
        source: stored.source.map(source).transpose()?,
        audio_only: stored.audio_only,
        preset: stored.preset.map(|preset| parsed("preset", &preset)).transpose()?,
        segment_seconds: stored.segment_seconds,
        playlist_url: stored.playlist_url,
        live_playlist_url: stored.live_playlist_url,
    })
}

//! Published tracks of a participant.

use std::{fmt, str::FromStr};

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde::Serialize;

use super::{
    TrackSid,
    name::{self, UnknownName},
};

/// Source of a track, by LiveKit's names in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TrackSource {
    /// Video of a camera.
    Camera,
    /// Audio of a microphone.
    Microphone,
    /// Shared screen or window.
    ScreenShare,
    /// Audio of a shared screen.
    ScreenShareAudio,
    /// Any other source, also one that this version does not know.
    Unknown,
}

impl TrackSource {
    /// All sources.
    pub const ALL: [Self; 5] =
        [Self::Camera, Self::Microphone, Self::ScreenShare, Self::ScreenShareAudio, Self::Unknown];

    /// Returns the name used in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Camera => "camera",
            Self::Microphone => "microphone",
            Self::ScreenShare => "screen_share",
            Self::ScreenShareAudio => "screen_share_audio",
            Self::Unknown => "unknown",
        }
    }

    /// Returns the source of a LiveKit name in any case of letters; [`Self::Unknown`] for a new name.
    pub fn of(text: &str) -> Self {
        name::find_in_any_case(&Self::ALL, Self::as_str, text).unwrap_or(Self::Unknown)
    }
}

impl FromStr for TrackSource {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        name::find(&Self::ALL, Self::as_str, text)
    }
}

/// Published track.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Track {
    /// LiveKit's id of the track.
    pub sid: TrackSid,
    /// Source of the track.
    pub source: TrackSource,
    /// True if the track was muted in LiveKit's last report. LiveKit sends no webhook when a track is muted, so the
    /// value is as of the publication or of the last reconciliation.
    pub muted: bool,
}

/// Tracks of one participant, unique by sid.
///
/// The text form is `sid source 0|1`, joined by `;`, with percent-encoded sids ([`encode_sid`]). Equal tracks have
/// equal texts, so that scripts compare texts without parsing them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Tracks(Vec<Track>);

impl Tracks {
    /// Sorts the tracks and drops repeated sids.
    pub fn new(tracks: impl IntoIterator<Item = Track>) -> Self {
        let mut tracks: Vec<_> = tracks.into_iter().collect();
        // The scripts sort by the same text.
        tracks.sort_by_cached_key(Track::to_string);
        tracks.dedup_by(|one, other| one.sid == other.sid);
        Self(tracks)
    }

    /// Returns the tracks in the order of their texts.
    pub fn as_slice(&self) -> &[Track] {
        &self.0
    }

    /// Returns a copy with this track, which replaces a track of the same sid.
    #[must_use]
    pub fn with(&self, track: Track) -> Self {
        let others = self.without(&track.sid);
        Self::new(others.0.into_iter().chain([track]))
    }

    /// Returns a copy without the track of this sid.
    #[must_use]
    pub fn without(&self, sid: &TrackSid) -> Self {
        Self(self.0.iter().filter(|track| track.sid != *sid).cloned().collect())
    }
}

/// Characters that the text of [`Tracks`] or percent-encoding itself uses.
const SEPARATORS: &AsciiSet = &CONTROLS.add(b' ').add(b';').add(b'%');

/// Encodes a sid for the text of [`Tracks`]. LiveKit's own sids stay unchanged.
pub fn encode_sid(sid: &TrackSid) -> impl fmt::Display + '_ {
    utf8_percent_encode(sid.as_str(), SEPARATORS)
}

impl fmt::Display for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", encode_sid(&self.sid), self.source.as_str(), u8::from(self.muted))
    }
}

impl fmt::Display for Tracks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, track) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str(";")?;
            }
            track.fmt(f)?;
        }
        Ok(())
    }
}

/// The text is not the text form of [`Tracks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a list of tracks")]
pub struct MalformedTracks;

impl FromStr for Tracks {
    type Err = MalformedTracks;

    fn from_str(text: &str) -> Result<Self, MalformedTracks> {
        let track = |text: &str| {
            let mut fields = text.split(' ');
            let (sid, source, muted) = (fields.next()?, fields.next()?, fields.next()?);
            let sid = percent_decode_str(sid).decode_utf8().ok()?.as_ref().into();
            Some(Track { sid, source: TrackSource::of(source), muted: muted == "1" })
        };
        let tracks = text.split(';').filter(|text| !text.is_empty()).map(track);
        tracks.collect::<Option<Vec<_>>>().map(Self::new).ok_or(MalformedTracks)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn track() -> impl Strategy<Value = Track> {
        let sid = prop_oneof!["TR_[1-5]", "[ ;%a\n\u{e9}]{1,3}"];
        (sid, prop::sample::select(&TrackSource::ALL[..]), any::<bool>())
            .prop_map(|(sid, source, muted)| Track { sid: sid.into(), source, muted })
    }

    proptest! {
        #[test]
        fn text_parses_to_equal_tracks_and_does_not_depend_on_order(tracks in prop::collection::vec(track(), 0..6)) {
            let mut unique = Tracks::default();
            for track in &tracks {
                unique = unique.with(track.clone());
            }
            prop_assert_eq!(unique.to_string().parse(), Ok(unique.clone()));
            let reversed = Tracks::new(unique.as_slice().iter().rev().cloned());
            prop_assert_eq!(&reversed, &unique);
            for track in tracks {
                let without = unique.without(&track.sid);
                prop_assert!(without.as_slice().iter().all(|other| other.sid != track.sid));
            }
        }
    }
}

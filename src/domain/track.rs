//! What a participant publishes.

use std::{fmt, str::FromStr};

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde::Serialize;

use super::TrackSid;

/// Where a track comes from; LiveKit's words, in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TrackSource {
    /// A camera.
    Camera,
    /// A microphone.
    Microphone,
    /// A shared screen or window.
    ScreenShare,
    /// The sound of a shared screen.
    ScreenShareAudio,
    /// Anything else, also what this version does not know.
    Unknown,
}

impl TrackSource {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Camera, Self::Microphone, Self::ScreenShare, Self::ScreenShareAudio, Self::Unknown];

    /// The word used in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Camera => "camera",
            Self::Microphone => "microphone",
            Self::ScreenShare => "screen_share",
            Self::ScreenShareAudio => "screen_share_audio",
            Self::Unknown => "unknown",
        }
    }

    /// From a word of LiveKit's, in any case.
    pub fn of(word: &str) -> Self {
        let known = |source: &Self| source.as_str().eq_ignore_ascii_case(word);
        Self::ALL.into_iter().find(known).unwrap_or(Self::Unknown)
    }
}

/// One published track.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Track {
    /// LiveKit's id of it.
    pub sid: TrackSid,
    /// Where it comes from.
    pub source: TrackSource,
    /// Whether it was muted when LiveKit last spoke of it. LiveKit tells of no change of that by itself: it is known
    /// when a track is published and whenever the reconciler asks.
    pub muted: bool,
}

/// The tracks of one participant, by sid. As text, `sid source 0|1` joined by `;`, it is the same for the same tracks,
/// so that scripts can compare it without reading it. The sid is percent-encoded there ([`encode_sid`]).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Tracks(Vec<Track>);

impl Tracks {
    /// These, in the order of their sids.
    pub fn new(tracks: impl IntoIterator<Item = Track>) -> Self {
        let mut tracks: Vec<_> = tracks.into_iter().collect();
        // As the scripts sort them.
        tracks.sort_by_cached_key(Track::to_string);
        tracks.dedup_by(|one, other| one.sid == other.sid);
        Self(tracks)
    }

    /// In the order of their sids.
    pub fn as_slice(&self) -> &[Track] {
        &self.0
    }

    /// With this track, instead of an earlier one of the same sid.
    #[must_use]
    pub fn with(&self, track: Track) -> Self {
        let others = self.without(&track.sid);
        Self::new(others.0.into_iter().chain([track]))
    }

    /// Without the track of this sid.
    #[must_use]
    pub fn without(&self, sid: &TrackSid) -> Self {
        Self(self.0.iter().filter(|track| track.sid != *sid).cloned().collect())
    }
}

/// What separates words and tracks in the text of [`Tracks`], and what percent-encoding itself needs.
const SEPARATORS: &AsciiSet = &CONTROLS.add(b' ').add(b';').add(b'%');

/// A track's sid as the text of [`Tracks`] has it: LiveKit's own sids unchanged, any other text without separators.
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

impl FromStr for Tracks {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let track = |text: &str| {
            let mut words = text.split(' ');
            let (sid, source, muted) = (words.next()?, words.next()?, words.next()?);
            let sid = percent_decode_str(sid).decode_utf8().ok()?.as_ref().into();
            Some(Track { sid, source: TrackSource::of(source), muted: muted == "1" })
        };
        let tracks = text.split(';').filter(|text| !text.is_empty()).map(track);
        tracks.collect::<Option<Vec<_>>>().map(Self::new).ok_or(())
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
        fn text_reads_back_and_is_the_same_in_any_order(tracks in prop::collection::vec(track(), 0..6)) {
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

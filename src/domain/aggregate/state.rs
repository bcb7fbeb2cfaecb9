//! State of an aggregate.

use std::collections::{BTreeMap, BTreeSet};

use super::{ended_sessions::EndedSessions, tally::Tally};
use crate::domain::{
    Audience, Block, Egress, EgressId, EgressPlan, Identity, Ingress, IngressId, IngressPlan, JobId,
    Participant, Role, RtmpAddress, Stream, TargetId, Timestamp, TrackSid, Visit,
    event::{Draft, EventKind},
    hand_rate::Raisings,
    stream::NewStream,
};

/// Stream with all of its participants.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// The stream. Its counts are those of its newest event.
    pub stream: Stream,
    /// Numbers of active participants at this moment.
    pub tally: Tally,
    /// Number of active viewers above which a listed stream becomes counted; `None` for never.
    pub listed_max: Option<u32>,
    /// Listed participants: joining, active and disconnected ones. Joining entries without an earlier visit expire.
    pub participants: BTreeMap<Identity, Participant>,
    /// Connected participants without events, in no list: recorders and hidden participants.
    pub unlisted: BTreeMap<Identity, Participant>,
    /// Blocks of identities.
    pub blocks: BTreeMap<Identity, Block>,
    /// Raisings of hands, which are bounded.
    pub(super) raisings: Raisings,
    /// Ingresses of the stream.
    pub ingresses: BTreeMap<IngressId, Ingress>,
    /// Intents to create ingresses.
    pub ingress_plans: BTreeMap<JobId, IngressPlan>,
    /// Recordings and broadcasts.
    pub egresses: BTreeMap<EgressId, Egress>,
    /// Intents to start recordings and broadcasts.
    pub egress_plans: BTreeMap<JobId, EgressPlan>,
    /// Whole addresses of the targets of broadcasts that run.
    pub egress_addresses: BTreeMap<EgressId, BTreeMap<TargetId, RtmpAddress>>,
    /// Recordings that have changed after the end of the stream and that nothing has taken yet.
    pub(super) late_recordings: Vec<Egress>,
    /// Recorded roles of identities whose joining entry has expired.
    pub(super) roles: BTreeMap<Identity, Role>,
    /// Ended sessions. A late `participant_joined` of one of them changes nothing.
    pub(super) ended_sessions: EndedSessions,
    /// Deleted ingresses with the time of the deletion. An older list that still has one of them changes nothing.
    pub(super) ended_ingresses: BTreeMap<IngressId, Timestamp>,
    /// Tracks that are no longer published. A late `track_published` of one of them changes nothing.
    pub(super) ended_tracks: BTreeSet<TrackSid>,
}

impl Aggregate {
    /// Returns a new stream and its first event.
    pub fn create(new: NewStream, now: Timestamp) -> (Self, Draft) {
        let listed_max = new.audience.listed_max;
        let stream = Stream { version: 1, content_version: 1, ..Stream::unrecorded(new, now) };
        let draft = Draft::new(EventKind::StreamCreated, &stream, None);
        let aggregate = Self {
            stream,
            tally: Tally::default(),
            listed_max,
            participants: BTreeMap::new(),
            unlisted: BTreeMap::new(),
            blocks: BTreeMap::new(),
            raisings: Raisings::default(),
            ingresses: BTreeMap::new(),
            ingress_plans: BTreeMap::new(),
            egresses: BTreeMap::new(),
            egress_plans: BTreeMap::new(),
            egress_addresses: BTreeMap::new(),
            late_recordings: Vec::new(),
            roles: BTreeMap::new(),
            ended_sessions: EndedSessions::default(),
            ended_ingresses: BTreeMap::new(),
            ended_tracks: BTreeSet::new(),
        };
        (aggregate, draft)
    }

    /// Returns the participants of the stream's documents in list order: all that are listed, or the stage of a counted
    /// stream.
    pub fn shown(&self) -> Vec<&Participant> {
        let is_shown = |entry: &&Participant| match self.stream.audience {
            Audience::Listed => entry.is_listed(),
            Audience::Counted => entry.is_on_stage(),
        };
        self.ordered().into_iter().filter(is_shown).collect()
    }

    /// Takes the visits that ended since the last call.
    pub fn take_visits(&mut self) -> Vec<Visit> {
        self.ended_sessions.take_visits()
    }

    /// Takes the recordings that have changed after the end of the stream since the last call.
    pub fn take_late_recordings(&mut self) -> Vec<Egress> {
        std::mem::take(&mut self.late_recordings)
    }

    /// Returns all participants in list order, unlisted ones last.
    pub fn ordered(&self) -> Vec<&Participant> {
        let mut all: Vec<_> = self.participants.values().chain(self.unlisted.values()).collect();
        all.sort_by_cached_key(|participant| participant.list_key());
        all
    }
}

//! JSON documents of a stream.

use serde::Serialize;

use super::{
    Audience, Metadata, PartialStream, Participant, ParticipantCounts, RoomName, RoomSid, Stream, StreamId,
    StreamStatus, StreamView, Timestamp,
};

impl StreamView {
    /// Returns the state document: the stream's live values, without its names and limits.
    pub fn state(&self) -> impl Serialize + '_ {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct State<'a> {
            stream_id: StreamId,
            status: StreamStatus,
            participants: &'a [Participant],
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            participants_truncated: bool,
            audience: Audience,
            participant_count: u32,
            participant_counts: ParticipantCounts,
            started_at: Option<Timestamp>,
            updated_at: Timestamp,
            stopped_at: Option<Timestamp>,
            backstage: bool,
            live_at: Option<Timestamp>,
            ingresses: u32,
            recording: bool,
            broadcasting: bool,
            metadata: &'a Metadata,
            version: u64,
        }
        let stream = &self.stream;
        State {
            stream_id: stream.id,
            status: stream.status,
            participants: &self.participants,
            participants_truncated: self.participants_truncated,
            audience: stream.audience,
            participant_count: stream.participant_count(),
            participant_counts: stream.counts,
            started_at: stream.started_at,
            updated_at: stream.updated_at,
            stopped_at: stream.stopped_at,
            backstage: stream.backstage,
            live_at: stream.live_at,
            ingresses: stream.ingresses,
            recording: stream.recording,
            broadcasting: stream.broadcasting,
            metadata: &stream.metadata,
            version: stream.version,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    id: StreamId,
    stream_id: StreamId,
    room_name: &'a RoomName,
    room_sid: Option<&'a RoomSid>,
    status: StreamStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a Metadata>,
    #[serde(skip_serializing_if = "Option::is_none")]
    participants: Option<&'a [Participant]>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    participants_truncated: bool,
    audience: Audience,
    participant_count: u32,
    participant_counts: ParticipantCounts,
    peak_participant_count: u32,
    max_participants: Option<u32>,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    updated_at: Timestamp,
    stopped_at: Option<Timestamp>,
    backstage: bool,
    live_at: Option<Timestamp>,
    ingresses: u32,
    recording: bool,
    broadcasting: bool,
    version: u64,
}

impl<'a> Document<'a> {
    fn of<M>(stream: &'a Stream<M>, metadata: Option<&'a Metadata>, view: Option<&'a StreamView>) -> Self {
        Self {
            id: stream.id,
            stream_id: stream.id,
            room_name: &stream.room_name,
            room_sid: stream.room_sid.as_ref(),
            status: stream.status,
            metadata,
            participants: view.map(|view| &*view.participants),
            participants_truncated: view.is_some_and(|view| view.participants_truncated),
            audience: stream.audience,
            participant_count: stream.participant_count(),
            participant_counts: stream.counts,
            peak_participant_count: stream.peak_participant_count,
            max_participants: stream.max_participants,
            created_at: stream.created_at,
            started_at: stream.started_at,
            updated_at: stream.updated_at,
            stopped_at: stream.stopped_at,
            backstage: stream.backstage,
            live_at: stream.live_at,
            ingresses: stream.ingresses,
            recording: stream.recording,
            broadcasting: stream.broadcasting,
            version: stream.version,
        }
    }
}

impl Serialize for Stream {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Document::of(self, Some(&self.metadata), None).serialize(serializer)
    }
}

impl Serialize for PartialStream {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Document::of(self, self.metadata.as_ref(), None).serialize(serializer)
    }
}

impl Serialize for StreamView {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Document::of(&self.stream, Some(&self.stream.metadata), Some(self)).serialize(serializer)
    }
}

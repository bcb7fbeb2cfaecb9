//! What the tests of moderation with a fake LiveKit share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use livestream_orchestrator::{
    access::Caller,
    domain::{Event, EventKind, StreamRef, TokenMark, Topic},
    orchestrator::{Error, JoinRequest, Joined},
    store::{EventFeed, LogRead},
};

use crate::{backend::identity, instance::Fixture};

/// Name of the room in every test.
pub const ROOM: &str = "room";

/// Identities in the LiveKit room, the hidden ones last.
pub fn in_room(fixture: &Fixture) -> Vec<String> {
    let room = fixture.livekit.room_state(ROOM).unwrap();
    room.present.into_iter().map(|(who, ..)| who).chain(room.hidden).collect()
}

/// All events of a stream.
pub async fn log(fixture: &Fixture, stream: &StreamRef) -> Vec<Arc<Event>> {
    let topic = Topic::Stream(stream.id);
    let before = fixture.store.before_newest(topic, 1_000).await.unwrap().unwrap();
    match fixture.store.read_after(topic, before, 1_000).await.unwrap() {
        LogRead::Events { events, .. } => events,
        LogRead::Reset(reason) => panic!("the log is not complete: {reason:?}"),
    }
}

/// The number of arrivals, and the reasons of all departures.
pub async fn told(fixture: &Fixture, stream: &StreamRef) -> (usize, Vec<Option<String>>) {
    let log = log(fixture, stream).await;
    let arrivals = log.iter().filter(|event| event.draft.kind == EventKind::ParticipantJoined).count();
    let departures = log.iter().filter(|event| event.draft.kind == EventKind::ParticipantLeft);
    (arrivals, departures.map(|event| event.draft.reason.clone()).collect())
}

/// The reason of a departure.
pub fn reason(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// Requests a token for `ann`.
pub async fn join(fixture: &Fixture, stream: &StreamRef) -> Result<Joined, Error> {
    let request = JoinRequest {
        identity: identity("ann"),
        name: None,
        role: None,
        metadata: None,
        attributes: None,
        dedup_key: None,
    };
    fixture.orchestrator.join(&Caller::unrestricted(), stream, request).await
}

/// Creates a token for `ann` and returns its mark.
pub async fn token(fixture: &Fixture, stream: &StreamRef) -> TokenMark {
    TokenMark::new(stream.id, join(fixture, stream).await.unwrap().terms.removals)
}

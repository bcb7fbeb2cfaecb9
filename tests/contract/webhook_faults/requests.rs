//! Requests that moderate a stream, and what LiveKit must enforce after them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use livestream_orchestrator::{
    access::Caller,
    domain::{Participant, Rejection, Role, StreamRef, TrackSource},
    orchestrator::{Error, MuteRequest, ParticipantPatch},
    rooms::TrackSelection,
    store::{Guard, ParticipantFilter, StoreError, StreamStore},
};
use proptest::{prelude::*, sample::select};

use super::{Fixture, IDENTITIES, ROOM};
use crate::backend::identity;

/// A request about the stream or one participant.
#[derive(Clone, Copy, Debug)]
pub enum Request {
    Role(&'static str, Role),
    Hand(&'static str, bool),
    Mute(&'static str, TrackSource),
    /// True to take the stream backstage, false to go live.
    Backstage(bool),
}

pub fn role() -> impl Strategy<Value = Role> {
    select(vec![Role::Host, Role::Viewer])
}

pub fn request() -> impl Strategy<Value = Request> {
    let who = || select(&IDENTITIES[..]);
    let source = select(&TrackSource::ALL[..4]);
    prop_oneof![
        5 => (who(), role()).prop_map(|(who, role)| Request::Role(who, role)),
        4 => (who(), any::<bool>()).prop_map(|(who, is_raised)| Request::Hand(who, is_raised)),
        2 => (who(), source).prop_map(|(who, source)| Request::Mute(who, source)),
        2 => any::<bool>().prop_map(Request::Backstage),
    ]
}

impl Request {
    const fn identity(self) -> Option<&'static str> {
        match self {
            Self::Role(who, _) | Self::Hand(who, _) | Self::Mute(who, _) => Some(who),
            Self::Backstage(_) => None,
        }
    }
}

impl Fixture {
    async fn entry(&self, who: Option<&str>) -> Option<Participant> {
        self.store.participant(self.stream, who?).await.unwrap()
    }

    /// Makes a request while LiveKit answers or not. A request that LiveKit refuses must change nothing.
    pub async fn request(&self, request: Request, is_available: bool) {
        let before = self.entry(request.identity()).await;
        self.livekit.set_available(is_available);
        let made = self.send(request).await;
        self.livekit.set_available(true);
        match made {
            Ok(()) => {}
            Err(Error::Rooms(_)) => {
                assert!(!is_available, "{request:?}");
                assert_eq!(self.entry(request.identity()).await, before, "{request:?}");
            }
            Err(
                Error::ParticipantNotFound
                | Error::Store(StoreError::Rejected(
                    Rejection::NotActive { .. } | Rejection::NoParticipant | Rejection::NotPresent,
                )),
            ) => {}
            Err(other) => panic!("{request:?}: {other}"),
        }
    }

    async fn send(&self, request: Request) -> Result<(), Error> {
        let (service, caller) = (&self.orchestrator, Caller::unrestricted());
        let stream = self.store.get(self.stream).await.unwrap().unwrap();
        let reference: StreamRef = stream.reference();
        match request {
            Request::Role(who, role) => {
                let identity = identity(who);
                let patch = ParticipantPatch {
                    identity,
                    role: Some(role),
                    name: None,
                    metadata: None,
                    dedup_key: None,
                };
                service.patch_participant(&caller, &reference, patch).await.map(|_| ())
            }
            Request::Hand(who, is_raised) => service
                .set_hand(&caller, &reference, identity(who), is_raised, Guard::default())
                .await
                .map(|_| ()),
            Request::Mute(who, source) => {
                let tracks = TrackSelection::Source(source);
                let request = MuteRequest { identity: identity(who), tracks, dedup_key: None };
                service.mute(&caller, stream, request).await.map(|_| ())
            }
            Request::Backstage(true) => {
                service.stop_live(&caller, &reference, Guard::default()).await.map(|_| ())
            }
            Request::Backstage(false) => {
                service.go_live(&caller, &reference, Guard::default()).await.map(|_| ())
            }
        }
    }

    /// Returns all participants, of a counted stream also those off stage.
    pub async fn participants(&self) -> Vec<Participant> {
        let all = self.store.participants(self.stream, ParticipantFilter::default(), 1_000, None).await;
        all.unwrap().items
    }

    /// Asserts that LiveKit enforces what is recorded.
    pub async fn assert_livekit_enforces_record(&self) {
        let stream = self.store.get(self.stream).await.unwrap().unwrap();
        for entry in self.participants().await {
            let who = entry.identity.as_str();
            let may_raise_hand = entry.is_active() && entry.role == Role::Viewer;
            assert!(entry.hand_raised_at.is_none() || may_raise_hand, "{entry:?}");
            if entry.is_active() {
                assert_eq!(self.livekit.role_of(ROOM, who), Some(entry.role), "{who}");
                assert_eq!(stream.denies(&entry), None, "{who} is in the room");
            }
        }
    }
}

//! Requests that moderate a stream, which LiveKit may refuse and in which the instance may end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livestream_orchestrator::{
    access::Caller,
    domain::{Participant, Rejection, Role, StreamRef, Timestamp, TokenMark, TrackSource},
    orchestrator::{BlockRequest, Error, JoinRequest, LeaveRequest, MuteRequest, ParticipantPatch},
    rooms::TrackSelection,
    store::{Guard, StoreError, StreamStore},
};
use proptest::{prelude::*, sample::select};

use super::{Fixture, IDENTITIES};
use crate::{
    backend::identity,
    crashing_process::{CrashPoint, Process, crashing_service},
    service::Service,
};

/// A request about the stream or one participant.
#[derive(Clone, Copy, Debug)]
pub enum Request {
    /// Creates a token.
    Join(&'static str, Option<Role>),
    Role(&'static str, Role),
    Hand(&'static str, bool),
    Mute(&'static str, TrackSource),
    Remove(&'static str),
    /// Blocks an identity for this many seconds, or until the stream ends.
    Block(&'static str, Option<u64>),
    Unblock(&'static str),
    /// True to take the stream backstage, false to go live.
    Backstage(bool),
}

/// Fault during a request.
#[derive(Clone, Copy, Debug)]
pub enum RequestFault {
    None,
    /// LiveKit does not answer.
    LivekitUnavailable,
    /// The instance ends.
    Crash(CrashPoint),
}

pub fn role() -> impl Strategy<Value = Role> {
    select(vec![Role::Host, Role::Viewer])
}

pub fn request() -> impl Strategy<Value = Request> {
    let who = || select(&IDENTITIES[..]);
    let source = select(&TrackSource::ALL[..4]);
    let seconds = select(vec![None, Some(1), Some(20)]);
    prop_oneof![
        4 => (who(), prop::option::of(role())).prop_map(|(who, role)| Request::Join(who, role)),
        5 => (who(), role()).prop_map(|(who, role)| Request::Role(who, role)),
        4 => (who(), any::<bool>()).prop_map(|(who, is_raised)| Request::Hand(who, is_raised)),
        2 => (who(), source).prop_map(|(who, source)| Request::Mute(who, source)),
        4 => who().prop_map(Request::Remove),
        3 => (who(), seconds).prop_map(|(who, seconds)| Request::Block(who, seconds)),
        2 => who().prop_map(Request::Unblock),
        2 => any::<bool>().prop_map(Request::Backstage),
    ]
}

pub fn request_fault() -> impl Strategy<Value = RequestFault> {
    let crash = (0..6usize, any::<bool>()).prop_map(|(call, after)| CrashPoint { call, after });
    prop_oneof![
        6 => Just(RequestFault::None),
        2 => Just(RequestFault::LivekitUnavailable),
        2 => crash.prop_map(RequestFault::Crash),
    ]
}

impl Request {
    const fn identity(self) -> Option<&'static str> {
        match self {
            Self::Join(who, _)
            | Self::Role(who, _)
            | Self::Hand(who, _)
            | Self::Mute(who, _)
            | Self::Remove(who)
            | Self::Block(who, _)
            | Self::Unblock(who) => Some(who),
            Self::Backstage(_) => None,
        }
    }
}

impl Fixture {
    /// The entry of an identity, without the time of its last write: a withdrawn removal is a write.
    async fn entry(&self, who: Option<&str>) -> Option<Participant> {
        let entry = self.store.participant(self.stream, who?).await.unwrap()?;
        Some(Participant { changed_at: Timestamp::from_millis(0), ..entry })
    }

    /// Makes a request. A request that LiveKit refuses must change nothing.
    pub async fn request(&self, request: Request, fault: RequestFault) {
        let before = self.entry(request.identity()).await;
        let is_available = !matches!(fault, RequestFault::LivekitUnavailable);
        self.livekit.set_available(is_available);
        let made = match fault {
            RequestFault::Crash(crash_point) => self.send_until_crash(request, crash_point).await,
            _ => self.send(&self.orchestrator, request).await,
        };
        self.livekit.set_available(true);
        match made {
            Ok(()) => {}
            Err(Error::Rooms(_)) => {
                assert!(!is_available, "{request:?}");
                let is_joining = matches!(request, Request::Join(..));
                assert!(is_joining || self.entry(request.identity()).await == before, "{request:?}");
            }
            Err(
                Error::ParticipantNotFound
                | Error::Store(StoreError::Rejected(
                    Rejection::NotActive { .. }
                    | Rejection::NoParticipant
                    | Rejection::NotPresent
                    | Rejection::HandsTooFrequent
                    | Rejection::Blocked
                    | Rejection::Backstage,
                )),
            ) => {}
            Err(other) => panic!("{request:?}: {other}"),
        }
    }

    /// Makes a request on an instance of its own, which ends at the crash point.
    async fn send_until_crash(&self, request: Request, crash_point: CrashPoint) -> Result<(), Error> {
        let process = Process::crashing_at(crash_point);
        let service =
            crashing_service(&process, self.store.clone(), (self.livekit.clone(), self.livekit.clone()));
        let mut made = Ok(());
        process.run(async { made = self.send(&service, request).await }).await;
        made
    }

    async fn send(&self, service: &Service, request: Request) -> Result<(), Error> {
        let caller = Caller::unrestricted();
        let stream = self.store.get(self.stream).await.unwrap().unwrap();
        let reference: StreamRef = stream.reference();
        match request {
            Request::Join(who, role) => self.join(service, &reference, who, role).await,
            Request::Role(who, role) => {
                let patch = ParticipantPatch {
                    identity: identity(who),
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
            Request::Remove(who) => {
                service.remove(&caller, stream, LeaveRequest::of(identity(who))).await.map(|_| ())
            }
            Request::Block(who, seconds) => {
                let expires_in = seconds.map(Duration::from_secs);
                let request = BlockRequest { expires_in, ..BlockRequest::of(identity(who)) };
                service.block(&caller, &reference, request).await.map(|_| ())
            }
            Request::Unblock(who) => {
                service.unblock(&caller, &reference, identity(who), Guard::default()).await
            }
            Request::Backstage(true) => {
                service.stop_live(&caller, &reference, Guard::default()).await.map(|_| ())
            }
            Request::Backstage(false) => {
                service.go_live(&caller, &reference, Guard::default()).await.map(|_| ())
            }
        }
    }

    async fn join(
        &self,
        service: &Service,
        stream: &StreamRef,
        who: &'static str,
        role: Option<Role>,
    ) -> Result<(), Error> {
        let request = JoinRequest {
            identity: identity(who),
            name: None,
            role,
            metadata: None,
            attributes: None,
            dedup_key: None,
        };
        let joined = service.join(&Caller::unrestricted(), stream, request).await?;
        let mark = TokenMark::new(self.stream, joined.terms.removals);
        self.tokens.lock().unwrap().entry(who).or_default().push(mark);
        Ok(())
    }
}

//! Random steps: actions in the room, requests, and the faults of their webhooks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livestream_orchestrator::{
    access::Caller,
    domain::{Role, TokenMark, TrackSource},
    store::{Guard, StreamStore},
};
use proptest::{prelude::*, sample::select};

use super::{
    Fixture, IDENTITIES, ROOM,
    requests::{Request, RequestFault, request, request_fault, role},
};
use crate::fake_livekit::MAX_LISTING_DELAY;

/// One action in the room.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// Connects with a token for a role, and replaces an existing session.
    Connect(&'static str, Role, Token),
    /// Connects hidden from others.
    ConnectHidden(&'static str),
    Disconnect(&'static str),
    /// What livekit-client calls a full reconnect, with a token for a role.
    Reconnect(&'static str, Role, Token),
    Request(Request, RequestFault),
    Publish(&'static str, TrackSource),
    /// LiveKit closes the room.
    Finish,
    /// LiveKit loses the room without webhooks.
    Lose,
    /// The app stops the stream.
    Stop,
    /// LiveKit's clock steps, or participants move to a node with another clock.
    ClockStep(i64),
    /// The clock of the store advances.
    Wait(Duration),
}

/// Token of a connection. An identity without tokens of the service uses one of another tool.
#[derive(Clone, Copy, Debug)]
pub enum Token {
    Newest,
    Oldest,
    OfAnotherTool,
}

/// Fault of the webhooks of one action.
#[derive(Clone, Copy, Debug)]
pub enum WebhookFault {
    Lost,
    Delivered,
    Duplicated,
    /// Delayed by this many steps, in reverse order.
    Delayed(usize),
}

#[derive(Clone, Copy, Debug)]
pub enum Step {
    Action(Action, WebhookFault),
    /// A reconciliation whose listings are delayed by this time.
    Reconcile(Duration),
}

fn token() -> impl Strategy<Value = Token> {
    select(vec![Token::Newest, Token::Oldest, Token::OfAnotherTool])
}

pub fn step() -> impl Strategy<Value = Step> {
    let who = || select(&IDENTITIES[..]);
    let source = select(&TrackSource::ALL[..4]);
    let wait = select(vec![1u64, 300, 2_000, 8_000, 20_000]);
    let action = prop_oneof![
        8 => (who(), role(), token()).prop_map(|(who, role, token)| Action::Connect(who, role, token)),
        1 => who().prop_map(Action::ConnectHidden),
        5 => who().prop_map(Action::Disconnect),
        3 => (who(), role(), token()).prop_map(|(who, role, token)| Action::Reconnect(who, role, token)),
        12 => (request(), request_fault()).prop_map(|(request, fault)| Action::Request(request, fault)),
        4 => (who(), source).prop_map(|(who, source)| Action::Publish(who, source)),
        6 => wait.prop_map(|millis| Action::Wait(Duration::from_millis(millis))),
        2 => select(vec![0i64, -40_000, 30_000]).prop_map(Action::ClockStep),
        1 => Just(Action::Finish),
        1 => Just(Action::Lose),
        1 => Just(Action::Stop),
    ];
    let fault = prop_oneof![
        2 => Just(WebhookFault::Lost),
        5 => Just(WebhookFault::Delivered),
        1 => Just(WebhookFault::Duplicated),
        2 => (1..12usize).prop_map(WebhookFault::Delayed),
    ];
    let delay = (0..=u64::try_from(MAX_LISTING_DELAY.as_millis()).unwrap()).prop_map(Duration::from_millis);
    prop_oneof![
        7 => (action, fault).prop_map(|(action, fault)| Step::Action(action, fault)),
        1 => delay.prop_map(Step::Reconcile),
    ]
}

impl Fixture {
    fn connect(&self, who: &'static str, role: Role, token: Token) {
        let mark = self.mark(who, token);
        self.livekit.connect_with(ROOM, who, |session| (session.role, session.mark) = (Some(role), mark));
    }

    fn mark(&self, who: &str, token: Token) -> Option<TokenMark> {
        let tokens = self.tokens.lock().unwrap();
        let of_identity = tokens.get(who)?;
        match token {
            Token::Newest => of_identity.last().cloned(),
            Token::Oldest => of_identity.first().cloned(),
            Token::OfAnotherTool => None,
        }
    }

    pub async fn perform(&self, action: Action) {
        match action {
            Action::Connect(who, role, token) => self.connect(who, role, token),
            Action::ConnectHidden(who) => self.livekit.connect_hidden(ROOM, who),
            Action::Disconnect(who) => self.livekit.disconnect(ROOM, who),
            Action::Reconnect(who, role, token) => {
                self.livekit.disconnect(ROOM, who);
                self.connect(who, role, token);
            }
            Action::Request(request, fault) => self.request(request, fault).await,
            Action::Publish(who, source) => self.livekit.publish(ROOM, who, source),
            Action::Finish => self.livekit.close_room(ROOM),
            Action::Lose => self.livekit.lose_room(ROOM),
            Action::Stop => {
                let stream = self.store.get(self.stream).await.unwrap().unwrap();
                self.orchestrator.stop(&Caller::unrestricted(), &stream, Guard::default()).await.unwrap();
            }
            Action::ClockStep(ahead) => self.livekit.set_clock_offset(ahead),
            Action::Wait(time) => self.livekit.advance(time),
        }
    }
}

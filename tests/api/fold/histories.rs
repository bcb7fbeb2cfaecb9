//! Random histories of a stream, made through two instances by requests and by webhooks with LiveKit's signature.

use proptest::{prelude::*, sample::select};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use url::form_urlencoded::byte_serialize;

use crate::{
    Pair,
    support::{
        app::{TestApp, participant_webhook},
        feed_client::Address,
        grpc::Client,
    },
};

const IDENTITIES: [&str; 4] = ["ann", "bob", "cé \"/", "\u{1F600}"];

#[derive(Clone, Debug)]
pub enum Step {
    Change(Change),
    /// The clients' states are compared with documents.
    Documents,
    /// The clients' states are compared with the snapshots of resets.
    Resets,
}

/// A change of a stream. Participants are numbers of [`IDENTITIES`].
#[derive(Clone, Debug)]
pub enum Change {
    /// Requests a token.
    Token {
        participant: usize,
        role: &'static str,
        has_metadata: bool,
    },
    /// Begins a session, or describes the present one with a role, which promotes or demotes its participant.
    Connect {
        participant: usize,
        role: &'static str,
        is_new: bool,
    },
    Disconnect {
        participant: usize,
    },
    /// Requests that a participant leaves.
    Leave {
        participant: usize,
    },
    Publish {
        participant: usize,
        track: u8,
        muted: bool,
    },
    Unpublish {
        participant: usize,
        track: u8,
    },
    /// Sets the stream's metadata: in every event, or only in those that change it.
    Metadata {
        is_large: bool,
    },
    /// Requests that a participant's hand is raised or lowered.
    Hand {
        participant: usize,
        is_raised: bool,
    },
    /// Requests that a participant's role changes.
    Role {
        participant: usize,
        role: &'static str,
    },
    /// Takes the stream live or backstage.
    Live {
        is_live: bool,
    },
}

#[derive(Clone, Debug)]
pub struct History {
    pub audience: &'static str,
    pub steps: Vec<Step>,
}

pub fn history() -> impl Strategy<Value = History> {
    let step = prop_oneof![20 => change().prop_map(Step::Change), 3 => Just(Step::Documents), 1 => Just(Step::Resets)];
    (select(vec!["auto", "auto", "listed", "counted"]), prop::collection::vec(step, 1..80))
        .prop_map(|(audience, steps)| History { audience, steps })
}

fn change() -> impl Strategy<Value = Change> {
    let role = || select(vec!["host", "viewer", "viewer"]);
    let who = || 0..IDENTITIES.len();
    let (publish, unpublish) = ((who(), 0..3u8, any::<bool>()), (who(), 0..3u8));
    prop_oneof![
        4 => (who(), role(), any::<bool>())
            .prop_map(|(participant, role, has_metadata)| Change::Token { participant, role, has_metadata }),
        6 => (who(), role(), any::<bool>())
            .prop_map(|(participant, role, is_new)| Change::Connect { participant, role, is_new }),
        4 => who().prop_map(|participant| Change::Disconnect { participant }),
        1 => who().prop_map(|participant| Change::Leave { participant }),
        2 => publish.prop_map(|(participant, track, muted)| Change::Publish { participant, track, muted }),
        1 => unpublish.prop_map(|(participant, track)| Change::Unpublish { participant, track }),
        4 => (who(), prop::bool::weighted(0.7))
            .prop_map(|(participant, is_raised)| Change::Hand { participant, is_raised }),
        2 => (who(), role()).prop_map(|(participant, role)| Change::Role { participant, role }),
        2 => any::<bool>().prop_map(|is_large| Change::Metadata { is_large }),
        1 => any::<bool>().prop_map(|is_live| Change::Live { is_live }),
    ]
}

/// The stream of a history. Each request goes to the other one of the instances.
pub struct Target<'a> {
    pair: &'a Pair,
    stream: Value,
    pub id: String,
    /// Number of sessions of each participant.
    sessions: [usize; IDENTITIES.len()],
    changes: usize,
}

impl<'a> Target<'a> {
    pub async fn new(pair: &'a Pair, history: &History) -> Self {
        let stream = pair.0.create(json!({"audience": history.audience, "metadata": {"n": 0}})).await;
        let id = stream["id"].as_str().unwrap().to_owned();
        Self { pair, stream, id, sessions: [0; IDENTITIES.len()], changes: 0 }
    }

    fn app(&self) -> &TestApp {
        if self.changes.is_multiple_of(2) { &self.pair.0 } else { &self.pair.1 }
    }

    pub fn address(&self) -> Address {
        self.app().into()
    }

    pub async fn client(&self) -> Client {
        Client::of(self.app()).await
    }

    /// Returns the document and its cursor.
    pub async fn document(&self) -> (Value, String) {
        let answer = self.app().get(&format!("/streams/{}", self.id)).await;
        let cursor = answer.header("last-event-id").unwrap().to_owned();
        (answer.expect(StatusCode::OK), cursor)
    }

    pub async fn make(&mut self, change: Change) {
        self.changes += 1;
        let path = format!("/streams/{}", self.id);
        match change {
            Change::Token { participant, role, has_metadata } => {
                let mut body = json!({"identity": IDENTITIES[participant], "role": role});
                if has_metadata {
                    body["metadata"] = json!({"n": self.changes});
                }
                let answer = self.app().post(&format!("{path}/join"), body).await;
                assert!(answer.status == StatusCode::OK || answer.body["code"] == "stream_backstage");
            }
            Change::Live { is_live } => {
                let action = if is_live { "go_live" } else { "stop_live" };
                self.app().post(&format!("{path}/{action}"), json!({})).await.expect(StatusCode::OK);
            }
            Change::Hand { participant, is_raised } => {
                let method = if is_raised { Method::PUT } else { Method::DELETE };
                self.change_participant(participant, method, "/hand", None).await;
            }
            Change::Role { participant, role } => {
                let body = json!({"role": role});
                self.change_participant(participant, Method::PATCH, "", Some(body)).await;
            }
            Change::Leave { participant } => {
                let body = json!({"identity": IDENTITIES[participant]});
                self.app().post(&format!("{path}/leave"), body).await.expect(StatusCode::OK);
            }
            Change::Metadata { is_large } => {
                let text = "é".repeat(if is_large { 600 } else { 1 });
                let body = json!({"metadata": {"n": self.changes, "text": text}});
                self.app().patch(&path, body).await.expect(StatusCode::OK);
            }
            reported => self.report(reported).await,
        }
    }

    /// Changes a participant, unless the stream has none of the identity, it has left, or it raises its hand too often.
    async fn change_participant(&self, participant: usize, method: Method, rest: &str, body: Option<Value>) {
        let identity: String = byte_serialize(IDENTITIES[participant].as_bytes()).collect();
        let identity = identity.replace('+', "%20");
        let path = format!("/streams/{}/participants/{identity}{rest}", self.id);
        let answer = self.app().send(method, &path, body).await;
        let refusals = ["participant_not_found", "participant_not_present", "hands_too_frequent"];
        let is_refused = refusals.iter().any(|code| answer.body["code"] == *code);
        assert!(answer.status == StatusCode::OK || is_refused, "{}", answer.text);
    }

    /// Sends the webhook of a change.
    async fn report(&mut self, change: Change) {
        let webhook = match change {
            Change::Connect { participant, role, is_new } => {
                self.sessions[participant] += usize::from(is_new);
                let mut webhook = self.webhook("participant_joined", participant);
                webhook["participant"]["permission"]["canPublish"] = json!(role == "host");
                webhook["participant"]["name"] = json!(format!("{role} {}", self.changes));
                webhook["participant"]["attributes"] = json!({"n": self.changes.to_string()});
                webhook
            }
            Change::Disconnect { participant } => self.webhook("participant_left", participant),
            Change::Publish { participant, track, muted } => {
                let mut webhook = self.webhook("track_published", participant);
                webhook["track"] =
                    json!({"sid": format!("TR_{track}"), "source": "MICROPHONE", "muted": muted});
                webhook
            }
            Change::Unpublish { participant, track } => {
                let mut webhook = self.webhook("track_unpublished", participant);
                webhook["track"] = json!({"sid": format!("TR_{track}")});
                webhook
            }
            other => unreachable!("{other:?} is a request"),
        };
        self.app().webhook(&webhook).await.expect(StatusCode::OK);
    }

    /// Returns a webhook about the newest session of a participant.
    fn webhook(&self, event: &str, participant: usize) -> Value {
        let sid = format!("PA_{participant}_{}", self.sessions[participant]);
        participant_webhook(event, &self.stream, IDENTITIES[participant], &sid)
    }
}

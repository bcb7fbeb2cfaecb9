//! Resumes from cursors over every transport, on two instances.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cursors;
mod random;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    app::{TestApp, participant_webhook},
    feed_client::ReceivedEvent,
    unique,
};

/// A change of a stream.
#[derive(Clone, Copy, Debug)]
enum Change {
    Metadata,
    /// Creates a join token for a participant.
    Token(u8),
    /// Connects a participant, or disconnects it if it is connected.
    Presence(u8),
}

/// A stream that the test changes.
struct Target {
    stream: Value,
    id: String,
    /// Number of changes, which makes the values of metadata unique.
    change_count: usize,
    /// Sids of the connected participants.
    present: [Option<String>; 3],
}

impl Target {
    async fn new(app: &TestApp) -> Self {
        let stream = app.create(json!({})).await;
        let id = stream["id"].as_str().unwrap().to_owned();
        Self { stream, id, change_count: 0, present: [None, None, None] }
    }

    async fn change(&mut self, app: &TestApp, change: Change) {
        self.change_count += 1;
        let path = format!("/streams/{}", self.id);
        let answer = match change {
            Change::Metadata => app.patch(&path, json!({"metadata": {"n": self.change_count}})).await,
            Change::Token(participant) => {
                app.post(&format!("{path}/join"), json!({"identity": format!("p{participant}")})).await
            }
            Change::Presence(participant) => {
                let present = &mut self.present[usize::from(participant)];
                let (event, sid) = match present.take() {
                    Some(sid) => ("participant_left", sid),
                    None => ("participant_joined", present.insert(unique("PA")).clone()),
                };
                app.webhook(&participant_webhook(event, &self.stream, &format!("p{participant}"), &sid)).await
            }
        };
        answer.expect(StatusCode::OK);
    }

    async fn log(&self, app: &TestApp) -> Vec<ReceivedEvent> {
        let history = app.get(&format!("/events/{}?limit=1000", self.id)).await.expect(StatusCode::OK);
        history.as_array().unwrap().iter().cloned().map(ReceivedEvent::from_json).collect()
    }
}

/// Checks that received events equal the log.
fn assert_same_events(received: &[ReceivedEvent], log: &[ReceivedEvent]) {
    assert_eq!(received.len(), log.len(), "{received:#?} {log:#?}");
    for (one, other) in received.iter().zip(log) {
        assert!(one.is_same_as(other), "{one:#?} {other:#?}");
    }
}

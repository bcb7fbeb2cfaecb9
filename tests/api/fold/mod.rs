//! Folding over every transport: a snapshot of a stream and the events after its cursor are the next snapshot.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod call_followers;
mod histories;
mod json_follower;

use std::panic::AssertUnwindSafe;

use futures_util::{FutureExt, future::join_all};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{Config, TestRunner},
};
use reqwest::StatusCode;
use serde_json::json;

use self::{
    call_followers::CallFollower,
    histories::{History, Step, Target, history},
    json_follower::JsonFollower,
};
use crate::{
    Pair,
    support::{
        eventually,
        feed_client::Transport,
        grpc::{StreamEvent, Update},
    },
};

/// A cursor from the future, which every feed answers with a reset.
const FUTURE: &str = "99999999999999-0";
const HISTORIES: usize = 12;

/// Clients that keep the state of one stream, one for each transport.
struct Followers {
    json: [JsonFollower; 2],
    events: CallFollower<StreamEvent>,
    updates: CallFollower<Update>,
}

impl Followers {
    /// Follows a new stream. The JSON clients start from its document.
    async fn start(target: &Target<'_>) -> Self {
        let (document, cursor) = target.document().await;
        let json =
            async |transport| JsonFollower::follow(target, transport, document.clone(), cursor.clone()).await;
        Self {
            json: [json(Transport::Sse).await, json(Transport::WebSocket).await],
            events: CallFollower::from_reset(target).await,
            updates: CallFollower::from_present(target).await,
        }
    }

    /// Compares each client's state with documents of the service.
    async fn compare_with_documents(&mut self, target: &Target<'_>) {
        let (document, _) = target.document().await;
        for follower in &mut self.json {
            follower.assert_becomes(&document).await;
        }
        let state = target.client().await.state(&target.id).await.unwrap();
        self.events.assert_becomes(&state).await;
        self.updates.assert_becomes(&state).await;
    }

    /// Compares each client's state with the snapshot of a reset on its transport. Then the connection that has
    /// received the snapshot takes the place of the client.
    async fn compare_with_resets(&mut self, target: &Target<'_>) {
        for follower in &mut self.json {
            let next = JsonFollower::from_reset(target, follower.transport).await;
            follower.assert_reaches(&next).await;
            *follower = next;
        }
        let next = CallFollower::from_reset(target).await;
        self.events.assert_reaches(&next).await;
        self.events = next;
        let next = CallFollower::from_reset(target).await;
        self.updates.assert_reaches(&next).await;
        self.updates = next;
    }
}

async fn run_history(pair: &Pair, history: History) {
    let mut target = Target::new(pair, &history).await;
    let mut followers = Followers::start(&target).await;
    for step in history.steps {
        match step {
            Step::Documents => followers.compare_with_documents(&target).await,
            Step::Resets => followers.compare_with_resets(&target).await,
            Step::Change(change) => target.make(change).await,
        }
    }
    followers.compare_with_documents(&target).await;
    let joining = format!("/streams/{}/participants?state=joining", target.id);
    eventually("the expiry of unused tokens", || async {
        (pair.0.get(&joining).await.expect(StatusCode::OK) == json!([])).then_some(())
    })
    .await;
    followers.compare_with_documents(&target).await;
    followers.compare_with_resets(&target).await;
    pair.1.delete(&format!("/streams/{}", target.id)).await.expect(StatusCode::OK);
    followers.compare_with_documents(&target).await;
}

#[tokio::test]
async fn snapshot_folded_with_events_is_the_next_snapshot_on_every_transport() {
    let pair = Pair::with(|arguments| {
        arguments.audience_listed_max = Some("1".to_owned());
        arguments.joining_ttl = Some("1s".to_owned());
    })
    .await;
    let mut runner = TestRunner::new(Config::default());
    let mut histories = || history().new_tree(&mut runner).unwrap().current();
    let runs = (0..HISTORIES).map(|_| {
        let (history, pair) = (histories(), &pair);
        async move {
            let description = format!("{history:?}");
            let outcome = AssertUnwindSafe(run_history(pair, history)).catch_unwind().await;
            assert!(outcome.is_ok(), "this history fails: {description}");
        }
    });
    join_all(runs.collect::<Vec<_>>()).await;
}

//! Random changes, disconnects and resumes: every client receives the log once and in order.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use reqwest::StatusCode;

use super::{Change, Target, assert_same_events};
use crate::{
    Pair,
    support::{
        feed_client::{FeedConnection, Received, ReceivedEvent, Transport},
        within,
    },
};

/// One step of a random history.
#[derive(Clone, Debug)]
enum Step {
    /// A change of a stream through an instance.
    Change { instance: bool, change: Change, stream: usize },
    /// A client disconnects and resumes on an instance over a transport.
    Resume { client: usize, instance: bool, transport: Transport },
    /// A client reads up to `count` events.
    Read { client: usize, count: usize },
}

const CLIENTS: usize = 6;
const STREAMS: usize = 2;

fn transport() -> impl Strategy<Value = Transport> {
    prop::sample::select(&Transport::ALL[..])
}

fn step() -> impl Strategy<Value = Step> {
    let change = prop_oneof![
        Just(Change::Metadata),
        (0..3u8).prop_map(Change::Token),
        (0..3u8).prop_map(Change::Presence),
    ];
    prop_oneof![
        3 => (any::<bool>(), change, 0..STREAMS)
            .prop_map(|(instance, change, stream)| Step::Change { instance, change, stream }),
        1 => (0..CLIENTS, any::<bool>(), transport())
            .prop_map(|(client, instance, transport)| Step::Resume { client, instance, transport }),
        2 => (0..CLIENTS, 1..4usize).prop_map(|(client, count)| Step::Read { client, count }),
    ]
}

/// A client and the events that it has received.
struct FeedClient {
    connection: FeedConnection,
    /// Index of its stream, or `None` for all streams.
    topic: Option<usize>,
    cursor: String,
    received: Vec<ReceivedEvent>,
}

impl FeedClient {
    /// Reads one event; returns false at the end of the feed.
    async fn read(&mut self) -> bool {
        match within("an event", self.connection.next()).await {
            Received::Event(event) => {
                self.cursor.clone_from(&event.cursor);
                self.received.push(event);
                true
            }
            Received::Complete | Received::Disconnected(_) => false,
            Received::Reset { reason, .. } => panic!("unexpected reset: {reason}"),
        }
    }
}

async fn run_history(pair: &Pair, steps: Vec<Step>) {
    let Pair(one, two) = pair;
    let instance_of = |instance: bool| if instance { one } else { two };
    let mut targets = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..STREAMS {
        targets.push(Target::new(one).await);
    }
    for n in 0..CLIENTS {
        // Two clients for each stream, and two for all streams.
        let topic = Some(n % (STREAMS + 1)).filter(|topic| *topic < STREAMS);
        let stream = topic.map(|topic| targets[topic].id.as_str());
        let transport = Transport::ALL[n / 2];
        let connection =
            FeedConnection::open(&instance_of(n < 3).into(), transport, stream, None).await.unwrap();
        let cursor = connection.from.clone();
        clients.push(FeedClient { connection, topic, cursor, received: Vec::new() });
    }
    let mut initial_lengths = Vec::new();
    for target in &targets {
        initial_lengths.push(target.log(one).await.len());
    }
    for step in steps {
        match step {
            Step::Change { instance, change, stream } => {
                targets[stream].change(instance_of(instance), change).await;
            }
            Step::Resume { client, instance, transport } => {
                let client = &mut clients[client];
                let stream = client.topic.map(|topic| targets[topic].id.as_str());
                let cursor = Some(client.cursor.as_str());
                client.connection =
                    FeedConnection::open(&instance_of(instance).into(), transport, stream, cursor)
                        .await
                        .unwrap();
            }
            Step::Read { client, count } => {
                let client = &mut clients[client];
                let mut available = 0;
                for (n, target) in targets.iter().enumerate() {
                    if client.topic.is_none_or(|topic| topic == n) {
                        available += target.log(one).await.len() - initial_lengths[n];
                    }
                }
                for _ in 0..count.min(available - client.received.len()) {
                    assert!(client.read().await);
                }
            }
        }
    }
    let mut logs = Vec::new();
    for target in &targets {
        two.delete(&format!("/streams/{}", target.id)).await.expect(StatusCode::OK);
        logs.push(target.log(one).await);
    }
    let rests: Vec<_> =
        logs.iter().zip(&initial_lengths).map(|(log, initial)| log[*initial..].to_vec()).collect();
    for client in clients {
        compare(client, &targets, &rests).await;
    }
}

/// Reads the remaining events and compares all received events with the logs.
async fn compare(mut client: FeedClient, targets: &[Target], rests: &[Vec<ReceivedEvent>]) {
    if let Some(topic) = client.topic {
        while client.read().await {}
        return assert_same_events(&client.received, &rests[topic]);
    }
    // The feed of all streams has no end.
    let wanted = rests.iter().map(Vec::len).sum::<usize>();
    while client.received.len() < wanted {
        assert!(client.read().await);
    }
    for (target, rest) in targets.iter().zip(rests) {
        let own = client.received.iter().filter(|event| event.stream == target.id).cloned();
        assert_same_events(&own.collect::<Vec<_>>(), rest);
    }
}

#[tokio::test]
async fn clients_with_random_disconnects_receive_log_once_and_in_order() {
    let pair = Pair::start().await;
    let mut runner = TestRunner::new(Config::default());
    for _ in 0..20 {
        let steps = prop::collection::vec(step(), 1..80).new_tree(&mut runner).unwrap().current();
        let history = format!("{steps:?}");
        let run = AssertUnwindSafe(run_history(&pair, steps));
        let outcome = run.catch_unwind().await;
        assert!(outcome.is_ok(), "this history fails: {history}");
    }
}

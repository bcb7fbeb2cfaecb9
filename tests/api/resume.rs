//! The promise as a property: random changes, random cuts and resumes of random subscribers, on two instances, over SSE
//! and WebSocket; what each of them has seen in the end is the log, once and in order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{Pair, websocket::Socket};
use crate::support::{app::TestApp, sse::Events};

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// A change through this instance.
    Change { instance: bool },
    /// A subscriber loses its connection and resumes on an instance, over a transport.
    Resume { who: usize, instance: bool, transport: Transport },
    /// A subscriber reads so many events.
    Read { who: usize, count: usize },
}

#[derive(Clone, Copy, Debug)]
enum Transport {
    Sse,
    WebSocket,
}

const SUBSCRIBERS: usize = 4;

fn step() -> impl Strategy<Value = Step> {
    let transport = prop_oneof![Just(Transport::Sse), Just(Transport::WebSocket)];
    prop_oneof![
        3 => any::<bool>().prop_map(|instance| Step::Change { instance }),
        1 => (0..SUBSCRIBERS, any::<bool>(), transport)
            .prop_map(|(who, instance, transport)| Step::Resume { who, instance, transport }),
        2 => (0..SUBSCRIBERS, 1..4usize).prop_map(|(who, count)| Step::Read { who, count }),
    ]
}

enum Connection {
    Sse(Events),
    WebSocket(Socket),
}

/// A client that remembers nothing but its cursor and what it has seen.
struct Subscriber {
    connection: Connection,
    cursor: String,
    seen: Vec<Value>,
}

impl Subscriber {
    async fn connect(app: &TestApp, stream: &str, cursor: &str, transport: Transport) -> Connection {
        match transport {
            Transport::Sse => {
                Connection::Sse(app.resume(&format!("/events?streamId={stream}"), cursor).await)
            }
            Transport::WebSocket => {
                let mut socket = Socket::open(app, "/ws").await;
                socket.subscribe(stream, Some(cursor)).await;
                Connection::WebSocket(socket)
            }
        }
    }

    async fn read(&mut self) -> Value {
        let event = match &mut self.connection {
            Connection::Sse(events) => events.message().await.expect("there is more").data.unwrap(),
            Connection::WebSocket(socket) => socket.next().await,
        };
        event["cursor"].as_str().expect("an event").clone_into(&mut self.cursor);
        self.seen.push(event.clone());
        event
    }
}

async fn play(pair: &Pair, steps: Vec<Step>) {
    let Pair(one, two) = pair;
    let on = |instance: bool| if instance { one } else { two };
    let stream = one.create(json!({})).await;
    let (id, path) = (stream["id"].as_str().unwrap(), format!("/streams/{}", stream["id"].as_str().unwrap()));
    let history = format!("/events/{id}?limit=1000");
    let first = one.get(&history).await.expect(StatusCode::OK)[0].clone();
    let mut subscribers = Vec::new();
    for n in 0..SUBSCRIBERS {
        let cursor = first["cursor"].as_str().unwrap().to_owned();
        let transport = if n.is_multiple_of(2) { Transport::Sse } else { Transport::WebSocket };
        let connection = Subscriber::connect(on(n < 2), id, &cursor, transport).await;
        subscribers.push(Subscriber { connection, cursor, seen: vec![first.clone()] });
    }
    // What is in the log: created and active.
    let mut made = 2;
    for step in steps {
        match step {
            Step::Change { instance } => {
                on(instance).patch(&path, json!({"metadata": {"n": made}})).await.expect(StatusCode::OK);
                made += 1;
            }
            Step::Resume { who, instance, transport } => {
                let subscriber = &mut subscribers[who];
                subscriber.connection =
                    Subscriber::connect(on(instance), id, &subscriber.cursor, transport).await;
            }
            Step::Read { who, count } => {
                let missing = made - subscribers[who].seen.len();
                for _ in 0..count.min(missing) {
                    subscribers[who].read().await;
                }
            }
        }
    }
    two.delete(&path).await.expect(StatusCode::OK);
    let log = one.get(&history).await.expect(StatusCode::OK).as_array().unwrap().clone();
    assert_eq!(log.len(), made + 2);
    for mut subscriber in subscribers {
        while subscriber.read().await["type"] != "stream_stopped" {}
        assert_eq!(subscriber.seen, log);
    }
}

#[tokio::test]
async fn whoever_cuts_and_resumes_sees_the_log_once_and_in_order() {
    let pair = Pair::start().await;
    let mut runner = TestRunner::new(Config::default());
    for _ in 0..20 {
        let steps = prop::collection::vec(step(), 1..60).new_tree(&mut runner).unwrap().current();
        let told = format!("{steps:?}");
        let played = std::panic::AssertUnwindSafe(play(&pair, steps));
        let outcome = futures_util::FutureExt::catch_unwind(played).await;
        assert!(outcome.is_ok(), "this history fails: {told}");
    }
}

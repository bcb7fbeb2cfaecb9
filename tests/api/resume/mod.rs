//! The promise as a property: random changes, random cuts and resumes of random subscribers, on two instances and over
//! every transport; what each of them has seen in the end is the log, once and in order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::Pair;
use crate::support::{
    app::{TestApp, participant_webhook},
    feed_client::{FeedConnection, Received, ReceivedEvent, Transport},
    servers::{Redis, shared_livekit},
    unique, within,
};

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// A change through this instance.
    Change { instance: bool, change: Change, stream: usize },
    /// A subscriber loses its connection and resumes on an instance, over a transport.
    Resume { who: usize, instance: bool, transport: Transport },
    /// A subscriber reads so many events.
    Read { who: usize, count: usize },
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Metadata,
    /// Somebody gets a token.
    Token(u8),
    /// Somebody connects, or leaves if they are there.
    Presence(u8),
}

const SUBSCRIBERS: usize = 6;
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
        1 => (0..SUBSCRIBERS, any::<bool>(), transport())
            .prop_map(|(who, instance, transport)| Step::Resume { who, instance, transport }),
        2 => (0..SUBSCRIBERS, 1..4usize).prop_map(|(who, count)| Step::Read { who, count }),
    ]
}

/// What changes are made to.
struct Target {
    stream: Value,
    id: String,
    /// How many changes there have been, for values that differ.
    made: usize,
    /// Who is there, by the sid of their connection.
    present: [Option<String>; 3],
}

impl Target {
    async fn new(app: &TestApp) -> Self {
        let stream = app.create(json!({})).await;
        let id = stream["id"].as_str().unwrap().to_owned();
        Self { stream, id, made: 0, present: [None, None, None] }
    }

    async fn change(&mut self, app: &TestApp, change: Change) {
        self.made += 1;
        let path = format!("/streams/{}", self.id);
        let answer = match change {
            Change::Metadata => app.patch(&path, json!({"metadata": {"n": self.made}})).await,
            Change::Token(who) => {
                app.post(&format!("{path}/join"), json!({"identity": format!("p{who}")})).await
            }
            Change::Presence(who) => {
                let present = &mut self.present[usize::from(who)];
                let (event, sid) = match present.take() {
                    Some(sid) => ("participant_left", sid),
                    None => ("participant_joined", present.insert(unique("PA")).clone()),
                };
                app.webhook(&participant_webhook(event, &self.stream, &format!("p{who}"), &sid)).await
            }
        };
        answer.expect(StatusCode::OK);
    }

    async fn log(&self, app: &TestApp) -> Vec<ReceivedEvent> {
        let history = app.get(&format!("/events/{}?limit=1000", self.id)).await.expect(StatusCode::OK);
        history.as_array().unwrap().iter().cloned().map(ReceivedEvent::from_json).collect()
    }
}

/// A client that remembers nothing but its cursor and what it has seen.
struct Subscriber {
    link: FeedConnection,
    /// One stream, or all.
    topic: Option<usize>,
    cursor: String,
    seen: Vec<ReceivedEvent>,
}

impl Subscriber {
    async fn read(&mut self) -> bool {
        match within("an event", self.link.next()).await {
            Received::Event(seen) => {
                self.cursor.clone_from(&seen.cursor);
                self.seen.push(seen);
                true
            }
            Received::Complete | Received::Disconnected(_) => false,
            Received::Reset { reason, .. } => panic!("a reset: {reason}"),
        }
    }
}

fn assert_same(seen: &[ReceivedEvent], log: &[ReceivedEvent]) {
    assert_eq!(seen.len(), log.len(), "{seen:#?} {log:#?}");
    for (one, other) in seen.iter().zip(log) {
        assert!(one.is_same_as(other), "{one:#?} {other:#?}");
    }
}

async fn play(pair: &Pair, steps: Vec<Step>) {
    let Pair(one, two) = pair;
    let on = |instance: bool| if instance { one } else { two };
    let mut targets = Vec::new();
    let mut subscribers = Vec::new();
    for _ in 0..STREAMS {
        targets.push(Target::new(one).await);
    }
    for n in 0..SUBSCRIBERS {
        // Two for each stream and two for all of them.
        let topic = Some(n % (STREAMS + 1)).filter(|topic| *topic < STREAMS);
        let stream = topic.map(|topic| targets[topic].id.as_str());
        let transport = Transport::ALL[n / 2];
        let link = FeedConnection::open(&on(n < 3).into(), transport, stream, None).await.unwrap();
        let cursor = link.from.clone();
        subscribers.push(Subscriber { link, topic, cursor, seen: Vec::new() });
    }
    let mut begun = Vec::new();
    for target in &targets {
        begun.push(target.log(one).await.len());
    }
    for step in steps {
        match step {
            Step::Change { instance, change, stream } => {
                targets[stream].change(on(instance), change).await;
            }
            Step::Resume { who, instance, transport } => {
                let subscriber = &mut subscribers[who];
                let stream = subscriber.topic.map(|topic| targets[topic].id.as_str());
                let cursor = Some(subscriber.cursor.as_str());
                subscriber.link =
                    FeedConnection::open(&on(instance).into(), transport, stream, cursor).await.unwrap();
            }
            Step::Read { who, count } => {
                let subscriber = &mut subscribers[who];
                let mut there = 0;
                for (n, target) in targets.iter().enumerate() {
                    if subscriber.topic.is_none_or(|topic| topic == n) {
                        there += target.log(one).await.len() - begun[n];
                    }
                }
                for _ in 0..count.min(there - subscriber.seen.len()) {
                    assert!(subscriber.read().await);
                }
            }
        }
    }
    let mut logs = Vec::new();
    for target in &targets {
        two.delete(&format!("/streams/{}", target.id)).await.expect(StatusCode::OK);
        logs.push(target.log(one).await);
    }
    let rests: Vec<_> = logs.iter().zip(&begun).map(|(log, begun)| log[*begun..].to_vec()).collect();
    for subscriber in subscribers {
        compare(subscriber, &targets, &rests).await;
    }
}

/// Reads to the end; what was seen is what the logs have of the subscriber's topic.
async fn compare(mut subscriber: Subscriber, targets: &[Target], rests: &[Vec<ReceivedEvent>]) {
    if let Some(topic) = subscriber.topic {
        while subscriber.read().await {}
        return assert_same(&subscriber.seen, &rests[topic]);
    }
    // Nothing ends the feed of all streams.
    let wanted = rests.iter().map(Vec::len).sum::<usize>();
    while subscriber.seen.len() < wanted {
        assert!(subscriber.read().await);
    }
    for (target, rest) in targets.iter().zip(rests) {
        let own = subscriber.seen.iter().filter(|seen| seen.stream == target.id).cloned();
        assert_same(&own.collect::<Vec<_>>(), rest);
    }
}

#[tokio::test]
async fn clients_with_random_disconnects_receive_log_once_and_in_order() {
    let pair = Pair::start().await;
    let mut runner = TestRunner::new(Config::default());
    for _ in 0..20 {
        let steps = prop::collection::vec(step(), 1..80).new_tree(&mut runner).unwrap().current();
        let told = format!("{steps:?}");
        let played = std::panic::AssertUnwindSafe(play(&pair, steps));
        let outcome = futures_util::FutureExt::catch_unwind(played).await;
        assert!(outcome.is_ok(), "this history fails: {told}");
    }
}

/// A log with every kind of event, and what follows each of its positions.
async fn told(pair: &Pair) -> (String, Vec<ReceivedEvent>) {
    let mut target = Target::new(&pair.0).await;
    for change in
        [Change::Metadata, Change::Token(0), Change::Presence(0), Change::Presence(1), Change::Presence(0)]
    {
        target.change(&pair.0, change).await;
    }
    pair.1.delete(&format!("/streams/{}", target.id)).await.expect(StatusCode::OK);
    let log = target.log(&pair.0).await;
    (target.id, log)
}

/// Every cursor of the log, as each transport gives it out, is good on every other transport and in history.
#[tokio::test]
async fn cursor_of_each_transport_resumes_on_every_other() {
    let pair = Pair::start().await;
    let (id, log) = told(&pair).await;
    for from in Transport::ALL {
        let first = log[0].cursor.as_str();
        let mut link = FeedConnection::open(&(&pair.0).into(), from, Some(&id), Some(first)).await.unwrap();
        assert_eq!(link.from, first);
        for position in 1..log.len() {
            let Received::Event(given) = within("an event", link.next()).await else { panic!("no event") };
            let rest = &log[position + 1..];
            for to in Transport::ALL {
                let mut resumed = FeedConnection::open(&(&pair.1).into(), to, Some(&id), Some(&given.cursor))
                    .await
                    .unwrap();
                let mut seen = Vec::new();
                while let Received::Event(event) = within("an event", resumed.next()).await {
                    seen.push(event);
                }
                assert_same(&seen, rest);
                let mut all =
                    FeedConnection::open(&(&pair.1).into(), to, None, Some(&given.cursor)).await.unwrap();
                let mut seen = Vec::new();
                while seen.len() < rest.len() {
                    let Received::Event(event) = within("an event", all.next()).await else {
                        panic!("no event")
                    };
                    seen.push(event);
                }
                assert_same(&seen, rest);
            }
            let after = format!("/events/{id}?after={}", given.cursor);
            let history = pair.1.get(&after).await.expect(StatusCode::OK);
            let history: Vec<_> =
                history.as_array().unwrap().iter().cloned().map(ReceivedEvent::from_json).collect();
            assert_same(&history, rest);
        }
    }
}

/// Even a client that has seen nothing can resume: every connection says at once where it begins.
#[tokio::test]
async fn client_without_any_event_resumes_from_initial_cursor() {
    let Pair(one, two) = Pair::start().await;
    let mut target = Target::new(&one).await;
    for transport in Transport::ALL {
        for topic in [None, Some(target.id.clone())] {
            let before =
                FeedConnection::open(&(&one).into(), transport, topic.as_deref(), None).await.unwrap();
            let cursor = before.from.clone();
            drop(before);
            target.change(&one, Change::Metadata).await;
            for again in Transport::ALL {
                let after =
                    FeedConnection::open(&(&two).into(), again, topic.as_deref(), Some(&cursor)).await;
                let Received::Event(seen) = within("the change", after.unwrap().next()).await else {
                    panic!("no event")
                };
                assert!(seen.is_same_as(target.log(&one).await.last().unwrap()));
            }
        }
    }
}

/// What cannot be continued from is met by a reset on every transport and by 400 in history.
#[tokio::test]
async fn invalid_cursor_returns_reset_on_feeds_and_400_in_history() {
    // Its logs are cut, so it is nobody else's.
    let redis = Redis::start();
    let setup = crate::support::app::Setup::new(&redis.url(), shared_livekit());
    let app = setup.start().await;
    let mut target = Target::new(&app).await;
    let old = target.log(&app).await[0].cursor.clone();
    for _ in 0..5 {
        target.change(&app, Change::Metadata).await;
    }
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let prefix = setup.arguments.redis_prefix.unwrap();
    for key in [format!("stream:{}:log", target.id), "events".to_owned()] {
        let trim = redis::cmd("XTRIM").arg(format!("{{{prefix}}}:{key}")).arg("MAXLEN").arg(2).to_owned();
        let _: i64 = trim.query_async(&mut connection).await.unwrap();
    }
    let log = target.log(&app).await;
    assert_eq!(log.len(), 2);
    for (cursor, reason) in [
        ("garbage", "cursor_unknown"),
        ("99999999999999-0", "cursor_from_the_future"),
        (old.as_str(), "cursor_expired"),
    ] {
        for transport in Transport::ALL {
            for topic in [None, Some(target.id.as_str())] {
                let opened = FeedConnection::open(&(&app).into(), transport, topic, Some(cursor)).await;
                if (transport, cursor) == (Transport::Grpc, "garbage") {
                    assert!(opened.is_err(), "gRPC calls it INVALID_ARGUMENT");
                    continue;
                }
                let heard = within("a reset", opened.unwrap().next()).await;
                let Received::Reset { reason: given, cursor: to } = heard else { panic!("{heard:?}") };
                assert_eq!((given.as_str(), to.as_str()), (reason, log[1].cursor.as_str()));
            }
        }
        let history = app.get(&format!("/events/{}?after={cursor}", target.id)).await;
        history.expect_problem(400, "invalid_cursor");
    }
    let metrics = app.get("/metrics").await.text;
    for line in [
        "lso_resumes_total{outcome=\"cursor_expired\",transport=\"sse\"} 2",
        "lso_resumes_total{outcome=\"cursor_expired\",transport=\"grpc\"} 2",
        "lso_resets_total{reason=\"cursor_unknown\"} 4",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in {metrics}");
    }
}

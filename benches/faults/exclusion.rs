//! Time until participants that are blocked or removed are out: after the request, and after each connection with a
//! token from before it.

use std::{fmt::Write, process::Stdio};

use futures_util::{StreamExt, stream};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use super::support::{
    instance::Instance,
    recording::now_millis,
    servers::{LiveKit, Redis},
    unique, within,
};

/// Name of the section, as an argument of `scripts/faults`.
pub const NAME: &str = "moderation";
/// Participants of each request.
const PARTICIPANTS: usize = 50;
/// Visits of each participant with its old token.
const VISITS: usize = 20;
/// Participants at the same time, so that the time of the two cores is not that of the participants.
const AT_ONCE: usize = 4;
/// Head of the table.
const HEAD: &str = "| case | measured | out before connected | p50 ms | p99 ms | max ms |\n\
                    | --- | --: | --: | --: | --: | --: |";
/// Maximum of the 99th percentiles, in milliseconds.
const BOUND: i64 = 1_000;

/// A request that puts a participant out.
#[derive(Clone, Copy)]
enum Request {
    Block,
    Remove,
}

/// Results of one case.
pub struct Row {
    case: String,
    /// Times until the participant was out, in milliseconds, sorted.
    delays: Vec<i64>,
    /// Visits that LiveKit ended before the connection was complete; their delay is 0.
    unfinished: usize,
}

impl Row {
    fn new(case: String, delays: Vec<Option<i64>>) -> Self {
        let unfinished = delays.iter().filter(|delay| delay.is_none()).count();
        let mut delays: Vec<_> = delays.into_iter().map(Option::unwrap_or_default).collect();
        delays.sort_unstable();
        Self { case, delays, unfinished }
    }

    fn percentile(&self, share: usize) -> i64 {
        self.delays[(self.delays.len() * share / 100).min(self.delays.len() - 1)]
    }

    /// Reports whether 99 of 100 participants are out within a second.
    pub fn meets_bound(&self) -> bool {
        self.percentile(99) <= BOUND
    }

    fn line(&self) -> String {
        let Self { case, delays, unfinished } = self;
        let [p50, p99, max] = [50, 99, 100].map(|share| self.percentile(share));
        format!("| {case} | {} | {unfinished} | {p50} | **{p99}** (at most {BOUND}) | {max} |", delays.len())
    }
}

/// Measures all cases on two instances with a Redis and a LiveKit server of their own.
pub async fn measure() -> Vec<Row> {
    let (redis, prefix) = (Redis::start_durable(), unique("faults"));
    let first = Instance::new(&redis.url(), "", &prefix);
    let livekit = LiveKit::start(Some(&format!("{}/webhooks/livekit", first.address().http)));
    // No reconciliation helps: the participants are out by the request and by LiveKit's webhooks alone.
    let without_reconciliation = |instance: Instance| instance.with("RECONCILE_INTERVAL", "1h");
    let mut first = without_reconciliation(first.with("LIVEKIT_URL", &livekit.url()));
    let mut second = without_reconciliation(Instance::new(&redis.url(), &livekit.url(), &prefix));
    for instance in [&mut first, &mut second] {
        instance.start().await;
    }
    let api = Api { client: Client::new(), url: second.address().http };
    let stream = api.send(Method::POST, "/streams", json!({})).await;
    let path = format!("/streams/{}", stream["id"].as_str().expect("an id"));
    let mut rows = Vec::new();
    for request in [Request::Block, Request::Remove] {
        rows.extend(request.measure(&api, &path).await);
    }
    rows
}

impl Request {
    const fn name(self) -> &'static str {
        match self {
            Self::Block => "blocked",
            Self::Remove => "removed",
        }
    }

    async fn measure(self, api: &Api, stream: &str) -> [Row; 2] {
        let measured = stream::iter(0..PARTICIPANTS).map(|number| self.measure_one(api, stream, number));
        let measured: Vec<_> = measured.buffer_unordered(AT_ONCE).collect().await;
        let (requests, visits): (Vec<_>, Vec<_>) = measured.into_iter().unzip();
        let requests = requests.into_iter().map(Some).collect();
        let visits = visits.into_iter().flatten().collect();
        [
            Row::new(format!("{}: from the request", self.name()), requests),
            Row::new(format!("{}: from a connection", self.name()), visits),
        ]
    }

    /// Returns the time from the request to the end of the session, and the times of the visits.
    async fn measure_one(self, api: &Api, stream: &str, number: usize) -> (i64, Vec<Option<i64>>) {
        let identity = format!("{}-{number}", self.name());
        let joined = api.send(Method::POST, &format!("{stream}/join"), json!({"identity": identity})).await;
        let mut participant = Participant::start(&joined, VISITS, &[]);
        participant.expect("connected").await;
        let start = now_millis();
        let (method, path) = match self {
            Self::Block => (Method::PUT, format!("{stream}/blocks/{identity}")),
            Self::Remove => (Method::DELETE, format!("{stream}/participants/{identity}")),
        };
        api.send(method, &path, json!({})).await;
        let out = participant.expect("out").await["at"].as_f64().expect("a time");
        let mut visits = Vec::new();
        while visits.len() < VISITS {
            let visit = participant.next().await;
            if visit.is_none() {
                // The library ends its process if LiveKit removes the participant during the connection.
                participant = Participant::start(&joined, VISITS - visits.len() - 1, &["again"]);
            }
            visits.push(visit.and_then(|visit| visit["stay"].as_f64()).map(|stay| stay.ceil() as i64));
        }
        (out.ceil() as i64 - start, visits)
    }
}

/// API of an instance.
struct Api {
    client: Client,
    url: String,
}

impl Api {
    async fn send(&self, method: Method, path: &str, body: Value) -> Value {
        let request = self.client.request(method, format!("{}{path}", self.url)).json(&body);
        let answer = request.send().await.expect("an answer").error_for_status().expect("a success");
        answer.json().await.expect("a document")
    }
}

/// A process of `visits.py`, which is killed on drop.
struct Participant {
    _child: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl Participant {
    fn start(joined: &Value, visits: usize, more: &[&str]) -> Self {
        let text = |key: &str| joined[key].as_str().expect("a text");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/faults/visits.py");
        let python = std::env::var("LIVEKIT_PYTHON").expect("scripts/faults sets LIVEKIT_PYTHON");
        let mut child = Command::new(python)
            .args([script, text("wsUrl"), text("token"), &visits.to_string()])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("a process");
        let output = BufReader::new(child.stdout.take().expect("its output")).lines();
        Self { _child: child, output }
    }

    /// Waits for the next event; `None` if the process has ended.
    async fn next(&mut self) -> Option<Value> {
        let line = within("a participant's event", self.output.next_line()).await.expect("a line")?;
        Some(serde_json::from_str(&line).expect("JSON"))
    }

    /// Waits for the next event, which must be `event`.
    async fn expect(&mut self, event: &str) -> Value {
        let found = self.next().await.expect("a running process");
        assert_eq!(found["event"], event);
        found
    }
}

/// Returns the section of the report.
pub fn section(rows: &[Row]) -> String {
    let mut text = include_str!("exclusion.md").to_owned();
    text = text.replace("{participants}", &PARTICIPANTS.to_string()).replace("{visits}", &VISITS.to_string());
    writeln!(text, "{HEAD}").expect("a text");
    for row in rows {
        writeln!(text, "{}", row.line()).expect("a text");
    }
    text
}

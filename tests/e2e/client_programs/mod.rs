//! The programs of docs/CLIENTS.md, taken from the page and run: what is written there works.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod document;
mod network;

use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

use livekit_api::access_token::{AccessToken, VideoGrants};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines},
    process::{Child, ChildStdout},
};

use super::{
    participant::{JoinToken, Participant},
    webdriver::{Browser, Driver},
};
use crate::support::{
    app::TestResponse,
    eventually,
    feed_client::Address,
    instance::Instance,
    servers::{KEY, SECRET, shared_livekit, shared_redis},
    tokens::accepted_for,
    unique, within,
};
use document::Folder;
use network::{Cut, Fate, Lossy, Scissors, Server};

/// Programs that create a stream and make a join token.
const STARTERS: [&str; 4] = ["start.sh", "start.mjs", "start.py", "start.rs"];
/// Programs that follow over SSE; the one over gRPC is [`GRPC_FOLLOWER`].
const FOLLOWERS: [&str; 4] = ["follow.sh", "follow.mjs", "follow.py", "follow.rs"];
const GRPC_FOLLOWER: &str = "follow-grpc.sh";
const PAGES: [&str; 2] = ["watch.js", "page.js"];
const TOKENS: &str = "make_token.py";

fn signed(secret: &str, identity: &str, life: Duration, grants: VideoGrants) -> String {
    let token = AccessToken::with_api_key(KEY, secret).with_identity(identity).with_ttl(life);
    token.with_grants(grants).to_jwt().unwrap()
}

const LONG: Duration = Duration::from_secs(600);

fn joining(room: &str) -> VideoGrants {
    VideoGrants { room_join: true, room: room.to_owned(), ..VideoGrants::default() }
}

/// A token as a participant gets it.
fn participant(room: &str, life: Duration) -> String {
    signed(SECRET, "ann", life, joining(room))
}

/// One that the service accepts for `life`, leeway included.
fn expiring_participant(room: &str, life: Duration) -> String {
    accepted_for(life, "ann", &joining(room))
}

/// Two instances that ask for tokens: one for the clients, which comes and goes, and one where changes are made.
struct Service {
    one: Instance,
    two: Instance,
    folder: Folder,
    client: reqwest::Client,
    /// May do everything; for the test itself.
    token: String,
    room: String,
}

impl Service {
    async fn start() -> Self {
        Self::open_to("").await
    }

    /// One that pages from this origin may call.
    async fn open_to(origin: &str) -> Self {
        let prefix = unique("test");
        let instance = || {
            let instance = Instance::new(shared_redis(), shared_livekit(), &prefix);
            instance.with("AUTH", "livekit").with("CORS_ORIGINS", origin)
        };
        let (mut one, mut two) = (instance(), instance());
        one.start().await;
        two.start().await;
        // A name that has to be written differently in paths, queries and JSON.
        let room = unique("a \"room\"/é&");
        let grants = VideoGrants {
            room_create: true,
            room_list: true,
            room_admin: true,
            room: room.clone(),
            ..VideoGrants::default()
        };
        let token = signed(SECRET, "test", LONG, grants);
        Self { one, two, folder: Folder::new(), client: reqwest::Client::new(), token, room }
    }

    async fn send(&self, make: impl Fn(&str) -> RequestBuilder) -> TestResponse {
        let request = make(&self.two.address().http).bearer_auth(&self.token);
        TestResponse::read(request.send().await.unwrap()).await
    }

    /// Creates the stream; gives its id, and the cursor and version that it has then.
    async fn create(&self) -> (String, String, u64) {
        let body = json!({"roomName": self.room});
        let created = self.send(|base| self.client.post(format!("{base}/streams")).json(&body)).await;
        let cursor = created.header("last-event-id").unwrap().to_owned();
        let stream = created.expect(StatusCode::CREATED);
        (stream["id"].as_str().unwrap().to_owned(), cursor, stream["version"].as_u64().unwrap())
    }

    async fn change(&self, id: &str, times: u64) {
        for _ in 0..times {
            let body = json!({"metadata": {"title": unique("data: id: status é")}});
            let changed =
                self.send(|base| self.client.patch(format!("{base}/streams/{id}")).json(&body)).await;
            changed.expect(StatusCode::OK);
        }
    }

    /// Stops the stream; gives its last version and cursor.
    async fn stop(&self, id: &str) -> (u64, String) {
        let stopped = self.send(|base| self.client.delete(format!("{base}/streams/{id}"))).await;
        let cursor = stopped.header("last-event-id").unwrap().to_owned();
        (stopped.expect(StatusCode::OK)["version"].as_u64().unwrap(), cursor)
    }

    async fn get(&self, path: &str) -> Value {
        self.send(|base| self.client.request(Method::GET, format!("{base}{path}")))
            .await
            .expect(StatusCode::OK)
    }

    /// Has the first instance go, with a crash or in order.
    async fn leave(&mut self, crash: bool) {
        if crash {
            self.one.kill();
        } else {
            self.one.terminate().await;
        }
    }

    /// Waits until the first instance has a client that follows.
    async fn followed(&self) {
        let url = format!("{}/metrics", self.one.address().http);
        eventually("a client", || async {
            let metrics = self.client.get(&url).send().await.ok()?.text().await.ok()?;
            let follows = |line: &str| {
                let count = line.strip_prefix("lso_subscribers{transport=\"")?.split_once("\"} ")?;
                (["sse", "grpc"].contains(&count.0) && count.1 != "0").then_some(())
            };
            metrics.lines().find_map(follows)
        })
        .await;
    }

    /// Has a program follow at this address.
    fn follower(&self, program: &str, base: &str, token: &str, arguments: &[&str]) -> FollowerProgram {
        let Address { grpc, .. } = self.one.address();
        let mut command = self.folder.command(program);
        command.env("API", base).env("GRPC", grpc.trim_start_matches("http://")).env("TOKEN", token);
        let mut child = command.args(arguments).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        FollowerProgram { child, lines, seen: Vec::new() }
    }
}

/// What a program has printed of one event, or of a reset, whose `seq` is that of its snapshot.
#[derive(Debug, PartialEq)]
struct PrintedEvent {
    kind: String,
    seq: u64,
}

impl PrintedEvent {
    fn read(line: &str) -> Self {
        // gRPC's JSON has 64-bit numbers as text.
        let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
        let (kind, data) = if line.starts_with('{') {
            let event: Value = serde_json::from_str(line).unwrap();
            let kind = event["eventType"].as_str().unwrap().trim_start_matches("STREAM_EVENT_TYPE_");
            (kind.to_ascii_lowercase(), event)
        } else {
            let (kind, data) = line.split_once(' ').unwrap();
            (kind.to_owned(), serde_json::from_str(data).unwrap())
        };
        let seq = if kind == "reset" {
            let snapshot = data.get("snapshot").unwrap_or(&data["reset"]["snapshot"][0]);
            number(&snapshot["version"])
        } else {
            number(&data["seq"])
        };
        Self { kind, seq: seq.unwrap_or_else(|| panic!("{line}")) }
    }
}

/// A program that follows.
struct FollowerProgram {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    seen: Vec<PrintedEvent>,
}

impl FollowerProgram {
    async fn next(&mut self) -> Option<&PrintedEvent> {
        let line = within("a line", self.lines.next_line()).await.unwrap()?;
        self.seen.push(PrintedEvent::read(&line));
        self.seen.last()
    }

    /// Waits until it has seen this one.
    async fn until(&mut self, seq: u64) {
        loop {
            match self.next().await {
                Some(seen) if seen.seq == seq => return,
                Some(_) => {}
                None => panic!("it ended before {seq}: {}", self.errors().await),
            }
        }
    }

    async fn errors(&mut self) -> String {
        let mut errors = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).await.unwrap();
        errors
    }

    /// Waits until it ends. Says whether it was content, and what it complained about.
    async fn wait_for_exit(&mut self) -> (bool, String) {
        while self.next().await.is_some() {}
        let errors = within("the end of a program", self.errors()).await;
        (within("the end of a program", self.child.wait()).await.unwrap().success(), errors)
    }

    /// Waits until it ends, as it should, having seen all of these once and in order, and the last of them as the end.
    async fn has_seen(&mut self, from: u64, to: u64) {
        let (content, errors) = self.wait_for_exit().await;
        assert!(content, "{errors}");
        let seqs: Vec<_> = self.seen.iter().map(|seen| seen.seq).collect();
        assert_eq!(seqs, (from..=to).collect::<Vec<_>>(), "every event, once, in order");
        assert_eq!(self.seen.last().unwrap().kind, "stream_stopped");
    }
}

/// The instance goes twice while changes are made: once by a crash, once in order.
async fn goes_on_where_it_was(program: &str) {
    let mut service = Service::start().await;
    let (id, _, mut version) = service.create().await;
    let first = version + 1;
    let base = service.one.address().http;
    let token = participant(&service.room, LONG);
    let mut follower = service.follower(program, &base, &token, &[&service.room]);
    service.followed().await;
    for crash in [true, false] {
        service.change(&id, 2).await;
        version += 2;
        follower.until(version).await;
        service.leave(crash).await;
        service.change(&id, 3).await;
        service.one.start().await;
        version += 3;
        follower.until(version).await;
    }
    let (last, _) = service.stop(&id).await;
    follower.has_seen(first, last).await;
}

/// Connections are cut in the middle of messages.
async fn takes_no_half_message(program: &str) {
    let service = Service::start().await;
    let (id, cursor, version) = service.create().await;
    let network = Scissors::before(&service.one.address().http).await;
    let changes = u64::try_from(Cut::ALL.len()).unwrap() + 3;
    service.change(&id, changes).await;
    let token = participant(&service.room, LONG);
    let mut follower = service.follower(program, &network.server.base, &token, &[&service.room, &cursor]);
    follower.until(version + changes).await;
    assert_eq!(network.left(), 0, "all cuts were made");
    let (last, _) = service.stop(&id).await;
    follower.has_seen(version + 1, last).await;
}

/// A cursor that cannot be continued from; the cursor after the last event; a token that expires; no stream.
async fn knows_every_end(program: &str) {
    let service = Service::start().await;
    let (id, _, version) = service.create().await;
    let base = service.one.address().http;
    let token = participant(&service.room, LONG);
    let mut follower = service.follower(program, &base, &token, &[&service.room, "9999999999999-0"]);
    let reset = PrintedEvent { kind: "reset".to_owned(), seq: version };
    assert_eq!(follower.next().await, Some(&reset));
    service.change(&id, 2).await;
    follower.until(version + 2).await;

    let short = expiring_participant(&service.room, Duration::from_secs(7));
    let mut expiring = service.follower(program, &base, &short, &[&service.room]);
    let (content, errors) = expiring.wait_for_exit().await;
    assert!(!content && (errors.contains("401") || errors.contains("Unauthenticated")), "{errors}");

    let (last, cursor) = service.stop(&id).await;
    follower.has_seen(version, last).await;
    let mut late = service.follower(program, &base, &token, &[&id, &cursor]);
    let (content, errors) = late.wait_for_exit().await;
    assert!(content && late.seen.is_empty(), "{errors}");
    let mut lost = service.follower(program, &base, &token, &["absent", &cursor]);
    let (content, errors) = lost.wait_for_exit().await;
    assert!(!content && (errors.contains("404") || errors.contains("NotFound")), "{errors}");
}

/// The answer is lost, the next attempts are refused for now: one stream is created, and one token made.
async fn creates_once(program: &str) {
    let service = Service::start().await;
    let fates = [Fate::Lost, Fate::NotNow(409), Fate::NotNow(429), Fate::NotNow(503)];
    let network = Lossy::to(service.one.address().http, fates).await;
    let mut making = service.folder.command(TOKENS);
    making.arg(&service.room).env("LIVEKIT_API_KEY", KEY).env("LIVEKIT_API_SECRET", SECRET);
    let made = within("a token", making.output()).await.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let token = String::from_utf8(made.stdout).unwrap();

    let mut starting = service.folder.command(program);
    starting.env("API", &network.server.base).env("TOKEN", token.trim()).args([&service.room, "ann"]);
    let started = within("a join token", starting.output()).await.unwrap();
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    let joined: Value = serde_json::from_slice(&started.stdout).unwrap();

    let attempts = network.attempts();
    let (creating, joining) = attempts.split_at(5);
    let keys: HashSet<_> = creating.iter().map(|attempt| attempt.key.as_deref().unwrap()).collect();
    assert!(creating.iter().all(|attempt| attempt.path == "/streams") && keys.len() == 1, "{attempts:?}");
    assert!(!creating[0].replayed && creating[4].replayed, "the answer that was lost: {attempts:?}");
    assert!(joining.len() == 1 && !keys.contains(joining[0].key.as_deref().unwrap()), "{attempts:?}");
    let streams = service.get("/streams?status=all").await;
    assert_eq!((streams.as_array().unwrap().len(), &streams[0]["roomName"]), (1, &json!(service.room)));
    assert_eq!(joined["streamId"], streams[0]["id"]);

    // What was printed lets ann in, and follow.
    Participant::connect(&JoinToken::from_response(&joined)).await;
    let state =
        format!("{}/streams/{}/state", service.one.address().http, joined["streamId"].as_str().unwrap());
    let read = service.client.get(state).bearer_auth(joined["token"].as_str().unwrap()).send().await.unwrap();
    assert_eq!(read.status(), StatusCode::OK);
}

/// What is refused for good is not tried again.
async fn takes_no_for_an_answer(program: &str) {
    let service = Service::start().await;
    let network = Lossy::to(service.one.address().http, []).await;
    let grants = VideoGrants { room_create: true, ..VideoGrants::default() };
    let forged = signed("another secret", "test", LONG, grants);
    let mut starting = service.folder.command(program);
    starting.env("API", &network.server.base).env("TOKEN", forged).args([&service.room, "ann"]);
    let started = within("a refusal", starting.output()).await.unwrap();
    let errors = String::from_utf8_lossy(&started.stderr);
    assert!(!started.status.success() && errors.contains("401"), "{errors}");
    assert_eq!(network.attempts().len(), 1);
}

macro_rules! programs {
    ($($test:ident($program:expr) as $name:ident;)*) => {
        $(#[tokio::test]
        async fn $name() {
            $test($program).await;
        })*
    };
}

programs! {
    creates_once(STARTERS[0]) as curl_program_after_lost_response_creates_one_stream;
    creates_once(STARTERS[1]) as node_program_after_lost_response_creates_one_stream;
    creates_once(STARTERS[2]) as python_program_after_lost_response_creates_one_stream;
    creates_once(STARTERS[3]) as rust_program_after_lost_response_creates_one_stream;
    takes_no_for_an_answer(STARTERS[0]) as curl_program_with_refused_token_does_not_retry;
    takes_no_for_an_answer(STARTERS[1]) as node_program_with_refused_token_does_not_retry;
    takes_no_for_an_answer(STARTERS[2]) as python_program_with_refused_token_does_not_retry;
    takes_no_for_an_answer(STARTERS[3]) as rust_program_with_refused_token_does_not_retry;
    goes_on_where_it_was(FOLLOWERS[0]) as curl_program_after_instance_restarts_resumes_without_loss;
    goes_on_where_it_was(FOLLOWERS[1]) as node_program_after_instance_restarts_resumes_without_loss;
    goes_on_where_it_was(FOLLOWERS[2]) as python_program_after_instance_restarts_resumes_without_loss;
    goes_on_where_it_was(FOLLOWERS[3]) as rust_program_after_instance_restarts_resumes_without_loss;
    goes_on_where_it_was(GRPC_FOLLOWER) as grpcurl_program_after_instance_restarts_resumes_without_loss;
    takes_no_half_message(FOLLOWERS[0]) as curl_program_discards_partial_event;
    takes_no_half_message(FOLLOWERS[1]) as node_program_discards_partial_event;
    takes_no_half_message(FOLLOWERS[2]) as python_program_discards_partial_event;
    takes_no_half_message(FOLLOWERS[3]) as rust_program_discards_partial_event;
    knows_every_end(FOLLOWERS[0]) as curl_program_handles_every_end_of_feed;
    knows_every_end(FOLLOWERS[1]) as node_program_handles_every_end_of_feed;
    knows_every_end(FOLLOWERS[2]) as python_program_handles_every_end_of_feed;
    knows_every_end(FOLLOWERS[3]) as rust_program_handles_every_end_of_feed;
    knows_every_end(GRPC_FOLLOWER) as grpcurl_program_handles_every_end_of_feed;
}

/// A page from elsewhere, in a browser, with one of the page's modules.
struct Page {
    service: Service,
    browser: Browser,
    _driver: Driver,
    _site: Server,
}

impl Page {
    async fn open() -> Self {
        // The site has to be there before the service, which is told its origin.
        let files = Folder::new();
        let site = Server::of_files(files.path("")).await;
        let mut service = Service::open_to(&site.base).await;
        service.folder = files;
        let driver = Driver::start();
        let browser = driver.browser().await;
        browser.open(&site.base).await;
        Self { service, browser, _driver: driver, _site: site }
    }

    /// Watches with a module; `token` is what stands for the token in its call.
    async fn watch(&self, module: &str, id: &str, token: &str) {
        let base = json!(self.service.one.address().http);
        let script = format!(
            "window.seen = []; window.resets = 0; window.ended = 0; \
             import('/{module}').then(({{ watch }}) => watch({base}, '{id}', {token}, {{ \
             onEvent: (event) => seen.push(event.seq), onReset: () => resets++, onEnd: () => ended++ }}))"
        );
        self.browser.script(&script).await;
        self.service.followed().await;
    }

    async fn until(&self, what: &str, script: &str, wanted: impl Into<Value>) {
        let wanted = wanted.into();
        self.browser.until(what, || async { self.browser.script(script).await == wanted }).await;
    }

    async fn until_seen(&self, seq: u64) {
        self.until("an event", "return seen.at(-1)", seq).await;
    }

    /// The instance goes twice, the stream ends: every event was seen once and in order.
    async fn goes_on(mut self, id: &str, first: u64, mut version: u64) {
        for crash in [true, false] {
            self.service.change(id, 2).await;
            version += 2;
            self.until_seen(version).await;
            self.service.leave(crash).await;
            self.service.change(id, 3).await;
            self.service.one.start().await;
            version += 3;
            self.until_seen(version).await;
        }
        let (last, _) = self.service.stop(id).await;
        self.until("the end", "return ended", 1).await;
        let all: Vec<_> = (first..=last).collect();
        assert_eq!(self.browser.script("return seen").await, json!(all), "every event, once, in order");
        assert_eq!(self.browser.script("return resets").await, 0);
        self.browser.close().await;
    }
}

#[tokio::test]
async fn watch_module_after_instance_restarts_resumes_without_loss() {
    let page = Page::open().await;
    let (id, _, version) = page.service.create().await;
    let token = json!(participant(&page.service.room, LONG)).to_string();
    page.watch(PAGES[0], &id, &token).await;
    page.goes_on(&id, version + 1, version).await;
}

#[tokio::test]
async fn page_module_after_token_expiry_resumes_with_new_token() {
    let page = Page::open().await;
    let (id, _, version) = page.service.create().await;
    let short = expiring_participant(&page.service.room, Duration::from_secs(17));
    let long = participant(&page.service.room, LONG);
    // The page's backend has one token at hand; for another it takes its time.
    page.browser.script(&format!("window.tokens = [{}]; window.give = null", json!(short))).await;
    page.watch(PAGES[1], &id, "async () => tokens.shift() ?? new Promise((resolve) => (give = resolve))")
        .await;
    page.service.change(&id, 2).await;
    page.until_seen(version + 2).await;
    page.until("a second token to be asked for", "return give !== null", true).await;
    page.service.change(&id, 2).await;
    page.browser.script(&format!("give({})", json!(long))).await;
    page.until_seen(version + 4).await;
    page.goes_on(&id, version + 1, version + 4).await;
}

#[test]
fn every_program_in_document_is_tested() {
    let page: Vec<_> = document::programs().into_iter().map(|program| program.name).collect();
    let run = [&STARTERS[..], &FOLLOWERS, &PAGES, &[GRPC_FOLLOWER, TOKENS]].concat();
    assert_eq!(page.iter().map(String::as_str).collect::<BTreeSet<_>>(), run.iter().copied().collect());
    assert_eq!(page.len(), run.len(), "no name twice");
}

#[test]
fn examples_equal_programs_in_document() {
    for program in document::programs().into_iter().filter(|program| program.name.ends_with(".rs")) {
        assert_eq!(program.text, document::shown(&program.name), "{}", program.name);
    }
}

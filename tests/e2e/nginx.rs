//! The shipped nginx configuration in front of three real instances.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::AsyncReadExt,
    net::TcpListener,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::{
    participant::{JoinToken, Participant},
    webdriver::Driver,
};
use crate::support::{
    eventually,
    feed_client::{Address, FeedConnection, Received, Transport},
    instance::Instance,
    nginx::Nginx,
    recording::{LogAuditor, ReconnectDelay, RecordingClient, compare_with_log},
    servers::{LiveKit, free_port, shared_livekit, shared_redis},
    sse::EventStream,
    unique, within,
};

/// Three instances behind nginx.
struct NginxFixture {
    nginx: Nginx,
    instances: Vec<Instance>,
    prefix: String,
    client: Client,
}

impl NginxFixture {
    async fn start(livekit: &str) -> Self {
        Self::start_behind(Nginx::prepare(), livekit).await
    }

    async fn start_behind(mut nginx: Nginx, livekit: &str) -> Self {
        let prefix = unique("front");
        let mut instances = Vec::new();
        for _ in 0..3 {
            let mut instance = Instance::new(shared_redis(), livekit, &prefix);
            instance.start().await;
            instances.push(instance);
        }
        nginx.start(&instances);
        Self { nginx, instances, prefix, client: Client::new() }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.nginx.http)
    }

    async fn create(&self) -> Value {
        let created = self.client.post(self.url("/streams")).json(&json!({})).send().await.unwrap();
        assert_eq!(created.status(), StatusCode::CREATED);
        created.json().await.unwrap()
    }

    async fn patch(&self, id: &str, metadata: Value) -> Value {
        let patch =
            self.client.patch(self.url(&format!("/streams/{id}"))).json(&json!({"metadata": metadata}));
        let patched = patch.send().await.unwrap();
        assert_eq!(patched.status(), StatusCode::OK);
        patched.json().await.unwrap()
    }
}

#[tokio::test]
async fn nginx_forwards_every_transport_and_webhooks() {
    let nginx = Nginx::prepare();
    let livekit = LiveKit::start(Some(&format!("http://127.0.0.1:{}/webhooks/livekit", nginx.http)));
    let fixture = NginxFixture::start_behind(nginx, &livekit.url()).await;
    let stream = fixture.create().await;
    let id = stream["id"].as_str().unwrap();
    let mut states =
        EventStream::open(&fixture.nginx.address().http, &format!("/sse/{id}/updates"), None).await;
    states.wait_until("the present state", |_| true).await;
    let mut links = Vec::new();
    for transport in Transport::ALL {
        links.push(FeedConnection::open(&fixture.nginx.address(), transport, Some(id), None).await.unwrap());
    }
    let mut root =
        tokio_tungstenite::connect_async(format!("ws://127.0.0.1:{}/", fixture.nginx.http)).await.unwrap().0;
    let hello = within("a greeting", futures_util::StreamExt::next(&mut root)).await.unwrap().unwrap();
    assert!(hello.to_text().unwrap().contains("connected"));

    let version = fixture.patch(id, json!({"through": "nginx"})).await["version"].clone();
    for link in &mut links {
        let Received::Event(seen) = within("the change", link.next()).await else { panic!("no event") };
        assert_eq!(Value::from(seen.seq), version);
    }
    // The next thing on the wire is the change. Held back by a buffer, it would come after a heartbeat, if at all.
    let block = states.block().await.unwrap();
    assert_eq!((block.comment, &block.data.unwrap()["version"]), (None, &version));

    // LiveKit's webhooks come through nginx, with the body that they are signed for.
    let join =
        fixture.client.post(fixture.url(&format!("/streams/{id}/join"))).json(&json!({"identity": "ann"}));
    let joined: Value = join.send().await.unwrap().json().await.unwrap();
    let _ann = Participant::connect(&JoinToken::from_response(&joined)).await;
    states.wait_until("ann", |state| state["participantCount"] == 1).await;
}

#[tokio::test]
async fn errors_of_nginx_and_service_are_problem_documents() {
    let fixture = NginxFixture::start(shared_livekit()).await;
    let long = "x".repeat(20_000);
    for (request, status, code) in [
        (fixture.client.get(fixture.url("/metrics")), 404, "route_not_found"),
        (fixture.client.get(fixture.url("/health/ready")), 404, "route_not_found"),
        (fixture.client.get(fixture.url("/streams/nobody")), 404, "stream_not_found"),
        (fixture.client.put(fixture.url("/streams")), 405, "method_not_allowed"),
        // Just over the service's limit, and far over nginx's.
        (
            fixture.client.post(fixture.url("/streams")).body("x".repeat(256 * 1024 + 1)),
            413,
            "payload_too_large",
        ),
        (fixture.client.post(fixture.url("/streams")).body("x".repeat(5_000_000)), 413, "payload_too_large"),
        (fixture.client.get(fixture.url(&format!("/streams/{long}"))), 414, "uri_too_long"),
    ] {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        assert_eq!(answer.headers().get_all("x-request-id").iter().count(), 1);
        let problem: Value = answer.json().await.unwrap();
        assert_eq!((&problem["code"], &problem["status"]), (&json!(code), &json!(status)));
    }
    let live =
        fixture.client.get(fixture.url("/health/live?access_token=hunter2")).header("x-request-id", "mine");
    let live = live.send().await.unwrap();
    assert_eq!((live.status(), &live.headers()["x-request-id"]), (StatusCode::OK, &"mine".parse().unwrap()));
    let page = fixture.client.get(fixture.url("/")).send().await.unwrap();
    for header in ["content-security-policy", "x-content-type-options"] {
        assert!(page.headers().get_all(header).iter().count() <= 1, "{header} is there once");
    }
    let logged = eventually("the log", || async {
        let logged = fixture.nginx.access_log();
        logged.contains("/health/live").then_some(logged)
    })
    .await;
    assert!(logged.contains("\"request_id\":\"mine\"") && !logged.contains("hunter2"), "{logged}");
}

#[tokio::test]
async fn thirty_event_sources_of_one_browser_connect_over_http_2() {
    let fixture = NginxFixture::start(shared_livekit()).await;
    let stream = fixture.create().await;
    let id = stream["id"].as_str().unwrap();
    let driver = Driver::start();
    let browser = driver.browser().await;
    browser.open(&format!("https://localhost:{}/index.html", fixture.nginx.https)).await;
    let follow = format!(
        "window.opened = 0; window.heard = 0; window.sources = []; \
         for (let n = 0; n < 30; n++) {{ \
           const source = new EventSource('/events?streamId={id}&n=' + n); \
           source.onopen = () => opened++; \
           source.addEventListener('stream_updated', () => heard++); \
           sources.push(source); \
         }}"
    );
    browser.script(&follow).await;
    browser.until("thirty feeds", || async { browser.script("return opened").await == 30 }).await;
    fixture.patch(id, json!({"for": "all"})).await;
    browser.until("thirty events", || async { browser.script("return heard").await == 30 }).await;
    let protocol = "return performance.getEntriesByType('navigation')[0].nextHopProtocol";
    assert_eq!(browser.script(protocol).await, "h2");
    browser.close().await;
}

/// Who writes through nginx while instances go away and come back.
struct Writers {
    over: Arc<AtomicBool>,
    tasks: JoinSet<Written>,
}

/// What one writer did.
#[derive(Default)]
struct Written {
    /// Identities whose join was acknowledged.
    joined: Vec<String>,
    /// Identities whose join may or may not have been carried out.
    uncertain: Vec<String>,
}

impl Writers {
    /// Each joins the stream under ever new identities, never twice under the same one, and reads in between.
    fn start(fixture: &NginxFixture, streams: &[String]) -> Self {
        let over = Arc::<AtomicBool>::default();
        let mut tasks = JoinSet::new();
        for (writer, stream) in streams.iter().enumerate() {
            let (base, stream, over) = (fixture.url(""), stream.clone(), over.clone());
            tasks.spawn(async move {
                let (client, mut written) = (Client::new(), Written::default());
                let mut pace = interval(Duration::from_millis(30));
                pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
                for number in 0.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let identity = format!("w{writer}-{number}");
                    let join = client.post(format!("{base}/streams/{stream}/join"));
                    match join.json(&json!({"identity": identity})).send().await {
                        Ok(answer) if answer.status() == StatusCode::OK => written.joined.push(identity),
                        _ => written.uncertain.push(identity),
                    }
                    read(&client, &format!("{base}/streams/{stream}/state")).await;
                    pace.tick().await;
                }
                written
            });
        }
        Self { over, tasks }
    }

    async fn end(self) -> Written {
        self.over.store(true, Ordering::Relaxed);
        let mut all = Written::default();
        for written in self.tasks.join_all().await {
            all.joined.extend(written.joined);
            all.uncertain.extend(written.uncertain);
        }
        all
    }
}

/// A client that retries safely: a read may be repeated, and has to succeed in the end.
async fn read(client: &Client, url: &str) {
    eventually("a read", || async {
        let answer = client.get(url).send().await.ok()?;
        (answer.status() == StatusCode::OK).then_some(())
    })
    .await;
}

/// Waits for so many more events.
async fn load_goes_on(auditor: &LogAuditor, count: usize) {
    let wanted = auditor.log().entries.len() + count;
    eventually("load", || async { (auditor.log().entries.len() >= wanted).then_some(()) }).await;
}

/// Waits until nginx gives the instance requests again: it keeps a server that has refused it out for a while.
async fn is_used(instance: &Instance) {
    let metrics = format!("{}/metrics", instance.address().http);
    eventually("requests", || async {
        let text = reqwest::get(&metrics).await.ok()?.text().await.ok()?;
        text.contains("route=\"/streams/{id}/join\"").then_some(())
    })
    .await;
}

/// Lets instances go away under load; nobody who follows misses anything, and nothing is done twice.
async fn under_load(trouble: impl AsyncFnOnce(&mut Vec<Instance>, &LogAuditor)) {
    let mut fixture = NginxFixture::start(shared_livekit()).await;
    let mut streams = Vec::new();
    for _ in 0..4 {
        streams.push(fixture.create().await["id"].as_str().unwrap().to_owned());
    }
    let auditor = LogAuditor::start(shared_redis(), &fixture.prefix, None);
    let mut followers = Vec::new();
    for transport in Transport::ALL.into_iter().chain(Transport::ALL) {
        let address = vec![fixture.nginx.address()];
        followers.push(RecordingClient::start(address, transport, None, ReconnectDelay::Minimal).await);
    }
    let writers = Writers::start(&fixture, &streams);
    load_goes_on(&auditor, 40).await;
    trouble(&mut fixture.instances, &auditor).await;
    load_goes_on(&auditor, 40).await;
    let written = writers.end().await;

    // One more, so that there is a last event to wait for.
    fixture.patch(&streams[0], json!({"last": true})).await;
    let mut newest = auditor.newest();
    eventually("the log to rest", || {
        let rests = std::mem::replace(&mut newest, auditor.newest()) == auditor.newest();
        async move { rests.then_some(()) }
    })
    .await;
    for follower in &mut followers {
        follower.wait_for("everything", |recording| recording.last_position() >= newest).await;
        let (recording, log) = (follower.recording(), auditor.log());
        let report = compare_with_log(&recording, &log);
        assert!(report.is_exactly_once(), "{:?}: {report:?}", follower.transport);
    }
    let mut times: HashMap<String, usize> = HashMap::new();
    for stream in &streams {
        let history = fixture.url(&format!("/events/{stream}?limit=1000"));
        let history: Value = fixture.client.get(history).send().await.unwrap().json().await.unwrap();
        for event in history.as_array().unwrap() {
            let participant = &event["data"]["participant"];
            if participant["state"] == "joining" {
                *times.entry(participant["identity"].as_str().unwrap().to_owned()).or_default() += 1;
            }
        }
    }
    assert!(written.joined.len() > 60, "{} joins", written.joined.len());
    for identity in &written.joined {
        assert_eq!(times.get(identity), Some(&1), "{identity} was acknowledged, so it was done, once");
    }
    for identity in &written.uncertain {
        assert!(times.get(identity).is_none_or(|times| *times == 1), "{identity} was not done twice");
    }
}

#[tokio::test]
async fn killed_instance_under_load_loses_no_event_and_no_request() {
    under_load(async |instances, auditor| {
        instances[0].kill();
        load_goes_on(auditor, 100).await;
        instances[0].start().await;
        is_used(&instances[0]).await;
    })
    .await;
}

#[tokio::test]
async fn rolling_restart_under_load_loses_no_event_and_no_request() {
    under_load(async |instances, _| {
        for instance in instances {
            instance.terminate().await;
            instance.start().await;
            is_used(instance).await;
        }
    })
    .await;
}

/// An upstream that takes requests and breaks the connection, as an instance does that dies at work. Counts what it took.
async fn dying() -> (Address, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = format!("http://{}", listener.local_addr().unwrap());
    let taken = Arc::<AtomicUsize>::default();
    let count = taken.clone();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let read = connection.read(&mut [0; 4096]).await.unwrap_or_default();
            count.fetch_add(usize::from(read > 0), Ordering::Relaxed);
        }
    });
    (Address { grpc: http.clone(), http }, taken)
}

#[tokio::test]
async fn request_that_upstream_may_have_executed_is_not_repeated() {
    // Chosen at random among two that die: whichever is asked, no second one is.
    let ((one, of_one), (two, of_two)) = (dying().await, dying().await);
    let taken = || of_one.swap(0, Ordering::Relaxed) + of_two.swap(0, Ordering::Relaxed);
    let mut nginx = Nginx::prepare();
    nginx.start_with_addresses(&[one, two]);
    let url = format!("http://127.0.0.1:{}/streams", nginx.http);
    taken();
    for (method, repeated) in
        [(Method::POST, false), (Method::PATCH, false), (Method::DELETE, true), (Method::GET, true)]
    {
        // Its connections end with each nginx.
        let request = Client::new().request(method.clone(), &url).json(&json!({}));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_GATEWAY, "{method}");
        assert_eq!(answer.headers()["retry-after"], "1");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], "upstream_unavailable");
        let times = taken();
        assert!(if repeated { times > 1 } else { times == 1 }, "{method} was sent {times} times");
        // nginx takes a server that fails out for a second: not what this is about.
        nginx.restart();
        taken();
    }
}

#[tokio::test]
async fn request_that_no_upstream_accepted_is_sent_to_another() {
    let fixture = NginxFixture::start(shared_livekit()).await;
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let nobody = Address { http: nobody.clone(), grpc: nobody };
    let mut nginx = Nginx::prepare();
    nginx.start_with_addresses(&[nobody.clone(), nobody, fixture.instances[0].address()]);
    for _ in 0..6 {
        let url = format!("http://127.0.0.1:{}/streams", nginx.http);
        let created = fixture.client.post(url).json(&json!({})).send().await.unwrap();
        assert_eq!(created.status(), StatusCode::CREATED);
    }
}

#[tokio::test]
async fn rate_limit_behind_nginx_uses_address_of_client() {
    let prefix = unique("front");
    let mut instances = Vec::new();
    for _ in 0..2 {
        let instance = Instance::new(shared_redis(), shared_livekit(), &prefix);
        let mut instance = instance.with("RATE_LIMIT_READ", "3/h").with("TRUSTED_PROXIES", "127.0.0.1");
        instance.start().await;
        instances.push(instance);
    }
    let mut nginx = Nginx::prepare();
    nginx.start(&instances);
    let list = |from: [u8; 4], claim: &'static str| {
        let client = Client::builder().local_address(Some(from.into())).build().unwrap();
        let request = client.get(format!("http://127.0.0.1:{}/streams", nginx.http));
        async move { request.header("x-forwarded-for", claim).send().await.unwrap().status() }
    };
    for claim in ["203.0.113.1", "203.0.113.2", "203.0.113.3"] {
        assert_eq!(list([127, 0, 0, 1], claim).await, StatusCode::OK);
    }
    assert_eq!(
        list([127, 0, 0, 1], "203.0.113.4").await,
        StatusCode::TOO_MANY_REQUESTS,
        "a claim does not help"
    );
    assert_eq!(
        list([127, 0, 0, 2], "203.0.113.4").await,
        StatusCode::OK,
        "somebody else has a budget of their own"
    );
}

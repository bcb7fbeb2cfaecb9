//! The shipped nginx configuration in front of real instances: transports, webhooks, errors, retries, client addresses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::StreamExt;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, net::TcpListener};
use tokio_tungstenite::connect_async;

use crate::{
    participant::{JoinToken, Participant},
    support::{
        eventually,
        feed_client::{Address, FeedConnection, Received, Transport},
        instance::Instance,
        nginx::Nginx,
        servers::{LiveKit, free_port, shared_livekit, shared_redis},
        sse::EventStream,
        unique, within,
    },
    webdriver::Driver,
};

/// Three instances behind nginx.
pub struct NginxFixture {
    pub nginx: Nginx,
    pub instances: Vec<Instance>,
    pub prefix: String,
    pub client: Client,
}

impl NginxFixture {
    pub async fn start(livekit: &str) -> Self {
        Self::start_behind(Nginx::prepare(), livekit).await
    }

    async fn start_behind(mut nginx: Nginx, livekit: &str) -> Self {
        let prefix = unique("nginx");
        let mut instances = Vec::new();
        for _ in 0..3 {
            let mut instance = Instance::new(shared_redis(), livekit, &prefix);
            instance.start().await;
            instances.push(instance);
        }
        nginx.start(&instances);
        Self { nginx, instances, prefix, client: Client::new() }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.nginx.http)
    }

    pub async fn create(&self) -> Value {
        let created = self.client.post(self.url("/streams")).json(&json!({})).send().await.unwrap();
        assert_eq!(created.status(), StatusCode::CREATED);
        created.json().await.unwrap()
    }

    pub async fn patch(&self, id: &str, metadata: Value) -> Value {
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
    let mut feeds = Vec::new();
    for transport in Transport::ALL {
        feeds.push(FeedConnection::open(&fixture.nginx.address(), transport, Some(id), None).await.unwrap());
    }
    let mut root = connect_async(format!("ws://127.0.0.1:{}/", fixture.nginx.http)).await.unwrap().0;
    let connected = within("the first message", root.next()).await.unwrap().unwrap();
    assert!(connected.to_text().unwrap().contains("connected"));

    let version = fixture.patch(id, json!({"through": "nginx"})).await["version"].clone();
    for feed in &mut feeds {
        let Received::Event(event) = within("the change", feed.next()).await else { panic!("no event") };
        assert_eq!(Value::from(event.seq), version);
    }
    // The next block is the change. With buffering in nginx, a heartbeat would come first.
    let block = states.block().await.unwrap();
    assert_eq!((block.comment, &block.data.unwrap()["version"]), (None, &version));

    // LiveKit's webhooks pass nginx with an unchanged body, so their signatures are valid.
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
        (fixture.client.get(fixture.url("/streams/absent")), 404, "stream_not_found"),
        (fixture.client.put(fixture.url("/streams")), 405, "method_not_allowed"),
        // One body is just above the service's limit, the other above nginx's.
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
        assert!(page.headers().get_all(header).iter().count() <= 1, "{header} occurs once");
    }
    let log = eventually("the log", || async {
        let log = fixture.nginx.access_log();
        log.contains("/health/live").then_some(log)
    })
    .await;
    assert!(log.contains("\"request_id\":\"mine\"") && !log.contains("hunter2"), "{log}");
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
        "window.opened = 0; window.received = 0; window.sources = []; \
         for (let n = 0; n < 30; n++) {{ \
           const source = new EventSource('/events?streamId={id}&n=' + n); \
           source.onopen = () => opened++; \
           source.addEventListener('stream_updated', () => received++); \
           sources.push(source); \
         }}"
    );
    browser.script(&follow).await;
    browser.until("thirty feeds", || async { browser.script("return opened").await == 30 }).await;
    fixture.patch(id, json!({"for": "all"})).await;
    browser.until("thirty events", || async { browser.script("return received").await == 30 }).await;
    let protocol = "return performance.getEntriesByType('navigation')[0].nextHopProtocol";
    assert_eq!(browser.script(protocol).await, "h2");
    browser.close().await;
}

/// An upstream that reads requests and closes the connection, as a crashing instance does. Counts the requests.
async fn start_crashing_upstream() -> (Address, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::<AtomicUsize>::default();
    let count = requests.clone();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let read = connection.read(&mut [0; 4096]).await.unwrap_or_default();
            count.fetch_add(usize::from(read > 0), Ordering::Relaxed);
        }
    });
    (Address { grpc: http.clone(), http }, requests)
}

#[tokio::test]
async fn request_that_upstream_may_have_executed_is_not_repeated() {
    // nginx chooses one of two crashing upstreams and must not try the other.
    let ((one, one_count), (two, two_count)) =
        (start_crashing_upstream().await, start_crashing_upstream().await);
    let take_count = || one_count.swap(0, Ordering::Relaxed) + two_count.swap(0, Ordering::Relaxed);
    let mut nginx = Nginx::prepare();
    nginx.start_with_addresses(&[one, two]);
    let url = format!("http://127.0.0.1:{}/streams", nginx.http);
    take_count();
    for (method, is_repeated) in
        [(Method::POST, false), (Method::PATCH, false), (Method::DELETE, true), (Method::GET, true)]
    {
        // A new client, because each restart of nginx closes its connections.
        let request = Client::new().request(method.clone(), &url).json(&json!({}));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_GATEWAY, "{method}");
        assert_eq!(answer.headers()["retry-after"], "1");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], "upstream_unavailable");
        let times = take_count();
        assert!(if is_repeated { times > 1 } else { times == 1 }, "{method} was sent {times} times");
        // The restart clears the failure counts of the upstreams.
        nginx.restart();
        take_count();
    }
}

#[tokio::test]
async fn request_that_no_upstream_accepted_is_sent_to_another() {
    let fixture = NginxFixture::start(shared_livekit()).await;
    let closed = format!("http://127.0.0.1:{}", free_port());
    let closed = Address { http: closed.clone(), grpc: closed };
    let mut nginx = Nginx::prepare();
    nginx.start_with_addresses(&[closed.clone(), closed, fixture.instances[0].address()]);
    for _ in 0..6 {
        let url = format!("http://127.0.0.1:{}/streams", nginx.http);
        let created = fixture.client.post(url).json(&json!({})).send().await.unwrap();
        assert_eq!(created.status(), StatusCode::CREATED);
    }
}

#[tokio::test]
async fn rate_limit_behind_nginx_uses_address_of_client() {
    let prefix = unique("nginx");
    let mut instances = Vec::new();
    for _ in 0..2 {
        let instance = Instance::new(shared_redis(), shared_livekit(), &prefix);
        let mut instance = instance.with("RATE_LIMIT_READ", "3/h").with("TRUSTED_PROXIES", "127.0.0.1");
        instance.start().await;
        instances.push(instance);
    }
    let mut nginx = Nginx::prepare();
    nginx.start(&instances);
    let list = |from: [u8; 4], forwarded: &'static str| {
        let client = Client::builder().local_address(Some(from.into())).build().unwrap();
        let request = client.get(format!("http://127.0.0.1:{}/streams", nginx.http));
        async move { request.header("x-forwarded-for", forwarded).send().await.unwrap().status() }
    };
    for forwarded in ["203.0.113.1", "203.0.113.2", "203.0.113.3"] {
        assert_eq!(list([127, 0, 0, 1], forwarded).await, StatusCode::OK);
    }
    assert_eq!(
        list([127, 0, 0, 1], "203.0.113.4").await,
        StatusCode::TOO_MANY_REQUESTS,
        "the header of the client is ignored"
    );
    assert_eq!(
        list([127, 0, 0, 2], "203.0.113.4").await,
        StatusCode::OK,
        "another address has its own limit"
    );
}

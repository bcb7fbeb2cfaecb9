//! No output of an instance has a key or password of media: neither logs at trace level, feeds, lists and documents nor
//! errors, also where LiveKit's own error texts quote whole addresses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{
    broadcast_fixture::BroadcastFixture,
    support::{
        eventually,
        ffmpeg::push_to,
        servers::{STORE_SECRET, free_port},
    },
};

/// Long enough that no output contains one of them by chance.
const SECRETS: [&str; 6] = [
    "a-unique-first-key-of-a-target",
    "a-unique-second-key-of-a-target",
    "a-unique-password-of-a-target",
    "a-unique-password-of-a-source",
    "a-unique-signature-of-an-upload",
    STORE_SECRET,
];

/// Sends requests and collects the responses.
struct Session<'a> {
    fixture: &'a BroadcastFixture,
    client: Client,
    /// Path of the stream.
    stream: String,
    output: String,
}

impl<'a> Session<'a> {
    fn new(fixture: &'a BroadcastFixture, stream: &Value) -> Self {
        let stream = format!("/streams/{}", stream["id"].as_str().unwrap());
        Self { fixture, client: Client::new(), stream, output: String::new() }
    }

    async fn call(&mut self, method: Method, path: &str, body: Value) -> Value {
        let url = format!("{}{path}", self.fixture.page.instance.address().http);
        let response = self.client.request(method, url).json(&body).send().await.unwrap();
        let text = response.text().await.unwrap();
        let json: Value = serde_json::from_str(&text).unwrap_or_default();
        // The response to the creation of an ingress has its key by design, and so has that to its administrator.
        if json["streamKey"].is_null() {
            self.output += &text;
        }
        json
    }

    async fn post(&mut self, kind: &str, body: Value) -> Value {
        self.call(Method::POST, &format!("{}/{kind}", self.stream), body).await
    }

    /// Follows the stream until it is stopped.
    fn follow(&self, path: &str) -> JoinHandle<String> {
        let url = format!("{}{path}", self.fixture.page.instance.address().http);
        tokio::spawn(async move { reqwest::get(url).await.unwrap().text().await.unwrap() })
    }

    fn path_of(&self, kind: &str, made: &Value) -> String {
        let id = ["ingressId", "egressId"].into_iter().find_map(|name| made[name].as_str());
        format!("{}/{kind}/{}", self.stream, id.unwrap_or_else(|| panic!("{made}")))
    }

    /// Pushes to an ingress whose worker then reports an error; returns its stream key.
    async fn ingress_fails(&mut self) -> String {
        let ingress = self.post("ingresses", json!({"type": "rtmp", "identity": "obs"})).await;
        let [id, url, key] = ["ingressId", "url", "streamKey"].map(|name| ingress[name].as_str().unwrap());
        let _encoder = push_to(&format!("{url}/{key}"));
        let path = self.path_of("ingresses", &ingress);
        self.fixture.wait_for_status(&path, "publishing").await;
        self.fails("ingresses", &path, id, &format!("cannot publish {url}/{key}, stream {key}")).await;
        key.to_owned()
    }

    /// Lets a worker pull an address with a password that nothing serves.
    async fn pulled_source_fails(&mut self) {
        let password = SECRETS[3];
        let source = format!("http://bob:{password}@127.0.0.1:{}/a.mp4?token={password}", free_port());
        let pulled = json!({"type": "url", "identity": "pull", "url": source});
        let made = self.post("ingresses", pulled).await;
        let path = self.path_of("ingresses", &made);
        eventually("the end of the source", || async {
            let found: Value = self.fixture.page.get(&path).await.json().await.unwrap();
            ["complete", "error"].contains(&found["status"].as_str().unwrap()).then_some(())
        })
        .await;
        let id = made["ingressId"].as_str().unwrap();
        self.fails("ingresses", &path, id, &format!("cannot pull {source}: refused")).await;
        let refusal = json!({"code": "invalid_argument", "message": format!("cannot open {source}")});
        self.fixture.workers().script_ingresses(json!({"refuse": refusal})).await;
        self.post("ingresses", json!({"type": "url", "identity": "another", "url": source})).await;
    }

    /// Reports a failure of a job, and waits until the stream's events have its text.
    async fn fails(&mut self, kind: &str, path: &str, id: &str, error: &str) {
        let workers = self.fixture.workers();
        match kind {
            "ingresses" => {
                workers.report_ingress(id, json!([{"status": "ENDPOINT_ERROR", "error": error}])).await;
            }
            _ => workers.report_egress(id, json!([{"status": "EGRESS_FAILED", "error": error}])).await,
        }
        let begin: String = error.chars().take(10).collect();
        let log = format!("/events/{}?limit=1000", self.stream.rsplit('/').next().unwrap());
        eventually("the error", || async {
            self.fixture.page.get(&log).await.text().await.unwrap().contains(&begin).then_some(())
        })
        .await;
        self.call(Method::GET, path, json!({})).await;
    }

    /// Records into the store, once with success and once with an upload that fails.
    async fn record(&mut self) {
        for fails in [false, true] {
            let made = self.post("recordings", json!({})).await;
            let path = self.path_of("recordings", &made);
            self.fixture.wait_for_status(&path, "active").await;
            if fails {
                let error =
                    format!("upload to {}?X-Amz-Signature={}: 403", self.fixture.url_of("a"), SECRETS[4]);
                self.fails("recordings", &path, made["egressId"].as_str().unwrap(), &error).await;
            } else {
                self.call(Method::DELETE, &path, json!({})).await;
                self.fixture.wait_for_status(&path, "complete").await;
            }
            self.call(Method::GET, &path, json!({})).await;
        }
    }

    /// Broadcasts to a target that accepts the media, and to one that does not.
    async fn broadcast(&mut self) {
        let [first, second, password] = [SECRETS[0], SECRETS[1], SECRETS[2]];
        let (first, port) = (self.fixture.rtmp.target(first), free_port());
        let second = format!("rtmp://bob:{password}@127.0.0.1:{port}/app/{second}?token={second}");
        let made = self.post("broadcasts", json!({"rtmp": [first, second]})).await;
        let path = self.path_of("broadcasts", &made);
        eventually("the failed target", || async {
            let found: Value = self.fixture.page.get(&path).await.json().await.unwrap();
            (found["rtmp"][1]["status"] == "failed" && found["status"] == "active").then_some(())
        })
        .await;
        for body in [
            json!({"add": [second]}),
            json!({"remove": [first]}),
            json!({"remove": [format!("{first}x")]}),
            json!({"add": [format!("http:{second}")], "remove": [format!("x{first}")]}),
        ] {
            self.call(Method::PATCH, &path, body).await;
        }
        let id = made["egressId"].as_str().unwrap();
        let bare = format!("{} or {} or {password}", SECRETS[0], SECRETS[1]);
        self.fails("broadcasts", &path, id, &format!("no connection to {second}, {first}: {bare}")).await;
        let refusal =
            |code: &str| json!({"refuse": {"code": code, "message": format!("cannot use {second}")}});
        for code in ["invalid_argument", "unavailable", "internal"] {
            self.fixture.workers().script_egresses(refusal(code)).await;
            self.post("broadcasts", json!({"rtmp": [second]})).await;
        }
    }

    async fn read_lists(&mut self) {
        for kind in ["ingresses", "recordings", "broadcasts", "participants", "state"] {
            self.call(Method::GET, &format!("{}/{kind}", self.stream), json!({})).await;
        }
        let id = self.stream.rsplit('/').next().unwrap().to_owned();
        for path in [&format!("/events/{id}?limit=1000"), "/streams", "/metrics", "/health"] {
            self.call(Method::GET, path, json!({})).await;
        }
    }
}

#[tokio::test]
async fn outputs_contain_no_key_or_password_of_media() {
    let fixture = BroadcastFixture::start_with(|instance| {
        instance.with("RUST_LOG", "trace").with("RECONCILE_INTERVAL", "1s").with_log()
    })
    .await;
    let stream = fixture.page.create(json!({})).await;
    let _host = fixture.publishing_host(&stream).await;
    let mut session = Session::new(&fixture, &stream);
    let id = stream["id"].as_str().unwrap();
    let feeds =
        [format!("/events?streamId={id}"), format!("/sse/{id}/updates")].map(|path| session.follow(&path));
    let stream_key = session.ingress_fails().await;
    session.record().await;
    session.broadcast().await;
    session.pulled_source_fails().await;
    session.read_lists().await;
    session.call(Method::DELETE, &session.stream.clone(), json!({})).await;
    for feed in feeds {
        session.output += &feed.await.unwrap();
    }
    let output = session.output + &fixture.page.instance.log();
    for shown in ["TRACE", "cannot publish rtmp://", "no connection to rtmp://***@", "recording_updated"] {
        assert!(output.contains(shown), "{shown} is not in the output");
    }
    for secret in SECRETS.into_iter().chain([stream_key.as_str()]) {
        let at = output.find(secret).unwrap_or_default();
        assert_eq!(at, 0, "a secret follows: {}", &output[at.saturating_sub(300)..at]);
    }
}

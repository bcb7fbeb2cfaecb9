//! Programs that receive webhooks: an independent library verifies each signature.

use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::StatusCode;
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStdout},
};

use super::{RECEIVERS, document::Folder, program_tests};
use crate::support::{
    app::{Setup, TestApp},
    eventually,
    servers::{free_port, shared_livekit, shared_redis},
    within,
};

/// Seconds by which a timestamp is too old: the library tolerates 300.
const TOO_OLD: u64 = 301;

/// A running program that receives webhooks.
struct ReceiverProgram {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl ReceiverProgram {
    async fn start(folder: &Folder, program: &str, port: u16, secret: &str) -> Self {
        let mut command = folder.command(program);
        let mut child = command.env("PORT", port.to_string()).env("WEBHOOK_SECRET", secret).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        eventually("a receiver", || async { TcpStream::connect(("127.0.0.1", port)).await.ok().map(drop) })
            .await;
        Self { _child: child, lines }
    }

    /// Returns the next printed event, whose type precedes it.
    async fn next(&mut self) -> Value {
        let line = within("an event", self.lines.next_line()).await.unwrap().expect("the program runs");
        let (kind, event) = line.split_once(' ').unwrap();
        let event: Value = serde_json::from_str(event).unwrap();
        assert_eq!(event["type"], kind);
        event
    }
}

/// An app, and a program that receives from it.
struct Deployment {
    app: TestApp,
    /// Path of the endpoint.
    path: String,
    url: String,
    secret: String,
    program: ReceiverProgram,
    _folder: Folder,
}

impl Deployment {
    async fn start(program: &str) -> Self {
        let private = |arguments: &mut livestream_orchestrator::settings::Arguments| {
            arguments.webhook_allow_private = Some("true".to_owned());
        };
        let app = Setup::new(shared_redis(), shared_livekit()).with(private).start().await;
        let (folder, port) = (Folder::new(), free_port());
        let url = format!("http://127.0.0.1:{port}/hook");
        let created = app.post("/webhook-endpoints", json!({"url": url})).await.expect(StatusCode::CREATED);
        let text = |name: &str| created[name].as_str().unwrap().to_owned();
        let (path, secret) = (format!("/webhook-endpoints/{}", text("id")), text("secret"));
        let program = ReceiverProgram::start(&folder, program, port, &secret).await;
        Self { app, path, url, secret, program, _folder: folder }
    }

    /// Sends a delivery; returns the status of the answer.
    async fn send(&self, id: &str, age_seconds: u64, body: &str, secret: &str) -> StatusCode {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let timestamp = i64::try_from(now - age_seconds).unwrap();
        let signature = Webhook::new(secret).unwrap().sign(id, timestamp, body.as_bytes()).unwrap();
        let request = reqwest::Client::new().post(&self.url).body(body.to_owned());
        let request = request.header("webhook-id", id).header("webhook-timestamp", timestamp);
        request.header("webhook-signature", signature).send().await.unwrap().status()
    }
}

/// Deliveries are verified and processed once, also when they are repeated, and after a rotation of the secret.
async fn processes_each_event_once(program: &str) {
    let mut deployment = Deployment::start(program).await;
    let Deployment { app, path, program, .. } = &mut deployment;
    let stream = app.create(json!({"metadata": {"title": "é \"quoted\" 🎥"}})).await;
    let stream = stream["id"].as_str().unwrap();
    let (first, second) = (program.next().await, program.next().await);
    assert_eq!((&first["seq"], &second["seq"], &first["streamId"]), (&json!(1), &json!(2), &json!(stream)));
    assert_eq!(first["data"]["stream"]["metadata"]["title"], "é \"quoted\" 🎥");
    // The old secret, which the program has, signs too.
    app.post(&format!("{path}/rotate-secret"), json!({})).await.expect(StatusCode::OK);
    let replay = json!({"after": first["cursor"]});
    app.post(&format!("{path}/replay"), replay).await.expect(StatusCode::ACCEPTED);
    let tested = app.post(&format!("{path}/test"), json!({})).await.expect(StatusCode::OK);
    assert_eq!(tested["delivered"], true);
    assert_eq!(program.next().await["type"], "test");
    app.delete(&format!("/streams/{stream}")).await.expect(StatusCode::OK);
    assert_eq!(program.next().await["seq"], 3, "the second is not repeated");
    deployment.app.stop().await;
}

/// Requests that the endpoint's secret did not sign, or that are old, are refused. Repeats are accepted and ignored.
async fn refuses_forged_requests(program: &str) {
    let mut deployment = Deployment::start(program).await;
    let (forged, body) = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", r#"{"type":"forged"}"#);
    let secret = deployment.secret.clone();
    assert_eq!(deployment.send("msg_1", 0, body, forged).await, StatusCode::UNAUTHORIZED);
    assert_eq!(deployment.send("msg_1", TOO_OLD, body, &secret).await, StatusCode::UNAUTHORIZED);
    let unsigned = reqwest::Client::new().post(&deployment.url).body(body).send().await.unwrap();
    assert_eq!(unsigned.status(), StatusCode::UNAUTHORIZED);
    for (id, kind) in [("msg_1", "first"), ("msg_1", "first"), ("msg_2", "second")] {
        let accepted = deployment.send(id, 0, &json!({"type": kind}).to_string(), &secret).await;
        assert!(accepted.is_success(), "{accepted}");
    }
    for kind in ["first", "second"] {
        assert_eq!(deployment.program.next().await["type"], kind, "no other request, and no id twice");
    }
    deployment.app.stop().await;
}

program_tests! {
    processes_each_event_once(RECEIVERS[0]) as node_receiver_processes_each_event_once;
    processes_each_event_once(RECEIVERS[1]) as python_receiver_processes_each_event_once;
    processes_each_event_once(RECEIVERS[2]) as rust_receiver_processes_each_event_once;
    refuses_forged_requests(RECEIVERS[0]) as node_receiver_refuses_forged_requests;
    refuses_forged_requests(RECEIVERS[1]) as python_receiver_refuses_forged_requests;
    refuses_forged_requests(RECEIVERS[2]) as rust_receiver_refuses_forged_requests;
}

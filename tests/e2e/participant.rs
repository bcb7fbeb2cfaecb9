//! Real LiveKit participants: Python processes that connect with a join token.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Stdio;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::support::{app::TestApp, within};

/// A participant's process, which is killed on drop.
pub struct Participant {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

/// A join token and the LiveKit URL for it.
#[derive(Clone)]
pub struct JoinToken {
    pub url: String,
    pub token: String,
}

impl JoinToken {
    /// Requests a join token from an instance.
    pub async fn request(app: &TestApp, stream: &Value, identity: &str, role: &str) -> Self {
        let path = format!("/streams/{}/join", stream["id"].as_str().unwrap());
        let joined =
            app.post(&path, json!({"identity": identity, "role": role})).await.expect(StatusCode::OK);
        Self::from_response(&joined)
    }

    /// Reads the response of `POST /streams/{id}/join`.
    pub fn from_response(joined: &Value) -> Self {
        let text = |key: &str| joined[key].as_str().unwrap().to_owned();
        Self { url: text("wsUrl"), token: text("token") }
    }
}

impl Participant {
    /// Requests a join token and connects.
    pub async fn join(app: &TestApp, stream: &Value, identity: &str, role: &str) -> Self {
        Self::connect(&JoinToken::request(app, stream, identity, role).await).await
    }

    /// Connects with an existing token.
    pub async fn connect(token: &JoinToken) -> Self {
        let mut person = Self::start_connecting(token);
        person.wait_for("connected").await;
        person
    }

    /// Starts the process without waiting for the connection, which may fail.
    pub fn start_connecting(token: &JoinToken) -> Self {
        Self::start(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/participant.py"), token)
    }

    /// Starts a WHIP client (`whip.py`) at LiveKit's own endpoint. Its events are `refused`, `published`,
    /// `disconnected` and `left`.
    pub fn start_whip(token: &JoinToken) -> Self {
        let url = format!("{}/whip/v1", token.url.replace("ws:", "http:"));
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/whip.py");
        Self::start(script, &JoinToken { url, token: token.token.clone() })
    }

    fn start(script: &str, token: &JoinToken) -> Self {
        let python = std::env::var("LIVEKIT_PYTHON").expect("scripts/test sets LIVEKIT_PYTHON");
        let mut child = Command::new(python)
            .args([script, &token.url, &token.token])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, input, output }
    }

    /// Sends a command of `participant.py`.
    pub async fn send(&mut self, command: &str) {
        self.input.write_all(format!("{command}\n").as_bytes()).await.unwrap();
    }

    /// Waits for an event of `participant.py`. The failure message contains the events before it.
    pub async fn wait_for(&mut self, event: &str) {
        let mut before = Vec::new();
        loop {
            let what = format!("{event:?} of a participant, after {before:?}");
            let line = within(&what, self.output.next_line()).await.unwrap().expect("a running process");
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["event"] == event {
                return;
            }
            before.push(line);
        }
    }

    /// Waits until the participant is out of the room. A removal during the connection ends the process.
    pub async fn wait_until_out(&mut self) {
        while let Some(line) = within("a participant's end", self.output.next_line()).await.unwrap() {
            if serde_json::from_str::<Value>(&line).unwrap()["event"] == "disconnected" {
                return;
            }
        }
    }

    /// Kills the process, which sends no LEAVE.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }
}

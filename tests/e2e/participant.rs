//! A real participant: a process that is connected to a room with a token of ours.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Stdio;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::support::{app::TestApp, within};

pub struct Participant {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

/// A join token and where it is good.
#[derive(Clone)]
pub struct JoinToken {
    pub url: String,
    pub token: String,
}

impl JoinToken {
    pub async fn request(app: &TestApp, stream: &Value, identity: &str, role: &str) -> Self {
        let path = format!("/streams/{}/join", stream["id"].as_str().unwrap());
        let joined =
            app.post(&path, json!({"identity": identity, "role": role})).await.expect(StatusCode::OK);
        Self::from_response(&joined)
    }

    /// From what `POST /streams/{id}/join` answered.
    pub fn from_response(joined: &Value) -> Self {
        let text = |key: &str| joined[key].as_str().unwrap().to_owned();
        Self { url: text("wsUrl"), token: text("token") }
    }
}

impl Participant {
    pub async fn join(app: &TestApp, stream: &Value, identity: &str, role: &str) -> Self {
        Self::connect(&JoinToken::request(app, stream, identity, role).await).await
    }

    /// Connects with a token that was made before.
    pub async fn connect(token: &JoinToken) -> Self {
        let mut person = Self::start_connecting(token);
        person.wait_for("connected").await;
        person
    }

    /// Tries to connect, which may come to nothing.
    pub fn start_connecting(token: &JoinToken) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/participant.py");
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

    pub async fn send(&mut self, command: &str) {
        self.input.write_all(format!("{command}\n").as_bytes()).await.unwrap();
    }

    async fn next(&mut self) -> String {
        let line =
            within("a participant's word", self.output.next_line()).await.unwrap().expect("it still runs");
        serde_json::from_str::<Value>(&line).unwrap()["event"].as_str().unwrap().to_owned()
    }

    pub async fn wait_for(&mut self, event: &str) {
        while self.next().await != event {}
    }

    /// Dies without a word to anybody.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }
}

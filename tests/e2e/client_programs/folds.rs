//! Programs that keep the state of a stream: it equals the service's, also after the stream has become counted.

use std::process::Stdio;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdout},
};

use super::{FOLDS, FOLLOWERS, document::Folder, program_tests};
use crate::{
    livekit_fixture::LiveKitFixture,
    participant::{JoinToken, Participant},
    support::within,
};

/// A program that prints the state after each message which another program prints.
struct StateProgram {
    follower: Child,
    child: Child,
    states: Lines<BufReader<ChildStdout>>,
}

impl StateProgram {
    fn start(folder: &Folder, index: usize, base: &str, id: &str) -> Self {
        let mut following = folder.command(FOLLOWERS[index]);
        let mut follower =
            following.env("API", base).env("TOKEN", "unused").args([id, "snapshot"]).spawn().unwrap();
        let output: Stdio = follower.stdout.take().unwrap().try_into().unwrap();
        let mut child = folder.command(FOLDS[index]).stdin(output).spawn().unwrap();
        let states = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { follower, child, states }
    }

    /// Waits until the program has the version of this state document; checks that the fields of that are the same.
    /// Returns all fields: events carry more of them.
    async fn assert_reaches(&mut self, document: &Value) -> Value {
        loop {
            let line = within("a state", self.states.next_line()).await.unwrap().expect("a running program");
            let state: Value = serde_json::from_str(&line).unwrap();
            if state["version"].as_u64() >= document["version"].as_u64() {
                let state = sorted(state);
                let mut shared = state.clone();
                shared.as_object_mut().unwrap().retain(|field, _| document.get(field).is_some());
                assert_eq!(shared, sorted(document.clone()));
                return state;
            }
        }
    }

    async fn assert_ends(&mut self) {
        let line = within("the end of the states", self.states.next_line()).await.unwrap();
        assert_eq!(line, None);
        for child in [&mut self.follower, &mut self.child] {
            assert!(within("the end of a program", child.wait()).await.unwrap().success());
        }
    }
}

/// The document with its participants in the order of their identities.
fn sorted(mut document: Value) -> Value {
    let participants = document["participants"].as_array_mut().unwrap();
    participants.sort_by_key(|participant| participant["identity"].as_str().unwrap().to_owned());
    document
}

fn names(document: &Value) -> Vec<&str> {
    let participants = document["participants"].as_array().unwrap().iter();
    participants.map(|participant| participant["identity"].as_str().unwrap()).collect()
}

fn counts(document: &Value) -> (u64, u64) {
    let count = |role: &str| document["participantCounts"][role].as_u64().unwrap();
    (count("hosts"), count("viewers"))
}

/// A host and two viewers connect, of whom the second makes the stream counted. Then a viewer leaves, a joining host
/// becomes a viewer, which raises and lowers its hand, and the stream ends.
async fn keeps_state(index: usize) {
    let (fixture, folder) = (
        LiveKitFixture::start(1, |arguments| arguments.audience_listed_max = Some("1".to_owned())).await,
        Folder::new(),
    );
    let app = fixture.first();
    // Most events omit metadata of this size.
    let stream = app.create(json!({"metadata": {"notes": "é".repeat(1_000)}})).await;
    let id = stream["id"].as_str().unwrap();
    let mut program = StateProgram::start(&folder, index, &app.base, id);
    program.assert_reaches(&fixture.state(&stream).await).await;
    let _ann = Participant::join(app, &stream, "ann", "host").await;
    let mut bob = Participant::join(app, &stream, "bob", "viewer").await;
    let listed = fixture.wait_for_state("two participants", &stream, |state| counts(state) == (1, 1)).await;
    assert_eq!(
        (&listed["audience"], listed["participants"].as_array().unwrap().len()),
        (&json!("listed"), 2)
    );
    program.assert_reaches(&listed).await;

    let _cy = Participant::join(app, &stream, "cy", "viewer").await;
    let is_counted = |state: &Value| state["audience"] == "counted";
    let counted = fixture.wait_for_state("the count", &stream, is_counted).await;
    assert_eq!((counts(&counted), names(&counted)), ((1, 2), vec!["ann"]));
    program.assert_reaches(&counted).await;
    bob.send("leave").await;
    let left = fixture.wait_for_state("a departure", &stream, |state| counts(state) == (1, 1)).await;
    program.assert_reaches(&left).await;

    for (role, on_stage) in [("host", 2), ("viewer", 1)] {
        JoinToken::request(app, &stream, "dan", role).await;
        let state = fixture.state(&stream).await;
        assert_eq!(names(&state).len(), on_stage, "{role}");
        program.assert_reaches(&state).await;
    }
    let hand = format!("/streams/{id}/participants/dan/hand");
    for (method, on_stage) in [(Method::PUT, 2), (Method::DELETE, 1)] {
        app.send(method, &hand, None).await.expect(StatusCode::OK);
        let state = fixture.state(&stream).await;
        assert_eq!(names(&state).len(), on_stage);
        program.assert_reaches(&state).await;
    }
    let patched = app.patch(&format!("/streams/{id}"), json!({"metadata": {"notes": "short"}})).await;
    patched.expect(StatusCode::OK);
    program.assert_reaches(&fixture.state(&stream).await).await;
    app.delete(&format!("/streams/{id}")).await.expect(StatusCode::OK);
    let stopped = fixture.wait_for_state("the end", &stream, |state| state["status"] == "stopped").await;
    assert_eq!((counts(&stopped), names(&stopped)), ((0, 0), vec!["ann"]));
    let last = program.assert_reaches(&stopped).await;
    assert_eq!(last, sorted(app.get(&format!("/streams/{id}")).await.expect(StatusCode::OK)));
    program.assert_ends().await;
}

fn participant(identity: &str, role: &str) -> Value {
    json!({"identity": identity, "role": role})
}

fn state(version: u64, participants: &[Value]) -> Value {
    json!({"version": version, "audience": "listed", "participants": participants})
}

/// A reset whose state has further participants in a second message, and an event after it.
async fn joins_parts_of_reset(index: usize) {
    let (ann, bob) = (participant("ann", "host"), participant("bob", "viewer"));
    let event = json!({"removed": true, "participant": bob, "stream": {"version": 2}});
    let messages = [
        ("reset", json!({"part": 1, "parts": 2, "snapshot": state(1, std::slice::from_ref(&ann))})),
        ("reset", json!({"part": 2, "parts": 2, "cursor": "1-0", "snapshot": [bob]})),
        ("participant_updated", json!({"cursor": "2-0", "data": event})),
    ];
    let input = messages.map(|(kind, data)| format!("{kind} {data}\n")).concat();
    let folder = Folder::new();
    let mut child = folder.command(FOLDS[index]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    let output = within("the end of a program", child.wait_with_output()).await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let states: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(states, [state(1, &[ann.clone(), bob]), state(2, &[ann])]);
}

program_tests! {
    keeps_state(0) as curl_program_keeps_state_of_stream_that_becomes_counted;
    keeps_state(1) as node_program_keeps_state_of_stream_that_becomes_counted;
    keeps_state(2) as python_program_keeps_state_of_stream_that_becomes_counted;
    keeps_state(3) as rust_program_keeps_state_of_stream_that_becomes_counted;
    joins_parts_of_reset(0) as curl_program_joins_parts_of_reset;
    joins_parts_of_reset(1) as node_program_joins_parts_of_reset;
    joins_parts_of_reset(2) as python_program_joins_parts_of_reset;
    joins_parts_of_reset(3) as rust_program_joins_parts_of_reset;
}

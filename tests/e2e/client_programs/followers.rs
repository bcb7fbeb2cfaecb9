//! Programs that follow a stream: resume after disconnects, partial events, and every end of a feed.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines},
    process::{Child, ChildStdout},
};

use super::{
    FOLLOWERS, GRPC_FOLLOWER,
    document::Folder,
    network::{Cut, CuttingProxy},
    program_tests,
    service::{LONG, Service, expiring_participant, participant},
};
use crate::support::{feed_client::Address, within};

impl Service {
    /// Starts a program that follows a stream at this base URL.
    fn start_follower(&self, program: &str, base: &str, token: &str, arguments: &[&str]) -> FollowerProgram {
        let Address { grpc, .. } = self.one.address();
        let mut command = self.folder.command(program);
        command.env("API", base).env("GRPC", grpc.trim_start_matches("http://")).env("TOKEN", token);
        let mut child = command.args(arguments).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        FollowerProgram { child, lines, events: Vec::new() }
    }
}

/// An event that a program has printed. A reset has the version of its snapshot as `seq`.
#[derive(Debug, PartialEq)]
struct PrintedEvent {
    kind: String,
    seq: u64,
}

impl PrintedEvent {
    fn parse(line: &str) -> Self {
        // Protobuf's JSON has 64-bit numbers as strings.
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

/// A running program that follows a stream.
struct FollowerProgram {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    events: Vec<PrintedEvent>,
}

impl FollowerProgram {
    async fn next(&mut self) -> Option<&PrintedEvent> {
        let line = within("a line", self.lines.next_line()).await.unwrap()?;
        self.events.push(PrintedEvent::parse(&line));
        self.events.last()
    }

    /// Waits until the program has printed the event with this `seq`.
    async fn wait_for(&mut self, seq: u64) {
        loop {
            match self.next().await {
                Some(event) if event.seq == seq => return,
                Some(_) => {}
                None => panic!("the program ended before {seq}: {}", self.errors().await),
            }
        }
    }

    async fn errors(&mut self) -> String {
        let mut errors = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).await.unwrap();
        errors
    }

    /// Waits for the exit; returns whether it succeeded, and its error output.
    async fn wait_for_exit(&mut self) -> (bool, String) {
        while self.next().await.is_some() {}
        let errors = within("the end of a program", self.errors()).await;
        (within("the end of a program", self.child.wait()).await.unwrap().success(), errors)
    }

    /// Waits for a successful exit; checks that the program printed these events once and in order, and the end last.
    async fn assert_complete(&mut self, from: u64, to: u64) {
        let (succeeded, errors) = self.wait_for_exit().await;
        assert!(succeeded, "{errors}");
        let seqs: Vec<_> = self.events.iter().map(|event| event.seq).collect();
        assert_eq!(seqs, (from..=to).collect::<Vec<_>>(), "every event, once, in order");
        assert_eq!(self.events.last().unwrap().kind, "stream_stopped");
    }
}

/// The instance is restarted twice while changes are made: after SIGKILL and after SIGTERM.
async fn resumes_after_instance_restarts(program: &str) {
    let mut service = Service::start().await;
    let (id, _, mut version) = service.create().await;
    let first = version + 1;
    let base = service.one.address().http;
    let token = participant(&service.room, LONG);
    let mut follower = service.start_follower(program, &base, &token, &[&service.room]);
    service.wait_for_subscriber().await;
    for crash in [true, false] {
        service.change(&id, 2).await;
        version += 2;
        follower.wait_for(version).await;
        service.end_first_instance(crash).await;
        service.change(&id, 3).await;
        service.one.start().await;
        version += 3;
        follower.wait_for(version).await;
    }
    let (last, _) = service.stop(&id).await;
    follower.assert_complete(first, last).await;
}

/// Connections end in the middle of events.
async fn discards_partial_events(program: &str) {
    let service = Service::start().await;
    let (id, cursor, version) = service.create().await;
    let network = CuttingProxy::start(&service.one.address().http).await;
    let changes = u64::try_from(Cut::ALL.len()).unwrap() + 3;
    service.change(&id, changes).await;
    let token = participant(&service.room, LONG);
    let mut follower =
        service.start_follower(program, &network.server.base, &token, &[&service.room, &cursor]);
    follower.wait_for(version + changes).await;
    assert_eq!(network.remaining_cuts(), 0, "all cuts were made");
    let (last, _) = service.stop(&id).await;
    follower.assert_complete(version + 1, last).await;
}

/// A reset, an expiring token, the end of the stream, a resume after the last event, and an unknown stream.
async fn handles_every_end(program: &str) {
    let service = Service::start().await;
    let (id, _, version) = service.create().await;
    let base = service.one.address().http;
    let token = participant(&service.room, LONG);
    let mut follower = service.start_follower(program, &base, &token, &[&service.room, "9999999999999-0"]);
    let reset = PrintedEvent { kind: "reset".to_owned(), seq: version };
    assert_eq!(follower.next().await, Some(&reset));
    service.change(&id, 2).await;
    follower.wait_for(version + 2).await;

    let short = expiring_participant(&service.room, Duration::from_secs(7));
    let mut expiring = service.start_follower(program, &base, &short, &[&service.room]);
    let (succeeded, errors) = expiring.wait_for_exit().await;
    assert!(!succeeded && (errors.contains("401") || errors.contains("Unauthenticated")), "{errors}");

    let (last, cursor) = service.stop(&id).await;
    follower.assert_complete(version, last).await;
    let mut late = service.start_follower(program, &base, &token, &[&id, &cursor]);
    let (succeeded, errors) = late.wait_for_exit().await;
    assert!(succeeded && late.events.is_empty(), "{errors}");
    let mut absent = service.start_follower(program, &base, &token, &["absent", &cursor]);
    let (succeeded, errors) = absent.wait_for_exit().await;
    assert!(!succeeded && (errors.contains("404") || errors.contains("NotFound")), "{errors}");
}

/// Takes the place of `grpcurl`: the first call fails with UNAVAILABLE after a part of a reset, the second ends with OK.
const INTERRUPTED_RESET: &str = r#"#!/usr/bin/env bash
jq -c . >>"$CALLS"
[[ $(wc -l <"$CALLS") == 1 ]] || exit 0
echo '{"eventType": "STREAM_EVENT_TYPE_RESET", "reset": {"part": 1, "parts": 2, "snapshot": []}}'
exit 78
"#;

#[tokio::test]
async fn grpcurl_program_after_part_of_reset_resumes_from_previous_cursor() {
    let folder = Folder::new();
    let mut command = folder.command(GRPC_FOLLOWER);
    let (grpcurl, calls) = (folder.path("grpcurl"), folder.path("calls"));
    fs::remove_file(&grpcurl).unwrap();
    fs::write(&grpcurl, INTERRUPTED_RESET).unwrap();
    fs::set_permissions(&grpcurl, fs::Permissions::from_mode(0o755)).unwrap();
    command.envs([("API", ""), ("GRPC", ""), ("TOKEN", "")]).env("CALLS", &calls).args(["stream", "1-0"]);
    let output = within("the end of a program", command.output()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let calls = fs::read_to_string(calls).unwrap();
    let calls: Vec<Value> = calls.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(calls, vec![json!({"stream_id": "stream", "after": "1-0"}); 2]);
}

program_tests! {
    resumes_after_instance_restarts(FOLLOWERS[0]) as curl_program_after_instance_restarts_resumes_without_loss;
    resumes_after_instance_restarts(FOLLOWERS[1]) as node_program_after_instance_restarts_resumes_without_loss;
    resumes_after_instance_restarts(FOLLOWERS[2]) as python_program_after_instance_restarts_resumes_without_loss;
    resumes_after_instance_restarts(FOLLOWERS[3]) as rust_program_after_instance_restarts_resumes_without_loss;
    resumes_after_instance_restarts(GRPC_FOLLOWER) as grpcurl_program_after_instance_restarts_resumes_without_loss;
    discards_partial_events(FOLLOWERS[0]) as curl_program_discards_partial_event;
    discards_partial_events(FOLLOWERS[1]) as node_program_discards_partial_event;
    discards_partial_events(FOLLOWERS[2]) as python_program_discards_partial_event;
    discards_partial_events(FOLLOWERS[3]) as rust_program_discards_partial_event;
    handles_every_end(FOLLOWERS[0]) as curl_program_handles_every_end_of_feed;
    handles_every_end(FOLLOWERS[1]) as node_program_handles_every_end_of_feed;
    handles_every_end(FOLLOWERS[2]) as python_program_handles_every_end_of_feed;
    handles_every_end(FOLLOWERS[3]) as rust_program_handles_every_end_of_feed;
    handles_every_end(GRPC_FOLLOWER) as grpcurl_program_handles_every_end_of_feed;
}

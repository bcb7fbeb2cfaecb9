//! gRPC `StreamUpdates`: each update has all participants of its stream as they are after the change.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use chrono::DateTime;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tonic::Streaming;

use super::Pair;
use crate::support::{
    app::{Setup, TestApp, participant_webhook},
    grpc::{Client, Counts, Participant, Update, subscribe_request},
    servers::{Redis, shared_livekit},
    within,
};

const RESET: i32 = 20;

async fn next(updates: &mut Streaming<Update>) -> Update {
    within("an update", updates.message()).await.unwrap().unwrap()
}

/// Reads updates up to a version; returns all of them.
async fn read_to(updates: &mut Streaming<Update>, version: u64) -> Vec<Update> {
    let mut read = Vec::new();
    while read.last().is_none_or(|update: &Update| update.seq < version) {
        read.push(next(updates).await);
    }
    assert_eq!(read.last().unwrap().seq, version);
    read
}

fn millis(time: &Value) -> i64 {
    time.as_str().map_or(0, |time| DateTime::parse_from_rfc3339(time).unwrap().timestamp_millis())
}

/// Returns the participants of a JSON document or page as a message has them.
fn expected(participants: &Value) -> Vec<Participant> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = |value: &Value| {
        value.as_object().unwrap().iter().map(|(key, value)| (key.clone(), text(value))).collect()
    };
    let participants = participants.as_array().unwrap().iter();
    participants
        .map(|one| Participant {
            id: text(&one["id"]),
            identity: text(&one["identity"]),
            name: text(&one["name"]),
            joined_at: millis(&one["joinedAt"]),
            left_at: millis(&one["leftAt"]),
            metadata: metadata(&one["metadata"]),
            role: text(&one["role"]),
            state: text(&one["state"]),
            sid: text(&one["sid"]),
            ..Participant::default()
        })
        .collect()
}

/// LiveKit reports a change of a participant.
async fn report(app: &TestApp, event: &str, stream: &Value, (identity, role): (&str, &str)) {
    let mut webhook = participant_webhook(event, stream, identity, &format!("PA_{identity}"));
    webhook["participant"]["permission"]["canPublish"] = json!(role == "host");
    app.webhook(&webhook).await.expect(StatusCode::OK);
}

async fn join(app: &TestApp, stream: &Value, identity: &str, role: &str) {
    let body = json!({"identity": identity, "role": role, "metadata": {"seat": identity}});
    let path = format!("/streams/{}/join", stream["id"].as_str().unwrap());
    app.post(&path, body).await.expect(StatusCode::OK);
}

const ANN: (&str, &str) = ("ann", "host");
const BEN: (&str, &str) = ("ben", "viewer");
/// Number of the steps of [`change`].
const STEPS: usize = 8;

/// Makes one step of a stream's history.
async fn change(app: &TestApp, stream: &Value, step: usize) {
    let path = format!("/streams/{}", stream["id"].as_str().unwrap());
    match step {
        0 => join(app, stream, "ann", "host").await,
        1 => report(app, "participant_joined", stream, ANN).await,
        2 => join(app, stream, "ben", "viewer").await,
        3 => report(app, "participant_joined", stream, BEN).await,
        4 => drop(app.patch(&path, json!({"metadata": {"title": "new"}})).await.expect(StatusCode::OK)),
        5 => report(app, "participant_left", stream, ANN).await,
        6 => join(app, stream, "ann", "host").await,
        _ => report(app, "participant_left", stream, BEN).await,
    }
}

#[tokio::test]
async fn update_has_participants_of_the_stream_after_each_change() {
    let Pair(one, two) = Pair::start().await;
    let other = one.create(json!({})).await;
    join(&one, &other, "cem", "host").await;
    let mut all = Client::of(&two).await.updates("").await.unwrap();
    let present = next(&mut all).await;
    let page = one.get(&format!("/streams/{}/participants", other["id"].as_str().unwrap())).await;
    assert_eq!(present.participants, expected(&page.expect(StatusCode::OK)), "in the first state");
    let stream = one.create(json!({"audience": "listed"})).await;
    let id = stream["id"].as_str().unwrap();
    let mut own = Client::of(&two).await.updates(id).await.unwrap();
    assert!(next(&mut own).await.participants.is_empty());
    read_to(&mut all, 2).await;

    for step in 0..STEPS {
        change(&one, &stream, step).await;
        let document = one.get(&format!("/streams/{id}")).await.expect(StatusCode::OK);
        let page = one.get(&format!("/streams/{id}/participants")).await.expect(StatusCode::OK);
        for feed in [&mut own, &mut all] {
            let updates = read_to(feed, document["version"].as_u64().unwrap()).await;
            let last = updates.last().unwrap();
            assert_eq!(last.participants, expected(&page), "step {step}");
            assert!(!last.participants_truncated);
            let about = last.participant.iter();
            assert!(about.clone().all(|about| last.participants.contains(about)), "step {step}");
            assert_eq!(about.count(), usize::from(step != 4), "step {step}");
        }
    }
}

#[tokio::test]
async fn update_of_counted_stream_has_the_stage() {
    let Pair(one, two) = Pair::start().await;
    let stream = one.create(json!({"audience": "counted"})).await;
    let id = stream["id"].as_str().unwrap();
    let mut updates = Client::of(&two).await.updates(id).await.unwrap();
    next(&mut updates).await;
    report(&one, "participant_joined", &stream, ("vic", "viewer")).await;
    let update = next(&mut updates).await;
    assert_eq!(update.participant_counts, Some(Counts { hosts: 0, viewers: 1 }));
    assert!(update.participants.is_empty() && !update.participants_truncated, "the stage is empty");

    for step in 0..STEPS {
        change(&one, &stream, step).await;
    }
    let document = one.get(&format!("/streams/{id}")).await.expect(StatusCode::OK);
    let read = read_to(&mut updates, document["version"].as_u64().unwrap()).await;
    let last = read.last().unwrap();
    assert_eq!(last.participants, expected(&document["participants"]));
    let on_stage = |update: &Update| update.participants.iter().all(|one| one.identity == "ann");
    assert!(read.iter().all(on_stage), "{read:?}");
}

/// Checks that a feed after each of these updates has the later ones, the shortest first: an instance that knows no
/// state of the stream then reads each past state from the log.
async fn assert_resumes(instance: &TestApp, topic: &str, read: &[Update]) {
    let mut client = Client::of(instance).await;
    let version = read.last().unwrap().seq;
    for (position, update) in read.iter().enumerate().rev().skip(1) {
        let mut resumed = client.call_updates(subscribe_request(topic, &update.cursor)).await.unwrap();
        assert_eq!(read_to(&mut resumed, version).await, read[position + 1..]);
    }
}

#[tokio::test]
async fn resumed_updates_equal_those_of_a_client_that_stayed() {
    let Pair(one, two) = Pair::start().await;
    for (audience, topic) in [("listed", None), ("counted", Some(""))] {
        let stream = one.create(json!({"audience": audience})).await;
        let id = stream["id"].as_str().unwrap();
        let mut followed = Client::of(&two).await.updates(id).await.unwrap();
        let mut read = vec![next(&mut followed).await];
        for step in 0..STEPS {
            change(&one, &stream, step).await;
        }
        let document = one.get(&format!("/streams/{id}")).await.expect(StatusCode::OK);
        read.extend(read_to(&mut followed, document["version"].as_u64().unwrap()).await);
        // The first instance has not followed the stream.
        assert_resumes(&one, topic.unwrap_or(id), &read).await;
        assert_resumes(&two, id, &read).await;
    }
}

/// The log does not hold the events before: the participants that have not changed since are those of the newest state,
/// and an event tells how its participant was before.
#[tokio::test]
async fn resumed_updates_of_a_trimmed_log_have_participants_of_their_time() {
    let redis = Redis::start();
    let setup = Setup::new(&redis.url(), shared_livekit());
    let (one, two) = (setup.start().await, setup.start().await);
    let stream = one.create(json!({"audience": "listed"})).await;
    let id = stream["id"].as_str().unwrap();
    for identity in ["ann", "ben", "cem"] {
        report(&one, "participant_joined", &stream, (identity, "viewer")).await;
    }
    let mut followed = Client::of(&two).await.updates(id).await.unwrap();
    let mut read = vec![next(&mut followed).await];
    join(&one, &stream, "dan", "host").await;
    report(&one, "participant_joined", &stream, ("dan", "host")).await;
    report(&one, "participant_left", &stream, ANN).await;
    report(&one, "participant_joined", &stream, ("eve", "viewer")).await;
    report(&one, "participant_left", &stream, ("dan", "host")).await;
    read.extend(read_to(&mut followed, read[0].seq + 5).await);
    let prefix = setup.arguments.redis_prefix.unwrap();
    let log = format!("{{{prefix}}}:stream:{id}:log");
    redis.execute(&["XTRIM", &log, "MAXLEN", "5"]).await.unwrap();
    assert_resumes(&one, id, &read).await;
}

#[tokio::test]
async fn updates_after_a_reset_have_participants() {
    let Pair(one, two) = Pair::start().await;
    let stream = one.create(json!({"audience": "listed"})).await;
    let id = stream["id"].as_str().unwrap();
    join(&one, &stream, "ann", "host").await;
    let mut client = Client::of(&two).await;
    for topic in [id, ""] {
        let mut updates = client.call_updates(subscribe_request(topic, "99999999999999-0")).await.unwrap();
        let reset = next(&mut updates).await;
        assert_eq!((reset.update_type, reset.participants.len()), (RESET, 0));
        let state = reset.reset.unwrap().snapshot.into_iter().next().unwrap();
        assert_eq!(
            (state.participants.len(), state.participants_truncated),
            if topic == id { (1, false) } else { (0, true) }
        );
        let identity = format!("ben{}", topic.len());
        report(&one, "participant_joined", &stream, (&identity, "viewer")).await;
        let page = one.get(&format!("/streams/{id}/participants")).await.expect(StatusCode::OK);
        assert_eq!(next(&mut updates).await.participants, expected(&page));
    }
}

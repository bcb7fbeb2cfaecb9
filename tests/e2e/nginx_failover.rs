//! Instances behind nginx that are killed and restarted under load: no event is lost, no request is executed twice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use crate::{
    nginx::NginxFixture,
    support::{
        eventually,
        feed_client::Transport,
        instance::Instance,
        recording::{LogAuditor, ReconnectDelay, RecordingClient, compare_with_log},
        servers::{shared_livekit, shared_redis},
    },
};

/// Background tasks that join streams through nginx.
struct Writers {
    stopped: Arc<AtomicBool>,
    tasks: JoinSet<Joins>,
}

/// Identities that the writers have used.
#[derive(Default)]
struct Joins {
    /// Identities whose join was acknowledged.
    acknowledged: Vec<String>,
    /// Identities whose join may have been executed.
    uncertain: Vec<String>,
}

impl Writers {
    /// Starts one writer for each stream. It joins with a new identity each time, and reads the state in between.
    fn start(fixture: &NginxFixture, streams: &[String]) -> Self {
        let stopped = Arc::<AtomicBool>::default();
        let mut tasks = JoinSet::new();
        for (writer, stream) in streams.iter().enumerate() {
            let (base, stream, stopped) = (fixture.url(""), stream.clone(), stopped.clone());
            tasks.spawn(async move {
                let (client, mut joins) = (Client::new(), Joins::default());
                let mut pace = interval(Duration::from_millis(30));
                pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
                for number in 0.. {
                    if stopped.load(Ordering::Relaxed) {
                        break;
                    }
                    let identity = format!("w{writer}-{number}");
                    let join = client.post(format!("{base}/streams/{stream}/join"));
                    match join.json(&json!({"identity": identity})).send().await {
                        Ok(answer) if answer.status() == StatusCode::OK => joins.acknowledged.push(identity),
                        _ => joins.uncertain.push(identity),
                    }
                    read_eventually(&client, &format!("{base}/streams/{stream}/state")).await;
                    pace.tick().await;
                }
                joins
            });
        }
        Self { stopped, tasks }
    }

    async fn stop(self) -> Joins {
        self.stopped.store(true, Ordering::Relaxed);
        let mut all = Joins::default();
        for joins in self.tasks.join_all().await {
            all.acknowledged.extend(joins.acknowledged);
            all.uncertain.extend(joins.uncertain);
        }
        all
    }
}

/// Repeats a read until it succeeds.
async fn read_eventually(client: &Client, url: &str) {
    eventually("a read", || async {
        let answer = client.get(url).send().await.ok()?;
        (answer.status() == StatusCode::OK).then_some(())
    })
    .await;
}

/// Waits for `count` more events in the log.
async fn wait_for_events(auditor: &LogAuditor, count: usize) {
    let wanted = auditor.log().entries.len() + count;
    eventually("more events", || async { (auditor.log().entries.len() >= wanted).then_some(()) }).await;
}

/// Waits until nginx sends requests to the instance again, which it does some time after a failure.
async fn wait_until_used(instance: &Instance) {
    let metrics = format!("{}/metrics", instance.address().http);
    eventually("requests", || async {
        let text = reqwest::get(&metrics).await.ok()?.text().await.ok()?;
        text.contains("route=\"/streams/{id}/join\"").then_some(())
    })
    .await;
}

/// Runs a fault under load and checks that no client misses an event and that every join is executed at most once.
async fn run_under_load(fault: impl AsyncFnOnce(&mut Vec<Instance>, &LogAuditor)) {
    let mut fixture = NginxFixture::start(shared_livekit()).await;
    let mut streams = Vec::new();
    for _ in 0..4 {
        streams.push(fixture.create().await["id"].as_str().unwrap().to_owned());
    }
    let auditor = LogAuditor::start(shared_redis(), &fixture.prefix, None);
    let mut clients = Vec::new();
    for transport in Transport::ALL.into_iter().chain(Transport::ALL) {
        let address = vec![fixture.nginx.address()];
        clients.push(RecordingClient::start(address, transport, None, ReconnectDelay::Minimal).await);
    }
    let writers = Writers::start(&fixture, &streams);
    wait_for_events(&auditor, 40).await;
    fault(&mut fixture.instances, &auditor).await;
    wait_for_events(&auditor, 40).await;
    let results = writers.stop().await;

    // A last event for the clients to wait for.
    fixture.patch(&streams[0], json!({"last": true})).await;
    assert_exactly_once(&mut clients, &auditor).await;
    assert_joins_are_executed_once(&fixture, &streams, &results).await;
}

/// Waits until the log is idle and every client has its last event; compares the recordings with the log.
async fn assert_exactly_once(clients: &mut [RecordingClient], auditor: &LogAuditor) {
    let mut newest = auditor.newest();
    eventually("the log to be idle", || {
        let is_idle = std::mem::replace(&mut newest, auditor.newest()) == auditor.newest();
        async move { is_idle.then_some(()) }
    })
    .await;
    for client in clients {
        client.wait_for("all events", |recording| recording.last_position() >= newest).await;
        let report = compare_with_log(&client.recording(), &auditor.log());
        assert!(report.is_exactly_once(), "{:?}: {report:?}", client.transport);
    }
}

async fn assert_joins_are_executed_once(fixture: &NginxFixture, streams: &[String], results: &Joins) {
    let mut times: HashMap<String, usize> = HashMap::new();
    for stream in streams {
        let history = fixture.url(&format!("/events/{stream}?limit=1000"));
        let history: Value = fixture.client.get(history).send().await.unwrap().json().await.unwrap();
        for event in history.as_array().unwrap() {
            let participant = &event["data"]["participant"];
            if participant["state"] == "joining" {
                *times.entry(participant["identity"].as_str().unwrap().to_owned()).or_default() += 1;
            }
        }
    }
    assert!(results.acknowledged.len() > 60, "{} joins", results.acknowledged.len());
    for identity in &results.acknowledged {
        assert_eq!(times.get(identity), Some(&1), "the acknowledged join of {identity} is executed once");
    }
    for identity in &results.uncertain {
        assert!(times.get(identity).is_none_or(|times| *times == 1), "{identity} did not join twice");
    }
}

#[tokio::test]
async fn killed_instance_under_load_loses_no_event_and_no_request() {
    run_under_load(async |instances, auditor| {
        instances[0].kill();
        wait_for_events(auditor, 100).await;
        instances[0].start().await;
        wait_until_used(&instances[0]).await;
    })
    .await;
}

#[tokio::test]
async fn rolling_restart_under_load_loses_no_event_and_no_request() {
    run_under_load(async |instances, _| {
        for instance in instances {
            instance.terminate().await;
            instance.start().await;
            wait_until_used(instance).await;
        }
    })
    .await;
}

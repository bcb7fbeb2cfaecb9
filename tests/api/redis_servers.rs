//! Partitions on several standalone servers, whose clocks differ.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::redis_partitions::{PARTITIONS, create_streams, path};
use crate::support::{
    app::{Setup, TestApp},
    eventually,
    instance::Instance,
    recording::position,
    servers::{Redis, shared_livekit},
    unique,
};

/// Changes for each stream.
const ROUNDS: usize = 10;

fn url(servers: &[&Redis]) -> String {
    servers.iter().map(|server| server.url()).collect::<Vec<_>>().join(",")
}

fn instance(url: &str, prefix: &str) -> Instance {
    Instance::new(url, shared_livekit(), prefix).with("REDIS_PARTITIONS", &PARTITIONS.to_string())
}

/// Changes all streams in turn, and returns the events of a feed of all streams.
async fn change_in_turn(app: &TestApp, streams: &[Value]) -> Vec<Value> {
    let mut feed = app.follow("/events").await;
    for n in 0..ROUNDS {
        for stream in streams {
            app.patch(&path(stream), json!({"metadata": {"n": n}})).await.expect(StatusCode::OK);
        }
    }
    let mut events = Vec::new();
    while events.len() < ROUNDS * streams.len() {
        events.push(feed.wait_for("stream_updated").await);
    }
    events
}

fn positions(events: &[Value]) -> Vec<(u64, u64)> {
    events.iter().map(|event| position(event["cursor"].as_str().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_with_clocks_apart_have_one_order_of_events() {
    let servers = [&Redis::start(), &Redis::start_ahead(2)];
    let setup = Setup::new(&url(&servers), shared_livekit())
        .with(|arguments| arguments.redis_partitions = Some(PARTITIONS.to_string()));
    let app = setup.start().await;
    let streams = create_streams(&app).await;
    let events = change_in_turn(&app, &streams).await;
    assert!(positions(&events).is_sorted(), "{:?}", positions(&events));
    let mut resumed = app.resume("/events", events[0]["cursor"].as_str().unwrap()).await;
    for event in &events[1..] {
        assert_eq!(resumed.wait_for("stream_updated").await["cursor"], event["cursor"]);
    }
    for server in servers {
        assert_ne!(server.execute(&["DBSIZE"]).await.unwrap(), redis::Value::Int(0));
    }
    let metrics = app.get("/metrics").await.text;
    let behind = |partition: usize| {
        let name = format!("lso_partition_clock_behind_seconds{{partition=\"{partition}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse::<f64>().ok()).unwrap()
    };
    assert!((1.5..2.5).contains(&behind(0)) && behind(1) < 0.5, "{} {}", behind(0), behind(1));
    app.stop().await;
}

#[tokio::test]
async fn instance_with_other_order_of_servers_ends_at_its_start() {
    let servers = [&Redis::start(), &Redis::start()];
    let prefix = unique("test");
    let mut first = instance(&url(&servers), &prefix);
    first.start().await;
    let (code, output) = instance(&url(&servers), &prefix).run_command(&["check"]).await;
    assert_eq!(code, Some(0), "{output}");
    for (server, partitions) in servers.iter().zip(["0, 2", "1, 3"]) {
        let line = format!("127.0.0.1:{} has partitions {partitions}", server.port);
        assert!(output.contains(&line), "{line} in {output}");
        assert!(output.contains(&format!("127.0.0.1:{}: version 7", server.port)), "{output}");
    }
    let [one, two] = servers;
    for (other, message) in [
        (instance(&url(&[two, one]), &prefix), "neither the order nor the number of the servers"),
        (instance(&url(&[one]), &prefix), "neither the order nor the number of the servers"),
        (instance(&url(&servers), &prefix).with("REDIS_PARTITIONS", "8"), "REDIS_PARTITIONS is 8"),
    ] {
        let (code, output) = other.run_command(&["check"]).await;
        assert!(code == Some(1) && output.contains(message), "{output}");
        let (code, output) = other.run_command(&[]).await;
        assert!(code != Some(0) && output.contains(message), "{output}");
    }
    // A wrong list of servers leaves no record on a server that is new.
    let new = Redis::start();
    let (code, output) = instance(&url(&[&new, one]), &prefix).run_command(&[]).await;
    assert!(code != Some(0) && output.contains("neither the order nor the number"), "{output}");
    assert_eq!(new.execute(&["DBSIZE"]).await.unwrap(), redis::Value::Int(0));
    let with_one = instance(&url(&servers), &prefix).with("REDIS_PARTITIONS", "1");
    let (code, output) = with_one.run_command(&[]).await;
    assert_eq!(code, Some(2), "{output}");
    assert!(output.contains("REDIS_PARTITIONS must be at least the number of servers"), "{output}");
    first.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_server_holds_up_no_event_of_the_others() {
    let (full, kept) = (Redis::start(), Redis::start());
    let setup = Setup::new(&url(&[&full, &kept]), shared_livekit())
        .with(|arguments| arguments.redis_partitions = Some(PARTITIONS.to_string()));
    let app = setup.start().await;
    let mut feed = app.follow("/events").await;
    let streams = create_streams(&app).await;
    let cursor = feed.wait_for("stream_created").await["cursor"].as_str().unwrap().to_owned();
    full.execute(&["CONFIG", "SET", "maxmemory", "1mb"]).await.unwrap();
    let change = json!({"metadata": {"n": 1}});
    app.patch(&path(&streams[0]), change.clone()).await.expect_problem(503, "store_unavailable");
    app.patch(&path(&streams[1]), change).await.expect(StatusCode::OK);
    let mut resumed = app.resume("/events", &cursor).await;
    for feed in [&mut feed, &mut resumed] {
        // The streams have become active by the same kind of event.
        let mut updated = feed.wait_for("stream_updated").await;
        while updated["data"]["stream"]["metadata"] != json!({"n": 1}) {
            updated = feed.wait_for("stream_updated").await;
        }
        assert_eq!(updated["streamId"], streams[1]["id"]);
    }
    // Endings are accepted, and told in their order.
    app.delete(&path(&streams[0])).await.expect(StatusCode::OK);
    for feed in [&mut feed, &mut resumed] {
        assert_eq!(feed.wait_for("stream_stopped").await["streamId"], streams[0]["id"]);
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_server_stops_its_own_streams_until_it_is_back() {
    let (mut lost, kept) = (Redis::start_durable(), Redis::start());
    let setup = Setup::new(&url(&[&lost, &kept]), shared_livekit())
        .with(|arguments| arguments.redis_partitions = Some(PARTITIONS.to_string()));
    let app = setup.start().await;
    let mut feed = app.follow("/events").await;
    let streams = create_streams(&app).await;
    let cursor = feed.wait_for("stream_created").await["cursor"].as_str().unwrap().to_owned();
    lost.kill();
    // A feed that resumes waits, also before the instance has noticed the loss.
    let mut early = app.resume("/events", &cursor).await;
    app.get(&path(&streams[0])).await.expect_problem(503, "store_unavailable");
    app.get(&path(&streams[1])).await.expect(StatusCode::OK);
    eventually("the lost partitions in /health", || async {
        let waiting = app.get("/health").await.body["waitingPartitions"].clone();
        (waiting == json!([0, 2])).then_some(())
    })
    .await;
    app.get("/streams").await.expect_problem(503, "store_unavailable");
    app.get("/events").await.expect_problem(503, "store_unavailable");
    let mut resumed = app.resume("/events", &cursor).await;
    lost.restart();
    eventually("the streams of the server", || async {
        (app.get(&path(&streams[0])).await.status == StatusCode::OK).then_some(())
    })
    .await;
    app.patch(&path(&streams[0]), json!({"metadata": {"n": 1}})).await.expect(StatusCode::OK);
    for feed in [&mut feed, &mut early, &mut resumed] {
        for _ in 1..streams.len() {
            feed.wait_for("stream_created").await;
        }
        feed.wait_for("stream_updated").await;
    }
    app.stop().await;
}

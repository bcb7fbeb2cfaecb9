//! What a real Redis answers instead of doing what it is asked: each is a 503 that says so, a metric, readiness where the
//! instance cannot serve, and over when its cause is. `answers.rs` has those that are hard to bring about.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    app::{Setup, TestApp},
    eventually,
    servers::{Redis, shared_livekit},
    sse::EventStream,
    unique,
};

/// One instance on a Redis of its own.
struct Case {
    redis: Redis,
    app: TestApp,
    stream: Value,
    /// Followed from before.
    feed: EventStream,
}

impl Case {
    async fn start(redis: Redis) -> Self {
        let url = redis.url();
        Self::start_at(redis, &url).await
    }

    async fn start_at(redis: Redis, url: &str) -> Self {
        let app = Setup::new(url, shared_livekit()).start().await;
        let stream = app.create(json!({})).await;
        let mut feed = app.follow(&format!("/events?streamId={}", stream["id"].as_str().unwrap())).await;
        feed.block().await.expect("the first words");
        Self { redis, app, stream, feed }
    }

    async fn tell(&self, words: &str) {
        self.redis.execute(&words.split(' ').collect::<Vec<_>>()).await.unwrap();
    }

    fn path(&self) -> String {
        format!("/streams/{}", self.stream["id"].as_str().unwrap())
    }

    /// Waits until changes are refused and counted as this.
    async fn until_refused(&self, kind: &str) {
        eventually(kind, || async {
            let answer = self.app.post("/streams", json!({})).await;
            if answer.status == StatusCode::CREATED {
                return None;
            }
            assert!(answer.header("retry-after").is_some());
            answer.expect_problem(503, "store_unavailable");
            let metrics = self.app.get("/metrics").await.text;
            metrics.contains(&format!("kind=\"{kind}\"")).then_some(())
        })
        .await;
    }

    /// Waits until everything works, nothing done about it here; what happens then is heard on a feed from before.
    async fn recovers(mut self) {
        self.app.wait_until_ready(true).await;
        let mark = unique("mark");
        self.app.patch(&self.path(), json!({"metadata": {"mark": mark}})).await.expect(StatusCode::OK);
        let event = self.feed.wait_for("stream_updated").await;
        assert_eq!(event["data"]["stream"]["metadata"]["mark"], mark);
    }
}

#[tokio::test]
async fn master_that_became_replica_is_not_used() {
    let case = Case::start(Redis::start()).await;
    case.tell("REPLICAOF 127.0.0.1 1").await;
    case.until_refused("replica").await;
    case.app.wait_until_ready(false).await;
    // It would answer reads, with what was.
    case.app.get(&case.path()).await.expect_problem(503, "store_unavailable");
    case.tell("REPLICAOF NO ONE").await;
    case.recovers().await;
}

#[tokio::test]
async fn readonly_reply_is_recovered_from() {
    let case = Case::start(Redis::start()).await;
    // Where the user may not ask for the role, the refusal of a change shows it.
    case.tell("ACL SETUSER default -role").await;
    case.tell("REPLICAOF 127.0.0.1 1").await;
    case.until_refused("readonly").await;
    case.app.get(&case.path()).await.expect(StatusCode::OK);
    case.tell("REPLICAOF NO ONE").await;
    case.recovers().await;
}

#[tokio::test]
async fn masterdown_reply_is_recovered_from() {
    let case = Case::start(Redis::start()).await;
    case.tell("ACL SETUSER default -role").await;
    case.tell("CONFIG SET replica-serve-stale-data no").await;
    case.tell("REPLICAOF 127.0.0.1 1").await;
    case.until_refused("masterdown").await;
    case.app.wait_until_ready(false).await;
    case.tell("REPLICAOF NO ONE").await;
    case.recovers().await;
}

#[tokio::test]
async fn busy_reply_is_recovered_from() {
    let case = Case::start(Redis::start()).await;
    case.tell("CONFIG SET busy-reply-threshold 50").await;
    let client = redis::Client::open(case.redis.url()).unwrap();
    let script = tokio::spawn(async move {
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut command = redis::cmd("EVAL");
        // The answer is that it was killed, or no answer in time.
        let _ = command.arg("while true do end").arg(0).query_async::<()>(&mut connection).await;
    });
    case.until_refused("busy").await;
    case.app.wait_until_ready(false).await;
    case.tell("SCRIPT KILL").await;
    script.await.unwrap();
    case.recovers().await;
}

#[tokio::test]
async fn loading_reply_is_recovered_from() {
    let durable = ["--appendonly", "yes", "--appendfsync", "always", "--enable-debug-command", "yes"];
    let mut case = Case::start(Redis::start_with(&durable)).await;
    case.tell("DEBUG POPULATE 20000").await;
    case.tell("BGREWRITEAOF").await;
    eventually("the file", || async {
        let busy = case.redis.info("aof_rewrite_in_progress").await? == "1"
            || case.redis.info("aof_rewrite_scheduled").await? == "1";
        (!busy).then_some(())
    })
    .await;
    case.redis.kill();
    let slow = ["--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024"];
    case.redis.set_arguments(&[&durable[..], &slow].concat());
    case.redis.restart();
    case.until_refused("loading").await;
    case.app.wait_until_ready(false).await;
    case.tell("CONFIG SET key-load-delay 0").await;
    case.recovers().await;
}

#[tokio::test]
async fn noauth_and_wrongpass_replies_are_recovered_from() {
    let redis = Redis::start();
    redis.execute(&["ACL", "SETUSER", "ann", "on", ">one", "~*", "&*", "+@all"]).await.unwrap();
    let url = format!("redis://ann:one@127.0.0.1:{}/0", redis.port);
    let case = Case::start_at(redis, &url).await;
    case.tell("ACL SETUSER ann resetpass >two").await;
    case.tell("CLIENT KILL USER ann").await;
    case.until_refused("wrongpass").await;
    case.app.wait_until_ready(false).await;
    case.tell("ACL SETUSER ann >one").await;
    case.recovers().await;

    let case = Case::start(Redis::start()).await;
    let mut keeper = redis::Client::open(case.redis.url()).unwrap().get_connection().unwrap();
    let mut tell =
        |words: &[&str]| redis::cmd(words[0]).arg(&words[1..]).query::<redis::Value>(&mut keeper).unwrap();
    tell(&["CONFIG", "SET", "requirepass", "hunter2"]);
    tell(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    tell(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    case.until_refused("noauth").await;
    case.app.wait_until_ready(false).await;
    tell(&["CONFIG", "SET", "requirepass", ""]);
    case.recovers().await;
}

/// Redis undoes nothing of a script that is not allowed to go on.
#[tokio::test]
async fn noperm_reply_leaves_no_partial_change() {
    let case = Case::start(Redis::start()).await;
    let before = case.app.get(&case.path()).await.expect(StatusCode::OK);
    for command in ["xadd", "publish", "zadd", "pexpire"] {
        case.tell(&format!("ACL SETUSER default -{command}")).await;
        let join = case.app.post(&format!("{}/join", case.path()), json!({"identity": "ann"})).await;
        join.expect_problem(503, "store_unavailable");
        assert_eq!(case.app.get(&case.path()).await.expect(StatusCode::OK), before, "without {command}");
        case.tell(&format!("ACL SETUSER default +{command}")).await;
    }
    case.until_ready_without("evalsha").await;
    assert!(case.app.get("/metrics").await.text.contains("kind=\"noperm\""));
    case.recovers().await;
}

impl Case {
    /// One who may do nothing is not ready.
    async fn until_ready_without(&self, command: &str) {
        assert!(self.app.is_ready().await);
        self.tell(&format!("ACL SETUSER default -{command}")).await;
        self.app.wait_until_ready(false).await;
        self.tell(&format!("ACL SETUSER default +{command}")).await;
        self.app.wait_until_ready(true).await;
    }
}

#[tokio::test]
async fn noreplicas_reply_is_recovered_from() {
    let case = Case::start(Redis::start()).await;
    case.tell("CONFIG SET min-replicas-to-write 1").await;
    case.until_refused("noreplicas").await;
    case.app.get(&case.path()).await.expect(StatusCode::OK);
    assert!(case.app.is_ready().await);
    case.tell("CONFIG SET min-replicas-to-write 0").await;
    case.recovers().await;
}

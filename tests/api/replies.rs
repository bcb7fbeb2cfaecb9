//! Everything that Redis may answer instead of doing what it is asked: each is a 503 that says so, a metric, a line in the
//! log, readiness where the instance cannot serve, and over when its cause is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    stage::Stage,
    support::{
        app::{Setup, TestApp, participant_event},
        audience::Whereabouts,
        eventually,
        instance::Instance,
        proxy::{Fate, Proxy},
        servers::{Redis, shared_livekit},
        sse::Events,
        unique,
    },
};

/// One instance on a Redis of its own.
struct Case {
    redis: Redis,
    app: TestApp,
    stream: Value,
    /// Followed from before.
    feed: Events,
}

impl Case {
    async fn set(redis: Redis) -> Self {
        let url = redis.url();
        Self::at(redis, &url).await
    }

    async fn at(redis: Redis, url: &str) -> Self {
        let app = Setup::new(url, shared_livekit()).start().await;
        let stream = app.create(json!({})).await;
        let mut feed = app.follow(&format!("/events?streamId={}", stream["id"].as_str().unwrap())).await;
        feed.block().await.expect("the first words");
        Self { redis, app, stream, feed }
    }

    async fn tell(&self, words: &str) {
        self.redis.tell(&words.split(' ').collect::<Vec<_>>()).await.unwrap();
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
        self.app.until_ready(true).await;
        let mark = unique("mark");
        self.app.patch(&self.path(), json!({"metadata": {"mark": mark}})).await.expect(StatusCode::OK);
        let event = self.feed.wait_for("stream_updated").await;
        assert_eq!(event["data"]["stream"]["metadata"]["mark"], mark);
    }
}

#[tokio::test]
async fn a_replica_in_place_of_the_master_is_not_used() {
    let case = Case::set(Redis::start()).await;
    case.tell("REPLICAOF 127.0.0.1 1").await;
    case.until_refused("replica").await;
    case.app.until_ready(false).await;
    // It would answer reads, with what was.
    case.app.get(&case.path()).await.expect_problem(503, "store_unavailable");
    case.tell("REPLICAOF NO ONE").await;
    case.recovers().await;
}

#[tokio::test]
async fn readonly() {
    let case = Case::set(Redis::start()).await;
    // Where the user may not ask for the role, the refusal of a change shows it.
    case.tell("ACL SETUSER default -role").await;
    case.tell("REPLICAOF 127.0.0.1 1").await;
    case.until_refused("readonly").await;
    case.app.get(&case.path()).await.expect(StatusCode::OK);
    case.tell("REPLICAOF NO ONE").await;
    case.recovers().await;
}

#[tokio::test]
async fn masterdown() {
    let case = Case::set(Redis::start()).await;
    case.tell("ACL SETUSER default -role").await;
    case.tell("CONFIG SET replica-serve-stale-data no").await;
    case.tell("REPLICAOF 127.0.0.1 1").await;
    case.until_refused("masterdown").await;
    case.app.until_ready(false).await;
    case.tell("REPLICAOF NO ONE").await;
    case.recovers().await;
}

#[tokio::test]
async fn busy() {
    let case = Case::set(Redis::start()).await;
    case.tell("CONFIG SET busy-reply-threshold 50").await;
    let client = redis::Client::open(case.redis.url()).unwrap();
    let script = tokio::spawn(async move {
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut command = redis::cmd("EVAL");
        // The answer is that it was killed, or no answer in time.
        let _ = command.arg("while true do end").arg(0).query_async::<()>(&mut connection).await;
    });
    case.until_refused("busy").await;
    case.app.until_ready(false).await;
    case.tell("SCRIPT KILL").await;
    script.await.unwrap();
    case.recovers().await;
}

#[tokio::test]
async fn loading() {
    let durable = ["--appendonly", "yes", "--appendfsync", "always", "--enable-debug-command", "yes"];
    let mut case = Case::set(Redis::with(&durable)).await;
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
    case.redis.set(&[&durable[..], &slow].concat());
    case.redis.start_again();
    case.until_refused("loading").await;
    case.app.until_ready(false).await;
    case.tell("CONFIG SET key-load-delay 0").await;
    case.recovers().await;
}

#[tokio::test]
async fn noauth_and_wrongpass() {
    let redis = Redis::start();
    redis.tell(&["ACL", "SETUSER", "ann", "on", ">one", "~*", "&*", "+@all"]).await.unwrap();
    let url = format!("redis://ann:one@127.0.0.1:{}/0", redis.port);
    let case = Case::at(redis, &url).await;
    case.tell("ACL SETUSER ann resetpass >two").await;
    case.tell("CLIENT KILL USER ann").await;
    case.until_refused("wrongpass").await;
    case.app.until_ready(false).await;
    case.tell("ACL SETUSER ann >one").await;
    case.recovers().await;

    let case = Case::set(Redis::start()).await;
    let mut keeper = redis::Client::open(case.redis.url()).unwrap().get_connection().unwrap();
    let mut tell =
        |words: &[&str]| redis::cmd(words[0]).arg(&words[1..]).query::<redis::Value>(&mut keeper).unwrap();
    tell(&["CONFIG", "SET", "requirepass", "hunter2"]);
    tell(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    tell(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    case.until_refused("noauth").await;
    case.app.until_ready(false).await;
    tell(&["CONFIG", "SET", "requirepass", ""]);
    case.recovers().await;
}

/// Redis undoes nothing of a script that is not allowed to go on.
#[tokio::test]
async fn noperm_leaves_no_half_of_a_change() {
    let case = Case::set(Redis::start()).await;
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
        self.app.until_ready(false).await;
        self.tell(&format!("ACL SETUSER default +{command}")).await;
        self.app.until_ready(true).await;
    }
}

#[tokio::test]
async fn too_few_replicas() {
    let case = Case::set(Redis::start()).await;
    case.tell("CONFIG SET min-replicas-to-write 1").await;
    case.until_refused("noreplicas").await;
    case.app.get(&case.path()).await.expect(StatusCode::OK);
    assert!(case.app.is_ready().await);
    case.tell("CONFIG SET min-replicas-to-write 0").await;
    case.recovers().await;
}

/// Changes are refused; reads, feeds, resuming and stopping go on; nobody loses anything.
#[tokio::test]
async fn a_full_redis_refuses_changes_and_nothing_else() {
    let redis = Redis::start();
    let whereabouts = Whereabouts::new(redis.url().into());
    let mut stage = Stage::set(&redis.url(), &unique("test"), &whereabouts).await;
    let app = &stage.apps[0];
    let spare = app.create(json!({})).await["id"].as_str().unwrap().to_owned();
    let path = format!("/streams/{spare}");
    app.post(&format!("{path}/join"), json!({"identity": "early"})).await.expect(StatusCode::OK);
    app.patch(&path, json!({"metadata": {"a": 1}})).await.expect(StatusCode::OK);
    let load = stage.load();
    load.goes_on(40).await;
    redis.tell(&["CONFIG", "SET", "maxmemory", "1mb"]).await.unwrap();
    load.is_refused().await;
    app.post("/streams", json!({})).await.expect_problem(503, "store_unavailable");
    for (way, body) in [("", json!({"metadata": {"a": 2}})), ("/join", json!({"identity": "late"}))] {
        let path = format!("{path}{way}");
        let refused = if way.is_empty() { app.patch(&path, body).await } else { app.post(&path, body).await };
        refused.expect_problem(503, "store_unavailable");
    }
    assert!(app.get("/metrics").await.text.contains("kind=\"oom\""));
    assert!(app.is_ready().await, "it goes on serving reads and feeds");
    app.get(&path).await.expect(StatusCode::OK);
    app.get("/streams").await.expect(StatusCode::OK);
    let history = app.get(&format!("/events/{spare}")).await.expect(StatusCode::OK);
    // Who comes back now gets the rest.
    let first = history[1]["cursor"].as_str().unwrap();
    let mut resumed = app.resume(&format!("/events?streamId={spare}"), first).await;
    resumed.wait_for("participant_updated").await;
    assert_eq!(resumed.wait_for("stream_updated").await, history[3]);
    // What makes room in the end is still done, and told.
    app.post(&format!("{path}/leave"), json!({"identity": "early"})).await.expect(StatusCode::OK);
    resumed.wait_for("participant_updated").await;
    app.delete(&path).await.expect(StatusCode::OK);
    resumed.wait_for("stream_stopped").await;
    redis.tell(&["CONFIG", "SET", "maxmemory", "0"]).await.unwrap();
    load.goes_on(40).await;
    let made = load.end().await;
    let verdict = stage.verdict().await;
    assert!(verdict.is_perfect(), "{verdict:?}");
    assert!(stage.times_in_log(&made).await.iter().all(|times| *times == 1));
}

/// The change was made, and nobody was told so: asking again makes it no second time.
#[tokio::test]
async fn a_change_whose_answer_is_lost_is_made_once() {
    let redis = Redis::start();
    let proxy = Proxy::to(redis.port).await;
    let app = Setup::new(&proxy.url(), shared_livekit()).start().await;
    let stream = app.create(json!({})).await;
    let id = stream["id"].as_str().unwrap().to_owned();
    let path = format!("/streams/{id}");
    // How the scripts of changes of this stream begin their arguments, after a key that never exists.
    let change = format!(":never\r\n$36\r\n{id}\r\n");
    let joined = participant_event("participant_joined", &stream, "ann", "PA_1");
    let ask = async |kind: &str| match kind {
        "stream_updated" => app.patch(&path, json!({"metadata": {"a": 1}})).await,
        "participant_joined" => app.webhook(&joined).await,
        _ => app.delete(&path).await,
    };
    for (n, kind) in ["stream_updated", "participant_joined", "stream_stopped"].into_iter().enumerate() {
        proxy.treat(Some((&change, Fate::Unanswered)));
        ask(kind).await.expect_problem(503, "store_unavailable");
        proxy.treat(None);
        assert_eq!(proxy.treated(), n + 1, "sent once, and not again by itself");
        ask(kind).await.expect(StatusCode::OK);
        let history = app.get(&format!("/events/{id}")).await.expect(StatusCode::OK);
        let of_kind =
            |event: &&Value| event["type"] == kind && event["data"]["stream"]["status"] != "stopping";
        let status = |event: &Value| event["data"]["stream"]["status"].clone();
        let events: Vec<_> = history.as_array().unwrap().iter().filter(of_kind).map(status).collect();
        let expected = if kind == "stream_updated" { 2 } else { 1 };
        assert_eq!(events.len(), expected, "{kind}: {history:#}");
    }
    // Two streams of one name there are not either.
    let room = unique("room");
    proxy.treat(Some((&room, Fate::Unanswered)));
    app.post("/streams", json!({"name": room})).await.expect_problem(503, "store_unavailable");
    proxy.treat(None);
    let again = app.post("/streams", json!({"name": room})).await.expect(StatusCode::OK);
    let all = app.get("/streams?status=all").await.expect(StatusCode::OK);
    let ids: Vec<_> = all.as_array().unwrap().iter().filter(|one| one["roomName"] == room).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(ids[0]["id"], again["id"]);
}

/// Also those that are hard to bring about.
#[tokio::test]
async fn every_answer_has_a_line_in_the_log_and_a_metric() {
    let redis = Redis::start();
    let proxy = Proxy::to(redis.port).await;
    let mut instance = Instance::new(&proxy.url(), shared_livekit(), &unique("test")).logged();
    instance.start().await;
    let (client, base) = (reqwest::Client::new(), instance.address().http);
    let create = || async { client.post(format!("{base}/streams")).json(&json!({})).send().await.unwrap() };
    let ready = || async { reqwest::get(format!("{base}/health/ready")).await.unwrap().status() };
    let replies = [
        ("readonly", "READONLY You can't write against a read only replica."),
        ("loading", "LOADING Redis is loading the dataset in memory"),
        ("busy", "BUSY Redis is busy running a script."),
        ("oom", "OOM command not allowed when used memory > 'maxmemory'."),
        ("misconf", "MISCONF Errors writing to the AOF file: No space left on device"),
        ("noreplicas", "NOREPLICAS Not enough good replicas to write."),
        ("masterdown", "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."),
        ("noauth", "NOAUTH Authentication required."),
        ("noperm", "NOPERM this user has no permissions to run the 'evalsha' command"),
        ("clusterdown", "CLUSTERDOWN Hash slot not served"),
        ("moving", "TRYAGAIN Multiple keys request during rehashing of slot"),
        ("other", "ERR something that nobody has thought of"),
    ];
    for (kind, reply) in replies {
        proxy.treat(Some(("EVALSHA", Fate::Refused(reply.to_owned()))));
        let refused = create().await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE, "{kind}");
        assert!(refused.headers().contains_key("retry-after"));
        let problem: Value = refused.json().await.unwrap();
        assert_eq!(problem["code"], "store_unavailable");
        assert!(!problem.to_string().contains(reply), "Redis's words are for the log");
        // Whoever is refused everything cannot serve.
        assert_eq!(ready().await, StatusCode::SERVICE_UNAVAILABLE, "{kind}");
        let metrics = reqwest::get(format!("{base}/metrics")).await.unwrap().text().await.unwrap();
        assert!(metrics.contains(&format!("kind=\"{kind}\"")), "{kind}: {metrics}");
        let lines = instance.log();
        let of_kind =
            |line: &&str| line.contains(&format!("\"kind\":\"{kind}\"")) && line.contains("Redis: ");
        let lines: Vec<_> = lines.lines().filter(of_kind).collect();
        assert_eq!(lines.len(), 1, "one line, however many calls fail: {lines:?}");
        assert!(lines[0].contains("\"level\":\"WARN\""), "{lines:?}");
        proxy.treat(None);
        eventually("readiness", || async { (ready().await == StatusCode::OK).then_some(()) }).await;
        assert_eq!(create().await.status(), StatusCode::CREATED, "after {kind}");
    }
}

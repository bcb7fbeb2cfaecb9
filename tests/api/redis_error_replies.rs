//! Error replies of Redis. Each causes a 503 and a metric, and the instance is not ready if it cannot serve. The
//! instance recovers when the cause ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    app::{Setup, TestApp},
    eventually,
    fault_proxy::{CommandFault, FaultProxy},
    instance::Instance,
    servers::{Redis, shared_livekit},
    sse::EventStream,
    unique,
};

/// An instance with its own Redis, a stream, and a feed that is open during the fault.
struct Case {
    redis: Redis,
    app: TestApp,
    stream: Value,
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
        feed.block().await.expect("the first block");
        Self { redis, app, stream, feed }
    }

    async fn execute(&self, command: &str) {
        self.redis.execute(&command.split(' ').collect::<Vec<_>>()).await.unwrap();
    }

    fn path(&self) -> String {
        format!("/streams/{}", self.stream["id"].as_str().unwrap())
    }

    /// Waits until changes are refused and counted as errors of this kind.
    async fn wait_until_refused(&self, kind: &str) {
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

    /// Waits until the instance is ready by itself; a change is then delivered on the open feed.
    async fn wait_for_recovery(mut self) {
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
    case.execute("REPLICAOF 127.0.0.1 1").await;
    case.wait_until_refused("replica").await;
    case.app.wait_until_ready(false).await;
    // The replica would answer reads with old data.
    case.app.get(&case.path()).await.expect_problem(503, "store_unavailable");
    case.execute("REPLICAOF NO ONE").await;
    case.wait_for_recovery().await;
}

#[tokio::test]
async fn readonly_reply_is_recovered_from() {
    let case = Case::start(Redis::start()).await;
    // Without permission for ROLE, only the refusal of a change reveals the replica.
    case.execute("ACL SETUSER default -role").await;
    case.execute("REPLICAOF 127.0.0.1 1").await;
    case.wait_until_refused("readonly").await;
    case.app.get(&case.path()).await.expect(StatusCode::OK);
    case.execute("REPLICAOF NO ONE").await;
    case.wait_for_recovery().await;
}

#[tokio::test]
async fn masterdown_reply_is_recovered_from() {
    let case = Case::start(Redis::start()).await;
    case.execute("ACL SETUSER default -role").await;
    case.execute("CONFIG SET replica-serve-stale-data no").await;
    case.execute("REPLICAOF 127.0.0.1 1").await;
    case.wait_until_refused("masterdown").await;
    case.app.wait_until_ready(false).await;
    case.execute("REPLICAOF NO ONE").await;
    case.wait_for_recovery().await;
}

#[tokio::test]
async fn busy_reply_is_recovered_from() {
    let case = Case::start(Redis::start()).await;
    case.execute("CONFIG SET busy-reply-threshold 50").await;
    let client = redis::Client::open(case.redis.url()).unwrap();
    let script = tokio::spawn(async move {
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut command = redis::cmd("EVAL");
        // The reply is an error because the script is killed, or there is no reply in time.
        let _ = command.arg("while true do end").arg(0).query_async::<()>(&mut connection).await;
    });
    case.wait_until_refused("busy").await;
    case.app.wait_until_ready(false).await;
    case.execute("SCRIPT KILL").await;
    script.await.unwrap();
    case.wait_for_recovery().await;
}

#[tokio::test]
async fn loading_reply_is_recovered_from() {
    let durable = ["--appendonly", "yes", "--appendfsync", "always", "--enable-debug-command", "yes"];
    let mut case = Case::start(Redis::start_with(&durable)).await;
    case.execute("DEBUG POPULATE 20000").await;
    case.execute("BGREWRITEAOF").await;
    eventually("the append-only file", || async {
        let busy = case.redis.info("aof_rewrite_in_progress").await? == "1"
            || case.redis.info("aof_rewrite_scheduled").await? == "1";
        (!busy).then_some(())
    })
    .await;
    case.redis.kill();
    let slow = ["--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024"];
    case.redis.set_arguments(&[&durable[..], &slow].concat());
    case.redis.restart();
    case.wait_until_refused("loading").await;
    case.app.wait_until_ready(false).await;
    case.execute("CONFIG SET key-load-delay 0").await;
    case.wait_for_recovery().await;
}

#[tokio::test]
async fn noauth_and_wrongpass_replies_are_recovered_from() {
    let redis = Redis::start();
    redis.execute(&["ACL", "SETUSER", "ann", "on", ">one", "~*", "&*", "+@all"]).await.unwrap();
    let url = format!("redis://ann:one@127.0.0.1:{}/0", redis.port);
    let case = Case::start_at(redis, &url).await;
    case.execute("ACL SETUSER ann resetpass >two").await;
    case.execute("CLIENT KILL USER ann").await;
    case.wait_until_refused("wrongpass").await;
    case.app.wait_until_ready(false).await;
    case.execute("ACL SETUSER ann >one").await;
    case.wait_for_recovery().await;

    let case = Case::start(Redis::start()).await;
    let mut connection_before = redis::Client::open(case.redis.url()).unwrap().get_connection().unwrap();
    let mut execute = |command: &[&str]| {
        redis::cmd(command[0]).arg(&command[1..]).query::<redis::Value>(&mut connection_before).unwrap()
    };
    execute(&["CONFIG", "SET", "requirepass", "hunter2"]);
    execute(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    execute(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    case.wait_until_refused("noauth").await;
    case.app.wait_until_ready(false).await;
    execute(&["CONFIG", "SET", "requirepass", ""]);
    case.wait_for_recovery().await;
}

/// Redis does not roll back a script that is denied a command.
#[tokio::test]
async fn noperm_reply_leaves_no_partial_change() {
    let case = Case::start(Redis::start()).await;
    let before = case.app.get(&case.path()).await.expect(StatusCode::OK);
    for command in ["xadd", "spublish", "zadd", "pexpire"] {
        case.execute(&format!("ACL SETUSER default -{command}")).await;
        let join = case.app.post(&format!("{}/join", case.path()), json!({"identity": "ann"})).await;
        join.expect_problem(503, "store_unavailable");
        assert_eq!(case.app.get(&case.path()).await.expect(StatusCode::OK), before, "without {command}");
        case.execute(&format!("ACL SETUSER default +{command}")).await;
    }
    case.check_readiness_without("evalsha").await;
    assert!(case.app.get("/metrics").await.text.contains("kind=\"noperm\""));
    case.wait_for_recovery().await;
}

impl Case {
    /// Checks that the instance is not ready without permission for `command`, and ready with it.
    async fn check_readiness_without(&self, command: &str) {
        assert!(self.app.is_ready().await);
        self.execute(&format!("ACL SETUSER default -{command}")).await;
        self.app.wait_until_ready(false).await;
        self.execute(&format!("ACL SETUSER default +{command}")).await;
        self.app.wait_until_ready(true).await;
    }
}

#[tokio::test]
async fn noreplicas_reply_is_recovered_from() {
    let case = Case::start(Redis::start()).await;
    case.execute("CONFIG SET min-replicas-to-write 1").await;
    case.wait_until_refused("noreplicas").await;
    case.app.get(&case.path()).await.expect(StatusCode::OK);
    assert!(case.app.is_ready().await);
    case.execute("CONFIG SET min-replicas-to-write 0").await;
    case.wait_for_recovery().await;
}

/// The replies come from the proxy, because a real Redis sends some of them only in rare situations.
#[tokio::test]
async fn every_redis_error_reply_has_log_line_metric_and_503() {
    let redis = Redis::start();
    let proxy = FaultProxy::start(redis.port).await;
    let mut instance = Instance::new(&proxy.url(), shared_livekit(), &unique("test")).with_log();
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
        ("other", "ERR an unknown error"),
    ];
    for (kind, reply) in replies {
        proxy.fault_commands(Some(("EVALSHA", CommandFault::ErrorReply(reply.to_owned()))));
        let refused = create().await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE, "{kind}");
        assert!(refused.headers().contains_key("retry-after"));
        let problem: Value = refused.json().await.unwrap();
        assert_eq!(problem["code"], "store_unavailable");
        assert!(!problem.to_string().contains(reply), "the reply is in the log only");
        // An instance whose commands are all refused is not ready. The readiness of a second ago may be shared.
        let refused = StatusCode::SERVICE_UNAVAILABLE;
        eventually("an instance that is not ready", || async { (ready().await == refused).then_some(()) })
            .await;
        let metrics = reqwest::get(format!("{base}/metrics")).await.unwrap().text().await.unwrap();
        assert!(metrics.contains(&format!("kind=\"{kind}\"")), "{kind}: {metrics}");
        // The log is in order, so all earlier lines are written before this one.
        let url = format!("{base}/absent");
        client.get(url).header("x-request-id", format!("after-{kind}")).send().await.unwrap();
        let lines = eventually("the log", || {
            let lines = instance.log();
            async { lines.contains(&format!("\"after-{kind}\"")).then_some(lines) }
        })
        .await;
        let of_kind =
            |line: &&str| line.contains(&format!("\"kind\":\"{kind}\"")) && line.contains("Redis: ");
        let lines: Vec<_> = lines.lines().filter(of_kind).collect();
        assert_eq!(lines.len(), 1, "one line for any number of failed calls: {lines:?}");
        assert!(lines[0].contains("\"level\":\"WARN\""), "{lines:?}");
        proxy.fault_commands(None);
        eventually("readiness", || async { (ready().await == StatusCode::OK).then_some(()) }).await;
        assert_eq!(create().await.status(), StatusCode::CREATED, "after {kind}");
    }
}

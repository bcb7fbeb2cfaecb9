//! Diagnosis of Redis for the `check` command: version, role, eviction, persistence, clock, scripts and Pub/Sub.

use std::{collections::HashMap, time::Instant};

use super::{
    RedisStore,
    connection::{Failure, FailureKind, RESPONSE_TIMEOUT},
};
use crate::{
    diagnosis::Finding,
    store::{Coordination, EventFeed, FeedMessage, StoreError, Topic},
};

/// The subject of all findings.
const REDIS: &str = "Redis";
/// The oldest major version that has every command and script feature in use.
const MIN_MAJOR_VERSION: u32 = 7;

/// The fields of `INFO`.
type Info = HashMap<String, String>;

fn parse_info(text: &str) -> Info {
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.map(|(key, value)| (key.to_owned(), value.trim().to_owned())).collect()
}

impl RedisStore {
    /// Examines Redis and its configuration; writes nothing. A failed check is a finding, so this never fails.
    pub async fn diagnose(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let started = Instant::now();
        match self.info().await {
            Ok(info) => {
                let millis = started.elapsed().as_secs_f64() * 1_000.0;
                findings.push(version(&info, millis));
                findings.push(role(&info));
                findings.push(eviction(&info));
                findings.push(persistence(&info));
            }
            Err(message) => return vec![Finding::wrong(REDIS, message)],
        }
        findings.push(match self.now().await {
            Ok(time) => Finding::of_clock(REDIS, time.as_millis() - chrono::Utc::now().timestamp_millis()),
            Err(error) => Finding::wrong(REDIS, format!("TIME fails: {error}")),
        });
        findings.push(self.scripts_and_pubsub().await);
        findings
    }

    async fn info(&self) -> Result<Info, String> {
        let mut connection = self.connector.open().await.map_err(|failure| describe(&failure))?;
        let text: Result<String, _> = redis::cmd("INFO").query_async(&mut connection).await;
        let text = text.map_err(|error| describe(&error.into()))?;
        Ok(parse_info(&text))
    }

    /// Runs a script and publishes a message to its own subscription.
    async fn scripts_and_pubsub(&self) -> Finding {
        let probe = async {
            self.before_newest(Topic::All, 0).await?;
            let mut connection = self.connect().await?;
            self.probe(connection.probe_address()).await?;
            Ok::<_, StoreError>(connection.next().await)
        };
        match tokio::time::timeout(RESPONSE_TIMEOUT * 2, probe).await {
            Ok(Ok(Some(FeedMessage::Probe))) => {
                Finding::fine(REDIS, "scripts run, and Pub/Sub delivers messages")
            }
            Ok(Err(error)) => Finding::wrong(REDIS, format!("a script or a subscription fails: {error}")),
            Ok(Ok(_)) | Err(_) => Finding::wrong(REDIS, "Pub/Sub does not deliver messages"),
        }
    }
}

fn version(info: &Info, millis: f64) -> Finding {
    let version = info.get("redis_version").map_or("unknown", String::as_str);
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major < MIN_MAJOR_VERSION) {
        let message = format!("is version {version}; version {MIN_MAJOR_VERSION} or newer is required");
        return Finding::wrong(REDIS, message);
    }
    // Valkey reports in redis_version the version of Redis that it is compatible with.
    let valkey = info.get("valkey_version").map(|version| format!(" (Valkey {version})")).unwrap_or_default();
    Finding::fine(
        REDIS,
        format!("version {version}{valkey} answers; connecting and the first answer took {millis:.1} ms"),
    )
}

fn role(info: &Info) -> Finding {
    match info.get("role").map(String::as_str) {
        Some("slave") => Finding::wrong(REDIS, "is a read-only replica: REDIS_URL must name the primary"),
        _ => {
            let replicas = info.get("connected_slaves").map_or("0", String::as_str);
            Finding::fine(REDIS, format!("is a primary, with {replicas} replicas"))
        }
    }
}

fn eviction(info: &Info) -> Finding {
    let policy = info.get("maxmemory_policy").map_or("unknown", String::as_str);
    let limited = info.get("maxmemory").is_some_and(|limit| limit != "0");
    match (policy, limited) {
        ("noeviction", true) => Finding::fine(REDIS, "never evicts, and has a memory limit"),
        ("noeviction", false) => Finding::doubtful(REDIS, "has no memory limit: set maxmemory"),
        (policy, true) => Finding::wrong(
            REDIS,
            format!("evicts ({policy}) at maxmemory, which loses state: set maxmemory-policy noeviction"),
        ),
        (policy, false) => Finding::doubtful(
            REDIS,
            format!("would evict ({policy}) with a memory limit: set maxmemory-policy noeviction"),
        ),
    }
}

fn persistence(info: &Info) -> Finding {
    if info.get("aof_enabled").is_some_and(|enabled| enabled == "1") {
        return Finding::fine(REDIS, "keeps an append-only file");
    }
    Finding::doubtful(REDIS, "keeps no append-only file: a restart loses all streams (set appendonly yes)")
}

/// Describes a failure by what to do about it, without the address or credentials.
fn describe(failure: &Failure) -> String {
    match failure.kind {
        FailureKind::WrongPass => "refuses the user or the password of REDIS_URL".to_owned(),
        FailureKind::NoPerm => format!("forbids a command that the service needs: {failure}"),
        FailureKind::NoAuth => "wants a password: put it into REDIS_URL".to_owned(),
        FailureKind::Certificate => {
            "has a certificate for which nobody vouches whom this service trusts: REDIS_CA_FILE".to_owned()
        }
        FailureKind::Timeout => "does not answer in time: are host and port of REDIS_URL right?".to_owned(),
        FailureKind::Refused => "nothing listens where REDIS_URL points".to_owned(),
        FailureKind::Replica => "is a read-only replica: REDIS_URL must name the primary".to_owned(),
        FailureKind::NoMaster => format!("no master is known: {failure}"),
        _ => format!("cannot be used: {failure}"),
    }
}

//! Whether a Redis is one that the service can rely on, for the `check` command.

use std::{collections::HashMap, time::Instant};

use super::{
    RedisStore,
    connection::{Failure, Kind},
};
use crate::{
    diagnosis::Finding,
    store::{Coordination, EventFeed, FeedMessage, StoreError, Topic},
};

const REDIS: &str = "Redis";
/// Scripts, `ZRANGE BYLEX` and streams as they are used here came together in this version.
const LEAST_MAJOR_VERSION: u32 = 7;

type Info = HashMap<String, String>;

fn info(text: &str) -> Info {
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.map(|(key, value)| (key.to_owned(), value.trim().to_owned())).collect()
}

impl RedisStore {
    /// Looks at everything that there is to look at. Nothing is changed.
    pub async fn diagnose(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let begun = Instant::now();
        match self.info().await {
            Ok(info) => {
                let millis = begun.elapsed().as_secs_f64() * 1_000.0;
                findings.push(version(&info, millis));
                findings.push(role(&info));
                findings.push(eviction(&info));
                findings.push(persistence(&info));
            }
            Err(words) => return vec![Finding::wrong(REDIS, words)],
        }
        findings.push(match self.now().await {
            Ok(time) => Finding::of_clock(REDIS, time.as_millis() - chrono::Utc::now().timestamp_millis()),
            Err(error) => Finding::wrong(REDIS, format!("TIME fails: {error}")),
        });
        findings.push(self.delivers().await);
        findings
    }

    async fn info(&self) -> Result<Info, String> {
        let mut connection = self.connector.first_connection().await.map_err(|error| in_words(&error))?;
        let text: Result<String, _> = redis::cmd("INFO").query_async(&mut connection).await;
        let text = text.map_err(|error| in_words(&error.into()))?;
        Ok(info(&text))
    }

    /// Runs a script and publishes to itself: what the service does all the time.
    async fn delivers(&self) -> Finding {
        let probe = async {
            self.before_newest(Topic::All, 0).await?;
            let mut connection = self.connect().await?;
            self.probe(connection.probe_address()).await?;
            Ok::<_, StoreError>(connection.next().await)
        };
        match tokio::time::timeout(super::connection::RESPONSE_TIMEOUT * 2, probe).await {
            Ok(Ok(Some(FeedMessage::Probe))) => {
                Finding::fine(REDIS, "scripts run, and what is published arrives")
            }
            Ok(Err(error)) => {
                Finding::wrong(REDIS, format!("a script or a subscription is refused: {error}"))
            }
            Ok(Ok(_)) | Err(_) => Finding::wrong(REDIS, "what is published does not arrive"),
        }
    }
}

fn version(info: &Info, millis: f64) -> Finding {
    let version = info.get("redis_version").map_or("unknown", String::as_str);
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major < LEAST_MAJOR_VERSION) {
        return Finding::wrong(
            REDIS,
            format!("is version {version}; {LEAST_MAJOR_VERSION} or newer is needed"),
        );
    }
    // Valkey says of which Redis it does as much.
    let valkey = info.get("valkey_version").map(|version| format!(" (Valkey {version})")).unwrap_or_default();
    Finding::fine(REDIS, format!("version {version}{valkey} answers, the first time after {millis:.1} ms"))
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
            format!("evicts ({policy}) when it is full, and with it state: set maxmemory-policy noeviction"),
        ),
        (policy, false) => Finding::doubtful(
            REDIS,
            format!("would evict ({policy}) if it had a memory limit: set maxmemory-policy noeviction"),
        ),
    }
}

fn persistence(info: &Info) -> Finding {
    if info.get("aof_enabled").is_some_and(|enabled| enabled == "1") {
        return Finding::fine(REDIS, "keeps an append-only file");
    }
    Finding::doubtful(
        REDIS,
        "keeps no append-only file: when it restarts, streams are forgotten (appendonly yes)",
    )
}

/// Redis's errors as what to do about them. Neither address nor credentials are repeated.
fn in_words(failure: &Failure) -> String {
    match failure.kind {
        Kind::WrongPass => "refuses the user or the password of REDIS_URL".to_owned(),
        Kind::NoPerm => format!("does not allow what the service does: {failure}"),
        Kind::NoAuth => "wants a password: put it into REDIS_URL".to_owned(),
        Kind::Certificate => {
            "has a certificate for which nobody vouches whom this service trusts: REDIS_CA_FILE".to_owned()
        }
        Kind::Timeout => "does not answer in time: are host and port of REDIS_URL right?".to_owned(),
        Kind::Refused => "nothing listens where REDIS_URL points".to_owned(),
        Kind::Replica => "is a read-only replica: REDIS_URL must name the primary".to_owned(),
        Kind::NoMaster => format!("no master is known: {failure}"),
        _ => format!("cannot be used: {failure}"),
    }
}

//! Examination of Redis: version, role, eviction, persistence, clock, scripts and Pub/Sub.

use std::time::Instant;

use super::finding::{Finding, Subject};
use crate::store::{
    Clock,
    redis::{Failure, FailureKind, PubSubError, RedisStore, ServerInfo},
};

/// The oldest major version that has every command and script feature in use.
const MIN_MAJOR_VERSION: u32 = 7;

/// Examines Redis and its configuration; writes nothing.
pub(super) async fn examine(store: &RedisStore) -> Vec<Finding> {
    let started = Instant::now();
    let info = match store.server_info().await {
        Ok(info) => info,
        Err(failure) => return vec![Subject::Redis.failure(describe(&failure))],
    };
    let millis = started.elapsed().as_secs_f64() * 1_000.0;
    vec![
        version(&info, millis),
        role(&info),
        eviction(&info),
        persistence(&info),
        clock(store).await,
        scripts_and_pubsub(store).await,
    ]
}

fn version(info: &ServerInfo, millis: f64) -> Finding {
    let version = info.version.as_deref().unwrap_or("unknown");
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major < MIN_MAJOR_VERSION) {
        let message = format!("is version {version}; version {MIN_MAJOR_VERSION} or newer is required");
        return Subject::Redis.failure(message);
    }
    let valkey =
        info.valkey_version.as_ref().map(|version| format!(" (Valkey {version})")).unwrap_or_default();
    let message =
        format!("version {version}{valkey} answers; connecting and the first answer took {millis:.1} ms");
    Subject::Redis.ok(message)
}

fn role(info: &ServerInfo) -> Finding {
    if info.is_replica {
        return Subject::Redis.failure("is a read-only replica: REDIS_URL must name the master");
    }
    Subject::Redis.ok(format!("is a master, with {} replicas", info.replicas))
}

fn eviction(info: &ServerInfo) -> Finding {
    let policy = info.eviction_policy.as_deref().unwrap_or("unknown");
    match (policy, info.has_memory_limit) {
        ("noeviction", true) => Subject::Redis.ok("never evicts, and has a memory limit"),
        ("noeviction", false) => Subject::Redis.warning("has no memory limit: set maxmemory"),
        (policy, true) => Subject::Redis.failure(format!(
            "evicts ({policy}) at maxmemory, which loses state: set maxmemory-policy noeviction"
        )),
        (policy, false) => Subject::Redis
            .warning(format!("would evict ({policy}) with a memory limit: set maxmemory-policy noeviction")),
    }
}

fn persistence(info: &ServerInfo) -> Finding {
    if info.has_append_only_file {
        return Subject::Redis.ok("keeps an append-only file");
    }
    Subject::Redis.warning("keeps no append-only file: a restart loses all streams (set appendonly yes)")
}

async fn clock(store: &RedisStore) -> Finding {
    match store.now().await {
        Ok(time) => Subject::Redis.clock(time.as_millis() - chrono::Utc::now().timestamp_millis()),
        Err(error) => Subject::Redis.failure(format!("TIME fails: {error}")),
    }
}

async fn scripts_and_pubsub(store: &RedisStore) -> Finding {
    match store.test_pubsub().await {
        Ok(()) => Subject::Redis.ok("scripts run, and Pub/Sub delivers messages"),
        Err(PubSubError::Store(error)) => {
            Subject::Redis.failure(format!("a script or a subscription fails: {error}"))
        }
        Err(PubSubError::NotDelivered) => Subject::Redis.failure("Pub/Sub does not deliver messages"),
    }
}

/// Describes a failure by what to do about it, without the address or credentials.
pub(super) fn describe(failure: &Failure) -> String {
    match failure.kind {
        FailureKind::WrongPass => "refuses the user or the password of REDIS_URL".to_owned(),
        FailureKind::NoPerm => {
            format!("the ACL forbids a command that the service needs (docs/OPERATIONS.md): {failure}")
        }
        FailureKind::NoAuth => "requires a password: set it in REDIS_URL".to_owned(),
        FailureKind::Certificate => {
            "the TLS certificate is not signed by a trusted CA: set REDIS_CA_FILE".to_owned()
        }
        FailureKind::Timeout => "does not answer in time: are host and port of REDIS_URL right?".to_owned(),
        FailureKind::Refused => "no server listens at the address of REDIS_URL".to_owned(),
        FailureKind::Replica => "is a read-only replica: REDIS_URL must name the master".to_owned(),
        FailureKind::NoMaster => format!("no master is known: {failure}"),
        _ => format!("cannot be used: {failure}"),
    }
}

//! Support for all integration tests: real servers, instances, clients, and waits with a deadline.
#![allow(dead_code, unused_imports, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod app;
pub mod certificates;
pub mod cluster;
pub mod endpoint;
pub mod fault_proxy;
pub mod feed_client;
pub mod ffmpeg;
pub mod fold;
pub mod grpc;
pub mod history_faults;
pub mod instance;
pub mod livekit_workers;
pub mod nginx;
pub mod raw_http;
pub mod received_event;
pub mod recording;
pub mod reset_parts;
pub mod resp;
pub mod sentinel;
pub mod servers;
pub mod sse;
pub mod tokens;
pub mod webhook_proxy;

use std::{future::Future, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval};

/// Time limit of every wait. It is long because the machine may be busy; only a failing test waits this long.
pub const DEADLINE: Duration = Duration::from_secs(45);

/// Polls every 20 ms until the result is `Some`. Panics after [`DEADLINE`].
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, poll: impl FnMut() -> F) -> T {
    eventually_or_none(poll).await.unwrap_or_else(|| panic!("waited too long for {what}"))
}

/// As [`eventually`], but returns `None` after the deadline, for callers with their own failure message.
pub async fn eventually_or_none<T, F: Future<Output = Option<T>>>(mut poll: impl FnMut() -> F) -> Option<T> {
    let (end, mut tick) = (Instant::now() + DEADLINE, interval(Duration::from_millis(20)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        if let Some(value) = poll().await {
            return Some(value);
        }
        if Instant::now() >= end {
            return None;
        }
        tick.tick().await;
    }
}

/// Awaits a future. Panics after [`DEADLINE`].
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// Creates a log file in the folder `TEST_LOGS`, which scripts/test searches for tokens; `None` if it is not set.
pub fn create_log_file(name: &str) -> Option<std::fs::File> {
    let folder = std::env::var_os("TEST_LOGS")?;
    let path = std::path::Path::new(&folder).join(format!("{}.log", unique(name)));
    Some(std::fs::File::create(path).unwrap())
}

/// Writes the logs of instances in this process to a file if `TEST_LOGS` is set.
fn init_log() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        if let Some(file) = create_log_file("in-process") {
            let filter = tracing_subscriber::EnvFilter::new("warn,livestream_orchestrator=debug");
            tracing_subscriber::fmt().with_env_filter(filter).with_writer(file).json().init();
        }
    });
}

/// Installs the process's crypto provider, which reqwest requires even without TLS, and the log.
pub fn install_crypto_provider() {
    init_log();
    // Fails if another test of this process was first, which installed the same provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Returns a name that no other test has, for key prefixes, rooms and files.
pub fn unique(name: &str) -> String {
    format!("{name}-{}", uuid::Uuid::now_v7().simple())
}

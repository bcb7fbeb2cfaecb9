//! What all integration tests stand on: real servers of their own, and waiting for conditions with a deadline.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod app;
pub mod audience;
pub mod certificates;
pub mod cluster;
pub mod follower;
pub mod gate;
pub mod grpc;
pub mod instance;
pub mod nginx;
pub mod proxy;
pub mod raw;
pub mod sentinel;
pub mod servers;
pub mod sse;
pub mod tokens;

use std::{future::Future, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval};

/// How long anything may take that should happen at once. Long, because the machine may be busy; nobody waits for it
/// unless the test fails.
pub const DEADLINE: Duration = Duration::from_secs(45);

/// Asks again and again until there is an answer.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, ask: impl FnMut() -> F) -> T {
    eventually_or_none(ask).await.unwrap_or_else(|| panic!("waited too long for {what}"))
}

/// As [`eventually`], for callers who have more to say when there is none.
pub async fn eventually_or_none<T, F: Future<Output = Option<T>>>(mut ask: impl FnMut() -> F) -> Option<T> {
    let (end, mut tick) = (Instant::now() + DEADLINE, interval(Duration::from_millis(20)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        if let Some(answer) = ask().await {
            return Some(answer);
        }
        if Instant::now() >= end {
            return None;
        }
        tick.tick().await;
    }
}

/// Awaits something that must come within the deadline.
pub async fn within<T>(what: &str, answer: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, answer).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// Where everything that instances log goes, if scripts/test wants to look through it for tokens.
pub fn kept_logs(name: &str) -> Option<std::fs::File> {
    let folder = std::env::var_os("TEST_LOGS")?;
    let path = std::path::Path::new(&folder).join(format!("{}.log", unique(name)));
    Some(std::fs::File::create(path).unwrap())
}

/// Keeps what instances in this process log.
fn keep_log() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        if let Some(file) = kept_logs("in-process") {
            let filter = tracing_subscriber::EnvFilter::new("warn,livestream_orchestrator=debug");
            tracing_subscriber::fmt().with_env_filter(filter).with_writer(file).json().init();
        }
    });
}

/// The tests' own HTTP client wants a provider to be chosen, also where it speaks no TLS.
pub fn choose_crypto() {
    keep_log();
    // Chosen before by another test of this process: all choose the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A key prefix that no other test has.
pub fn unique(name: &str) -> String {
    format!("{name}-{}", uuid::Uuid::now_v7().simple())
}

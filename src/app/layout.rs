//! Check of `REDIS_PARTITIONS` and of the servers in `REDIS_URL` against those that the deployment was started with.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::{sleep, timeout};

use crate::{
    settings::Settings,
    store::redis::{Layout, RedisStore},
    telemetry::Metrics,
};

/// Time between two attempts while Redis does not answer.
const RETRY: Duration = Duration::from_secs(1);
/// Time that the start waits for Redis.
const START_TIMEOUT: Duration = Duration::from_secs(1);

/// Ends with an error if another layout is recorded, and never otherwise.
pub(super) type LayoutCheck = BoxFuture<'static, anyhow::Error>;

/// Begins the check. An instance starts while Redis does not answer, and the check then goes on.
///
/// # Errors
/// Another layout is recorded; an invalid Redis address or TLS file.
pub(super) async fn begin_check(settings: &Settings, metrics: &Arc<Metrics>) -> anyhow::Result<LayoutCheck> {
    let Some(redis) = &settings.redis else { return Ok(std::future::pending().boxed()) };
    let (partitioning, retention) = (redis.partitioning, settings.retention);
    let servers = RedisStore::of_servers(&redis.address, &redis.prefix, partitioning, retention, metrics);
    let mut check = first_mismatch(servers.context("REDIS_URL")?).boxed();
    match timeout(START_TIMEOUT, &mut check).await {
        Ok(Some(mismatch)) => bail!(mismatch),
        Ok(None) => Ok(std::future::pending().boxed()),
        Err(_) => Ok(finish(check).boxed()),
    }
}

async fn finish(check: BoxFuture<'static, Option<String>>) -> anyhow::Error {
    match check.await {
        Some(mismatch) => anyhow::Error::msg(mismatch),
        None => std::future::pending().await,
    }
}

async fn first_mismatch(servers: Vec<(RedisStore, Layout)>) -> Option<String> {
    let checks = servers.into_iter().map(|(store, wanted)| check_server(store, wanted));
    let mut checks: FuturesUnordered<_> = checks.collect();
    while let Some(checked) = checks.next().await {
        if checked.is_some() {
            return checked;
        }
    }
    None
}

/// Returns how the layout that a server has recorded differs from the wanted one, if it does.
async fn check_server(store: RedisStore, wanted: Layout) -> Option<String> {
    loop {
        match store.record_layout(wanted).await {
            Ok(recorded) => return wanted.difference(recorded),
            Err(error) => tracing::debug!(%error, "number of partitions not read; retrying"),
        }
        sleep(RETRY).await;
    }
}

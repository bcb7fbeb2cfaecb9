//! Check of `REDIS_PARTITIONS` and of the servers in `REDIS_URL` against those that the deployment was started with.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail};
use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, Future},
    stream::FuturesUnordered,
};
use tokio::time::{sleep, timeout};

use crate::{
    settings::Settings,
    store::{
        StoreError,
        redis::{Layout, RedisStore},
    },
    telemetry::Metrics,
};

/// Time between two attempts while Redis does not answer.
const RETRY: Duration = Duration::from_secs(1);
/// Time that the start waits for Redis.
const START_TIMEOUT: Duration = Duration::from_secs(1);

/// Ends with an error if the deployment is another one than the settings say, and never otherwise.
pub(super) type Refusal = BoxFuture<'static, anyhow::Error>;

/// Begins the check. An instance starts while Redis does not answer, and the check then goes on.
///
/// # Errors
/// Another layout is recorded; an invalid Redis address or TLS file.
pub(super) async fn begin_check(settings: &Settings, metrics: &Arc<Metrics>) -> anyhow::Result<Refusal> {
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

/// Records the layout once no server has another. Otherwise a wrong `REDIS_URL` would leave its record on a new server.
async fn first_mismatch(servers: Vec<(RedisStore, Layout)>) -> Option<String> {
    let read = |store: RedisStore, wanted| async move { store.layout_to_record(wanted).await };
    if let Some(mismatch) = first_of(&servers, read).await {
        return Some(mismatch);
    }
    first_of(&servers, |store, wanted| async move { store.record_layout(wanted).await }).await
}

/// Returns the first difference that a call to the servers finds.
async fn first_of<F>(
    servers: &[(RedisStore, Layout)],
    call: impl Fn(RedisStore, Layout) -> F,
) -> Option<String>
where
    F: Future<Output = Result<Layout, StoreError>>,
{
    let checks = servers.iter().map(|(store, wanted)| difference(store, *wanted, &call));
    let mut checks: FuturesUnordered<_> = checks.collect();
    while let Some(checked) = checks.next().await {
        if checked.is_some() {
            return checked;
        }
    }
    None
}

/// Returns how the layout of a server differs from the wanted one, if it does. Waits while the server does not answer.
async fn difference<F>(
    store: &RedisStore,
    wanted: Layout,
    call: impl Fn(RedisStore, Layout) -> F,
) -> Option<String>
where
    F: Future<Output = Result<Layout, StoreError>>,
{
    loop {
        match call(store.clone(), wanted).await {
            Ok(layout) => return wanted.difference(layout),
            Err(error) => tracing::debug!(%error, "layout of the deployment not read; retrying"),
        }
        sleep(RETRY).await;
    }
}

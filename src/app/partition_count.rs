//! Check of `REDIS_PARTITIONS` against the number that the deployment was started with.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail};
use futures_util::{FutureExt, future::BoxFuture};
use tokio::time::{sleep, timeout};

use crate::{settings::Settings, store::redis::RedisStore, telemetry::Metrics};

/// Time between two attempts while Redis does not answer.
const RETRY: Duration = Duration::from_secs(1);
/// Time that the start waits for Redis.
const START_TIMEOUT: Duration = Duration::from_secs(1);

/// Ends with an error if another number of partitions is recorded, and never otherwise.
pub(super) type PartitionCountCheck = BoxFuture<'static, anyhow::Error>;

/// Begins the check. An instance starts while Redis does not answer, and the check then goes on.
///
/// # Errors
/// Another number is recorded; an invalid Redis address or TLS file.
pub(super) async fn begin_check(
    settings: &Settings,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<PartitionCountCheck> {
    let Some(redis) = &settings.redis else { return Ok(std::future::pending().boxed()) };
    let (partitioning, retention) = (redis.partitioning, settings.retention);
    let store = RedisStore::new(&redis.address, &redis.prefix, retention, metrics.clone());
    let store = store.context("REDIS_URL")?;
    let mut check = async move {
        loop {
            match store.record_partitions(partitioning).await {
                Ok(recorded) if recorded != partitioning.count() => return Some(recorded),
                Ok(_) => return None,
                Err(error) => tracing::debug!(%error, "number of partitions not read; retrying"),
            }
            sleep(RETRY).await;
        }
    }
    .boxed();
    let wanted = partitioning.count();
    match timeout(START_TIMEOUT, &mut check).await {
        Ok(Some(recorded)) => bail!(mismatch(wanted, recorded)),
        Ok(None) => Ok(std::future::pending().boxed()),
        Err(_) => Ok(finish(check, wanted).boxed()),
    }
}

async fn finish(check: BoxFuture<'static, Option<u16>>, wanted: u16) -> anyhow::Error {
    match check.await {
        Some(recorded) => anyhow::Error::msg(mismatch(wanted, recorded)),
        None => std::future::pending().await,
    }
}

fn mismatch(wanted: u16, recorded: u16) -> String {
    format!(
        "REDIS_PARTITIONS is {wanted}, and the deployment with this REDIS_PREFIX has {recorded}: the number cannot be \
         changed; start a second deployment with another REDIS_PREFIX and end the streams of the first"
    )
}

//! Wires the history of an instance.

use std::{sync::Arc, time::Duration};

use anyhow::bail;
use futures_util::{FutureExt, future::pending};
use tokio::{runtime::Handle, sync::oneshot, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{layout::Refusal, stores::Stores};
use crate::{
    domain::Partitioning,
    history::{self, DatabaseAddress, History, HistoryError},
    settings::Settings,
    telemetry::Metrics,
};

/// Time that the start waits for the database.
const START_TIMEOUT: Duration = Duration::from_secs(2);

/// Starts the history if the settings name its database. An instance starts while the database does not answer, and
/// the check of its schema then goes on. The archivers run on the runtime of followers.
///
/// # Errors
/// The schema is newer, or another one.
pub(super) async fn start(
    settings: &Settings,
    stores: &Stores,
    metrics: &Arc<Metrics>,
    (tasks, runtime, shutdown): (&mut JoinSet<()>, &Handle, &CancellationToken),
) -> anyhow::Result<(Option<Arc<History>>, Refusal)> {
    let database = settings.database.as_ref().filter(|_| settings.jobs);
    let Some(address) = database else { return Ok((None, pending().boxed())) };
    let history = Arc::new(History::new(history::open(address), settings.history_retention, metrics.clone()));
    let is_prepared = prepare_at_start(&history, address, shutdown).await?;
    let (refusal, refused) = oneshot::channel();
    let partitioning = settings.redis.as_ref().map_or(Partitioning::SINGLE, |redis| redis.partitioning);
    let (running, partitions, shutdown) = (history.clone(), stores.followed.clone(), shutdown.clone());
    let archiving = async move {
        if !is_prepared {
            match running.prepare(&shutdown).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => return drop(refusal.send(error)),
            }
        }
        running.run(partitioning, partitions, shutdown).await;
    };
    tasks.spawn_on(archiving, runtime);
    Ok((Some(history), refusal_of(refused).boxed()))
}

/// Returns false if the database does not answer in time.
async fn prepare_at_start(
    history: &History,
    address: &DatabaseAddress,
    shutdown: &CancellationToken,
) -> anyhow::Result<bool> {
    match timeout(START_TIMEOUT, history.prepare(shutdown)).await {
        Ok(Ok(is_prepared)) => Ok(is_prepared),
        Ok(Err(error)) => bail!("DATABASE_URL: {error}"),
        Err(_) => {
            tracing::warn!(?address, "the database does not answer: its history begins when it does");
            Ok(false)
        }
    }
}

async fn refusal_of(refused: oneshot::Receiver<HistoryError>) -> anyhow::Error {
    match refused.await {
        Ok(error) => anyhow::Error::new(error).context("DATABASE_URL"),
        // The schema is accepted, or the instance stops.
        Err(_) => pending().await,
    }
}

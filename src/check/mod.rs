//! Commands `check` and `healthcheck`.
//!
//! `check` examines Redis, LiveKit with its programs for ingresses and egresses, the database of the history and the
//! webhook endpoints with the settings of this process. The store, the rooms, the media jobs, the history and the
//! client of endpoints return what they measure as typed results. The modules here rate these results and say what to
//! do about them.

mod database;
mod endpoints;
mod finding;
mod healthcheck;
mod livekit;
mod media;
mod partitions;
mod redis;
mod webhooks;

use std::sync::Arc;

use anyhow::{Context, anyhow};
use uuid::Uuid;

use self::{finding::Subject, webhooks::TemporaryInstance};
pub use self::{
    finding::{Finding, Severity},
    healthcheck::healthcheck,
};
use crate::{
    domain::RoomName,
    media::livekit::LiveKitMedia,
    orchestrator::{CHECK_ROOM, WebhookProbe},
    rooms::{Rooms, livekit::LiveKitRooms},
    settings::Settings,
    store::{PartitionedStore, redis::RedisStore},
    telemetry::Metrics,
};

/// Examines Redis, the database of the history, LiveKit and the webhook endpoints, and passes each finding to `report`
/// as soon as it exists. Returns the worst severity.
///
/// Creates a room and ingresses at LiveKit and deletes them. Sends a test to each webhook endpoint. With `webhooks`,
/// also waits for a webhook about the room.
///
/// # Errors
/// Only an internal error: a failure of Redis, the database or LiveKit is a finding.
pub async fn check(
    settings: &Settings,
    webhooks: bool,
    report: impl FnMut(&Finding),
) -> anyhow::Result<Severity> {
    let mut report = Report { emit: report, worst: Severity::Ok };
    let metrics = Arc::new(Metrics::new().context("metrics")?);
    let room = RoomName::parse(format!("{CHECK_ROOM}{}", Uuid::now_v7()));
    let room = room.map_err(|_| anyhow!("the name of the test room is invalid"))?;
    let store = examine_redis(settings, &metrics, &mut report).await;
    let probe = store.as_ref().map(|store| WebhookProbe::new(store.clone(), room.clone()));
    if let Some(address) = &settings.database {
        report.add(database::examine(address).await);
    }
    // Started before LiveKit creates the room, because creating it sends the webhook.
    let instance = match &probe {
        Some(_) if webhooks => TemporaryInstance::start(settings).await,
        _ => None,
    };
    let rooms = LiveKitRooms::new(&settings.livekit.url, settings.livekit.key.clone(), metrics.clone());
    if report.add(livekit::examine(&rooms, &room).await) {
        if webhooks {
            report.add([match &probe {
                Some(probe) => webhooks::await_webhook(probe, instance.is_some()).await,
                None => Subject::Webhooks.warning("cannot be checked without Redis"),
            }]);
        }
        let media = LiveKitMedia::new(&settings.livekit.url, &settings.livekit.key, None, metrics);
        report.add(media::examine(&media, &room, &settings.egress).await);
    }
    if let Err(error) = rooms.delete(&room).await {
        tracing::debug!(%error, "the test room is not deleted; LiveKit closes it when its timeout ends");
    }
    if let Some(instance) = instance {
        instance.stop().await;
    }
    report.add(endpoints::examine(&settings.webhooks, store).await);
    Ok(report.worst)
}

/// Examines Redis over stores that only `check` uses. Returns the store if Redis is usable.
async fn examine_redis(
    settings: &Settings,
    metrics: &Arc<Metrics>,
    report: &mut Report<impl FnMut(&Finding)>,
) -> Option<Arc<PartitionedStore<RedisStore>>> {
    let Some(redis) = &settings.redis else {
        report.add([Subject::Redis.warning("is not used: --dev keeps state in memory")]);
        return None;
    };
    let (address, prefix, partitioning) = (&redis.address, &redis.prefix, redis.partitioning);
    let partitions = RedisStore::partitions(address, prefix, partitioning, settings.retention, metrics);
    let servers = RedisStore::of_servers(address, prefix, partitioning, settings.retention, metrics);
    let (partitions, servers) = match partitions.and_then(|partitions| Ok((partitions, servers?))) {
        Ok(stores) => stores,
        Err(error) => {
            report.add([Subject::Redis.failure(format!("cannot be addressed: {error}"))]);
            return None;
        }
    };
    let map = partitions::map(&partitions).await;
    let mut is_usable = report.add(map.findings);
    for (master, partition) in map.masters {
        let findings = redis::examine(&partitions[partition]).await;
        is_usable &= report.add(findings.into_iter().map(|finding| finding.about(master.as_deref())));
    }
    is_usable &= report.add(partitions::layout(&servers).await);
    let store = PartitionedStore::new(partitioning, partitions);
    is_usable.then(|| Arc::new(store))
}

/// Emits findings and keeps the worst severity.
struct Report<F> {
    emit: F,
    worst: Severity,
}

impl<F: FnMut(&Finding)> Report<F> {
    /// Emits findings; returns false if one of them is a failure.
    fn add(&mut self, findings: impl IntoIterator<Item = Finding>) -> bool {
        let mut is_usable = true;
        for finding in findings {
            (self.emit)(&finding);
            self.worst = self.worst.max(finding.severity);
            is_usable &= finding.severity != Severity::Failure;
        }
        is_usable
    }
}

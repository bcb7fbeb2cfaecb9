//! Commands `check` and `healthcheck`.
//!
//! `check` examines Redis and LiveKit with the settings of this process. The store and the rooms return what they
//! measure as typed results. The modules here judge these results and say what to do about them.

mod finding;
mod healthcheck;
mod livekit;
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
    orchestrator::{CHECK_ROOM, WebhookProbe},
    rooms::{Rooms, livekit::LiveKitRooms},
    settings::Settings,
    store::{PartitionedStore, redis::RedisStore},
    telemetry::Metrics,
};

/// Examines Redis and LiveKit, and passes each finding to `report` as soon as it exists. Returns the worst severity.
///
/// Creates a room at LiveKit and deletes it. With `webhooks`, also waits for a webhook about this room.
///
/// # Errors
/// Only an internal error: a failure of Redis or LiveKit is a finding.
pub async fn check(
    settings: &Settings,
    webhooks: bool,
    report: impl FnMut(&Finding),
) -> anyhow::Result<Severity> {
    let mut report = Report { emit: report, worst: Severity::Ok };
    let metrics = Arc::new(Metrics::new().context("metrics")?);
    let room = RoomName::parse(format!("{CHECK_ROOM}{}", Uuid::now_v7()));
    let room = room.map_err(|_| anyhow!("the name of the test room is invalid"))?;
    let probe = examine_redis(settings, &room, &metrics, &mut report).await;
    // Started before LiveKit creates the room, because creating it sends the webhook.
    let instance = match &probe {
        Some(_) if webhooks => TemporaryInstance::start(settings).await,
        _ => None,
    };
    let rooms = LiveKitRooms::new(&settings.livekit.url, settings.livekit.key.clone(), metrics);
    if report.add(livekit::examine(&rooms, &room).await) && webhooks {
        report.add([match &probe {
            Some(probe) => webhooks::await_webhook(probe, instance.is_some()).await,
            None => Subject::Webhooks.warning("cannot be checked without Redis"),
        }]);
    }
    if let Err(error) = rooms.delete(&room).await {
        tracing::debug!(%error, "the test room is not deleted; LiveKit closes it when its timeout ends");
    }
    if let Some(instance) = instance {
        instance.stop().await;
    }
    Ok(report.worst)
}

/// Examines Redis over stores that only this function uses. Returns the probe of webhooks about `room` if Redis is
/// usable.
async fn examine_redis(
    settings: &Settings,
    room: &RoomName,
    metrics: &Arc<Metrics>,
    report: &mut Report<impl FnMut(&Finding)>,
) -> Option<WebhookProbe> {
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
    is_usable.then(|| WebhookProbe::new(Arc::new(store), room.clone()))
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

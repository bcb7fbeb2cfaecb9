//! Endpoints that were away for longer than the logs, in a deployment with a history.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use futures_util::future::join_all;
use livestream_orchestrator::{
    domain::{Change, Partition, Partitioning, StreamId, StreamRef, Topic},
    history::{History, HistoryStore, Log, open},
    store::CreateOutcome,
    telemetry::Metrics,
};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{
    SMALL_LOGS,
    fixture::{Fixture, RunningSender},
};
use crate::{
    backend::{Backend, new_stream},
    history_databases::{Database, on_both_databases},
    support::eventually,
};

on_both_databases!(
    endpoint_that_was_away_for_75_hours_gets_everything_in_order,
    endpoint_of_partitions_that_was_away_for_75_hours_gets_everything_in_order,
);

/// Changes of a stream in one part of the absence: less than the logs hold, while the parts together are more.
const CHANGES: usize = 80;
/// Parts of the absence.
const PARTS: usize = 5;

async fn endpoint_that_was_away_for_75_hours_gets_everything_in_order(database: Database) {
    assert_everything_is_delivered_after_75_hours(database, 1).await;
}

async fn endpoint_of_partitions_that_was_away_for_75_hours_gets_everything_in_order(database: Database) {
    assert_everything_is_delivered_after_75_hours(database, 4).await;
}

/// A deployment with one endpoint, and an archiver.
struct Deployment {
    fixture: Fixture,
    partitioning: Partitioning,
    store: Arc<dyn HistoryStore>,
    stop: CancellationToken,
    archiving: JoinHandle<()>,
    /// The events of all partitions, by stream and number.
    expected: BTreeMap<String, BTreeMap<u64, Value>>,
}

impl Deployment {
    async fn start(database: &Database, partitions: u16) -> Self {
        crate::support::install_crypto_provider();
        let partitioning = Partitioning::new(partitions).unwrap();
        let mut fixture = Fixture::start_partitioned(SMALL_LOGS, 500, partitioning).await;
        let history = History::new(open(&database.address), None, Arc::new(Metrics::new().unwrap()));
        let stop = CancellationToken::new();
        assert!(history.prepare(&stop).await.unwrap());
        let history = Arc::new(history);
        fixture.past = Some(history.clone());
        let followed = fixture.backends.iter().map(|backend| backend.followed[0].clone()).collect();
        let stopped = stop.clone();
        let archiving = tokio::spawn(async move { history.run(partitioning, followed, stopped).await });
        let store = database.store.clone();
        Self { fixture, partitioning, store, stop, archiving, expected: BTreeMap::new() }
    }

    fn partitions(&self) -> Vec<(Partition, Backend)> {
        self.partitioning.all().zip(self.fixture.backends.clone()).collect()
    }

    fn start_senders(&self) -> Vec<RunningSender> {
        let start = |number| self.fixture.start_sender(self.partitioning, number);
        self.partitioning.all().map(start).collect()
    }

    /// Creates a stream in each partition.
    async fn create(&mut self, room: &str) -> Vec<StreamRef> {
        let mut streams = Vec::new();
        for (number, backend) in self.partitions() {
            let mut new = new_stream(room);
            new.id = self.partitioning.move_to(new.id, number);
            let CreateOutcome::Created(stream) = backend.store.create(new).await.unwrap() else { panic!() };
            self.record(&backend, stream.id).await;
            streams.push(stream.reference());
            backend.change(&streams[streams.len() - 1], Change::Activate { room_sid: "RM_1".into() }).await;
            self.record(&backend, stream.id).await;
        }
        streams
    }

    /// Changes a stream of each partition, from the `from`th change on.
    async fn change(&mut self, streams: &[StreamRef], from: usize) {
        for (stream, (_, backend)) in streams.iter().zip(self.partitions()) {
            for n in from..from + CHANGES {
                Fixture::change_in(&backend, stream, n).await;
                self.record(&backend, stream.id).await;
            }
        }
    }

    async fn stop_streams(&mut self, streams: &[StreamRef]) {
        for (stream, (_, backend)) in streams.iter().zip(self.partitions()) {
            backend.stop(stream).await;
            self.record(&backend, stream.id).await;
        }
    }

    /// Records the newest events of a stream, which its log has yet.
    async fn record(&mut self, backend: &Backend, id: StreamId) {
        for event in backend.newest(Topic::Stream(id), 2).await {
            let json = serde_json::to_value(&*event).unwrap();
            self.expected.entry(id.to_string()).or_default().insert(event.seq(), json);
        }
    }

    /// Waits until every event is stored.
    async fn await_stored(&self) {
        for (number, backend) in self.partitions() {
            let newest = backend.followed[0].position_at(None).await.unwrap();
            eventually("the history", || async {
                let stored = self.store.position(number, Log::Events).await.unwrap();
                (stored == Some(newest)).then_some(())
            })
            .await;
        }
    }

    /// Waits until every recorded event is delivered after the first `skipped` deliveries; returns the events in the
    /// order of their deliveries.
    async fn delivered(&self, skipped: usize) -> BTreeMap<String, Vec<Value>> {
        let expected: usize = self.expected.values().map(BTreeMap::len).sum();
        eventually("the deliveries", || async {
            let bodies = self.fixture.client.bodies();
            assert!(bodies.iter().all(|body| body["type"] != "reset"), "nothing is lost");
            (bodies.len() - skipped >= expected).then_some(())
        })
        .await;
        let mut delivered: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for body in self.fixture.client.bodies().split_off(skipped) {
            delivered.entry(body["streamId"].as_str().unwrap().to_owned()).or_default().push(body);
        }
        delivered
    }

    async fn assert_delivered(&self, skipped: usize) {
        for (id, events) in self.delivered(skipped).await {
            let numbers =
                |events: &[Value]| events.iter().map(|event| event["seq"].clone()).collect::<Vec<_>>();
            let expected: Vec<_> = self.expected[&id].values().cloned().collect();
            assert_eq!(numbers(&events), numbers(&expected), "once and in order");
            assert_eq!(events, expected);
        }
    }
}

/// The endpoint fails at first, and its streams wait. Later nothing is attempted for 75 hours, in which the logs lose
/// events of streams that wait, of others, and of streams that have ended.
async fn assert_everything_is_delivered_after_75_hours(database: Database, partitions: u16) {
    let mut deployment = Deployment::start(&database, partitions).await;
    let senders = deployment.start_senders();
    for backend in &deployment.fixture.backends {
        let id = deployment.fixture.endpoint.id.to_string();
        eventually("a position", || async { backend.followed[0].follower(&id).await.unwrap() }).await;
    }
    let busy = deployment.create("busy").await;
    let waiting = deployment.fixture.backends.len();
    eventually("the failed attempts", || async {
        (deployment.fixture.client.bodies().len() >= waiting).then_some(())
    })
    .await;
    join_all(senders.into_iter().map(RunningSender::stop)).await;
    deployment.await_stored().await;
    for part in 0..PARTS {
        let ended = deployment.create(&format!("ended-{part}")).await;
        deployment.change(&busy, part * CHANGES + 1).await;
        deployment.stop_streams(&ended).await;
        deployment.await_stored().await;
        deployment.fixture.advance(75 * 3_600 / i64::try_from(PARTS).unwrap());
    }
    let failed = deployment.fixture.client.bodies().len();
    deployment.fixture.client.status.store(200, Ordering::Relaxed);
    let senders = deployment.start_senders();
    deployment.assert_delivered(failed).await;
    // The logs have what follows.
    deployment.change(&busy, PARTS * CHANGES + 1).await;
    deployment.assert_delivered(failed).await;
    join_all(senders.into_iter().map(RunningSender::stop)).await;
    deployment.stop.cancel();
    deployment.archiving.await.unwrap();
}

//! Faults of a real Redis and of the network to it, under load: every client receives every event once and in order.
//!
//! Each fault runs twice. In the second run, gaps of the feed are not repaired from the log. The clients must see a
//! loss then, which proves that the first run would have detected one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::{
    delivery_fixture::{DeliveryFixture, Load, newest_position},
    support::{
        app::{Setup, TestApp},
        fault_proxy::FaultProxy,
        recording::{DeliveryReport, RecordedMessage, Recording, RecordingClient, SharedUrl},
        servers::{Redis, shared_livekit},
    },
};

/// Index of the instance that reaches Redis directly and makes the changes.
const DIRECT: usize = 0;
/// Index of the instance that reaches Redis through the proxy.
const PROXIED: usize = 1;

/// Two instances, one of which reaches Redis through a proxy, with clients on both.
struct FaultFixture {
    redis: Redis,
    proxy: FaultProxy,
    delivery: DeliveryFixture,
}

impl FaultFixture {
    async fn start(redis: Redis, repair: bool) -> Self {
        let proxy = FaultProxy::start(redis.port).await;
        let mut setup = Setup::new(&redis.url(), shared_livekit());
        setup.repair = repair;
        let proxied = setup.clone().with(|arguments| arguments.redis_url = Some(proxy.url().into()));
        let apps = [setup.start().await, proxied.start().await];
        let prefix = setup.arguments.redis_prefix.as_deref().unwrap();
        let delivery = DeliveryFixture::start_with(apps, prefix, &SharedUrl::new(redis.url().into())).await;
        Self { redis, proxy, delivery }
    }

    fn direct(&self) -> &TestApp {
        &self.delivery.apps[DIRECT]
    }

    fn proxied(&self) -> &TestApp {
        &self.delivery.apps[PROXIED]
    }

    fn start_load(&self) -> Load {
        self.delivery.start_load_through(&[DIRECT])
    }

    async fn delivery_report(&mut self) -> DeliveryReport {
        self.delivery.delivery_report_without_reset_check().await
    }

    async fn kill_connections(&self, kind: &str) {
        self.redis.execute(&["CLIENT", "KILL", "TYPE", kind]).await.unwrap();
    }

    /// Replaces Redis by an empty one, after some changes.
    async fn lose_data(&mut self) {
        let load = self.start_load();
        load.wait_for_changes(40).await;
        load.stop().await;
        self.redis.kill();
        self.redis.restart();
    }

    /// Continues with the clients of all streams and one new stream, because the old streams no longer exist.
    async fn continue_with_new_stream(&mut self) {
        let created = self.direct().send_when_available(Method::POST, "/streams", json!({})).await;
        let stream = created.expect(StatusCode::CREATED);
        self.delivery.streams = vec![stream["id"].as_str().unwrap().to_owned()];
        self.delivery.clients.retain(|client| client.stream.is_none());
    }
}

async fn run_with_and_without_repair(
    redis: impl Fn() -> Redis,
    fault: impl AsyncFn(&mut FaultFixture, &Load),
) {
    for repair in [true, false] {
        let mut fixture = FaultFixture::start(redis(), repair).await;
        let load = fixture.start_load();
        load.wait_for_changes(20).await;
        fault(&mut fixture, &load).await;
        load.wait_for_changes(20).await;
        load.stop().await;
        let report = fixture.delivery_report().await;
        assert!(report.received > 0);
        if repair {
            assert!(report.is_exactly_once(), "{report:?}");
        } else {
            assert!(report.lost > 0, "without repair the clients must see a loss: {report:?}");
        }
    }
}

#[tokio::test]
async fn repeatedly_killed_subscription_loses_no_event() {
    run_with_and_without_repair(Redis::start, async |fixture, load| {
        for _ in 0..15 {
            fixture.kill_connections("pubsub").await;
            load.wait_for_changes(10).await;
        }
    })
    .await;
}

#[tokio::test]
async fn killed_redis_connections_lose_no_event() {
    run_with_and_without_repair(Redis::start, async |fixture, load| {
        for _ in 0..5 {
            fixture.kill_connections("pubsub").await;
            fixture.kill_connections("normal").await;
            load.wait_for_changes(20).await;
        }
    })
    .await;
}

#[tokio::test]
async fn restarted_durable_redis_loses_no_event() {
    run_with_and_without_repair(Redis::start_durable, async |fixture, load| {
        for _ in 0..3 {
            fixture.redis.kill();
            fixture.proxied().wait_until_ready(false).await;
            // Changes are made before the proxied instance has its subscription back.
            fixture.proxy.silence_subscriptions(true);
            fixture.redis.restart();
            load.wait_for_changes(30).await;
            fixture.proxy.silence_subscriptions(false);
            fixture.proxied().wait_until_ready(true).await;
        }
    })
    .await;
}

#[tokio::test]
async fn silent_subscription_loses_no_event() {
    run_with_and_without_repair(Redis::start, async |fixture, load| {
        fixture.proxy.silence_subscriptions(true);
        load.wait_for_changes(100).await;
        fixture.proxied().wait_until_ready(false).await;
        fixture.proxy.silence_subscriptions(false);
        fixture.proxied().wait_until_ready(true).await;
    })
    .await;
}

#[tokio::test]
async fn dropped_pubsub_messages_are_repaired_from_log() {
    run_with_and_without_repair(Redis::start, async |fixture, load| {
        fixture.proxy.drop_messages(30);
        load.wait_for_changes(300).await;
        fixture.proxy.drop_messages(0);
        assert!(fixture.proxy.dropped_messages() > 100);
    })
    .await;
}

#[tokio::test]
async fn delayed_pubsub_messages_are_delivered_once() {
    let mut fixture = FaultFixture::start(Redis::start(), true).await;
    let load = fixture.start_load();
    fixture.proxy.delay(Duration::from_millis(300));
    load.wait_for_changes(100).await;
    fixture.proxy.delay(Duration::ZERO);
    load.wait_for_changes(20).await;
    load.stop().await;
    let report = fixture.delivery_report().await;
    assert!(report.is_exactly_once(), "{report:?}");
}

/// No later event reveals the gap, so only a comparison with the log's tail can find it.
#[tokio::test]
async fn dropped_last_message_is_found_by_comparing_log_tails() {
    for repair in [true, false] {
        let mut fixture = FaultFixture::start(Redis::start(), repair).await;
        fixture.proxy.drop_messages(100);
        let stream = fixture.delivery.streams[0].clone();
        let patch = json!({"metadata": {"quiet": true}});
        fixture.direct().patch(&format!("/streams/{stream}"), patch).await.expect(StatusCode::OK);
        let newest = newest_position(fixture.direct(), &stream).await;
        let receives =
            |client: &&mut RecordingClient| client.stream.as_ref().is_none_or(|topic| *topic == stream);
        if repair {
            for client in fixture.delivery.clients.iter_mut().filter(receives) {
                let has_newest = |recording: &Recording| recording.last_position() == Some(newest);
                client.wait_for("the dropped change", has_newest).await;
            }
        }
        fixture.proxy.drop_messages(0);
        let report = fixture.delivery_report().await;
        assert_eq!(report.is_exactly_once(), repair, "{report:?}");
        assert_eq!(report.lost > 0, !repair, "{report:?}");
    }
}

#[tokio::test]
async fn redis_without_its_data_resets_each_client_once() {
    let mut fixture = FaultFixture::start(Redis::start(), true).await;
    fixture.lose_data().await;
    for client in &mut fixture.delivery.clients {
        let is_reset = |message: &RecordedMessage| matches!(message, RecordedMessage::Reset { .. });
        client.wait_for("a reset", |recording| recording.messages.iter().any(is_reset)).await;
        if client.stream.is_some() {
            client.wait_for("the end of a deleted stream", |recording| recording.complete).await;
        }
    }
    fixture.continue_with_new_stream().await;
    let report = fixture.delivery_report().await;
    assert_eq!((report.lost, report.duplicates, report.out_of_order), (0, 0, 0), "{report:?}");
    assert_eq!(report.resets.values().sum::<usize>(), fixture.delivery.clients.len(), "{report:?}");
}

/// Control run of the test above.
#[tokio::test]
async fn redis_without_its_data_resets_no_client_if_repair_is_off() {
    let mut fixture = FaultFixture::start(Redis::start(), false).await;
    fixture.lose_data().await;
    fixture.delivery.wait_until_ready(true).await;
    fixture.continue_with_new_stream().await;
    let report = fixture.delivery_report().await;
    assert!(report.resets.is_empty(), "{report:?}");
}

//! The delivering instance dies: another one continues.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::{create_endpoint, first_seqs};
use crate::support::{
    app::Setup,
    endpoint::{Received, TestEndpoint},
    instance::Instance,
    servers::{shared_livekit, shared_redis},
    unique,
};

/// Streams that change at the same time.
const STREAMS: usize = 4;
/// Changes of each stream.
const CHANGES: usize = 60;
/// Time within which another instance must continue.
const TAKEOVER: Duration = Duration::from_secs(30);

#[tokio::test]
async fn killed_instance_loses_no_event_and_keeps_the_order_of_first_deliveries() {
    let prefix = unique("takeover");
    let mut victim =
        Instance::new(shared_redis(), shared_livekit(), &prefix).with("WEBHOOK_ALLOW_PRIVATE", "true");
    victim.start().await;
    let receiver = TestEndpoint::start().await;
    let survivor = Setup::new(shared_redis(), shared_livekit())
        .with(|arguments| {
            arguments.redis_prefix = Some(prefix.clone());
            arguments.webhook_allow_private = Some("true".to_owned());
        })
        .start()
        .await;
    create_endpoint(&survivor, json!({"url": receiver.url})).await;
    // The victim started first, so it delivers.
    super::change_stream(&survivor, 0).await;
    receiver.wait_for("a delivery by the victim", |received| !received.is_empty()).await;
    let changes = (0..STREAMS).map(|_| super::change_stream(&survivor, CHANGES));
    let (streams, killed_at) = tokio::join!(futures_util::future::join_all(changes), async {
        receiver.wait_for("deliveries before the death", |received| received.len() > 30).await;
        victim.kill();
        Instant::now()
    });
    let expected: Vec<_> = (1..=CHANGES as u64 + 2).collect();
    let has_all =
        |received: &[Received]| streams.iter().all(|id| first_seqs(received, id).len() == expected.len());
    let received = receiver.wait_for("every event", has_all).await;
    for id in &streams {
        assert_eq!(first_seqs(&received, id), expected);
    }
    let later = received.iter().map(|one| one.at).filter(|at| *at > killed_at + TAKEOVER);
    assert_eq!(later.count(), 0, "the contract's time for a takeover");
    survivor.stop().await;
}

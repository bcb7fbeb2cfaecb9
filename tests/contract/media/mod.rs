//! Contract of every backend of media jobs: a real LiveKit server with Redis and the simulation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod egresses;

use std::sync::Arc;

use livekit_api::services::room::{CreateRoomOptions, RoomClient};
use livestream_orchestrator::{
    access::token::ApiKey,
    domain::{
        DisplayName, Identity, IngressKind, IngressStatus, JobId, JobMark, RoomName, StreamId,
        ingress::StateTime,
    },
    media::{MediaError, MediaJobs, NewIngress, Storage, livekit::LiveKitMedia, simulated::SimulatedMedia},
    telemetry::Metrics,
};
use secrecy::ExposeSecret;

use crate::support::{
    servers::{KEY, SECRET, free_port, shared_livekit, shared_livekit_with_redis},
    unique,
};

fn livekit(url: &str, secret: &str) -> Arc<dyn MediaJobs> {
    livekit_with_storage(url, secret, None)
}

fn livekit_with_storage(url: &str, secret: &str, storage: Option<Storage>) -> Arc<dyn MediaJobs> {
    let key = ApiKey { key: KEY.to_owned(), secret: secret.into() };
    Arc::new(LiveKitMedia::new(&url.parse().unwrap(), &key, storage, Arc::new(Metrics::new().unwrap())))
}

/// Creates a room, which egresses need.
async fn create_room(url: &str, room: &RoomName) {
    let client = RoomClient::with_api_key(url, KEY, SECRET);
    client.create_room(room.as_str(), CreateRoomOptions::default()).await.unwrap();
}

macro_rules! suite {
    ($($test:ident),* $(,)?) => {
        mod simulated {
            $(#[tokio::test]
            async fn $test() {
                super::$test(std::sync::Arc::new(super::SimulatedMedia::default())).await;
            })*
        }
        mod livekit {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::livekit(super::shared_livekit_with_redis(), super::SECRET)).await;
            })*
        }
    };
}

suite!(
    created_ingress_is_listed_with_its_mark_and_key,
    missing_ingress_is_deleted_without_error,
    each_ingress_has_its_own_key,
);

fn new(kind: IngressKind) -> NewIngress {
    NewIngress {
        kind,
        room: RoomName::parse(unique("room é")).unwrap(),
        identity: Identity::parse("obs \u{1F600}").unwrap(),
        name: Some(DisplayName::parse("Studio").unwrap()),
        source: None,
        mark: JobMark { stream: StreamId::generate(), job: JobId::generate() },
    }
}

async fn created_ingress_is_listed_with_its_mark_and_key(media: Arc<dyn MediaJobs>) {
    for kind in [IngressKind::Rtmp, IngressKind::Whip] {
        let new = new(kind);
        let created = media.create_ingress(&new).await.unwrap();
        let key = created.stream_key.as_ref().unwrap().expose_secret();
        assert!(!key.is_empty() && created.report.url.is_some());
        let report = &created.report;
        assert_eq!((report.kind, report.mark, &report.identity), (kind, Some(new.mark), &new.identity));
        assert_eq!((&report.name, report.state.status), (&new.name, IngressStatus::Inactive));
        assert_eq!(report.state.time, StateTime::default());
        assert_eq!(created.room, new.room.as_str());
        let found = media.ingress(&report.id).await.unwrap().unwrap();
        let listed = media.ingresses(Some(&new.room)).await.unwrap();
        assert_eq!(listed.len(), 1);
        for one in [&found, &listed[0]] {
            assert_eq!((&one.report, &one.room), (report, &created.room));
            assert_eq!(one.stream_key.as_ref().unwrap().expose_secret(), key);
        }
        assert!(media.ingresses(None).await.unwrap().iter().any(|one| one.report.id == report.id));
        media.delete_ingress(&report.id).await.unwrap();
        assert!(media.ingress(&report.id).await.unwrap().is_none());
        assert!(media.ingresses(Some(&new.room)).await.unwrap().is_empty());
    }
}

async fn missing_ingress_is_deleted_without_error(media: Arc<dyn MediaJobs>) {
    media.delete_ingress(&"IN_absent".into()).await.unwrap();
    assert!(media.ingress(&"IN_absent".into()).await.unwrap().is_none());
}

async fn each_ingress_has_its_own_key(media: Arc<dyn MediaJobs>) {
    let new = new(IngressKind::Rtmp);
    let key = async || {
        let created = media.create_ingress(&new).await.unwrap();
        (created.report.id, created.stream_key.unwrap().expose_secret().to_owned())
    };
    let (one, other) = (key().await, key().await);
    assert!(one.0 != other.0 && one.1 != other.1);
}

#[tokio::test]
async fn livekit_without_redis_or_without_worker_is_distinct_from_a_refusal() {
    let without_redis = livekit(shared_livekit(), SECRET);
    let failed = without_redis.create_ingress(&new(IngressKind::Rtmp)).await.unwrap_err();
    assert!(matches!(failed, MediaError::Unsupported), "{failed}");
    assert!(matches!(without_redis.ingresses(None).await, Err(MediaError::Unsupported)));

    let without_worker = livekit(shared_livekit_with_redis(), SECRET);
    let source = Some("https://bob:hidden-password@a.example/one.m3u8".into());
    let pull = NewIngress { source, ..new(IngressKind::Url) };
    let failed = without_worker.create_ingress(&pull).await.unwrap_err();
    assert!(matches!(failed, MediaError::Unavailable(_)), "{failed}");
    assert!(!failed.to_string().contains("hidden-password"));

    let away = livekit(&format!("ws://127.0.0.1:{}", free_port()), SECRET);
    assert!(matches!(away.ingresses(None).await, Err(MediaError::Unavailable(_))));
    let wrong_secret = livekit(shared_livekit_with_redis(), "not the secret");
    assert!(matches!(wrong_secret.ingresses(None).await, Err(MediaError::Refused(_))));
}

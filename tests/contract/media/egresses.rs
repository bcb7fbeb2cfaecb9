//! Contract of the egresses of every backend: a real LiveKit server with scripted workers and the simulation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use livestream_orchestrator::{
    domain::{
        EgressKind, EgressPreset, EgressSource, EgressStatus, HlsOutput, Identity, MediaPath, RoomName,
        RtmpAddress, StoragePrefix, TargetStatus,
    },
    media::{
        ListedEgress, MediaError, MediaJobs, NewEgress, Storage, StorageBackend, TargetChange,
        simulated::SimulatedMedia,
    },
};
use serde_json::{Value, json};

use super::{create_room, livekit_with_storage};
use crate::support::{
    eventually,
    livekit_workers::LiveKitWorkers,
    servers::{LiveKit, Redis, SECRET, free_port, shared_livekit, shared_livekit_with_redis},
    unique,
};

/// A backend, and a room in it.
struct Backend {
    media: Arc<dyn MediaJobs>,
    room: RoomName,
    /// Servers of a real LiveKit.
    livekit: Option<(LiveKitWorkers, LiveKit, Redis)>,
}

impl Backend {
    fn simulated() -> Self {
        let room = RoomName::parse("room").unwrap();
        Self { media: Arc::new(SimulatedMedia::default()), room, livekit: None }
    }

    async fn livekit() -> Self {
        let redis = Redis::start();
        let livekit = LiveKit::start_with_redis(None, &redis, free_port());
        let workers = LiveKitWorkers::start(&livekit, &redis);
        let room = RoomName::parse(unique("room é")).unwrap();
        create_room(&livekit.url(), &room).await;
        let media = livekit_with_storage(&livekit.url(), SECRET, Some(storage()));
        Self { media, room, livekit: Some((workers, livekit, redis)) }
    }

    fn new_egress(&self) -> NewEgress {
        NewEgress {
            room: self.room.clone(),
            source: EgressSource::Room(None),
            audio_only: false,
            preset: None,
            file: None,
            hls: None,
            rtmp: Vec::new(),
        }
    }

    async fn wait_for(&self, egress: &ListedEgress, status: EgressStatus) -> ListedEgress {
        eventually("a state of an egress", || async {
            let found = self.media.egress(&egress.report.id).await.unwrap().unwrap();
            (found.report.state.status == status).then_some(found)
        })
        .await
    }
}

fn storage() -> Storage {
    let credentials = Some(("hidden-access-key".to_owned(), "hidden-secret".into()));
    let (bucket, endpoint) = ("bucket".to_owned(), Some("http://store.invalid".to_owned()));
    let backend = StorageBackend::S3 { bucket, endpoint, region: None, credentials };
    Storage { backend, prefix: StoragePrefix::of("a folder") }
}

fn path(text: &str) -> MediaPath {
    MediaPath::reported(text.to_owned())
}

fn target(key: &str) -> RtmpAddress {
    RtmpAddress::parse(format!("rtmp://hidden-user@a.example/live/{key}")).unwrap()
}

fn hls() -> Option<HlsOutput> {
    Some(HlsOutput { playlist: path("é/live.m3u8"), segment_seconds: 2 })
}

macro_rules! suite {
    ($($test:ident),* $(,)?) => {
        mod simulated {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::Backend::simulated()).await;
            })*
        }
        mod livekit {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::Backend::livekit().await).await;
            })*
        }
    };
}

suite!(
    started_egress_is_listed_with_its_outputs,
    stopped_egress_ends_and_stays_listed,
    targets_are_added_and_removed,
    absent_egress_is_stopped_without_error_and_not_changed,
);

async fn started_egress_is_listed_with_its_outputs(backend: Backend) {
    let host = Identity::parse("host \u{1F600}").unwrap();
    let new = || backend.new_egress();
    let file = || Some(path("concert/part 1.mp4"));
    for (new, kind) in [
        (NewEgress { file: file(), ..new() }, EgressKind::Recording),
        (NewEgress { file: file(), audio_only: true, ..new() }, EgressKind::Recording),
        (
            NewEgress { source: EgressSource::Participant(host.clone()), file: file(), ..new() },
            EgressKind::Recording,
        ),
        (
            NewEgress {
                source: EgressSource::Participant(host.clone()),
                audio_only: true,
                file: file(),
                ..new()
            },
            EgressKind::Recording,
        ),
        (
            NewEgress { source: EgressSource::AudioTrack("TR_1".into()), file: file(), ..new() },
            EgressKind::Recording,
        ),
        (
            NewEgress { source: EgressSource::VideoTrack("TR_2".into()), file: file(), ..new() },
            EgressKind::Recording,
        ),
        (NewEgress { hls: hls(), preset: Some(EgressPreset::H264P1080F60), ..new() }, EgressKind::Broadcast),
        (
            NewEgress {
                source: EgressSource::Room(Some("speaker-dark".parse().unwrap())),
                hls: hls(),
                rtmp: vec![target("hidden-key-2"), target("hidden-key-1")],
                ..new()
            },
            EgressKind::Broadcast,
        ),
    ] {
        let started = backend.media.start_egress(&new).await.unwrap();
        let report = &started.report;
        assert_eq!((report.kind, &report.outputs), (kind, &new.outputs()), "{new:?}");
        assert!(!report.state.status.is_over());
        assert_eq!(started.room, new.room.as_str());
        let active = backend.wait_for(&started, EgressStatus::Active).await;
        assert!(active.report.state.started_at.is_some());
        assert_eq!(active.report.state.targets.len(), new.rtmp.len());
        assert!(active.report.state.time >= report.state.time);
        let in_room = backend.media.egresses(Some(&new.room)).await.unwrap();
        let everywhere = backend.media.egresses(None).await.unwrap();
        for listed in [&in_room, &everywhere] {
            let listed = listed.iter().find(|one| one.report.id == report.id).unwrap();
            assert_eq!((&listed.report, &listed.room), (&active.report, &started.room));
        }
        assert!(!format!("{active:?}{new:?}").contains("hidden"), "secrets of {active:?}");
    }
    let other = RoomName::parse("another room").unwrap();
    assert!(backend.media.egresses(Some(&other)).await.unwrap().is_empty());
}

async fn stopped_egress_ends_and_stays_listed(backend: Backend) {
    let rtmp = vec![target("hidden-key")];
    let new = NewEgress { hls: hls(), rtmp, ..backend.new_egress() };
    let started = backend.media.start_egress(&new).await.unwrap();
    let active = backend.wait_for(&started, EgressStatus::Active).await;
    let id = &started.report.id;
    backend.media.stop_egress(id).await.unwrap();
    let ended = backend.wait_for(&started, EgressStatus::Complete).await;
    backend.media.stop_egress(id).await.unwrap();
    let state = &ended.report.state;
    assert!(state.time > active.report.state.time && state.ended_at.is_some() && state.error.is_none());
    assert_eq!(state.targets[0].status, TargetStatus::Finished);
    let change = TargetChange { add: vec![target("another-key")], remove: Vec::new() };
    let late = backend.media.change_targets(id, &change).await;
    assert!(matches!(late, Err(MediaError::Ended)), "{late:?}");
    let listed = backend.media.egresses(Some(&new.room)).await.unwrap();
    assert!(listed.iter().any(|one| one.report == ended.report));
}

async fn targets_are_added_and_removed(backend: Backend) {
    let new = NewEgress { hls: hls(), ..backend.new_egress() };
    let started = backend.media.start_egress(&new).await.unwrap();
    let id = &backend.wait_for(&started, EgressStatus::Active).await.report.id;
    let [one, other] = [target("hidden-key-1"), target("hidden-key-2")];
    let add = TargetChange { add: vec![one.clone(), other.clone()], remove: Vec::new() };
    let changed = backend.media.change_targets(id, &add).await.unwrap();
    let state_of = |egress: &ListedEgress, address: &RtmpAddress| {
        let fingerprint = address.fingerprint();
        let mut targets = egress.report.state.targets.iter();
        let found = targets.find(|one| one.fingerprint == fingerprint).unwrap();
        (found.status, found.url.to_string())
    };
    let url = "rtmp://***@a.example/live/***".to_owned();
    assert_eq!(state_of(&changed, &one), (TargetStatus::Active, url.clone()));
    assert_eq!(changed.report.outputs, new.outputs(), "the requested outputs stay");
    let remove = TargetChange { add: Vec::new(), remove: vec![one.clone()] };
    let changed = backend.media.change_targets(id, &remove).await.unwrap();
    assert_eq!(state_of(&changed, &one), (TargetStatus::Finished, url.clone()));
    assert_eq!(state_of(&changed, &other), (TargetStatus::Active, url));
    let again = backend.media.change_targets(id, &remove).await;
    assert!(matches!(again, Err(MediaError::NotFound)), "{again:?}");
}

async fn absent_egress_is_stopped_without_error_and_not_changed(backend: Backend) {
    let absent = "EG_absent".into();
    backend.media.stop_egress(&absent).await.unwrap();
    assert!(backend.media.egress(&absent).await.unwrap().is_none());
    let changed = backend.media.change_targets(&absent, &TargetChange::default()).await;
    assert!(matches!(changed, Err(MediaError::NotFound)), "{changed:?}");
}

/// The request of LiveKit's last call to the worker.
async fn last_request(workers: &LiveKitWorkers) -> Value {
    workers.calls("StartEgress").await.last().unwrap()["request"].clone()
}

#[tokio::test]
async fn files_of_a_recording_are_inside_the_prefix_and_errors_are_masked() {
    let backend = Backend::livekit().await;
    let (workers, ..) = backend.livekit.as_ref().unwrap();
    let new = NewEgress { file: Some(path("one.mp4")), ..backend.new_egress() };
    let started = backend.media.start_egress(&new).await.unwrap();
    let file = last_request(workers).await["roomComposite"]["fileOutputs"][0].clone();
    assert_eq!(file["filepath"], "a folder/one.mp4");
    assert_eq!(file["s3"]["secret"], "hidden-secret");
    backend.wait_for(&started, EgressStatus::Active).await;
    assert!(started.report.room_sid.is_some());
    backend.media.stop_egress(&started.report.id).await.unwrap();
    let complete = backend.wait_for(&started, EgressStatus::Complete).await;
    let [file] = complete.report.state.files.as_slice() else { panic!("one file: {complete:?}") };
    assert_eq!(file.path.as_str(), "one.mp4");
    assert_eq!(file.location.as_deref(), Some("http://store.invalid/bucket/a folder/one.mp4"));

    let failed = backend.media.start_egress(&backend.new_egress()).await;
    assert!(matches!(failed, Err(MediaError::Refused(_))), "no output: {failed:?}");
    let new = NewEgress { rtmp: vec![target("hidden-key")], ..backend.new_egress() };
    let started = backend.media.start_egress(&new).await.unwrap();
    backend.wait_for(&started, EgressStatus::Active).await;
    let error = "cannot connect to rtmp://a.example/live/hidden-key: hidden-key is in use";
    let report = json!([{"status": "EGRESS_FAILED", "error": error}]);
    workers.report_egress(started.report.id.as_str(), report).await;
    let failed = backend.wait_for(&started, EgressStatus::Failed).await;
    let masked = "cannot connect to rtmp://a.example/live/***: *** is in use";
    assert_eq!(failed.report.state.error.as_deref(), Some(masked));
}

#[tokio::test]
async fn refusal_of_a_worker_quotes_no_secret_and_an_unknown_room_is_not_found() {
    let backend = Backend::livekit().await;
    let (workers, ..) = backend.livekit.as_ref().unwrap();
    let new = NewEgress { rtmp: vec![target("hidden-key")], ..backend.new_egress() };
    let message = "invalid url rtmp://a.example/live/hidden-key";
    workers.script_egresses(json!({"refuse": {"code": "invalid_argument", "message": message}})).await;
    let refused = backend.media.start_egress(&new).await.unwrap_err();
    assert!(matches!(refused, MediaError::Refused(_)), "{refused}");
    assert!(!refused.to_string().contains("hidden"), "{refused}");
    let elsewhere = NewEgress { room: RoomName::parse("absent").unwrap(), ..new };
    let failed = backend.media.start_egress(&elsewhere).await.unwrap_err();
    assert!(matches!(failed, MediaError::NotFound), "{failed}");
}

#[tokio::test]
async fn livekit_without_redis_worker_or_storage_is_distinct_from_a_refusal() {
    let room = RoomName::parse(unique("room")).unwrap();
    let rtmp = vec![target("hidden-key")];
    let backend = Backend { room: room.clone(), ..Backend::simulated() };
    let new = NewEgress { rtmp, ..backend.new_egress() };

    create_room(shared_livekit(), &room).await;
    let without_redis = livekit_with_storage(shared_livekit(), SECRET, None);
    assert!(matches!(without_redis.egresses(None).await, Err(MediaError::Unsupported)));
    let failed = without_redis.start_egress(&new).await.unwrap_err();
    assert!(matches!(failed, MediaError::Unsupported | MediaError::Unavailable(_)), "{failed}");
    let failed = without_redis.stop_egress(&"EG_1".into()).await.unwrap_err();
    assert!(matches!(failed, MediaError::Unsupported | MediaError::Unavailable(_)), "{failed}");

    create_room(shared_livekit_with_redis(), &room).await;
    let without_worker = livekit_with_storage(shared_livekit_with_redis(), SECRET, None);
    let failed = without_worker.start_egress(&new).await.unwrap_err();
    assert!(matches!(failed, MediaError::Unavailable(_)), "{failed}");
    let file = Some(path("one.mp4"));
    let failed = without_worker.start_egress(&NewEgress { file, ..backend.new_egress() }).await.unwrap_err();
    assert!(matches!(failed, MediaError::Refused(_)), "no storage: {failed}");
    let wrong_secret = livekit_with_storage(shared_livekit_with_redis(), "not the secret", None);
    assert!(matches!(wrong_secret.egresses(None).await, Err(MediaError::Refused(_))));
}

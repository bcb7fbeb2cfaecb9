//! Random changes of recordings and broadcasts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livestream_orchestrator::domain::{
    Change, EgressChange, EgressFailure, EgressFile, EgressId, EgressKind, EgressOutputs, EgressReport,
    EgressSource, EgressSpec, EgressState, EgressStateTime, EgressStatus, EgressTarget, HlsResult, Identity,
    JobId, MediaPath, RtmpAddress, StartedEgress, TargetId, TargetStatus, TargetsPlan, Timestamp,
};
use proptest::{
    prelude::*,
    sample::{select, subsequence},
};

use super::{past, who};

fn job() -> impl Strategy<Value = JobId> {
    (1..5u8).prop_map(|n| format!("01960000-0000-7000-8000-00000000000{n}").parse().unwrap())
}

fn id() -> impl Strategy<Value = EgressId> {
    (1..4u8).prop_map(|n| format!("EG_{n}").into())
}

/// Addresses of which two have the same fingerprint.
pub fn addresses() -> Vec<RtmpAddress> {
    let keys = ["key-of-one", "key-of-two", "key-on-two", "a/b?c=1"];
    keys.map(|key| RtmpAddress::parse(format!("rtmp://a.example/live/{key}")).unwrap()).into()
}

fn outputs() -> impl Strategy<Value = EgressOutputs> {
    let path = |text: &str| Some(MediaPath::reported(text.to_owned()));
    let rtmp = |count: usize| {
        let mut all: Vec<_> = addresses().iter().take(count).map(RtmpAddress::fingerprint).collect();
        all.sort();
        all
    };
    select(vec![
        EgressOutputs { file: path("a \"b\".mp4"), ..EgressOutputs::default() },
        EgressOutputs { playlist: path("é/index.m3u8"), ..EgressOutputs::default() },
        EgressOutputs { rtmp: rtmp(1), ..EgressOutputs::default() },
        EgressOutputs { rtmp: rtmp(2), ..EgressOutputs::default() },
        EgressOutputs { playlist: path("x.m3u8"), rtmp: rtmp(2), ..EgressOutputs::default() },
    ])
}

/// What LiveKit reports of targets: some addresses, of which one may be unknown, and some of them twice.
fn targets() -> impl Strategy<Value = Vec<EgressTarget>> {
    let entry = (select(addresses()), select(&TargetStatus::ALL[..]), prop::bool::weighted(0.3));
    prop::collection::vec(entry, 0..4).prop_map(|entries| {
        let target = |(address, status, has_error): (RtmpAddress, TargetStatus, bool)| EgressTarget {
            fingerprint: address.fingerprint(),
            url: address.masked(),
            status,
            error: has_error.then(|| "no \"answer\"".to_owned()),
        };
        entries.into_iter().map(target).collect()
    })
}

fn state() -> impl Strategy<Value = EgressState> {
    let results = (prop::bool::weighted(0.3), prop::bool::weighted(0.3));
    let error = prop::option::of(select(vec!["broken", "\u{1F600}"]));
    (select(&EgressStatus::ALL[..]), error, past(), past(), results, targets(), 0..3i64).prop_map(
        |(status, error, started_at, ended_at, (has_file, has_hls), targets, time)| {
            let (duration, location) = (Duration::from_nanos(1_500_000_001), Some("https://a/b".to_owned()));
            let path = MediaPath::reported("a.mp4".to_owned());
            let file = EgressFile { path: path.clone(), size: 4_096, duration, location: location.clone() };
            let hls = HlsResult { playlist: path, segments: 3, size: 1, duration, location };
            EgressState {
                status,
                error: error.map(str::to_owned),
                started_at,
                ended_at,
                files: has_file.then_some(file).into_iter().collect(),
                hls: has_hls.then_some(hls),
                targets,
                time: EgressStateTime::of(status, time * 1_000),
            }
        },
    )
}

fn report() -> impl Strategy<Value = EgressReport> {
    let room_sid = select(vec![None, Some("RM_1"), Some("RM_1"), Some("RM_2")]);
    (id(), room_sid, outputs(), state()).prop_map(|(id, room_sid, outputs, state)| EgressReport {
        id,
        room_sid: room_sid.map(Into::into),
        kind: EgressKind::of(&outputs),
        outputs,
        state,
    })
}

fn spec() -> impl Strategy<Value = EgressSpec> {
    let sources = vec![
        None,
        Some(EgressSource::Room(None)),
        Some(EgressSource::Room(Some("grid".parse().unwrap()))),
        Some(EgressSource::Participant(Identity::reported("cé \"/").unwrap())),
        Some(EgressSource::VideoTrack("TR_1".into())),
    ];
    (select(sources), any::<bool>()).prop_map(|(source, audio_only)| EgressSpec {
        source,
        audio_only,
        preset: Some("H264_1080P_30".parse().unwrap()),
        segment_seconds: Some(6),
        playlist_url: Some("https://cdn/\"x".to_owned()),
        live_playlist_url: Some("https://cdn/\"y".to_owned()),
    })
}

fn by() -> impl Strategy<Value = Option<Identity>> {
    prop::option::of(who()).prop_map(|by| by.map(|by| Identity::reported(by).unwrap()))
}

fn some_addresses() -> impl Strategy<Value = Vec<RtmpAddress>> {
    let all = addresses();
    let count = all.len();
    subsequence(all, 0..=count)
}

fn target_ids() -> impl Strategy<Value = Vec<TargetId>> {
    prop::collection::vec((1..5u32).prop_map(TargetId), 0..3)
}

/// Changes of recordings and broadcasts: those of requests, of webhooks, and of reconciliations.
pub(super) fn egress() -> impl Strategy<Value = Change> {
    let times = vec![Some(0), Some(i64::MAX / 2_000_000), None];
    let before = select(times).prop_map(|time| time.map(Timestamp::from_millis));
    let plan = (job(), outputs()).prop_map(|(job, outputs)| EgressChange::Plan { job, outputs });
    let confirm =
        (job(), report(), spec(), some_addresses(), by()).prop_map(|(job, report, spec, targets, by)| {
            EgressChange::Confirm(StartedEgress { job, report, spec, targets, by })
        });
    let drop = (job(), before.clone()).prop_map(|(job, before)| EgressChange::DropPlan { job, before });
    let listed =
        (report(), any::<bool>()).prop_map(|(report, is_listed)| EgressChange::Report { report, is_listed });
    let fail = (id(), select(&EgressFailure::ALL[..]), before.clone())
        .prop_map(|(id, cause, before)| EgressChange::Fail { id, cause, before: before.unwrap_or_default() });
    let plan_targets =
        (id(), job(), some_addresses(), target_ids(), by()).prop_map(|(id, job, add, remove, by)| {
            EgressChange::PlanTargets(TargetsPlan { id, job, add, remove, by })
        });
    let drop_targets = (id(), target_ids(), before)
        .prop_map(|(id, targets, before)| EgressChange::DropTargets { id, targets, before });
    let change = prop_oneof![
        4 => plan,
        5 => confirm,
        1 => job().prop_map(|job| EgressChange::AbandonPlan { job }),
        1 => drop,
        6 => listed,
        3 => fail,
        1 => id().prop_map(|id| EgressChange::FindRecorder { id }),
        4 => plan_targets,
        2 => drop_targets,
    ];
    change.prop_map(Change::from)
}

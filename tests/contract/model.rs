//! The Lua scripts against the domain's own rules: whatever random changes are made, Redis does what the model does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livestream_orchestrator::{
    domain::{
        Attributes, Change, DisplayName, Event, EventKind, Identity, Metadata, Participant, ParticipantKind,
        ParticipantMetadata, ParticipantSid, ParticipantState, Role, Session, StopReason, Stream,
        StreamStatus, Timestamp, Topic, Track, TrackSource, Tracks, stream::NewStream,
    },
    store::{CreateOutcome, DedupKey, Guard, KindFilter, ParticipantFilter, StoreError, StreamFilter},
};
use proptest::{prelude::*, sample::select};

use super::store::{Backend, RETENTION, new_stream};
use crate::support::unique;

fn who() -> impl Strategy<Value = String> {
    select(vec!["ann", "bob", "cé \"/", "new\nline:\u{0}"]).prop_map(str::to_owned)
}

fn sid() -> impl Strategy<Value = ParticipantSid> {
    (1..6u8).prop_map(|n| format!("PA_{n}").into())
}

fn metadata() -> impl Strategy<Value = Metadata> {
    select(vec!["{}", r#"{"a":[]}"#, r#"{"a":{"b":9007199254740993}}"#])
        .prop_map(|text| Metadata::parse(text).unwrap())
}

fn role() -> impl Strategy<Value = Role> {
    select(vec![Role::Host, Role::Viewer])
}

fn name() -> impl Strategy<Value = Option<DisplayName>> {
    select(vec![None, Some("Ann"), Some("\u{1F600} /\\\"")])
        .prop_map(|name| name.map(|n| DisplayName::parse(n).unwrap()))
}

fn track() -> impl Strategy<Value = Track> {
    let source = select(&TrackSource::ALL[..]);
    (1..5u8, source, any::<bool>()).prop_map(|(n, source, muted)| Track {
        sid: if n == 1 { "T;\n %".into() } else { format!("TR_{n}").into() },
        source,
        muted,
    })
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let entry = (select(vec!["a", "b \""]), select(vec!["", "1", "\n"]));
    let entries = prop::collection::vec(entry, 0..3);
    entries.prop_map(|entries| {
        Attributes::reported(entries.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())))
    })
}

/// A kind of participant, and whether LiveKit hides it.
fn kind() -> impl Strategy<Value = (ParticipantKind, bool)> {
    let kind = prop_oneof![3 => Just(ParticipantKind::Standard), 2 => select(&ParticipantKind::ALL[..])];
    (kind, prop::bool::weighted(0.15))
}

fn reported_metadata() -> impl Strategy<Value = ParticipantMetadata> {
    select(vec!["{}", r#"{"a":1.0,"a":2}"#, "words\n", "[1]", "{"]).prop_map(ParticipantMetadata::reported)
}

fn tracks() -> impl Strategy<Value = Tracks> {
    prop::collection::vec(track(), 0..3).prop_map(Tracks::new)
}

fn past() -> impl Strategy<Value = Option<Timestamp>> {
    prop::option::of((1..5i64).prop_map(|n| Timestamp::from_millis(n * 1_000)))
}

/// What LiveKit's lists and its words about tracks make.
fn listing() -> impl Strategy<Value = Change> {
    let lose = (who(), sid(), any::<bool>()).prop_map(|(who, sid, old)| Change::Lose {
        identity: Identity::reported(who).unwrap(),
        sid,
        before: Timestamp::from_millis(if old { i64::MAX / 2_000_000 } else { 0 }),
    });
    let publish = (who(), sid(), track()).prop_map(|(who, sid, track)| Change::Publish {
        identity: Identity::reported(who).unwrap(),
        sid,
        track,
    });
    let unpublish = (who(), sid(), track()).prop_map(|(who, sid, track)| Change::Unpublish {
        identity: Identity::reported(who).unwrap(),
        sid,
        track: track.sid,
    });
    prop_oneof![3 => lose, 4 => publish, 2 => unpublish]
}

/// Sessions as webhooks and lists tell of them.
fn connect() -> impl Strategy<Value = Change> {
    let session = (
        select(vec!["RM_1", "RM_1", "RM_1", "RM_2"]),
        sid(),
        who(),
        name(),
        prop::option::of(role()),
        past(),
    );
    let listed = prop::option::weighted(0.5, any::<bool>());
    (session, prop::option::of(reported_metadata()), tracks(), attributes(), kind(), listed).prop_map(
        |(
            (room_sid, sid, who, name, role, joined_at),
            metadata,
            tracks,
            attributes,
            (kind, hidden),
            listed,
        )| {
            let identity = Identity::reported(who).unwrap();
            let session = Session {
                room_sid: room_sid.into(),
                sid,
                identity,
                name,
                role,
                metadata,
                attributes,
                kind,
                hidden,
                joined_at,
                tracks,
            };
            // Everything was recorded before the one and nothing before the other.
            match listed {
                None => Change::Connect(session),
                Some(true) => {
                    Change::Observe { session, before: Timestamp::from_millis(i64::MAX / 2_000_000) }
                }
                Some(false) => Change::Observe { session, before: Timestamp::from_millis(0) },
            }
        },
    )
}

fn change() -> impl Strategy<Value = Change> {
    let ttl = select(vec![Duration::ZERO, Duration::from_secs(3_600)]);
    let attributes = prop::option::of(attributes());
    let issue = (who(), name(), role(), prop::option::of(metadata()), attributes, ttl).prop_map(
        |(who, name, role, metadata, attributes, joining_ttl)| Change::IssueToken {
            identity: Identity::reported(who).unwrap(),
            name,
            role,
            metadata,
            attributes,
            joining_ttl,
        },
    );
    let disconnect = (who(), prop::option::of(sid()), past()).prop_map(|(who, sid, at)| Change::Disconnect {
        identity: Identity::reported(who).unwrap(),
        sid,
        at,
    });
    let reasons = vec![StopReason::Requested, StopReason::RoomFinished, StopReason::Idle];
    let begin = (select(reasons), select(vec![None, Some("RM_1"), Some("RM_2")]))
        .prop_map(|(reason, room)| Change::BeginStop { reason, room_sid: room.map(Into::into) });
    prop_oneof![
        9 => listing(),
        2 => Just(Change::Activate { room_sid: "RM_1".into() }),
        8 => connect(),
        5 => issue,
        5 => disconnect,
        2 => Just(Change::ExpireJoining),
        2 => (metadata(), metadata()).prop_map(|(expected, metadata)| Change::SetMetadata { expected, metadata }),
        1 => begin,
        1 => Just(Change::Close),
        1 => Just(Change::AcquireLock),
        1 => Just(Change::ReleaseLock { until: Timestamp::from_millis(1) }),
        1 => Just(Change::RenewLock { until: Timestamp::from_millis(1) }),
        1 => Just(Change::Fail { reason: "broken".to_owned() }),
    ]
}

/// A step: a change, with or without a version, with or without an id under which it counts once.
fn step() -> impl Strategy<Value = (Change, Option<u64>, Option<String>)> {
    let once = prop::option::weighted(0.3, (1..8u8).prop_map(|n| format!("EV_{n}")));
    (change(), prop::option::weighted(0.2, 1..12u64), once)
}

/// A stream without what two clocks cannot agree on.
fn timeless(stream: &Stream) -> impl PartialEq + std::fmt::Debug + use<> {
    (
        (stream.room_sid.clone(), stream.status, stream.metadata.clone(), stream.participant_count),
        (stream.peak_participant_count, stream.uncounted, stream.version, stream.reason.clone()),
        (
            stream.started_at.is_some(),
            stream.stopped_at.is_some(),
            stream.empty_since.is_some(),
            stream.lock_expires_at.is_some(),
        ),
    )
}

fn timeless_participant(one: &Participant) -> impl PartialEq + std::fmt::Debug + use<> {
    (
        (one.identity.clone(), one.name.clone(), one.role, one.state, one.metadata.clone(), one.sid.clone()),
        (one.tracks.clone(), one.attributes.clone(), one.kind, one.hidden),
        (one.left_at.is_some(), one.session_at.is_some(), one.expires_at.is_some(), one.last_visit.is_some()),
    )
}

fn timeless_event(event: &Event) -> impl PartialEq + std::fmt::Debug + use<> {
    let draft = &event.draft;
    (
        draft.kind,
        timeless(&draft.stream),
        draft.participant.as_ref().map(timeless_participant),
        draft.previous_status,
        draft.reason.clone(),
    )
}

#[derive(Debug, Clone)]
struct History {
    max_participants: Option<u32>,
    idle_after: Option<Duration>,
    steps: Vec<(Change, Option<u64>, Option<String>)>,
}

fn history() -> impl Strategy<Value = History> {
    let idle = select(vec![None, Some(Duration::ZERO), Some(Duration::from_secs(3_600))]);
    let start = Just((Change::Activate { room_sid: "RM_1".into() }, None, None));
    (prop::option::of(1..3u32), idle, start, prop::collection::vec(step(), 1..40)).prop_map(
        |(max_participants, idle_after, start, mut steps)| {
            // Most histories begin with a room; a few do not.
            if steps.len() % 8 != 0 {
                steps.insert(0, start);
            }
            History { max_participants, idle_after, steps }
        },
    )
}

/// Waits for the clock that both stores go by: of two things in one millisecond one store might see them in one, and the
/// other in two, and what expires first is told first.
fn next_millisecond() {
    let now = || chrono::Utc::now().timestamp_millis();
    let before = now();
    while now() == before {
        std::hint::spin_loop();
    }
}

async fn compare(history: History) {
    let model = Backend::memory(RETENTION);
    let prefix = unique("model");
    let redis = Backend::redis(&prefix, RETENTION);
    // Another instance, which reads all the time and changes nothing.
    let reader = Backend::redis(&prefix, RETENTION);
    let new = NewStream {
        max_participants: history.max_participants,
        idle_after: history.idle_after,
        ..new_stream("cé/\"room\"")
    };
    let reference = match (model.store.create(new.clone()).await, redis.store.create(new).await) {
        (Ok(CreateOutcome::Created(a)), Ok(CreateOutcome::Created(b))) if timeless(&a) == timeless(&b) => {
            a.reference()
        }
        other => panic!("{other:?}"),
    };
    for (change, version, once) in history.steps {
        next_millisecond();
        let guard = || Guard { version, dedup_key: once.clone().map(DedupKey::Webhook), lease: None };
        let expected = model.store.apply(&reference, change.clone(), guard()).await;
        let made = redis.store.apply(&reference, change.clone(), guard()).await;
        match (expected, made) {
            (Ok(expected), Ok(made)) => {
                assert_eq!(made.effect, expected.effect, "{change:?}");
                assert_eq!(timeless(&made.stream), timeless(&expected.stream), "{change:?}");
                let of = |one: &Option<Participant>| one.as_ref().map(timeless_participant);
                if made.effect != livestream_orchestrator::domain::change::Effect::Duplicate {
                    assert_eq!(of(&made.participant), of(&expected.participant), "{change:?}");
                }
                reads_what_was_acknowledged(&reader, &made.stream).await;
            }
            (Err(StoreError::Rejected(expected)), Err(StoreError::Rejected(made))) => {
                assert_eq!(made, expected);
            }
            other => panic!("{change:?}: {other:?}"),
        }
    }
    for filter in filters() {
        let of = async |backend: &Backend| {
            let page = backend.store.participants(reference.id, filter, 1_000, None).await.unwrap();
            let shown =
                page.items.iter().map(|one| (one.identity.clone(), one.sid.clone(), one.kind, one.hidden));
            shown.collect::<std::collections::HashSet<_>>()
        };
        assert_eq!(of(&redis).await, of(&model).await, "{filter:?}");
    }
    let (expected, made) = (model.log(reference.id).await, redis.log(reference.id).await);
    let events =
        |log: &[std::sync::Arc<Event>]| log.iter().map(|event| timeless_event(event)).collect::<Vec<_>>();
    assert_eq!(events(&made), events(&expected));
    check_invariants(&redis, reference.id, &made).await;
}

fn filters() -> impl Iterator<Item = ParticipantFilter> {
    let kinds = ParticipantKind::ALL.map(|kind| Some(KindFilter::Kind(kind)));
    let kinds = kinds.into_iter().chain([None, Some(KindFilter::Hidden)]);
    kinds.flat_map(|kind| {
        [true, false].map(|shows_hidden| ParticipantFilter { kind, shows_hidden, state: None })
    })
}

/// What an instance has read before does not keep it from seeing the last change, whoever made it.
async fn reads_what_was_acknowledged(reader: &Backend, stream: &Stream) {
    // Twice: what is cached by the first is what the second is answered with.
    for _ in 0..2 {
        assert_eq!(reader.store.get(stream.id).await.unwrap().as_ref(), Some(stream));
        let view = reader.store.view(stream.id).await.unwrap().unwrap();
        assert_eq!(view.stream, *stream);
        // Pages of participants are never cached.
        let people = reader
            .store
            .participants(stream.id, ParticipantFilter::default(), 1_000, None)
            .await
            .unwrap()
            .items;
        assert_eq!(view.participants, people);
        let listed = reader.store.list(StreamFilter::All, 10, None).await.unwrap().items;
        assert_eq!(listed.iter().map(|one| &***one).collect::<Vec<_>>(), [stream]);
    }
}

/// What must be true of any history.
async fn check_invariants(
    backend: &Backend,
    id: livestream_orchestrator::domain::StreamId,
    log: &[std::sync::Arc<Event>],
) {
    let view = backend.store.view(id).await.unwrap().unwrap();
    let active = view.participants.iter().filter(|one| one.is_active()).count();
    let counted = view.participants.iter().filter(|one| one.is_active() && one.counts()).count();
    assert_eq!(view.stream.participant_count as usize, counted);
    assert!(log.iter().all(|event| event.draft.participant.as_ref().is_none_or(Participant::is_listed)));
    let told = |kind| log.iter().filter(|event| event.draft.kind == kind).count();
    assert_eq!(
        told(EventKind::ParticipantJoined) - told(EventKind::ParticipantLeft),
        active,
        "joined and left balance"
    );
    assert_eq!(view.stream.version, log.len() as u64);
    assert!(
        log.iter().all(|event| event.draft.stream.participant_count <= view.stream.peak_participant_count)
    );
    if view.stream.status.is_final() {
        assert!(view.participants.iter().all(|one| one.state == ParticipantState::Disconnected));
        assert!(log.iter().rev().skip(1).all(|event| !event.is_last()), "nothing follows the last event");
    }
    assert!(log.iter().all(|event| event.draft.stream.status != StreamStatus::Stopped || event.is_last()));
    let all = backend.feed.newest(Topic::All, 10_000).await.unwrap();
    assert_eq!(all, log, "both logs say the same");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn redis_does_what_the_model_does(history in history()) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(compare(history));
    }
}

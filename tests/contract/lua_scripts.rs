//! The Lua scripts compared with the model in src/domain/aggregate: random changes have the same results on both.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod egresses;

use livestream_orchestrator::{
    domain::{
        Audience, Event, EventKind, Ingress, Participant, ParticipantCounts, ParticipantKind,
        ParticipantState, Removals, Role, Stream, StreamId, StreamIngresses, StreamRef, StreamStatus,
        Timestamp, Topic, Visit, stream::NewStream,
    },
    store::{
        CreateOutcome, DedupKey, Guard, KindFilter, ParticipantFilter, Retention, StoreError, StreamFilter,
    },
};
use proptest::prelude::*;

use self::egresses::{assert_same_egresses, egress_without_times};
use crate::{
    backend::{Backend, RETENTION, new_stream},
    random_changes::{History, history, stream_id},
    support::unique,
};

/// Returns a stream without its times, because the two stores have different clocks.
pub fn without_times<M: Clone + PartialEq + std::fmt::Debug>(
    stream: &Stream<M>,
) -> impl PartialEq + std::fmt::Debug + use<M> {
    (
        (stream.room_sid.clone(), stream.status, stream.metadata.clone(), stream.audience, stream.counts),
        (
            stream.peak_participant_count,
            (stream.uncounted, stream.blocks, stream.ingresses, stream.recording, stream.broadcasting),
            (stream.version, stream.content_version),
            stream.reason.clone(),
            (stream.backstage, stream.live_at.is_some()),
        ),
        (
            stream.started_at.is_some(),
            stream.stopped_at.is_some(),
            stream.empty_since.is_some(),
            stream.lock_expires_at.is_some(),
        ),
    )
}

pub fn participant_without_times(one: &Participant) -> impl PartialEq + std::fmt::Debug + use<> {
    (
        (one.identity.clone(), one.name.clone(), one.role, one.state, one.metadata.clone(), one.sid.clone()),
        (one.tracks.clone(), one.attributes.clone(), one.kind, one.hidden, one.role_recorded),
        one.hand_raised_at.is_some(),
        one.removals.clone(),
        (one.left_at.is_some(), one.session_at.is_some(), one.expires_at.is_some(), one.last_visit.is_some()),
    )
}

/// Returns an ingress without the times of its record.
fn ingress_without_times(ingress: &Ingress) -> Ingress {
    let time = Timestamp::default();
    Ingress { created_at: time, changed_at: time, ..ingress.clone() }
}

fn event_without_times(event: &Event) -> impl PartialEq + std::fmt::Debug + use<> {
    let draft = &event.draft;
    (
        draft.kind,
        without_times(&draft.stream),
        draft.participant.as_ref().map(participant_without_times),
        draft.removed,
        draft.previous_status,
        draft.reason.clone(),
        draft.by.clone(),
        (draft.identity.clone(), draft.ingress.as_deref().map(ingress_without_times)),
        draft.egress.as_deref().map(egress_without_times),
    )
}

/// Waits for the next millisecond of the clock.
///
/// Otherwise two changes could have the same millisecond in one store and different ones in the other, and expiries are
/// published in the order of their times.
pub fn next_millisecond() {
    let now = || chrono::Utc::now().timestamp_millis();
    let before = now();
    while now() == before {
        std::hint::spin_loop();
    }
}

/// Creates a history's stream on both stores.
pub async fn create_on_both(model: &Backend, redis: &Backend, history: &History) -> StreamRef {
    let new = NewStream {
        id: stream_id(),
        max_participants: history.max_participants,
        idle_after: history.idle_after,
        audience: history.audience,
        backstage: history.backstage,
        ..new_stream("cé/\"room\"")
    };
    match (model.store.create(new.clone()).await, redis.store.create(new).await) {
        (Ok(CreateOutcome::Created(a)), Ok(CreateOutcome::Created(b)))
            if without_times(&a) == without_times(&b) =>
        {
            a.reference()
        }
        other => panic!("{other:?}"),
    }
}

async fn compare(history: History) {
    let retention = Retention { count_interval: history.count_interval, ..RETENTION };
    let model = Backend::memory(retention);
    let prefix = unique("model");
    let redis = Backend::redis(&prefix, retention);
    // A second instance, which only reads.
    let reader = Backend::redis(&prefix, retention);
    let reference = create_on_both(&model, &redis, &history).await;
    for (change, version, once) in history.steps {
        next_millisecond();
        let guard = || Guard { version, dedup_key: once.clone().map(DedupKey::Webhook), lease: None };
        let expected = model.store.apply(&reference, change.clone(), guard()).await;
        let made = redis.store.apply(&reference, change.clone(), guard()).await;
        match (expected, made) {
            (Ok(expected), Ok(made)) => {
                assert_eq!(made.effect, expected.effect, "{change:?}");
                assert_eq!(without_times(&made.stream), without_times(&expected.stream), "{change:?}");
                let of = |one: &Option<Participant>| one.as_ref().map(participant_without_times);
                if made.effect != livestream_orchestrator::domain::change::Effect::Duplicate {
                    assert_eq!(of(&made.participant), of(&expected.participant), "{change:?}");
                }
                assert_reader_sees(&reader, &made.stream).await;
            }
            (Err(StoreError::Rejected(expected)), Err(StoreError::Rejected(made))) => {
                assert_eq!(made, expected);
            }
            other => panic!("{change:?}: {other:?}"),
        }
    }
    assert_same_end(&model, &redis, reference.id, history.count_interval.is_zero()).await;
}

/// Asserts that both stores have the same participants and events, and what holds after any sequence of changes.
pub async fn assert_same_end(model: &Backend, redis: &Backend, id: StreamId, counts_are_told: bool) {
    for filter in filters() {
        let of = async |backend: &Backend| {
            let page = backend.store.participants(id, filter, 1_000, None).await.unwrap();
            let shown =
                page.items.iter().map(|one| (one.identity.clone(), one.sid.clone(), one.kind, one.hidden));
            shown.collect::<std::collections::HashSet<_>>()
        };
        assert_eq!(of(redis).await, of(model).await, "{filter:?}");
    }
    let ingresses = async |backend: &Backend| {
        let StreamIngresses { ingresses, plans } = backend.store.ingresses(id).await.unwrap();
        let mut ingresses: Vec<_> = ingresses.iter().map(ingress_without_times).collect();
        ingresses.sort_by(|one, other| one.id.cmp(&other.id));
        let mut jobs: Vec<_> = plans.into_iter().map(|plan| (plan.job, plan.identity)).collect();
        jobs.sort();
        (ingresses, jobs)
    };
    assert_eq!(ingresses(redis).await, ingresses(model).await);
    assert_same_egresses(model, redis, id).await;
    let (expected, made) = (model.log(id).await, redis.log(id).await);
    let events = |log: &[std::sync::Arc<Event>]| {
        log.iter().map(|event| event_without_times(event)).collect::<Vec<_>>()
    };
    assert_eq!(events(&made), events(&expected));
    assert_eq!(visits(redis).await, visits(model).await);
    assert_invariants(redis, id, &made, counts_are_told).await;
}

/// The ended visits of a store without partitions, without their times, and late changes of recordings.
async fn visits(backend: &Backend) -> impl PartialEq + std::fmt::Debug + use<> {
    let page = backend.followed[0].visits_after(None, 1_000).await.unwrap().unwrap_or_default();
    assert!(page.visits.iter().all(|visit| visit.joined_at <= visit.left_at));
    let compared =
        |visit: Visit| (visit.stream_id, visit.identity, visit.sid, visit.name, visit.role, visit.kind);
    let recordings =
        page.recordings.into_iter().map(|(id, late)| (id, late.id, late.status, late.state_time));
    (page.visits.into_iter().map(compared).collect::<Vec<_>>(), recordings.collect::<Vec<_>>())
}

fn filters() -> impl Iterator<Item = ParticipantFilter> {
    let kinds = ParticipantKind::ALL.map(|kind| Some(KindFilter::Kind(kind)));
    let kinds = kinds.into_iter().chain([None, Some(KindFilter::Hidden)]);
    kinds.flat_map(|kind| {
        [true, false].map(|shows_hidden| ParticipantFilter { kind, shows_hidden, state: None })
    })
}

/// Reports whether a participant is in the stream's documents.
fn is_shown(stream: &Stream, participant: &Participant) -> bool {
    stream.audience == Audience::Listed || participant.is_on_stage()
}

/// Returns a participant without values that no reader sees. Their changes have no version of their own.
fn as_readers_see(participant: Participant) -> Participant {
    let before_token = participant.removals.before_token;
    let removals = Removals { before_token, ..Removals::default() };
    Participant { removals, changed_at: participant.joined_at, ..participant }
}

/// Asserts that an instance with cached states reads the last change of another instance.
async fn assert_reader_sees(reader: &Backend, stream: &Stream) {
    // The second read is answered from the cache that the first one filled.
    for _ in 0..2 {
        assert_eq!(reader.store.get(stream.id).await.unwrap().as_ref(), Some(stream));
        let view = reader.store.view(stream.id).await.unwrap().unwrap();
        assert_eq!(view.stream, *stream);
        // Pages of participants are never cached.
        let participants = reader
            .store
            .participants(stream.id, ParticipantFilter::default(), 1_000, None)
            .await
            .unwrap()
            .items;
        let shown = participants.into_iter().filter(|one| is_shown(stream, one));
        let read = view.participants.iter().cloned().map(as_readers_see);
        assert_eq!(read.collect::<Vec<_>>(), shown.map(as_readers_see).collect::<Vec<_>>());
        let listed = reader.store.list(StreamFilter::All, 10, None).await.unwrap().items;
        assert_eq!(listed.iter().map(|one| &***one).collect::<Vec<_>>(), [stream]);
    }
}

/// Asserts what holds after any sequence of changes.
async fn assert_invariants(
    backend: &Backend,
    id: StreamId,
    log: &[std::sync::Arc<Event>],
    counts_are_told: bool,
) {
    let view = backend.store.view(id).await.unwrap().unwrap();
    let all = backend.store.participants(id, ParticipantFilter::default(), 1_000, None).await.unwrap().items;
    let active = all.iter().filter(|one| one.is_active()).count();
    let counted = |role| {
        let of_role = all.iter().filter(|one| one.counts() && one.role == role);
        of_role.filter(|one| one.is_active()).count()
    };
    assert_eq!(view.stream.counts.hosts as usize, counted(Role::Host));
    // While a counted stream is stopping, the departures of its viewers are not told.
    let is_stopping = view.stream.status == StreamStatus::Stopping;
    if view.stream.audience == Audience::Listed || counts_are_told && !is_stopping {
        assert_eq!(view.stream.counts.viewers as usize, counted(Role::Viewer));
    }
    assert!(log.iter().all(|event| event.draft.participant.as_ref().is_none_or(Participant::is_listed)));
    let published = |kind| log.iter().filter(|event| event.draft.kind == kind).count();
    // In a counted stream, participants come to the stage and leave it within a session.
    if view.stream.audience == Audience::Listed {
        assert_eq!(
            published(EventKind::ParticipantJoined) - published(EventKind::ParticipantLeft),
            active,
            "joined and left balance"
        );
    }
    assert_eq!(view.stream.version, log.len() as u64);
    assert!(
        log.iter().all(|event| event.draft.stream.participant_count() <= view.stream.peak_participant_count)
    );
    if view.stream.status.is_final() {
        assert!(all.iter().all(|one| one.state == ParticipantState::Disconnected));
        assert_eq!(view.stream.counts, ParticipantCounts::default());
        assert!(log.iter().rev().skip(1).all(|event| !event.is_last()), "nothing follows the last event");
    }
    assert!(log.iter().all(|event| event.draft.stream.status != StreamStatus::Stopped || event.is_last()));
    let log_of_all = backend.newest(Topic::All, 10_000).await;
    assert_eq!(log_of_all, log, "both logs are equal");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn scripts_match_the_model_on_random_changes(history in history()) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(compare(history));
    }
}

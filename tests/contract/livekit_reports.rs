//! LiveKit's webhooks and listings as changes of a stream, in every store: order, duplicates and corrections.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livestream_orchestrator::{
    domain::{
        Change, EventKind, ParticipantSid, ParticipantState, Rejection, Session, StopReason, StreamStatus,
        Timestamp, Track, TrackSource, Tracks, change::Effect,
    },
    store::{DedupKey, Guard, StoreError},
};

use super::backend::{Backend, assert_unbroken, identity, kinds, left, on_every_backend, session};

on_every_backend!(
    late_report_about_older_session_changes_nothing,
    ended_session_does_not_reconnect,
    newer_session_of_identity_replaces_older,
    report_about_other_room_sid_changes_nothing,
    webhook_id_is_applied_once,
    connect_before_activation_is_rejected,
    listing_corrects_older_records_only,
    tracks_follow_publish_and_unpublish,
);

/// Returns a listing time that corrects all records, or none.
async fn before(backend: &Backend, corrects: bool) -> Timestamp {
    let now = backend.partitions[0].now().await.unwrap();
    if corrects { now.plus(Duration::from_secs(60)) } else { now.minus(Duration::from_secs(60)) }
}

async fn late_report_about_older_session_changes_nothing(backend: Backend) {
    let stream = backend.active("late").await;
    backend.change(&stream, Change::Connect(session("ann", "PA_2", 200))).await;
    for late in
        [Change::Connect(session("ann", "PA_1", 100)), left("ann", Some("PA_1")), left("bob", Some("PA_9"))]
    {
        assert_eq!(backend.change(&stream, late).await.effect, Effect::Unchanged);
    }
    let ann = backend.store.participant(stream.id, "ann").await.unwrap().unwrap();
    assert_eq!(
        (ann.state, ann.sid.as_ref().map(ParticipantSid::as_str)),
        (ParticipantState::Active, Some("PA_2"))
    );
    assert_eq!(ann.joined_at, Timestamp::from_millis(200), "the time of LiveKit's report");
}

async fn ended_session_does_not_reconnect(backend: Backend) {
    let stream = backend.active("tombstone").await;
    assert_eq!(backend.change(&stream, left("ann", Some("PA_1"))).await.effect, Effect::Unchanged);
    let joined = backend.change(&stream, Change::Connect(session("ann", "PA_1", 1))).await;
    assert_eq!((joined.effect, joined.stream.participant_count()), (Effect::Unchanged, 0));
    let joined = backend.change(&stream, Change::Connect(session("ann", "PA_2", 2))).await;
    assert_eq!((joined.effect, joined.stream.participant_count()), (Effect::Changed, 1));
}

async fn newer_session_of_identity_replaces_older(backend: Backend) {
    let stream = backend.active("replaced").await;
    backend.change(&stream, Change::Connect(session("ann", "PA_1", 1))).await;
    let second = backend.change(&stream, Change::Connect(session("ann", "PA_2", 2))).await;
    assert_eq!((second.stream.participant_count(), second.stream.peak_participant_count), (1, 1));
    assert_eq!(second.participant.unwrap().sid.as_ref().map(ParticipantSid::as_str), Some("PA_2"));
    assert_eq!(backend.change(&stream, left("ann", Some("PA_1"))).await.effect, Effect::Unchanged);
    let published = kinds(&backend.log(stream.id).await)[2..].to_vec();
    assert_eq!(
        published,
        [EventKind::ParticipantJoined, EventKind::ParticipantLeft, EventKind::ParticipantJoined]
    );
}

async fn report_about_other_room_sid_changes_nothing(backend: Backend) {
    let stream = backend.active("other").await;
    let mut other_room = session("ann", "PA_1", 1);
    other_room.room_sid = "RM_2".into();
    assert_eq!(backend.change(&stream, Change::Connect(other_room)).await.effect, Effect::Unchanged);
    let finished = Change::BeginStop { reason: StopReason::RoomFinished, room_sid: Some("RM_2".into()) };
    let applied = backend.change(&stream, finished).await;
    assert_eq!((applied.effect, applied.stream.status), (Effect::Unchanged, StreamStatus::Active));
}

async fn webhook_id_is_applied_once(backend: Backend) {
    let stream = backend.active("once").await;
    let guard =
        || Guard { version: None, dedup_key: Some(DedupKey::Webhook("EV_1".to_owned())), lease: None };
    let connect = || Change::Connect(session("ann", "PA_1", 1));
    let first = backend.store.apply(&stream, connect(), guard()).await.unwrap();
    let again = backend.store.apply(&stream, left("ann", None), guard()).await.unwrap();
    assert_eq!((first.effect, again.effect), (Effect::Changed, Effect::Duplicate));
    assert_eq!(again.stream.participant_count(), 1);
}

async fn connect_before_activation_is_rejected(backend: Backend) {
    let stream = backend.create("early").await.reference();
    let mut stale = session("ghost", "PA_1", 1);
    stale.room_sid = "RM_old".into();
    // Rejected, so that LiveKit sends the webhook again when the sid of the room is known.
    let early = backend.store.apply(&stream, Change::Connect(stale.clone()), Guard::default()).await;
    assert!(matches!(early, Err(StoreError::Rejected(Rejection::NotActive { .. }))), "{early:?}");
    let mut ahead = session("ann", "PA_2", i64::MAX);
    backend.change(&stream, Change::Activate { room_sid: "RM_1".into() }).await;
    assert_eq!(backend.change(&stream, Change::Connect(stale)).await.effect, Effect::Unchanged);
    backend.change(&stream, Change::Connect(ahead.clone())).await;
    backend.change(&stream, left("ann", Some("PA_2"))).await;
    ahead.sid = "PA_3".into();
    let again = backend.change(&stream, Change::Connect(ahead)).await;
    assert_eq!(
        (again.effect, again.stream.participant_count()),
        (Effect::Changed, 1),
        "a clock that is ahead does not block a later session"
    );
}

async fn listing_corrects_older_records_only(backend: Backend) {
    let stream = backend.active("listed").await;
    let track = |sid: &str| Track { sid: sid.into(), source: TrackSource::Camera, muted: false };
    let listed = |sid: &str, at, tracks: &[&str]| Session {
        tracks: Tracks::new(tracks.iter().map(|sid| track(sid))),
        ..session("ann", sid, at)
    };
    let observe = async |session: Session, corrects| {
        let before = before(&backend, corrects).await;
        backend.change(&stream, Change::Observe { session, before }).await
    };
    // A participant without a webhook joins by any listing.
    let joined = observe(listed("PA_1", 1_000, &["TR_1"]), false).await;
    assert_eq!(joined.effect, Effect::Changed);
    assert_eq!(joined.participant.unwrap().tracks.as_slice(), [track("TR_1")]);
    // Tracks change only by a listing that is newer than the record.
    assert_eq!(observe(listed("PA_1", 1_000, &[]), false).await.effect, Effect::Unchanged);
    assert_eq!(observe(listed("PA_1", 1_000, &[]), true).await.effect, Effect::Changed);
    assert_eq!(observe(listed("PA_1", 1_000, &[]), true).await.effect, Effect::Unchanged);
    // A session that is not listed has left, under the same condition.
    let lose = async |sid: &str, corrects| {
        let before = before(&backend, corrects).await;
        let change = Change::Lose { identity: identity("ann"), sid: sid.into(), before };
        backend.change(&stream, change).await.effect
    };
    assert_eq!(lose("PA_1", false).await, Effect::Unchanged);
    assert_eq!(lose("PA_0", true).await, Effect::Unchanged);
    assert_eq!(lose("PA_1", true).await, Effect::Changed);
    assert_eq!(lose("PA_1", true).await, Effect::Unchanged);
    // Neither a webhook nor a listing that may be older than the departure restores the session.
    assert_eq!(
        backend.change(&stream, Change::Connect(listed("PA_1", 1_000, &[]))).await.effect,
        Effect::Unchanged
    );
    assert_eq!(observe(listed("PA_1", 1_000, &[]), false).await.effect, Effect::Unchanged);
    // A listing long after the departure restores it.
    assert_eq!(observe(listed("PA_1", 1_000, &[]), true).await.effect, Effect::Changed);
    // A session with an older join time changes nothing unless a listing long after has it, because clocks differ.
    assert_eq!(observe(listed("PA_0", 500, &[]), false).await.effect, Effect::Unchanged);
    assert_eq!(
        backend.change(&stream, Change::Connect(listed("PA_0", 500, &[]))).await.effect,
        Effect::Unchanged
    );
    assert_eq!(observe(listed("PA_0", 500, &[]), true).await.effect, Effect::Changed);
    // A newer session replaces it.
    assert_eq!(observe(listed("PA_2", 2_000, &["TR_2"]), false).await.effect, Effect::Changed);
    let kinds = kinds(&backend.log(stream.id).await[2..]);
    use EventKind::{ParticipantJoined as Joined, ParticipantLeft as Left, ParticipantUpdated as Updated};
    assert_eq!(kinds, [Joined, Updated, Left, Joined, Left, Joined, Left, Joined]);
    assert_unbroken(&backend.log(stream.id).await);
}

async fn tracks_follow_publish_and_unpublish(backend: Backend) {
    let stream = backend.active("tracks").await;
    let track = |sid: &str, muted| Track { sid: sid.into(), source: TrackSource::Microphone, muted };
    let publish = async |sid: &str, track: Track| {
        let change = Change::Publish { identity: identity("ann"), sid: sid.into(), track, by: None };
        backend.change(&stream, change).await
    };
    let unpublish = async |sid: &str, track: &str| {
        let (sid, track) = (sid.into(), track.into());
        backend.change(&stream, Change::Unpublish { identity: identity("ann"), sid, track }).await
    };
    assert_eq!(
        publish("PA_1", track("TR_1", false)).await.effect,
        Effect::Unchanged,
        "no participant is connected"
    );
    backend.change(&stream, Change::Connect(session("ann", "PA_1", 1_000))).await;
    assert_eq!(publish("PA_2", track("TR_1", false)).await.effect, Effect::Unchanged, "another session");
    for (published, effect) in [
        (track("TR_2", false), Effect::Changed),
        (track("TR_2", false), Effect::Unchanged),
        (track("TR_1", true), Effect::Changed),
        (track("TR_2", true), Effect::Changed),
    ] {
        assert_eq!(publish("PA_1", published).await.effect, effect);
    }
    let unpublished = unpublish("PA_1", "TR_1").await;
    assert_eq!(unpublished.participant.unwrap().tracks.as_slice(), [track("TR_2", true)]);
    assert_eq!(
        publish("PA_1", track("TR_1", true)).await.effect,
        Effect::Unchanged,
        "late: the track has ended"
    );
    assert_eq!(unpublish("PA_1", "TR_9").await.effect, Effect::Unchanged);
    assert_eq!(
        publish("PA_1", track("TR_9", true)).await.effect,
        Effect::Unchanged,
        "out of order: the track has ended"
    );
    let departed = backend.change(&stream, left("ann", Some("PA_1"))).await.participant.unwrap();
    assert!(departed.tracks.as_slice().is_empty());
}

//! Blocks, in every store: their events, their bound, their end, and the tokens and departures that they concern.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livestream_orchestrator::{
    domain::{
        AudienceMode, Block, BlockReason, Change, EventKind, Identity, Rejection, Role, Session, StreamRef,
        block::MAX_BLOCKS, change::Effect, stream::NewStream,
    },
    store::{CreateOutcome, ScheduledJob, StoreError},
};

use crate::backend::{Backend, identity, left, new_stream, on_every_backend, session, token};

on_every_backend!(
    block_is_told_once_without_its_reason,
    blocked_identity_gets_no_token,
    departure_of_blocked_participant_has_reason,
    block_expires,
    blocks_are_bounded_and_paged,
    blocked_identities_are_found_among_others,
    blocks_end_with_the_stream,
    block_in_counted_stream_is_told,
    block_lowers_the_hand,
);

const HOUR: Duration = Duration::from_secs(3_600);

fn block(who: &str, reason: Option<&str>, expires_in: Option<Duration>) -> Change {
    let reason = reason.map(|reason| BlockReason::parse(reason).unwrap());
    Change::Block { identity: identity(who), reason, expires_in, by: Some(identity("cy")) }
}

fn unblock(who: &str) -> Change {
    Change::Unblock { identity: identity(who), by: Some(identity("cy")) }
}

fn viewer(who: &str) -> Session {
    Session { role: Some(Role::Viewer), ..session(who, "PA_1", 1) }
}

async fn active_with(backend: &Backend, audience: AudienceMode) -> StreamRef {
    let room = format!("{audience:?}");
    let new = NewStream { audience: audience.begin(0), ..new_stream(&room) };
    let CreateOutcome::Created(stream) = backend.store.create(backend.placed(new)).await.unwrap() else {
        panic!("a new stream")
    };
    let stream = stream.reference();
    backend.change(&stream, Change::Activate { room_sid: "RM_1".into() }).await;
    stream
}

/// The events about blocks: the kind, the identity and the caller.
async fn told(backend: &Backend, stream: &StreamRef) -> Vec<(EventKind, Identity, Option<Identity>)> {
    let log = backend.log(stream.id).await;
    let of_block = |event: &livestream_orchestrator::domain::Event| {
        Some((event.draft.kind, event.draft.identity.clone()?, event.draft.by.clone()))
    };
    log.iter().filter_map(|event| of_block(event)).collect()
}

async fn block_is_told_once_without_its_reason(backend: Backend) {
    let stream = backend.active("blocks").await;
    let first = backend.change(&stream, block("ann", Some("spam"), None)).await;
    assert_eq!((first.effect, first.stream.blocks), (Effect::Changed, 1));
    assert_eq!(backend.change(&stream, block("ann", Some("spam"), None)).await.effect, Effect::Unchanged);
    let version = first.stream.version;
    let changed = backend.change(&stream, block("ann", Some("abuse"), Some(HOUR))).await;
    assert_eq!((changed.stream.version, changed.stream.blocks), (version, 1), "no second event");
    let blocks = backend.store.blocks(stream.id, 10, None).await.unwrap();
    let known = backend.store.block(stream.id, "ann").await.unwrap().unwrap();
    assert_eq!((blocks.items, blocks.next), (vec![known.clone()], None));
    assert_eq!(changed.block.as_ref(), Some(&known));
    assert_eq!((known.reason.unwrap().as_str(), known.by), ("abuse", Some(identity("cy"))));
    assert!(known.expires_at.unwrap() > known.blocked_at);
    assert_eq!(backend.store.get(stream.id).await.unwrap().unwrap(), changed.stream);

    assert_eq!(backend.change(&stream, unblock("ann")).await.stream.blocks, 0);
    assert_eq!(backend.change(&stream, unblock("ann")).await.effect, Effect::Unchanged);
    assert_eq!(backend.store.block(stream.id, "ann").await.unwrap(), None);
    let (ann, by) = (identity("ann"), Some(identity("cy")));
    let expected = [
        (EventKind::ParticipantBlocked, ann.clone(), by.clone()),
        (EventKind::ParticipantUnblocked, ann, by),
    ];
    assert_eq!(told(&backend, &stream).await, expected);
    let log = backend.log(stream.id).await;
    assert!(log.iter().all(|event| !serde_json::to_string(&**event).unwrap().contains("abuse")));
}

async fn blocked_identity_gets_no_token(backend: Backend) {
    let stream = backend.active("tokens").await;
    backend.change(&stream, block("ann", None, None)).await;
    let error = backend.apply(&stream, token("ann", HOUR)).await.unwrap_err();
    assert!(matches!(error, StoreError::Rejected(Rejection::Blocked)), "{error}");
    assert_eq!(backend.change(&stream, token("bob", HOUR)).await.effect, Effect::Changed);
    backend.change(&stream, unblock("ann")).await;
    assert_eq!(backend.change(&stream, token("ann", HOUR)).await.effect, Effect::Changed);
}

async fn departure_of_blocked_participant_has_reason(backend: Backend) {
    let stream = backend.active("departures").await;
    backend.change(&stream, Change::Connect(session("ann", "PA_1", 1))).await;
    let blocked = backend.change(&stream, block("ann", None, None)).await;
    assert!(blocked.participant.unwrap().is_active(), "the session ends when LiveKit has removed it");
    backend.change(&stream, left("ann", Some("PA_1"))).await;
    backend.change(&stream, Change::Connect(session("ann", "PA_2", 2))).await;
    backend.change(&stream, left("ann", Some("PA_2"))).await;
    let log = backend.log(stream.id).await;
    let departures = log.iter().filter(|event| event.draft.kind == EventKind::ParticipantLeft);
    let reasons: Vec<_> = departures.map(|event| event.draft.reason.as_deref()).collect();
    assert_eq!(reasons, [Some("blocked"); 2]);
}

async fn block_expires(backend: Backend) {
    let stream = backend.active("expiry").await;
    backend.change(&stream, block("later", None, Some(HOUR))).await;
    let job = ScheduledJob::ExpireBlocks(stream.id);
    assert!(!backend.scheduled_jobs(10).await.contains(&job));
    for who in ["ann", "bob"] {
        backend.change(&stream, block(who, None, Some(Duration::ZERO))).await;
    }
    assert!(backend.scheduled_jobs(10).await.contains(&job));
    let expired = backend.change(&stream, Change::ExpireBlocks).await;
    assert_eq!((expired.effect, expired.stream.blocks), (Effect::Changed, 1));
    assert!(!backend.scheduled_jobs(10).await.contains(&job));
    assert_eq!(backend.change(&stream, Change::ExpireBlocks).await.effect, Effect::Unchanged);
    let mut ended: Vec<_> = told(&backend, &stream).await.split_off(3);
    ended.sort_by(|a, b| a.1.cmp(&b.1));
    let unblocked = |who: &str| (EventKind::ParticipantUnblocked, identity(who), None);
    assert_eq!(ended, [unblocked("ann"), unblocked("bob")]);
    // A block without an expiry replaces one with it.
    backend.change(&stream, block("cat", None, Some(Duration::ZERO))).await;
    backend.change(&stream, block("cat", None, None)).await;
    assert_eq!(backend.change(&stream, Change::ExpireBlocks).await.effect, Effect::Unchanged);
}

async fn blocks_are_bounded_and_paged(backend: Backend) {
    let stream = backend.active("bound").await;
    for number in 0..MAX_BLOCKS {
        backend.change(&stream, block(&format!("p-{number}"), None, None)).await;
    }
    let error = backend.apply(&stream, block("one more", None, None)).await.unwrap_err();
    let is_refused = matches!(error, StoreError::Rejected(Rejection::TooManyBlocks { max: 1_000 }));
    assert!(is_refused, "{error}");
    backend.change(&stream, block("p-1", Some("known"), None)).await;
    backend.change(&stream, unblock("p-2")).await;
    backend.change(&stream, block("one more", None, None)).await;
    let all = backend.store.blocks(stream.id, MAX_BLOCKS, None).await.unwrap();
    assert_eq!((all.items.len(), all.next), (MAX_BLOCKS, None));
    assert!(all.items.iter().map(Block::list_key).is_sorted());
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let page = backend.store.blocks(stream.id, 333, after.as_deref()).await.unwrap();
        paged.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(paged, all.items);
}

async fn blocked_identities_are_found_among_others(backend: Backend) {
    let stream = backend.active("among").await;
    backend.change(&stream, block("bob", None, None)).await;
    let all = ["ann", "bob", "cat"].map(identity);
    let found = backend.store.blocked(stream.id, &all.iter().collect::<Vec<_>>()).await.unwrap();
    assert_eq!(found, [false, true, false]);
}

async fn blocks_end_with_the_stream(backend: Backend) {
    let stream = backend.active("end").await;
    backend.change(&stream, block("ann", None, Some(Duration::ZERO))).await;
    let stopped = backend.stop(&stream).await;
    assert_eq!(stopped.blocks, 0);
    assert_eq!(backend.store.blocks(stream.id, 10, None).await.unwrap().items, []);
    for change in [block("ann", None, None), unblock("ann")] {
        let error = backend.apply(&stream, change).await.unwrap_err();
        assert!(matches!(error, StoreError::Rejected(Rejection::NotActive { .. })), "{error}");
    }
    assert_eq!(backend.change(&stream, Change::ExpireBlocks).await.effect, Effect::Unchanged);
    assert!(!backend.scheduled_jobs(10).await.contains(&ScheduledJob::ExpireBlocks(stream.id)));
    assert!(backend.log(stream.id).await.last().unwrap().is_last());
}

async fn block_in_counted_stream_is_told(backend: Backend) {
    let stream = active_with(&backend, AudienceMode::Counted).await;
    backend.change(&stream, Change::Connect(viewer("ann"))).await;
    backend.change(&stream, block("ann", None, None)).await;
    backend.change(&stream, left("ann", Some("PA_1"))).await;
    assert_eq!(told(&backend, &stream).await.len(), 1);
    let kinds = crate::backend::kinds(&backend.log(stream.id).await);
    assert!(!kinds.contains(&EventKind::ParticipantLeft), "{kinds:?}");
}

async fn block_lowers_the_hand(backend: Backend) {
    for audience in [AudienceMode::Listed, AudienceMode::Counted] {
        let stream = active_with(&backend, audience).await;
        backend.change(&stream, Change::Connect(viewer("ann"))).await;
        let hand = Change::SetHand { identity: identity("ann"), is_raised: true, by: None };
        backend.change(&stream, hand.clone()).await;
        let blocked = backend.change(&stream, block("ann", None, None)).await;
        let entry = blocked.participant.unwrap();
        assert_eq!((entry.is_active(), entry.hand_raised_at), (true, None));
        assert_eq!(backend.store.participant(stream.id, "ann").await.unwrap(), Some(entry));
        let log = backend.log(stream.id).await;
        let lowered = &log.last().unwrap().draft;
        assert_eq!((lowered.kind, &lowered.by), (EventKind::ParticipantUpdated, &Some(identity("cy"))));
        assert_eq!(lowered.removed, audience == AudienceMode::Counted);
        assert_eq!(log[log.len() - 2].draft.kind, EventKind::ParticipantBlocked);
        let error = backend.apply(&stream, hand).await.unwrap_err();
        assert!(matches!(error, StoreError::Rejected(Rejection::Blocked)), "{error}");
    }
}

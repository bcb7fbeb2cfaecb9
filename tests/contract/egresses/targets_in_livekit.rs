//! Changes of RTMP targets with a fake LiveKit: repeated and concurrent requests, refusals, lost answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livestream_orchestrator::{
    access::Caller,
    domain::{
        EgressChange, EgressId, EgressStatus, JobId, Rejection, RtmpStatus, StreamRef, TargetId,
        TargetStatus, TargetsPlan,
    },
    media::MediaError,
    orchestrator::{Error, TargetSelector, TargetsRequest},
    store::{Guard, StoreError, StreamStore},
};

use super::{
    in_livekit::{begin, broadcast, recorded, start},
    lifecycle::address,
};
use crate::instance::{Fixture, LISTING_GRACE};

fn request(add: &[&str], remove: Vec<TargetSelector>) -> TargetsRequest {
    let add = add.iter().map(|key| address(key)).collect();
    TargetsRequest { add, remove, job: Some(JobId::generate()), dedup_key: None }
}

async fn active() -> (Fixture, StreamRef, EgressId) {
    let (fixture, stream) = begin().await;
    let id = start(&fixture, &stream, broadcast(&["first-key", "other-key"])).await.unwrap();
    fixture.livekit.report_egress(&id, EgressStatus::Active);
    fixture.deliver_webhooks().await;
    (fixture, stream, id)
}

async fn change(
    (fixture, stream, id): &(Fixture, StreamRef, EgressId),
    request: TargetsRequest,
) -> Result<Vec<(u32, RtmpStatus)>, Error> {
    let caller = Caller::unrestricted();
    let changed = fixture.orchestrator.change_targets(&caller, stream, id, request).await?;
    Ok(changed.egress.targets.iter().map(|target| (target.id.0, target.status)).collect())
}

/// Number of active targets in LiveKit.
fn in_livekit(fixture: &Fixture, id: &EgressId) -> usize {
    let targets = fixture.livekit.egress_targets(id);
    targets.iter().filter(|status| **status == TargetStatus::Active).count()
}

#[tokio::test]
async fn targets_are_added_and_removed_by_id_and_by_address() {
    let broadcast = active().await;
    let added = change(&broadcast, request(&["third-key"], Vec::new())).await.unwrap();
    assert_eq!(added[2], (3, RtmpStatus::Active));
    let again = change(&broadcast, request(&["third-key", "first-key"], Vec::new())).await.unwrap();
    assert_eq!(again, added, "adding twice changes nothing");
    assert_eq!(in_livekit(&broadcast.0, &broadcast.2), 3);
    let by_both = vec![TargetSelector::Id(TargetId(1)), TargetSelector::Address(address("other-key"))];
    let removed = change(&broadcast, request(&[], by_both.clone())).await.unwrap();
    assert_eq!(removed, [(1, RtmpStatus::Finished), (2, RtmpStatus::Finished), (3, RtmpStatus::Active)]);
    assert_eq!(change(&broadcast, request(&[], by_both)).await.unwrap(), removed, "again");
    assert_eq!(in_livekit(&broadcast.0, &broadcast.2), 1);
    let back = change(&broadcast, request(&["first-key"], Vec::new())).await.unwrap();
    assert_eq!(back[0], (1, RtmpStatus::Active));
    let twice = vec![TargetSelector::Id(TargetId(1)), TargetSelector::Address(address("first-key"))];
    assert_eq!(change(&broadcast, request(&[], twice)).await.unwrap()[0], (1, RtmpStatus::Finished));
    change(&broadcast, request(&["first-key"], Vec::new())).await.unwrap();
    let rejected = async |request| match change(&broadcast, request).await.unwrap_err() {
        Error::Store(StoreError::Rejected(rejection)) => rejection,
        error => panic!("{error}"),
    };
    for unknown in [TargetSelector::Id(TargetId(9)), TargetSelector::Address(address("unknown-key"))] {
        assert_eq!(rejected(request(&[], vec![unknown])).await, Rejection::NoTarget);
    }
    let all = [1, 3].map(|id| TargetSelector::Id(TargetId(id)));
    assert_eq!(rejected(request(&[], all.into())).await, Rejection::LastTarget);
    broadcast.0.livekit.report_egress(&broadcast.2, EgressStatus::Ending);
    let ended = rejected(request(&["fourth-key"], Vec::new())).await;
    assert_eq!(ended, Rejection::BroadcastEnded, "although its webhook is late");
}

#[tokio::test]
async fn target_that_livekit_refuses_is_not_claimed() {
    let broadcast = active().await;
    broadcast.0.livekit.fail_target_changes(Some(MediaError::Refused("x".to_owned())));
    let refused = change(&broadcast, request(&["third-key"], Vec::new())).await.unwrap_err();
    assert!(matches!(refused, Error::Egress(MediaError::Refused(_))), "{refused}");
    assert_eq!(recorded(&broadcast.0, &broadcast.1, &broadcast.2).await.targets.len(), 2);
    broadcast.0.livekit.fail_target_changes(None);
    change(&broadcast, request(&["third-key"], Vec::new())).await.unwrap();
}

#[tokio::test]
async fn target_without_an_answer_is_shown_as_livekit_has_it_after_one_reconciliation() {
    for is_made in [true, false] {
        let broadcast = active().await;
        let (fixture, stream, id) = &broadcast;
        fixture.livekit.lose_target_answers(is_made);
        fixture.livekit.fail_target_changes(Some(MediaError::Unavailable("x".to_owned())));
        let failed = change(&broadcast, request(&["third-key"], Vec::new())).await.unwrap_err();
        assert!(matches!(failed, Error::Egress(MediaError::Unavailable(_))), "{failed}");
        fixture.livekit.advance(LISTING_GRACE);
        fixture.reconcile().await;
        let targets = recorded(fixture, stream, id).await.targets;
        assert_eq!(targets.len(), if is_made { 3 } else { 2 });
        assert!(targets.iter().all(|target| target.status == RtmpStatus::Active));
    }
}

/// An instance dies between the record and LiveKit's answer.
#[tokio::test]
async fn retry_adds_a_target_once() {
    for is_added in [false, true] {
        let broadcast = active().await;
        let (fixture, stream, id) = &broadcast;
        let request = request(&["third-key"], Vec::new());
        let plan = TargetsPlan {
            id: id.clone(),
            job: request.job.unwrap(),
            add: request.add.clone(),
            remove: Vec::new(),
            by: None,
        };
        fixture.store.apply(stream, EgressChange::PlanTargets(plan).into(), Guard::default()).await.unwrap();
        if is_added {
            fixture.livekit.add_target(id, &address("third-key"));
        }
        let changed = change(&broadcast, request).await.unwrap();
        assert_eq!(changed[2], (3, RtmpStatus::Active));
        assert_eq!(in_livekit(fixture, id), 3);
    }
}

#[tokio::test]
async fn target_that_another_request_adds_is_not_added_again() {
    let broadcast = active().await;
    let (fixture, stream, id) = &broadcast;
    let plan = TargetsPlan {
        id: id.clone(),
        job: JobId::generate(),
        add: vec![address("third-key")],
        remove: Vec::new(),
        by: None,
    };
    fixture.store.apply(stream, EgressChange::PlanTargets(plan).into(), Guard::default()).await.unwrap();
    let changed = change(&broadcast, request(&["third-key"], Vec::new())).await.unwrap();
    assert_eq!(changed[2], (3, RtmpStatus::Starting));
    assert_eq!(in_livekit(fixture, id), 2, "the other request asks LiveKit");
    fixture.livekit.advance(Duration::from_secs(11));
    let changed = change(&broadcast, request(&["third-key"], Vec::new())).await.unwrap();
    assert_eq!(changed[2], (3, RtmpStatus::Active), "the other request has died");
}

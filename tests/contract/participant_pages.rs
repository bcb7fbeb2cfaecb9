//! Pages of participants in every store: with and without a filter, every entry once and in list order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livestream_orchestrator::{
    domain::{Change, Participant, ParticipantKind, ParticipantState, Role, Session, StreamId, StreamRef},
    store::{KindFilter, ParticipantFilter},
};
use proptest::{prelude::*, sample::select};

use crate::{
    backend::{Backend, RETENTION, left, session, token},
    support::unique,
};

/// What happens to one identity.
#[derive(Clone, Copy, Debug)]
enum Visit {
    Token,
    Session { kind: ParticipantKind, hidden: bool, leaves: bool },
}

#[derive(Clone, Debug)]
struct Arrival {
    identity: String,
    role: Role,
    joined_at: i64,
    visit: Visit,
}

fn arrival() -> impl Strategy<Value = Arrival> {
    // Long common beginnings, bytes on both sides of ':', and texts that other locales order in other ways.
    let identity = prop_oneof![
        (0..20u8).prop_map(|n| format!("{}-{n}", "same".repeat(20))),
        "[a-cA-C:é/0-9 ]{1,4}",
        Just("ann".to_owned()),
    ];
    let kind = prop_oneof![3 => Just(ParticipantKind::Standard), 2 => select(&ParticipantKind::ALL[..])];
    let present = (kind, prop::bool::weighted(0.2), any::<bool>())
        .prop_map(|(kind, hidden, leaves)| Visit::Session { kind, hidden, leaves });
    let visit = prop_oneof![1 => Just(Visit::Token), 3 => present];
    let role = select(vec![Role::Host, Role::Viewer]);
    (identity, role, 1..4i64, visit).prop_map(|(identity, role, joined_at, visit)| Arrival {
        identity,
        role,
        joined_at,
        visit,
    })
}

async fn arrive(backend: &Backend, stream: &StreamRef, number: usize, arrival: &Arrival) {
    let Arrival { identity, role, joined_at, visit } = arrival;
    let sid = format!("PA_{number}");
    match *visit {
        Visit::Token => drop(backend.change(stream, token(identity, Duration::from_secs(60))).await),
        Visit::Session { kind, hidden, leaves } => {
            let session = Session { role: Some(*role), kind, hidden, ..session(identity, &sid, *joined_at) };
            backend.change(stream, Change::Connect(session)).await;
            if leaves {
                backend.change(stream, left(identity, Some(&sid))).await;
            }
        }
    }
}

/// All entries of a stream, read one by one.
async fn entries(backend: &Backend, id: StreamId, arrivals: &[Arrival]) -> Vec<Participant> {
    let identities: std::collections::BTreeSet<_> =
        arrivals.iter().map(|arrival| &arrival.identity).collect();
    let mut entries = Vec::new();
    for identity in identities {
        entries.extend(backend.store.participant(id, identity).await.unwrap());
        entries.extend(backend.store.unlisted(id, identity).await.unwrap());
    }
    entries.sort_by_key(Participant::list_key);
    entries
}

fn filters() -> impl Iterator<Item = ParticipantFilter> {
    let kinds = ParticipantKind::ALL.map(|kind| Some(KindFilter::Kind(kind)));
    let kinds: Vec<_> = kinds.into_iter().chain([None, Some(KindFilter::Hidden)]).collect();
    let states = [ParticipantState::Joining, ParticipantState::Active, ParticipantState::Disconnected];
    let states = states.map(Some).into_iter().chain([None]);
    states.flat_map(move |state| {
        kinds.clone().into_iter().flat_map(move |kind| {
            [true, false].map(|shows_hidden| ParticipantFilter { state, kind, shows_hidden })
        })
    })
}

/// Asserts that the pages have exactly these entries, and that a page position names no hidden participant to a caller
/// who may not see it.
async fn assert_pages(
    backend: &Backend,
    id: StreamId,
    filter: ParticipantFilter,
    limit: usize,
    expected: &[&Participant],
    hidden: &[&Participant],
) {
    let (mut listed, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = backend.store.participants(id, filter, limit, after.as_deref()).await.unwrap();
        assert!(page.items.len() <= limit);
        listed.extend(page.items);
        let Some(next) = page.next else { break };
        assert!(after.is_none_or(|after| after < next), "pages go forward");
        assert!(filter.shows_hidden || hidden.iter().all(|one| one.list_key() != next), "{next:?}");
        after = Some(next);
    }
    assert!(listed.iter().eq(expected.iter().copied()), "{filter:?} by {limit}: {listed:?}");
}

async fn check(backend: Backend, arrivals: Vec<Arrival>) {
    let stream = backend.active("pages").await;
    for (number, arrival) in arrivals.iter().enumerate() {
        arrive(&backend, &stream, number, arrival).await;
    }
    let all = entries(&backend, stream.id, &arrivals).await;
    let hidden: Vec<_> = all.iter().filter(|entry| entry.hidden).collect();
    for filter in filters() {
        let expected: Vec<_> = all.iter().filter(|entry| filter.shows(entry)).collect();
        for limit in [1, 3, 1_000] {
            assert_pages(&backend, stream.id, filter, limit, &expected, &hidden).await;
        }
    }
    let view = backend.store.view(stream.id).await.unwrap().unwrap();
    assert!(view.participants.iter().eq(all.iter().filter(|entry| entry.is_listed())));
    assert!(!view.participants_truncated);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, ..ProptestConfig::default() })]

    #[test]
    fn pages_have_every_entry_once_in_order(arrivals in prop::collection::vec(arrival(), 0..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            check(Backend::memory(RETENTION), arrivals.clone()).await;
            check(Backend::redis(&unique("pages"), RETENTION), arrivals).await;
        });
    }
}

//! List pages of streams and participants, in every store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use livestream_orchestrator::{
    domain::{
        Change, Participant, ParticipantKind, ParticipantState, Partition, Partitioning, Role, RoomName,
        Session, StreamStatus,
    },
    store::{KindFilter, ParticipantFilter, StreamFilter},
};

use super::backend::{Backend, left, on_every_backend, session};

on_every_backend!(
    page_cursor_of_viewer_has_no_hidden_identity,
    stream_pages_list_every_stream_once,
    page_of_streams_of_one_partition_is_full,
    participant_pages_list_every_participant_once,
);

async fn page_cursor_of_viewer_has_no_hidden_identity(backend: Backend) {
    let stream = backend.active("hidden").await;
    for (n, (who, hidden)) in
        [("rec-1", false), ("secret-1", true), ("rec-2", false), ("secret-2", true)].into_iter().enumerate()
    {
        let kind = ParticipantKind::Egress;
        let session = Session { kind, hidden, ..session(who, &format!("PA_{n}"), 10 - n as i64) };
        backend.change(&stream, Change::Connect(session)).await;
    }
    let kind = Some(KindFilter::Kind(ParticipantKind::Egress));
    for (shows_hidden, count) in [(false, 2), (true, 4)] {
        let filter = ParticipantFilter { kind, shows_hidden, state: None };
        let (mut listed, mut after) = (0, None::<String>);
        loop {
            let page = backend.store.participants(stream.id, filter, 1, after.as_deref()).await.unwrap();
            listed += page.items.len();
            after = page.next;
            let Some(next) = &after else { break };
            assert!(shows_hidden || !next.contains("secret"), "{next}");
        }
        assert_eq!(listed, count);
    }
    let hidden = ParticipantFilter { kind: Some(KindFilter::Hidden), ..ParticipantFilter::default() };
    assert!(backend.store.participants(stream.id, hidden, 10, None).await.unwrap().items.is_empty());
}

/// The oldest and the newest streams are in all partitions, those between them in one.
async fn page_of_streams_of_one_partition_is_full(backend: Backend) {
    let partitioning = Partitioning::new(u16::try_from(backend.partitions.len()).unwrap()).unwrap();
    let is_first = |room: &String| partitioning.of_room(&RoomName::parse(room).unwrap()) == Partition::FIRST;
    let rooms = |prefix: &'static str| (0..).map(move |n| format!("{prefix}{n}"));
    let of_one = rooms("room").filter(is_first).take(100);
    let mut ids = Vec::new();
    for room in rooms("old").take(15).chain(of_one).chain(rooms("new").take(15)) {
        ids.push(backend.create(&room).await.id);
    }
    ids.reverse();
    let (mut listed, mut sizes, mut after) = (Vec::new(), Vec::new(), None);
    loop {
        let page = backend.store.list(StreamFilter::All, 35, after.as_deref()).await.unwrap();
        sizes.push(page.items.len());
        listed.extend(page.items.iter().map(|stream| stream.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [35, 35, 35, 25]);
    assert_eq!(listed, ids, "every stream once, the newest first");
}

async fn stream_pages_list_every_stream_once(backend: Backend) {
    let mut streams = Vec::new();
    for n in 0..25 {
        streams.push(backend.active(&format!("room{n}")).await);
    }
    backend.stop(&streams[3]).await;
    for (filter, expected) in [
        (StreamFilter::All, 25),
        (StreamFilter::NotStopped, 24),
        (StreamFilter::Status(StreamStatus::Active), 24),
        (StreamFilter::Status(StreamStatus::Stopped), 1),
        (StreamFilter::Status(StreamStatus::Error), 0),
    ] {
        for limit in [1, 7, 25, 1_000] {
            let (mut listed, mut after) = (Vec::new(), None);
            loop {
                let page = backend.store.list(filter, limit, after.as_deref()).await.unwrap();
                assert!(page.items.len() <= limit);
                listed.extend(page.items);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(listed.len(), expected, "{filter:?} by {limit}");
            assert!(listed.windows(2).all(|pair| pair[0].id > pair[1].id), "newest first");
        }
    }
}

async fn participant_pages_list_every_participant_once(backend: Backend) {
    let stream = backend.active("people").await;
    for n in 0..30 {
        let mut arrival = session(&format!("p{n}"), &format!("PA_{n}"), i64::from(n / 3));
        arrival.role = Some(if n % 2 == 0 { Role::Host } else { Role::Viewer });
        backend.change(&stream, Change::Connect(arrival)).await;
    }
    for n in 0..5 {
        backend.change(&stream, left(&format!("p{n}"), None)).await;
    }
    let expected: Vec<_> = {
        let mut all = backend.store.view(stream.id).await.unwrap().unwrap().participants.clone();
        all.sort_by_key(Participant::list_key);
        all
    };
    assert_eq!(backend.store.view(stream.id).await.unwrap().unwrap().participants, expected);
    for (state, count) in
        [(None, 30), (Some(ParticipantState::Active), 25), (Some(ParticipantState::Disconnected), 5)]
    {
        for limit in [1, 4, 30] {
            let (mut listed, mut after) = (Vec::new(), None);
            loop {
                let filter = ParticipantFilter { state, ..ParticipantFilter::default() };
                let page =
                    backend.store.participants(stream.id, filter, limit, after.as_deref()).await.unwrap();
                listed.extend(page.items);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            let wanted = expected.iter().filter(|one| state.is_none_or(|state| one.state == state));
            assert_eq!(listed.len(), count);
            assert!(listed.iter().eq(wanted), "{state:?} by {limit}");
        }
    }
}

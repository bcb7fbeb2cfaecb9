//! Clients that keep the state of a stream over gRPC: from the events of `Subscribe`, and from `StreamUpdates`.

use std::cmp::Reverse;

use tonic::Streaming;

use super::{FUTURE, histories::Target};
use crate::support::{
    grpc::{Reset, State, StreamEvent, Update, subscribe_request},
    within,
};

const STATUS_STOPPED: i32 = 4;
const AUDIENCE_COUNTED: i32 = 2;

async fn next<T>(messages: &mut Streaming<T>) -> T {
    within("a gRPC message", messages.message()).await.unwrap().expect("a feed that continues")
}

/// Returns the fields of a state that feeds carry: all but these times.
fn carried(state: &State) -> State {
    State { started_at: 0, stopped_at: 0, ..state.clone() }
}

/// A message of a feed.
pub trait FeedMessage: Sized {
    /// Opens the feed of a stream after a cursor, or from now on.
    async fn open(target: &Target<'_>, after: &str) -> Streaming<Self>;
    fn cursor(&self) -> String;
    fn reset(self) -> Reset;
    /// Folds the message into the state of its stream.
    fn fold(self, state: &mut State);
}

/// A client that folds messages of this type.
pub struct CallFollower<M> {
    feed: Streaming<M>,
    state: State,
    cursor: String,
}

impl CallFollower<Update> {
    /// Follows from the state that the feed begins with.
    pub async fn from_present(target: &Target<'_>) -> Self {
        let mut feed = Update::open(target, "").await;
        let present = next(&mut feed).await;
        Self { feed, cursor: present.cursor.clone(), state: state_of(present) }
    }
}

impl<M: FeedMessage> CallFollower<M> {
    /// Follows from the snapshot of a reset.
    pub async fn from_reset(target: &Target<'_>) -> Self {
        let mut feed = M::open(target, FUTURE).await;
        let reset = next(&mut feed).await.reset();
        let [state] = reset.snapshot.try_into().unwrap();
        Self { feed, state, cursor: reset.cursor }
    }

    async fn read(&mut self) {
        let message = next(&mut self.feed).await;
        self.cursor = message.cursor();
        message.fold(&mut self.state);
    }

    /// Reads to the version of a state, and compares all fields that feeds carry.
    pub async fn assert_becomes(&mut self, state: &State) {
        while self.state.version < state.version {
            self.read().await;
        }
        assert_eq!(carried(&self.state), carried(state), "{}", std::any::type_name::<M>());
    }

    /// Reads to the cursor of a snapshot, and compares all fields that feeds carry.
    pub async fn assert_reaches(&mut self, next: &Self) {
        while self.cursor != next.cursor {
            self.read().await;
        }
        self.assert_becomes(&next.state).await;
    }
}

impl FeedMessage for StreamEvent {
    async fn open(target: &Target<'_>, after: &str) -> Streaming<Self> {
        target.client().await.subscribe(&target.id, after).await.unwrap()
    }

    fn cursor(&self) -> String {
        self.cursor.clone()
    }

    fn reset(self) -> Reset {
        self.reset.unwrap()
    }

    fn fold(self, state: &mut State) {
        fold(state, self);
    }
}

impl FeedMessage for Update {
    async fn open(target: &Target<'_>, after: &str) -> Streaming<Self> {
        target.client().await.call_updates(subscribe_request(&target.id, after)).await.unwrap()
    }

    fn cursor(&self) -> String {
        self.cursor.clone()
    }

    fn reset(self) -> Reset {
        self.reset.unwrap()
    }

    fn fold(self, state: &mut State) {
        *state = state_of(self);
    }
}

/// Folds an event into the state of its stream, by the rules of docs/CLIENTS.md.
fn fold(state: &mut State, event: StreamEvent) {
    let counts = event.participant_counts.unwrap();
    (state.version, state.updated_at, state.audience) = (event.seq, event.timestamp, event.audience);
    (state.participant_count, state.participant_counts) = (counts.hosts + counts.viewers, Some(counts));
    (state.backstage, state.live_at) = (event.backstage, event.live_at);
    assert!(event.count_updated.is_none_or(|told| told.participant_counts == Some(counts)));
    if let Some(updated) = event.updated {
        state.status = updated.current_status;
        if updated.previous_status == updated.current_status || !updated.metadata.is_empty() {
            state.metadata = updated.metadata;
        }
    }
    if event.stopped.is_some() {
        state.status = STATUS_STOPPED;
    }
    let about = [event.joined, event.left, event.participant_updated].into_iter().flatten();
    for participant in about.filter_map(|data| data.participant) {
        state.participants.retain(|known| known.identity != participant.identity);
        state.participants.extend((!event.removed).then_some(participant));
    }
    let is_counted = state.audience == AUDIENCE_COUNTED;
    state.participants.retain(|known| !is_counted || known.role == "host" || known.hand_raised_at > 0);
    state.participants.sort_by_cached_key(|known| {
        (known.role.clone(), known.hand_raised_at == 0, Reverse(known.joined_at), known.identity.clone())
    });
}

/// Each update has the whole state.
fn state_of(update: Update) -> State {
    State {
        stream_id: update.stream_id,
        status: update.status,
        participants: update.participants,
        started_at: 0,
        updated_at: update.timestamp,
        stopped_at: 0,
        metadata: update.metadata,
        version: update.seq,
        participant_count: update.participant_count,
        participants_truncated: update.participants_truncated,
        audience: update.audience,
        participant_counts: update.participant_counts,
        backstage: update.backstage,
        live_at: update.live_at,
    }
}

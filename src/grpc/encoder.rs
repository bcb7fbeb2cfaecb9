//! Encoders: what each kind of feed sends first, for an event and for a reset.

use std::{collections::HashSet, future::Future, sync::Arc};

use prost::Message;
use tonic::Status;

use super::{
    event,
    known_states::{KnownState, KnownStates},
    participant_list::ParticipantList,
    past_states,
    proto::{StreamEvent, StreamUpdate},
    status::{store_status, use_case_status},
    update,
};
use crate::{
    domain::{Event, Stream, StreamId},
    orchestrator::{Orchestrator, ReadGrant},
    relay::{Relay, ResetPart, SharedSnapshot},
    store::SnapshotContent,
};

/// Encoder of one feed.
pub trait Encoder: Send + Sync + 'static {
    /// The messages of the feed.
    type Output: Message + 'static;

    /// Returns the next of the messages that the feed begins with; `None` after the last one.
    ///
    /// # Errors
    /// The status with which the feed ends.
    fn first(&mut self) -> impl Future<Output = Result<Option<Self::Output>, Status>> + Send;

    /// Returns the message of an event.
    ///
    /// # Errors
    /// The status with which the feed ends.
    fn event(&mut self, event: &Event) -> impl Future<Output = Result<Self::Output, Status>> + Send;

    /// Returns the message of a part of a reset.
    fn reset(&mut self, part: &ResetPart) -> Self::Output;

    /// Returns the number of bytes that were read for this feed alone since the last call.
    fn take_read_bytes(&mut self) -> usize {
        0
    }
}

/// Encoder of `Subscribe`.
pub struct Events;

impl Encoder for Events {
    type Output = StreamEvent;

    async fn first(&mut self) -> Result<Option<StreamEvent>, Status> {
        Ok(None)
    }

    async fn event(&mut self, event: &Event) -> Result<StreamEvent, Status> {
        Ok(event::event(event))
    }

    fn reset(&mut self, part: &ResetPart) -> StreamEvent {
        event::reset_event(part)
    }
}

/// Present states that a feed begins with, one message for each stream.
struct FirstStates {
    snapshot: Arc<SharedSnapshot>,
    /// Number of streams that are sent.
    sent: usize,
}

/// Encoder of `StreamUpdates`. Every update has the stream's metadata and participants.
pub struct Updates {
    orchestrator: Arc<Orchestrator>,
    relay: Relay,
    grant: ReadGrant,
    known: Arc<KnownStates>,
    first: Option<FirstStates>,
    /// The state of the newest update.
    last: Option<Arc<KnownState>>,
    /// Streams of which a past state was read: once for each, so that a feed of all streams reads no log repeatedly.
    looked_back: HashSet<StreamId>,
    /// Bytes that were read for this feed since [`Encoder::take_read_bytes`].
    read_bytes: usize,
}

impl Updates {
    /// Creates the encoder of a feed with this grant, which begins with the states of a snapshot.
    pub fn new(
        (orchestrator, relay): (Arc<Orchestrator>, Relay),
        grant: ReadGrant,
        known: Arc<KnownStates>,
        first: Option<Arc<SharedSnapshot>>,
    ) -> Self {
        let first = first.map(|snapshot| FirstStates { snapshot, sent: 0 });
        let looked_back = HashSet::new();
        Self { orchestrator, relay, grant, known, first, last: None, looked_back, read_bytes: 0 }
    }

    /// Returns the update of the next stream of a snapshot.
    async fn first_update(&mut self, first: &FirstStates) -> Result<Option<StreamUpdate>, Status> {
        let cursor = first.snapshot.cursor();
        Ok(match &first.snapshot.snapshot().content {
            SnapshotContent::Stream(Some(view)) if first.sent == 0 => {
                let state = self.known.record(view);
                Some(update::first_update(&view.stream, &state.participants, cursor))
            }
            SnapshotContent::Stream(_) => None,
            SnapshotContent::All(streams) => match streams.get(first.sent) {
                Some(stream) => {
                    let participants = self.participants(stream).await?;
                    Some(update::first_update(stream, &participants, cursor))
                }
                None => None,
            },
        })
    }

    /// Returns the participants of a stream, as of its document or later.
    async fn participants(&mut self, stream: &Stream) -> Result<ParticipantList, Status> {
        let state = match self.known.of(stream) {
            Some(known) => Some(known),
            None => self.read(stream.id).await?,
        };
        Ok(state.map(|state| state.participants.clone()).unwrap_or_default())
    }

    /// Returns the state after an event.
    async fn state(&mut self, event: &Event) -> Result<Arc<KnownState>, Status> {
        if let Some(known) = self.known.at(event) {
            return Ok(known);
        }
        let before = self.last.as_ref().filter(|last| last.cursor == event.previous);
        let next = before.map(|last| last.after(event)).filter(|next| !next.participants.is_sparse());
        if let Some(next) = next {
            return Ok(Arc::new(next));
        }
        let later = match self.known.later(event) {
            Some(later) => Some(later),
            None => self.read(event.stream_id()).await?,
        };
        match later {
            Some(state) if state.cursor == event.cursor => Ok(state),
            // The stream has changed again.
            Some(newest) => self.past_state(event, &newest).await,
            None => Ok(Arc::new(KnownState::before_first().after(event))),
        }
    }

    /// Returns the state after an event of the past, from the stream's log. Without it, returns the newest state with
    /// the event's participant.
    async fn past_state(&mut self, event: &Event, newest: &KnownState) -> Result<Arc<KnownState>, Status> {
        let id = event.stream_id();
        let grant = self.grant.within(id).filter(|_| self.looked_back.insert(id));
        if let Some(grant) = grant {
            let _lock = self.known.past_lock(id).lock().await;
            if let Some(known) = self.known.at(event) {
                return Ok(known);
            }
            let past =
                past_states::state_at(&self.relay, &grant, newest, event).await.map_err(store_status)?;
            if let Some((state, read_bytes)) = past {
                self.read_bytes += read_bytes;
                let state = Arc::new(state);
                self.known.record_past(id, &state);
                return Ok(state);
            }
        }
        Ok(Arc::new(newest.after(event)))
    }

    async fn read(&mut self, id: StreamId) -> Result<Option<Arc<KnownState>>, Status> {
        let view = self.orchestrator.view_granted(&self.grant, id).await.map_err(use_case_status)?;
        let state = view.map(|view| self.known.record(&view));
        self.read_bytes += state.as_ref().map_or(0, |state| state.bytes());
        Ok(state)
    }
}

impl Encoder for Updates {
    type Output = StreamUpdate;

    async fn first(&mut self) -> Result<Option<StreamUpdate>, Status> {
        let Some(mut first) = self.first.take() else { return Ok(None) };
        let update = self.first_update(&first).await?;
        first.sent += 1;
        self.first = Some(first).filter(|_| update.is_some());
        Ok(update)
    }

    async fn event(&mut self, event: &Event) -> Result<StreamUpdate, Status> {
        let state = self.state(event).await?;
        let update = update::update(event, &state);
        self.last = Some(state);
        Ok(update)
    }

    fn reset(&mut self, part: &ResetPart) -> StreamUpdate {
        if let Some(snapshot) = part.cursor() {
            self.known.forget_after(self.grant.topic(), snapshot);
            self.last = None;
        }
        update::reset_update(part)
    }

    fn take_read_bytes(&mut self) -> usize {
        std::mem::take(&mut self.read_bytes)
    }
}

//! LiveKit's webhooks, and the events of simulated rooms.

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{error::Error, moderation::Arrival, service::Orchestrator, webhook_probe::CHECK_ROOM};
use crate::{
    domain::{
        Change, EgressChange, EgressReport, Rejection, RoomName, RoomSid, StopReason, StreamRef,
        StreamStatus, Timestamp, change::Effect,
    },
    rooms::{RoomEvent, RoomEventKind},
    store::{DedupKey, Guard, Store, StoreError},
};

/// How long a webhook about the end of a room waits for the end of its recordings. LiveKit sends the webhooks of a room
/// one after another.
const ROOM_FINISHED_WAIT: Duration = Duration::from_secs(2);

/// Outcome of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A change was made.
    Applied,
    /// The state was up to date.
    Unchanged,
    /// The event was applied before.
    Duplicate,
    /// The event concerns no room of this service, or nothing that it records.
    Ignored,
    /// The stream is still being created: LiveKit must send the event again.
    Early,
}

impl Outcome {
    /// Returns the metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Duplicate => "duplicate",
            Self::Ignored => "ignored",
            Self::Early => "early",
        }
    }
}

impl From<Effect> for Outcome {
    fn from(effect: Effect) -> Self {
        match effect {
            Effect::Changed | Effect::Partial => Self::Applied,
            Effect::Unchanged => Self::Unchanged,
            Effect::Duplicate => Self::Duplicate,
        }
    }
}

/// Processes LiveKit's events: makes of each the change that it means for its stream.
pub struct WebhookProcessor {
    orchestrator: Arc<Orchestrator>,
    store: Arc<dyn Store>,
}

impl WebhookProcessor {
    /// Creates a processor.
    pub fn new(orchestrator: Arc<Orchestrator>) -> Self {
        let store = orchestrator.store.clone();
        Self { orchestrator, store }
    }

    /// Processes the events of simulated rooms until `shutdown`.
    pub async fn run(&self, mut events: mpsc::UnboundedReceiver<RoomEvent>, shutdown: CancellationToken) {
        while let Some(Some(event)) = shutdown.run_until_cancelled(events.recv()).await {
            if let Err(error) = self.process(event).await {
                tracing::warn!(%error, "simulated room event not recorded");
            }
        }
    }

    /// Applies an event to its stream. After a return without an error the change is stored, and the same event has no
    /// effect again.
    ///
    /// # Errors
    /// Errors of the store. LiveKit must send the event again.
    #[tracing::instrument(level = "debug", skip_all, fields(room = %event.room))]
    pub async fn process(&self, event: RoomEvent) -> Result<Outcome, Error> {
        let RoomEvent { id, room, room_sid, at, kind } = event;
        if let RoomEventKind::EgressChanged(report) = kind {
            return self.process_egress(room, *report, id).await;
        }
        // Other events also show that a room exists, but these suffice.
        let shows_room = matches!(kind, RoomEventKind::Started | RoomEventKind::Joined(_));
        if let Some(change) = change_of(kind, room_sid.as_ref(), at)
            && let Some(stream_id) = self.store.id_of_room(&room).await?
        {
            let stream = StreamRef { id: stream_id, room_name: room };
            return self.apply(&stream, change, id, room_sid.as_ref()).await;
        }
        if shows_room {
            return self.process_room(&room, room_sid.as_ref()).await;
        }
        Ok(Outcome::Ignored)
    }

    /// Applies the change that an event about the room `room_sid` means for a stream.
    async fn apply(
        &self,
        stream: &StreamRef,
        change: Change,
        event_id: Option<String>,
        room_sid: Option<&RoomSid>,
    ) -> Result<Outcome, Error> {
        let (connects, stops) =
            (matches!(change, Change::Connect(_)), matches!(change, Change::BeginStop { .. }));
        let arrival = match &change {
            Change::Connect(session) => Some(Arrival::of(session)),
            _ => None,
        };
        // A stop is two changes, each of which can be repeated, so it needs no deduplication key.
        let dedup_key = event_id.filter(|_| !stops).map(DedupKey::Webhook);
        let applied = match self.store.apply(stream, change, Guard { dedup_key, ..Guard::default() }).await {
            Ok(applied) => applied,
            Err(error) => return outcome_of_refusal(error),
        };
        let is_its_room = room_sid.is_none() || applied.stream.room_sid.as_ref() == room_sid;
        if connects && !is_its_room && applied.stream.status.is_final() {
            return self.process_room(&stream.room_name, room_sid).await;
        }
        if stops && is_its_room && applied.stream.status == StreamStatus::Stopping {
            // The room does not exist any more, and an encoder would bring it back.
            self.orchestrator.end_egresses(stream, ROOM_FINISHED_WAIT).await?;
            self.orchestrator.end_ingresses(stream).await?;
            self.orchestrator.close(stream, Change::Close).await?;
        }
        let effect = applied.effect;
        if let Some(arrival) = arrival {
            self.orchestrator.admit(applied, arrival).await;
        }
        Ok(effect.into())
    }

    /// Records an event about an egress, also after the end of its stream. Stops an egress that LiveKit has started
    /// after its request had failed.
    ///
    /// # Errors
    /// Errors of the store.
    async fn process_egress(
        &self,
        room: RoomName,
        report: EgressReport,
        event_id: Option<String>,
    ) -> Result<Outcome, Error> {
        let Some(id) = self.store.id_of_room(&room).await? else { return Ok(Outcome::Ignored) };
        let (stream, report) = (StreamRef { id, room_name: room }, self.orchestrator.relative(report));
        let change = EgressChange::Report { report: report.clone(), is_listed: false };
        let guard = Guard { dedup_key: event_id.map(DedupKey::Webhook), ..Guard::default() };
        let effect = match self.store.apply(&stream, change.into(), guard).await {
            Ok(applied) => applied.effect,
            Err(error) => return outcome_of_refusal(error),
        };
        if effect != Effect::Unchanged {
            return Ok(effect.into());
        }
        match self.orchestrator.stop_unwanted(&stream, &report, Guard::default()).await {
            Ok(true) => Ok(Outcome::Applied),
            Ok(false) => Ok(Outcome::Unchanged),
            Err(Error::Egress(error)) => {
                tracing::warn!(stream = %id, %error, "unwanted egress not stopped; the reconciler retries");
                Ok(Outcome::Unchanged)
            }
            Err(error) => Err(error),
        }
    }

    /// Processes an event about a room that no live stream owns: records a probe, or deletes an orphaned room.
    ///
    /// # Errors
    /// Errors of the store. The reconciler deletes a room that LiveKit does not delete now.
    async fn process_room(&self, room: &RoomName, room_sid: Option<&RoomSid>) -> Result<Outcome, Error> {
        if room.as_str().starts_with(CHECK_ROOM) {
            self.store.record_probe_webhook(room).await?;
            return Ok(Outcome::Applied);
        }
        if let Some(id) = self.store.id_of_room(room).await?
            && let Some(stream) = self.store.get(id).await?
            && (!stream.status.is_final() || stream.room_sid.as_ref() == room_sid)
        {
            // The room of a live stream, or a late event about the ended room.
            return Ok(Outcome::Ignored);
        }
        match self.orchestrator.delete_orphaned_room(room).await {
            Ok(true) => Ok(Outcome::Applied),
            Ok(false) => Ok(Outcome::Ignored),
            Err(error @ (Error::Rooms(_) | Error::OperationInProgress(_))) => {
                tracing::warn!(%room, %error, "orphaned room not deleted; the reconciler retries");
                Ok(Outcome::Ignored)
            }
            Err(error) => Err(error),
        }
    }
}

/// Returns the change that an event means for the stream of its room; `None` if it means none.
fn change_of(kind: RoomEventKind, room_sid: Option<&RoomSid>, at: Option<Timestamp>) -> Option<Change> {
    match kind {
        RoomEventKind::Joined(session) => Some(Change::Connect(session)),
        RoomEventKind::Left { identity, sid } => {
            Some(Change::Disconnect { identity, sid: Some(sid), at, reason: None })
        }
        RoomEventKind::Finished => {
            Some(Change::BeginStop { reason: StopReason::RoomFinished, room_sid: room_sid.cloned() })
        }
        RoomEventKind::Published { identity, sid, track } => {
            Some(Change::Publish { identity, sid, track, by: None })
        }
        RoomEventKind::Unpublished { identity, sid, track } => {
            Some(Change::Unpublish { identity, sid, track })
        }
        RoomEventKind::IngressChanged(report) => Some(Change::ReportIngress { report, before: None }),
        RoomEventKind::Started | RoomEventKind::EgressChanged(_) | RoomEventKind::Other => None,
    }
}

/// Returns the outcome of an event whose change the store refused.
///
/// # Errors
/// The store's error if it does not concern the stream's state.
fn outcome_of_refusal(error: StoreError) -> Result<Outcome, Error> {
    match error {
        StoreError::Rejected(Rejection::NotActive { status: StreamStatus::Creating }) => Ok(Outcome::Early),
        // The stream has expired, or its status makes the event meaningless.
        StoreError::NotFound | StoreError::Rejected(_) => Ok(Outcome::Ignored),
        error => Err(error.into()),
    }
}

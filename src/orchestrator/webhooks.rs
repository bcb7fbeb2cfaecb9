//! What LiveKit says has happened.

use super::{Error, Orchestrator};
use crate::{
    domain::{Change, Rejection, StopReason, StreamRef, StreamStatus, change::Effect},
    rooms::{RoomEvent, RoomEventKind},
    store::{DedupKey, Guard, StoreError},
};

/// What came of a webhook; the word in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It changed something.
    Applied,
    /// It told nothing new.
    Unchanged,
    /// It had been handled before.
    Duplicate,
    /// It is about a room that is not ours, or about nothing that is kept here.
    Ignored,
    /// It is about a room whose stream is still being created, so that LiveKit has to send it again.
    Early,
}

impl Outcome {
    /// The word used in metrics.
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

impl Orchestrator {
    /// Makes of a room event what it means for the stream. When it returns without an error the change is stored, and
    /// the same event again changes nothing.
    ///
    /// # Errors
    /// Those of the store; LiveKit is to send the event again.
    pub async fn hear(&self, event: RoomEvent) -> Result<Outcome, Error> {
        let RoomEvent { id, room, room_sid, at, kind } = event;
        // Others speak of a room that is there as well, but once is enough.
        let tells_of_room = matches!(kind, RoomEventKind::Joined(_));
        let change = match kind {
            RoomEventKind::Joined(session) => Change::Connect(session),
            RoomEventKind::Left { identity, sid } => Change::Disconnect { identity, sid: Some(sid), at },
            RoomEventKind::Finished => {
                Change::BeginStop { reason: StopReason::RoomFinished, room_sid: room_sid.clone() }
            }
            RoomEventKind::Published { identity, sid, track } => Change::Publish { identity, sid, track },
            RoomEventKind::Unpublished { identity, sid, track } => Change::Unpublish { identity, sid, track },
            RoomEventKind::Started => return self.hear_of_room(&room, room_sid.as_ref()).await,
            RoomEventKind::Other => return Ok(Outcome::Ignored),
        };
        let Some(stream_id) = self.store.id_of_room(&room).await? else {
            if tells_of_room {
                return self.hear_of_room(&room, room_sid.as_ref()).await;
            }
            return Ok(Outcome::Ignored);
        };
        let stream = StreamRef { id: stream_id, room_name: room };
        let closes = matches!(change, Change::BeginStop { .. });
        let guard = Guard { dedup_key: id.filter(|_| !closes).map(DedupKey::Webhook), ..Guard::default() };
        let applied = match self.store.apply(&stream, change, guard).await {
            Ok(applied) => applied,
            Err(StoreError::Rejected(Rejection::NotActive { status: StreamStatus::Creating })) => {
                return Ok(Outcome::Early);
            }
            // Expired since, or in a status where the event means nothing any more.
            Err(StoreError::NotFound | StoreError::Rejected(_)) => return Ok(Outcome::Ignored),
            Err(error) => return Err(error.into()),
        };
        // Two steps, each of which may be made again: the room is gone, so what remains is to say so.
        let is_its_room = room_sid.is_none() || applied.stream.room_sid == room_sid;
        if tells_of_room && !is_its_room && applied.stream.status.is_final() {
            return self.hear_of_room(&stream.room_name, room_sid.as_ref()).await;
        }
        if closes && is_its_room && applied.stream.status == StreamStatus::Stopping {
            self.close(&stream, Change::Close).await?;
        }
        Ok(match applied.effect {
            Effect::Changed | Effect::Partial => Outcome::Applied,
            Effect::Unchanged => Outcome::Unchanged,
            Effect::Duplicate => Outcome::Duplicate,
        })
    }
}

//! Creating, changing and stopping streams.

use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::{Instant, sleep};

use super::{Error, Orchestrator, stopping::Claim};
use crate::{
    domain::{
        Change, Metadata, Rejection, RoomName, StopReason, Stream, StreamId, StreamRef, StreamStatus,
        stream::NewStream,
    },
    rooms::{RoomSpec, RoomsError},
    store::{Created, Guard, Once, StoreError},
};

/// How long a second request for the same creation or stop waits for the first to be through.
pub(super) const UNDER_WAY_WAIT: Duration = Duration::from_secs(6);
/// How often it looks.
pub(super) const UNDER_WAY_POLL: Duration = Duration::from_millis(25);
/// How much longer than a stream's idle time LiveKit keeps its empty room, so that the stream is stopped as idle
/// rather than found without a room.
const ROOM_GRACE: Duration = Duration::from_secs(60);
/// How long LiveKit keeps the empty room of a stream that is never stopped for being idle.
const ROOM_FOREVER: Duration = Duration::from_secs(366 * 24 * 3600);
/// For how long a change of metadata is tried again when others change it at the same time, and how long it waits
/// before each try at the most.
const PATCH_WAIT: Duration = Duration::from_secs(5);
const PATCH_PAUSE: Duration = Duration::from_millis(20);
/// How often metadata is sent to LiveKit again because it was changed in the meantime.
const MIRROR_TRIES: usize = 20;

/// What a stream is to be like.
#[derive(Clone, Debug, Default)]
pub struct CreateRequest {
    /// The id that the stream is to have, where this may be one more attempt at a creation that was begun under it.
    pub id: Option<StreamId>,
    /// The room's name; none for one that is made up.
    pub room_name: Option<RoomName>,
    /// What the app attaches.
    pub metadata: Metadata,
    /// How many may be active at once.
    pub max_participants: Option<u32>,
    /// How long it may be empty, instead of the configured time.
    pub empty_timeout: Option<Duration>,
}

/// The stream that a creation came to.
#[derive(Clone, Debug)]
pub struct Creation {
    /// The stream.
    pub stream: Stream,
    /// Whether it was made just now; otherwise it held the room name already.
    pub is_new: bool,
}

/// What is to be changed.
#[derive(Clone, Debug, Default)]
pub struct Patch {
    /// A JSON Merge Patch (RFC 7396) of the metadata.
    pub metadata: Option<Map<String, Value>>,
    /// A status to go to.
    pub status: Option<StreamStatus>,
    /// The version that the stream must be at.
    pub version: Option<u64>,
    /// Under what the change is made once only, however often it is asked for.
    pub once: Option<Once>,
}

impl Orchestrator {
    /// Records a stream, makes its room, and makes it active. Where a live stream holds the room name, that one is the
    /// answer instead, as soon as it is through its own creation.
    ///
    /// # Errors
    /// [`Error::Rooms`] where the room could not be made: the stream is in `error` then and its room name free again.
    pub async fn create(&self, request: CreateRequest) -> Result<Creation, Error> {
        let id = request.id.unwrap_or_else(StreamId::generate);
        let made_up = || RoomName::parse(id.to_string()).map_err(|_| StoreError::Corrupt("id".to_owned()));
        let room_name = request.room_name.map_or_else(made_up, Ok)?;
        let idle_after = request.empty_timeout.or(self.policy.idle_timeout);
        let spec = RoomSpec {
            name: room_name.clone(),
            metadata: request.metadata.clone(),
            max_participants: request.max_participants,
            empty_timeout: request
                .empty_timeout
                .unwrap_or_else(|| idle_after.map_or(ROOM_FOREVER, |after| after + ROOM_GRACE)),
        };
        let mut new = NewStream {
            id,
            room_name,
            metadata: request.metadata,
            max_participants: request.max_participants,
            idle_after,
        };
        let deadline = Instant::now() + UNDER_WAY_WAIT;
        loop {
            let claim = Claim::taken();
            let existing = match self.store.create(new.clone()).await? {
                Created::New(stream) => {
                    let stream = self.open_room(&stream.reference(), &spec, claim).await?;
                    return Ok(Creation { stream, is_new: true });
                }
                Created::Existing(stream) => Some(stream),
                Created::Held => None,
            };
            let late = Instant::now() > deadline;
            match existing {
                Some(stream) if stream.id == new.id => {
                    if let Some(stream) = self.continue_creation(stream, &spec).await? {
                        return Ok(Creation { stream, is_new: true });
                    }
                    // The attempt before this one came to nothing and has been undone.
                    new.id = StreamId::generate();
                }
                Some(stream) if stream.status != StreamStatus::Creating || late => {
                    return Ok(Creation { stream, is_new: false });
                }
                None if late => {
                    let words = "a room that came back under this name is still being deleted".to_owned();
                    return Err(RoomsError::Unavailable(words).into());
                }
                _ => sleep(UNDER_WAY_POLL).await,
            }
        }
    }

    /// Goes on with a creation whose first attempt died: none where that one has failed for good. Whoever was at it may
    /// still claim the stream, so nothing is deleted here; making the room and recording it are the same twice as once.
    async fn continue_creation(&self, stream: Stream, spec: &RoomSpec) -> Result<Option<Stream>, Error> {
        match stream.status {
            StreamStatus::Error => Ok(None),
            StreamStatus::Creating => {
                let room_sid = self.rooms.create(spec).await?;
                let activate = Change::Activate { room_sid };
                let applied = self.store.apply(&stream.reference(), activate, Guard::default()).await?;
                Ok(Some(applied.stream))
            }
            _ => Ok(Some(stream)),
        }
    }

    async fn open_room(&self, stream: &StreamRef, spec: &RoomSpec, claim: Claim) -> Result<Stream, Error> {
        let opened = match self.rooms.create(spec).await {
            Ok(room_sid) => self.store.apply(stream, Change::Activate { room_sid }, Guard::default()).await,
            Err(error) => {
                self.abandon(stream, &error, claim).await;
                return Err(error.into());
            }
        };
        match opened {
            Ok(applied) => {
                if applied.stream.metadata != spec.metadata {
                    self.mirror_metadata(&applied.stream).await;
                }
                Ok(applied.stream)
            }
            Err(error) => {
                // The stream stays as it is recorded; a room that nobody knows of would stay for ever.
                self.delete_abandoned(stream, claim).await;
                Err(error.into())
            }
        }
    }

    /// A creation that failed: what LiveKit may have made all the same is deleted, and the room name is free again.
    async fn abandon(&self, stream: &StreamRef, cause: &RoomsError, claim: Claim) {
        tracing::warn!(stream = %stream.id, %cause, "the room could not be made");
        if matches!(cause, RoomsError::Unavailable(_)) {
            self.delete_abandoned(stream, claim).await;
        }
        let reason = match cause {
            RoomsError::Unavailable(_) => "livekit_unavailable",
            RoomsError::Refused(_) => "livekit_error",
        };
        if let Err(error) = self.close(stream, Change::Fail { reason: reason.to_owned() }).await {
            tracing::error!(stream = %stream.id, %error, "a failed creation could not be recorded");
        }
    }

    /// Only while the stream holds its room name, or nobody does: the room may be a later stream's by now.
    async fn delete_abandoned(&self, stream: &StreamRef, claim: Claim) {
        let holder = self.store.id_of_room(&stream.room_name).await;
        if holder.is_ok_and(|holder| holder.is_some_and(|id| id != stream.id)) {
            return;
        }
        if let Err(error) = self.delete_room(&stream.room_name, claim).await {
            tracing::warn!(stream = %stream.id, %error, "a room that may exist could not be deleted");
        }
    }

    /// Changes metadata, status or both.
    ///
    /// # Errors
    /// [`Rejection::VersionMismatch`] where the stream is not at the version asked for, also if it only moved on while
    /// this was under way; [`Rejection::InvalidTransition`] for a status that it cannot be sent to.
    pub async fn patch(&self, stream: Stream, patch: Patch) -> Result<Stream, Error> {
        let refused = |to| Error::from(Rejection::InvalidTransition { from: stream.status, to });
        let stops = match patch.status {
            Some(StreamStatus::Stopped) => true,
            Some(status) if status != stream.status => return Err(refused(status)),
            _ => false,
        };
        let guard = Guard { version: patch.version, once: patch.once, ..Guard::default() };
        let Some(change) = patch.metadata else {
            return if stops {
                self.stop(&stream, StopReason::Requested, guard).await
            } else if guard.version.is_some_and(|expected| expected != stream.version) {
                Err(Rejection::VersionMismatch { current: stream.version }.into())
            } else {
                Ok(stream)
            };
        };
        let changed = self.change_metadata(stream, &change, guard).await?;
        // The version was asked of the stream as it was before this request, and the mark is the first change's.
        if stops { self.stop(&changed, StopReason::Requested, Guard::default()).await } else { Ok(changed) }
    }

    async fn change_metadata(
        &self,
        stream: Stream,
        change: &Map<String, Value>,
        guard: Guard,
    ) -> Result<Stream, Error> {
        let reference = stream.reference();
        let mut current = stream;
        let deadline = Instant::now() + PATCH_WAIT;
        while Instant::now() < deadline {
            let merged = current.metadata.merged(change).map_err(|_| Error::MetadataTooLarge)?;
            let change = Change::SetMetadata { expected: current.metadata, metadata: merged };
            match self.store.apply(&reference, change, guard.clone()).await {
                Err(StoreError::Rejected(Rejection::MetadataChanged)) => {
                    // Each for a while of its own, so that those who collided do not do so again.
                    let share = f64::from(uuid::Uuid::new_v4().as_fields().0) / f64::from(u32::MAX);
                    sleep(PATCH_PAUSE.mul_f64(share)).await;
                    current = self.store.get(reference.id).await?.ok_or(StoreError::NotFound)?;
                }
                Err(error) => return Err(error.into()),
                Ok(applied) => {
                    self.mirror_metadata(&applied.stream).await;
                    return Ok(applied.stream);
                }
            }
        }
        Err(StoreError::Unavailable("too many change this stream at once".to_owned()).into())
    }

    /// The change is made and told already; a mirror that fails must not make it look otherwise.
    pub(super) async fn mirror_metadata(&self, stream: &Stream) {
        if stream.status != StreamStatus::Active {
            return;
        }
        let mut sent = stream.metadata.clone();
        for _ in 0..MIRROR_TRIES {
            if let Err(error) = self.rooms.set_metadata(&stream.room_name, &sent).await {
                tracing::warn!(stream = %stream.id, %error, "metadata could not be mirrored to the room");
                return;
            }
            // Another change may have reached LiveKit before this one: the last word must be the one that is kept.
            match self.store.get(stream.id).await {
                Ok(Some(current)) if current.metadata != sent => sent = current.metadata,
                _ => return,
            }
        }
    }
}

//! Creating, changing and stopping streams.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    error::Error,
    lock::{IN_PROGRESS_POLL, IN_PROGRESS_WAIT, OperationLock},
    service::Orchestrator,
};
use crate::{
    domain::{
        Change, Metadata, MetadataPatch, Rejection, RoomName, StopReason, Stream, StreamId, StreamStatus,
        stream::NewStream,
    },
    rooms::RoomSpec,
    store::{CreateOutcome, DedupKey, Guard, StoreError},
};

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
    pub metadata: Option<MetadataPatch>,
    /// A status to go to.
    pub status: Option<StreamStatus>,
    /// The version that the stream must be at.
    pub version: Option<u64>,
    /// Under what the change is made once only, however often it is asked for.
    pub dedup_key: Option<DedupKey>,
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
        let deadline = Instant::now() + IN_PROGRESS_WAIT;
        loop {
            let lock = OperationLock::requested();
            let existing = match self.store.create(new.clone()).await? {
                CreateOutcome::Created(stream) => {
                    let lock = lock.acquired(&stream);
                    let reference = stream.reference();
                    let opening = self.open_room(&reference, &spec, &lock);
                    let stream = self.while_locked(&reference, &lock, opening).await?;
                    return Ok(Creation { stream, is_new: true });
                }
                CreateOutcome::Existing(stream) => Some(stream),
                CreateOutcome::RoomNameLocked => None,
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
                    return Err(Error::RoomNameLocked);
                }
                _ => sleep(IN_PROGRESS_POLL).await,
            }
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
        let guard = Guard { version: patch.version, dedup_key: patch.dedup_key, ..Guard::default() };
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
        change: &MetadataPatch,
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
                    let share = fastrand::f64();
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
        Err(Error::OperationInProgress("concurrent changes of the metadata"))
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

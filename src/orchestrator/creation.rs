//! Creation of streams.

use std::time::Duration;

use super::{
    error::Error,
    find::permit_some,
    lock::{InProgressWait, OperationLock},
    service::Orchestrator,
};
use crate::{
    access::{Action, Caller},
    domain::{AudienceMode, Metadata, RoomName, Stream, StreamId, StreamStatus, stream::NewStream},
    rooms::RoomSpec,
    store::CreateOutcome,
};

/// Time that LiveKit keeps an empty room longer than the stream's idle time. The sweeper then stops the stream as idle
/// before the room closes.
const ROOM_GRACE: Duration = Duration::from_secs(60);
/// Empty timeout of the room of a stream without an idle time. LiveKit has no value for "never".
const ROOM_FOREVER: Duration = Duration::from_secs(366 * 24 * 3600);

/// Request for a new stream.
#[derive(Clone, Debug, Default)]
pub struct CreateRequest {
    /// Id of the new stream. A retry with the id of an earlier attempt continues that attempt. `None` generates an id.
    pub id: Option<StreamId>,
    /// Name of the LiveKit room; `None` means the stream's id.
    pub room_name: Option<RoomName>,
    /// Metadata of the stream and of its room.
    pub metadata: Metadata,
    /// Maximum number of active participants; `None` means no limit.
    pub max_participants: Option<u32>,
    /// Idle time of the stream, in place of [`super::Policy::idle_timeout`].
    pub empty_timeout: Option<Duration>,
    /// Audience of the stream, in place of [`super::Policy::audience`].
    pub audience: Option<AudienceMode>,
    /// True if the stream begins backstage.
    pub backstage: bool,
}

/// Result of a creation.
#[derive(Clone, Debug)]
pub struct Creation {
    /// The created stream, or the live stream that owns the room name.
    pub stream: Stream,
    /// True if this request, or an earlier attempt of it, created the stream.
    pub is_new: bool,
}

impl Orchestrator {
    /// Creates a stream and its LiveKit room. If a live stream owns the room name, returns that stream, after waiting
    /// up to 6 s for the end of that stream's creation. A request with the id of an earlier attempt continues that
    /// attempt.
    ///
    /// # Errors
    /// - [`Error::Forbidden`]: the caller may not create streams.
    /// - [`Error::Rooms`] or [`Error::RoomExists`]: LiveKit does not create the room. The stream is then in `error` and
    ///   its room name is free. A request that continues an earlier attempt leaves the stream unchanged.
    /// - [`Error::OperationInProgress`]: the earlier attempt must first replace an empty room with other settings.
    /// - [`Error::RoomNameLocked`]: the room name stays locked for 6 s.
    /// - [`Error::Store`]: the store does not answer. The sweeper undoes a creation that was recorded.
    #[tracing::instrument(
        level = "debug",
        skip_all,
        fields(caller = caller.identity(), room = request.room_name.as_ref().map(RoomName::as_str))
    )]
    pub async fn create(&self, caller: &Caller, request: CreateRequest) -> Result<Creation, Error> {
        permit_some(caller, Action::Create)?;
        let (mut new, spec) = self.plan(request);
        let mut wait = InProgressWait::start();
        loop {
            let lock = OperationLock::requested();
            let outcome = self.store.create(new.clone()).await?;
            let is_late = wait.is_over();
            match outcome {
                CreateOutcome::Created(stream) => {
                    let lock = lock.acquired(&stream);
                    return self.open_locked(&stream, &spec, &lock).await;
                }
                CreateOutcome::Existing(stream) if stream.id == new.id => {
                    if let Some(stream) = self.continue_creation(stream, &spec).await? {
                        return Ok(Creation { stream, is_new: true });
                    }
                    // The earlier attempt has failed and was undone.
                    new.id = self.store.place(StreamId::generate(), &new.room_name);
                }
                CreateOutcome::Existing(stream) if stream.status != StreamStatus::Creating || is_late => {
                    return Ok(Creation { stream, is_new: false });
                }
                CreateOutcome::RoomNameLocked if is_late => return Err(Error::RoomNameLocked),
                CreateOutcome::Existing(_) | CreateOutcome::RoomNameLocked => wait.pause().await,
            }
        }
    }

    /// Returns the record of the new stream and the settings of its room.
    fn plan(&self, request: CreateRequest) -> (NewStream, RoomSpec) {
        let CreateRequest { id, room_name, metadata, max_participants, empty_timeout, audience, backstage } =
            request;
        let id = id.unwrap_or_else(StreamId::generate);
        let room_name = room_name.unwrap_or_else(|| id.into());
        let id = self.store.place(id, &room_name);
        let idle_after = empty_timeout.or(self.policy.idle_timeout);
        let default_timeout = || idle_after.map_or(ROOM_FOREVER, |after| after + ROOM_GRACE);
        let spec = RoomSpec {
            name: room_name.clone(),
            metadata: metadata.clone(),
            max_participants,
            empty_timeout: empty_timeout.unwrap_or_else(default_timeout),
        };
        let audience = audience.unwrap_or(self.policy.audience).begin(self.policy.audience_listed_max);
        (NewStream { id, room_name, metadata, max_participants, idle_after, audience, backstage }, spec)
    }

    /// Creates the LiveKit room of a stream in `creating` and activates the stream. Renews `lock` until both are done.
    ///
    /// # Errors
    /// As [`Self::open_room`]: the stream is then in `error`, unless the store does not answer.
    async fn open_locked(
        &self,
        stream: &Stream,
        spec: &RoomSpec,
        lock: &OperationLock,
    ) -> Result<Creation, Error> {
        let reference = stream.reference();
        let opening = self.open_room(&reference, spec, lock);
        let stream = self.while_locked(&reference, lock, opening).await?;
        Ok(Creation { stream, is_new: true })
    }
}

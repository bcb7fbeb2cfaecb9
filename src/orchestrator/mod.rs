//! The use cases: what an app's backend, a webhook or the passing of time makes of the store and the rooms.
//!
//! A use case reads, decides, makes changes of one step each in the store, and calls LiveKit in between. It knows the
//! two traits and nothing of what is behind them.

mod lock;
mod opening;
mod participation;
mod reconciler;
mod remnants;
mod stopping;
mod streams;
mod sweeper;
mod webhooks;

use std::{
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};

pub use self::{
    participation::{JoinRequest, Joined, LeaveRequest, Left},
    reconciler::Report,
    remnants::CHECK_ROOM,
    streams::{CreateRequest, Creation, Patch},
    sweeper::SWEEP_INTERVAL,
    webhooks::Outcome,
};
use crate::{
    access::{Action, Caller},
    domain::{ErrorCode, Rejection, RoomName, Shared, Stream, StreamId, StreamRef, StreamView},
    rooms::{Rooms, RoomsError},
    store::{Store, StoreError},
    telemetry::Metrics,
};

/// How long things may take, as configured.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// How long a join token opens the room.
    pub token_ttl: Duration,
    /// How long an unused token counts as joining.
    pub joining_ttl: Duration,
    /// How long a stream may be empty before it is stopped; none for ever.
    pub idle_timeout: Option<Duration>,
    /// How often what is recorded is compared with LiveKit.
    pub reconcile_interval: Duration,
    /// By how much LiveKit's lists may be late: what was recorded within this time before a list was asked for is not
    /// corrected by it.
    pub listing_grace: Duration,
}

/// Why a use case did not do what it was asked to.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// What is kept did not allow it, or cannot be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// LiveKit did not do its part.
    #[error(transparent)]
    Rooms(#[from] RoomsError),
    /// The caller may not do this.
    #[error("{}", .0.requirement())]
    Forbidden(Action),
    /// LiveKit has an occupied room of the name that was asked for, and its settings are others.
    #[error("the room exists with other settings: {}", .0.join(", "))]
    RoomExists(Vec<String>),
    /// The metadata would be too large with the patch merged into it.
    #[error("the merged metadata is too large")]
    MetadataTooLarge,
}

impl From<Rejection> for Error {
    fn from(rejection: Rejection) -> Self {
        Self::Store(rejection.into())
    }
}

impl Error {
    /// What a client may branch on.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Store(StoreError::NotFound) => ErrorCode::StreamNotFound,
            Self::Store(StoreError::Unavailable(_)) => ErrorCode::StoreUnavailable,
            Self::Store(StoreError::Corrupt(_) | StoreError::Fenced) => ErrorCode::Internal,
            Self::Store(StoreError::Rejected(rejection)) => match rejection {
                Rejection::InvalidTransition { .. } => ErrorCode::InvalidTransition,
                Rejection::NotActive { .. } => ErrorCode::StreamNotActive,
                Rejection::Full { .. } => ErrorCode::StreamFull,
                Rejection::VersionMismatch { .. } | Rejection::MetadataChanged => ErrorCode::VersionMismatch,
            },
            Self::Rooms(RoomsError::Unavailable(_)) => ErrorCode::LivekitUnavailable,
            Self::Rooms(RoomsError::Refused(_)) => ErrorCode::LivekitError,
            Self::Forbidden(_) => ErrorCode::Forbidden,
            Self::RoomExists(_) => ErrorCode::RoomExists,
            Self::MetadataTooLarge => ErrorCode::ValidationFailed,
        }
    }

    /// Words for the caller, where there is more to say than the code's title and nothing internal in it.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Store(StoreError::Rejected(rejection)) => Some(rejection.to_string()),
            Self::Forbidden(action) => Some(action.requirement()),
            Self::RoomExists(differences) => Some(format!(
                "the LiveKit room of this name has participants and other settings: {}",
                differences.join(", ")
            )),
            _ => None,
        }
    }
}

/// Whether the caller may do this at all, to whatever stream.
///
/// # Errors
/// [`Error::Forbidden`] where not.
pub fn permit_some(caller: &Caller, action: Action) -> Result<(), Error> {
    if caller.is_allowed(action) { Ok(()) } else { Err(Error::Forbidden(action)) }
}

/// Whether the caller may do this to the stream of this room.
///
/// # Errors
/// [`Error::Forbidden`] where not; [`StoreError::NotFound`] for one who may not know that there is such a stream.
pub fn permit(caller: &Caller, action: Action, room: &RoomName) -> Result<(), Error> {
    if caller.is_allowed_in(action, room) {
        return Ok(());
    }
    Err(if caller.is_allowed_in(Action::Read, room) {
        Error::Forbidden(action)
    } else {
        StoreError::NotFound.into()
    })
}

/// The use cases over one store and one LiveKit deployment.
pub struct Orchestrator {
    store: Arc<dyn Store>,
    rooms: Arc<dyn Rooms>,
    policy: Policy,
    metrics: Arc<Metrics>,
    /// The most participants of a room that sets no limit, as LiveKit's own configuration has it; 0 for none.
    default_limit: AtomicU32,
}

impl Orchestrator {
    /// Use cases that keep to `policy`.
    pub fn new(store: Arc<dyn Store>, rooms: Arc<dyn Rooms>, policy: Policy, metrics: Arc<Metrics>) -> Self {
        Self { store, rooms, policy, metrics, default_limit: AtomicU32::new(0) }
    }

    /// What these use cases keep to.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What is kept, for reading.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// The rooms, for asking how they are.
    pub fn rooms(&self) -> &dyn Rooms {
        &*self.rooms
    }

    /// The stream that `id_or_room` names, by its id or the name of its room, for a caller who means to do `action` to it.
    ///
    /// # Errors
    /// [`Error::Forbidden`] where the caller may not; [`StoreError::NotFound`] where there is no such stream (any more), or
    /// none that the caller may know of.
    pub async fn find(&self, caller: &Caller, action: Action, id_or_room: &str) -> Result<Stream, Error> {
        permit_some(caller, action)?;
        let stream = self.named(id_or_room).await?;
        permit(caller, action, &stream.room_name)?;
        Ok(stream)
    }

    /// As [`Self::find`], for a change that needs no more than to know which stream: the change itself finds out whether it
    /// is still there.
    ///
    /// # Errors
    /// As there.
    pub async fn find_reference(
        &self,
        caller: &Caller,
        action: Action,
        id_or_room: &str,
    ) -> Result<StreamRef, Error> {
        permit_some(caller, action)?;
        let stream = match id_or_room.parse() {
            Ok(id) => self.store.reference(id).await?,
            Err(_) => None,
        };
        let stream = match stream {
            Some(stream) => stream,
            None => self.named(id_or_room).await?.reference(),
        };
        permit(caller, action, &stream.room_name)?;
        Ok(stream)
    }

    /// The stream that `id_or_room` names, with its participants, for a caller who means to read it.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub async fn view(&self, caller: &Caller, id_or_room: &str) -> Result<Shared<StreamView>, Error> {
        permit_some(caller, Action::Read)?;
        let view = self.named_view(id_or_room).await?;
        permit(caller, Action::Read, &view.stream.room_name)?;
        Ok(view)
    }

    async fn named(&self, id_or_room: &str) -> Result<Stream, Error> {
        if let Ok(id) = id_or_room.parse::<StreamId>()
            && let Some(stream) = self.store.get(id).await?
        {
            return Ok(stream);
        }
        let id = self.id_of_room(id_or_room).await?;
        Ok(self.store.get(id).await?.ok_or(StoreError::NotFound)?)
    }

    async fn named_view(&self, id_or_room: &str) -> Result<Shared<StreamView>, Error> {
        if let Ok(id) = id_or_room.parse::<StreamId>()
            && let Some(view) = self.store.view(id).await?
        {
            return Ok(view);
        }
        let id = self.id_of_room(id_or_room).await?;
        Ok(self.store.view(id).await?.ok_or(StoreError::NotFound)?)
    }

    async fn id_of_room(&self, name: &str) -> Result<StreamId, Error> {
        let room = RoomName::parse(name).map_err(|_| StoreError::NotFound)?;
        Ok(self.store.id_of_room(&room).await?.ok_or(StoreError::NotFound)?)
    }
}

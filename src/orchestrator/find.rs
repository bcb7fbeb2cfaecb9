//! Lookup of the stream that a request names, with the check of its caller.

use super::{error::Error, service::Orchestrator};
use crate::{
    access::{Action, Caller},
    domain::{Identity, Rejection, RoomName, Stream, StreamId, StreamRef, StreamView},
    store::{SharedState, StoreError},
};

/// Checks that the caller may do `action` to some stream.
///
/// # Errors
/// [`Error::Forbidden`] if the caller may do it to no stream.
pub(super) fn permit_some(caller: &Caller, action: Action) -> Result<(), Error> {
    if caller.is_allowed(action) { Ok(()) } else { Err(Error::Forbidden(action)) }
}

/// Checks that the caller may do `action` to the stream of this room.
///
/// A lookup and the use case after it both call this. The lookup hides a stream that the caller may not read. The use
/// case cannot know for which action its caller looked the stream up, so it checks its own action.
///
/// # Errors
/// [`Error::Forbidden`] if not; [`StoreError::NotFound`] if the caller may not read the stream either.
pub(super) fn permit(caller: &Caller, action: Action, room: &RoomName) -> Result<(), Error> {
    if caller.is_allowed_in(action, room) {
        return Ok(());
    }
    Err(if caller.is_allowed_in(Action::Read, room) {
        Error::Forbidden(action)
    } else {
        StoreError::NotFound.into()
    })
}

impl Orchestrator {
    /// Returns the stream that `id_or_room` names by its id or room name, if the caller may do `action` to it.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the caller may not; [`StoreError::NotFound`] if the stream does not exist, or if the
    /// caller may not read it either; [`Rejection::Blocked`] for a blocked participant, to an action that reads.
    #[tracing::instrument(level = "debug", skip_all, fields(stream = id_or_room))]
    pub async fn find(&self, caller: &Caller, action: Action, id_or_room: &str) -> Result<Stream, Error> {
        permit_some(caller, action)?;
        let stream = self.named(id_or_room).await?;
        permit(caller, action, &stream.room_name)?;
        self.refuse_blocked(caller, action, &stream).await?;
        Ok(stream)
    }

    /// Returns only the stream's id and room name, as [`Self::find`]. Cheaper, because both may come from a cache: the
    /// change that follows fails if the stream does not exist any more.
    ///
    /// # Errors
    /// As [`Self::find`].
    #[tracing::instrument(level = "debug", skip_all, fields(stream = id_or_room))]
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

    /// Returns the stream that `id_or_room` names, with its participants, if the caller may read it.
    ///
    /// # Errors
    /// As [`Self::find`].
    #[tracing::instrument(level = "debug", skip_all, fields(stream = id_or_room))]
    pub async fn view(&self, caller: &Caller, id_or_room: &str) -> Result<SharedState<StreamView>, Error> {
        permit_some(caller, Action::Read)?;
        let view = self.named_view(id_or_room).await?;
        permit(caller, Action::Read, &view.stream.room_name)?;
        self.refuse_blocked(caller, Action::Read, &view.stream).await?;
        Ok(view)
    }

    /// Refuses a read by a participant that is blocked.
    async fn refuse_blocked(&self, caller: &Caller, action: Action, stream: &Stream) -> Result<(), Error> {
        let reader = caller.participant_in(&stream.room_name).filter(|_| action.reads_stream());
        match reader {
            Some(identity) if self.is_blocked(stream, &identity).await? => Err(Rejection::Blocked.into()),
            _ => Ok(()),
        }
    }

    /// Reports whether an identity is blocked. Reads nothing for a stream without blocks.
    ///
    /// # Errors
    /// Errors of the store.
    pub(super) async fn is_blocked(&self, stream: &Stream, identity: &Identity) -> Result<bool, Error> {
        Ok(stream.blocks > 0 && self.store.block(stream.id, identity.as_str()).await?.is_some())
    }

    /// As [`Self::is_blocked`], of at most 1,000 identities.
    ///
    /// # Errors
    /// Errors of the store.
    pub(super) async fn blocked(
        &self,
        stream: &Stream,
        identities: &[&Identity],
    ) -> Result<Vec<bool>, Error> {
        if stream.blocks == 0 || identities.is_empty() {
            return Ok(vec![false; identities.len()]);
        }
        Ok(self.store.blocked(stream.id, identities).await?)
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

    async fn named_view(&self, id_or_room: &str) -> Result<SharedState<StreamView>, Error> {
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

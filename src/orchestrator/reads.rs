//! Reads of streams and participants, each for a caller with the permission that it needs.

use super::{
    error::Error,
    find::{permit, permit_some},
    read_grant::ReadGrant,
    service::Orchestrator,
};
use crate::{
    access::{Action, Caller},
    domain::{Identity, Participant, ParticipantState, Stream, StreamId, StreamView},
    store::{KindFilter, Page, ParticipantFilter, SharedState, StoreError, StreamFilter},
};

/// Selects a page of a stream's participants.
#[derive(Clone, Debug)]
pub struct ParticipantQuery {
    /// Required state; `None` selects every state.
    pub state: Option<ParticipantState>,
    /// Required kind; `None` selects the listed participants.
    pub kind: Option<KindFilter>,
    /// Maximum number of participants.
    pub limit: usize,
    /// [`Page::next`] of the page before.
    pub after: Option<String>,
}

impl Orchestrator {
    /// Returns a page of streams, newest first.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the caller may not list streams; errors of the store.
    #[tracing::instrument(level = "debug", skip_all, err(level = "debug"))]
    pub async fn list(
        &self,
        caller: &Caller,
        filter: StreamFilter,
        limit: usize,
        after: Option<&str>,
    ) -> Result<Page<SharedState<Stream>>, Error> {
        permit_some(caller, Action::List)?;
        Ok(self.store.list(filter, limit, after).await?)
    }

    /// Returns a page of a stream's participants. Hidden participants need [`Action::ReadHidden`].
    ///
    /// # Errors
    /// As [`Self::find`].
    #[tracing::instrument(level = "debug", skip_all, fields(stream = id_or_room))]
    pub async fn participants(
        &self,
        caller: &Caller,
        id_or_room: &str,
        query: ParticipantQuery,
    ) -> Result<Page<Participant>, Error> {
        let stream = self.find(caller, Action::Read, id_or_room).await?;
        let ParticipantQuery { state, kind, limit, after } = query;
        let shows_hidden = caller.is_allowed_in(Action::ReadHidden, &stream.room_name);
        let filter = ParticipantFilter { state, kind, shows_hidden };
        Ok(self.store.participants(stream.id, filter, limit, after.as_deref()).await?)
    }

    /// Reports whether the stream has an entry of this identity, listed or unlisted.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the caller may not do `action` to the stream; errors of the store.
    pub async fn has_participant(
        &self,
        caller: &Caller,
        action: Action,
        stream: &Stream,
        identity: &Identity,
    ) -> Result<bool, Error> {
        permit(caller, action, &stream.room_name)?;
        let (id, identity) = (stream.id, identity.as_str());
        Ok(self.store.participant(id, identity).await?.is_some()
            || self.store.unlisted(id, identity).await?.is_some())
    }

    /// Returns a stream and its participants after a change that the caller has made.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the caller may not do `action`; [`StoreError::NotFound`] if the stream has expired.
    pub async fn view_changed(
        &self,
        caller: &Caller,
        action: Action,
        id: StreamId,
    ) -> Result<SharedState<StreamView>, Error> {
        let view = self.store.view(id).await?.ok_or(StoreError::NotFound)?;
        permit(caller, action, &view.stream.room_name)?;
        Ok(view)
    }

    /// Returns a stream and its participants, for a reader of its events. Returns `None` if the grant does not include
    /// the stream, or if the stream has expired.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn view_granted(
        &self,
        grant: &ReadGrant,
        id: StreamId,
    ) -> Result<Option<SharedState<StreamView>>, Error> {
        if !grant.includes(id) {
            return Ok(None);
        }
        Ok(self.store.view(id).await?)
    }

    /// Grants the caller the events of all streams.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the caller may not follow all streams.
    pub fn grant_all(&self, caller: &Caller) -> Result<ReadGrant, Error> {
        permit_some(caller, Action::FollowAll)?;
        Ok(ReadGrant::all())
    }

    /// Grants the caller the events and states of one stream, which `id_or_room` names.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub async fn grant_stream(&self, caller: &Caller, id_or_room: &str) -> Result<ReadGrant, Error> {
        let stream = self.find(caller, Action::Read, id_or_room).await?;
        let grant = ReadGrant::stream(stream.id);
        Ok(match caller.participant_in(&stream.room_name) {
            Some(identity) => grant.of_participant(identity, self.store.clone()),
            None => grant,
        })
    }
}

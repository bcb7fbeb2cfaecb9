//! Ingresses of streams: creation, reads and deletion. The stream key is only in LiveKit.

mod creation;
mod deletion;

use secrecy::SecretString;

pub use self::creation::IngressRequest;
use crate::{
    access::{Action, Caller},
    domain::{Ingress, IngressId, StreamId},
    media::MediaError,
    orchestrator::{error::Error, service::Orchestrator},
};

/// Ingress with what only its administrators may see.
pub struct IngressWithKey {
    /// Stream of the ingress.
    pub stream: StreamId,
    /// The ingress.
    pub ingress: Ingress,
    /// Key that the encoder sends; `None` for a pulled URL, and for a caller that may not see it.
    pub stream_key: Option<SecretString>,
}

impl Orchestrator {
    /// Returns the ingresses of a stream, oldest first.
    ///
    /// # Errors
    /// As [`Self::find`].
    #[tracing::instrument(level = "debug", skip_all, fields(stream = id_or_room))]
    pub async fn ingresses(&self, caller: &Caller, id_or_room: &str) -> Result<Vec<Ingress>, Error> {
        let stream = self.find(caller, Action::ReadIngresses, id_or_room).await?;
        let mut ingresses = self.store.ingresses(stream.id).await?.ingresses;
        ingresses.sort_by_cached_key(Ingress::list_key);
        Ok(ingresses)
    }

    /// Returns an ingress, with its stream key if the caller may manage ingresses.
    ///
    /// # Errors
    /// [`Error::IngressNotFound`]; [`Error::Ingress`] if LiveKit does not tell the key; as [`Self::find`].
    #[tracing::instrument(level = "debug", skip_all, fields(stream = id_or_room))]
    pub async fn ingress(
        &self,
        caller: &Caller,
        id_or_room: &str,
        id: &IngressId,
    ) -> Result<IngressWithKey, Error> {
        let stream = self.find(caller, Action::ReadIngresses, id_or_room).await?;
        let ingress = self.store.ingress(stream.id, id).await?.ok_or(Error::IngressNotFound)?;
        let shows_key = caller.is_allowed_in(Action::ManageIngresses, &stream.room_name);
        let stream_key = if shows_key { self.stream_key(id).await? } else { None };
        Ok(IngressWithKey { stream: stream.id, ingress, stream_key })
    }

    /// Reads the stream key from LiveKit; `None` if the ingress has none, or is deleted in LiveKit.
    async fn stream_key(&self, id: &IngressId) -> Result<Option<SecretString>, MediaError> {
        Ok(self.media.ingress(id).await?.and_then(|listed| listed.stream_key))
    }
}

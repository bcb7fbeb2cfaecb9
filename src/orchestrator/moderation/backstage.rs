//! Taking a stream live or backstage.

use crate::{
    access::{Action, Caller},
    domain::{Change, Stream, StreamRef},
    orchestrator::{error::Error, find::permit, service::Orchestrator},
    store::Guard,
};

impl Orchestrator {
    /// Takes a stream live, so that viewers have access. A live stream is returned unchanged.
    ///
    /// # Errors
    /// [`crate::domain::Rejection::NotActive`] if the stream is not active; [`Error::Forbidden`] if the caller may not
    /// take the stream live.
    #[tracing::instrument(level = "debug", skip_all, fields(caller = caller.identity(), stream = %stream.id))]
    pub async fn go_live(&self, caller: &Caller, stream: &StreamRef, guard: Guard) -> Result<Stream, Error> {
        self.set_backstage(caller, stream, false, guard).await
    }

    /// Takes a stream backstage and removes the viewers from its room. The change is recorded first, so it holds for
    /// viewers who connect at the same time, and also if LiveKit does not answer: the reconciler then removes them.
    ///
    /// # Errors
    /// As [`Self::go_live`].
    #[tracing::instrument(level = "debug", skip_all, fields(caller = caller.identity(), stream = %stream.id))]
    pub async fn stop_live(
        &self,
        caller: &Caller,
        stream: &StreamRef,
        guard: Guard,
    ) -> Result<Stream, Error> {
        let stream = self.set_backstage(caller, stream, true, guard).await?;
        // Also after a repetition, because the first request may have ended before the removals.
        self.enforce_backstage(&stream).await;
        Ok(stream)
    }

    async fn set_backstage(
        &self,
        caller: &Caller,
        stream: &StreamRef,
        backstage: bool,
        guard: Guard,
    ) -> Result<Stream, Error> {
        permit(caller, Action::SetLive, &stream.room_name)?;
        let change = Change::SetBackstage { backstage, by: caller.named_identity() };
        Ok(self.store.apply(stream, change, guard).await?.stream)
    }
}

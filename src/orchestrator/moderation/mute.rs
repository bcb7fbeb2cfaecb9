//! Muting of tracks. A muted participant may unmute its track.

use std::collections::HashSet;

use futures_util::{TryStreamExt, stream};

use super::participant::{ChangedParticipant, require_active};
use crate::{
    access::{Action, Caller},
    domain::{Change, Identity, Session, Stream, StreamRef, TrackSource},
    orchestrator::{error::Error, find::permit, service::Orchestrator},
    rooms::TrackSelection,
    store::{DedupKey, Guard},
};

/// Maximum participants that are muted at the same time.
const CONCURRENCY: usize = 8;

/// Request to mute one participant.
#[derive(Clone, Debug)]
pub struct MuteRequest {
    /// Identity of the participant.
    pub identity: Identity,
    /// Tracks to mute.
    pub tracks: TrackSelection,
    /// Key under which the first track is recorded at most once.
    pub dedup_key: Option<DedupKey>,
}

/// Request to mute all participants.
#[derive(Clone, Debug)]
pub struct MuteAll {
    /// Source of the tracks to mute.
    pub source: TrackSource,
    /// Identities of participants that are not muted.
    pub except: HashSet<Identity>,
}

impl Orchestrator {
    /// Mutes tracks of a participant. Succeeds without a track of the requested source.
    ///
    /// # Errors
    /// [`Error::ParticipantNotFound`]; [`Error::TrackNotFound`] for an unknown sid;
    /// [`crate::domain::Rejection::NotActive`]; [`Error::Rooms`] if LiveKit does not mute: nothing is recorded then;
    /// [`Error::Forbidden`].
    #[tracing::instrument(level = "debug", skip_all, fields(caller = caller.identity(), stream = %stream.id))]
    pub async fn mute(
        &self,
        caller: &Caller,
        stream: Stream,
        request: MuteRequest,
    ) -> Result<ChangedParticipant, Error> {
        permit(caller, Action::Moderate, &stream.room_name)?;
        let MuteRequest { identity, tracks, dedup_key } = request;
        let entry = self.store.participant(stream.id, identity.as_str()).await?;
        let entry = entry.ok_or(Error::ParticipantNotFound)?;
        require_active(&stream)?;
        let by = caller.named_identity();
        // LiveKit answers only after seconds for a participant that is not in the room.
        let count = if entry.is_active() {
            self.mute_tracks(&stream.reference(), &identity, &tracks, by, dedup_key).await?
        } else {
            0
        };
        if count == 0 && matches!(tracks, TrackSelection::Sid(_)) {
            return Err(Error::TrackNotFound);
        }
        self.changed_participant(stream.id, &identity).await
    }

    /// Mutes the tracks of one source of all participants, except some.
    ///
    /// # Errors
    /// As [`Self::mute`]; participants that were muted before an error stay muted.
    #[tracing::instrument(level = "debug", skip_all, fields(caller = caller.identity(), stream = %stream.id))]
    pub async fn mute_all(&self, caller: &Caller, stream: &Stream, request: MuteAll) -> Result<(), Error> {
        permit(caller, Action::Moderate, &stream.room_name)?;
        require_active(stream)?;
        let MuteAll { source, except } = request;
        let tracks = &TrackSelection::Source(source);
        let occupants = self.rooms.occupants(&stream.room_name).await?;
        let is_muted = |session: &Session| {
            session.is_listed()
                && !except.contains(&session.identity)
                && session.tracks.as_slice().iter().any(|track| tracks.includes(track))
        };
        let sessions = occupants.map(|occupants| occupants.sessions).unwrap_or_default();
        let (reference, by) = (&stream.reference(), &caller.named_identity());
        stream::iter(sessions.into_iter().filter(is_muted).map(Ok))
            .try_for_each_concurrent(CONCURRENCY, |session| async move {
                self.mute_tracks(reference, &session.identity, tracks, by.clone(), None).await.map(|_| ())
            })
            .await
    }

    /// Mutes tracks in LiveKit, records each of them, and returns their number.
    async fn mute_tracks(
        &self,
        stream: &StreamRef,
        identity: &Identity,
        tracks: &TrackSelection,
        by: Option<Identity>,
        mut dedup_key: Option<DedupKey>,
    ) -> Result<usize, Error> {
        let muted = self.rooms.mute(&stream.room_name, identity, tracks).await?;
        let count = muted.len();
        for (sid, track) in muted {
            let change = Change::Publish { identity: identity.clone(), sid, track, by: by.clone() };
            let guard = Guard { dedup_key: dedup_key.take(), ..Guard::default() };
            self.store.apply(stream, change, guard).await?;
        }
        Ok(count)
    }
}

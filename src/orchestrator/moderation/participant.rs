//! Reading and changing one participant.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::access::log_failure;
use crate::{
    access::{Action, Caller},
    domain::{
        Change, DisplayName, Identity, Metadata, MetadataPatch, MetadataUpdate, Participant, ParticipantSid,
        ParticipantState, ParticipantUpdate, Rejection, Role, Stream, StreamId, StreamRef, StreamStatus,
        Timestamp,
    },
    orchestrator::{error::Error, find::permit, service::Orchestrator},
    rooms::SessionUpdate,
    store::{DedupKey, Guard, StoreError},
};

/// Time for which a change of metadata is retried while concurrent changes precede it.
const PATCH_WAIT: Duration = Duration::from_secs(5);
/// Maximum pause before each of these retries.
const PATCH_PAUSE: Duration = Duration::from_millis(20);

/// Change of a participant. `None` keeps a value.
#[derive(Clone, Debug)]
pub struct ParticipantPatch {
    /// Identity of the participant.
    pub identity: Identity,
    /// Role, which holds for every token of the identity.
    pub role: Option<Role>,
    /// Display name.
    pub name: Option<DisplayName>,
    /// JSON Merge Patch (RFC 7396) of the metadata.
    pub metadata: Option<MetadataPatch>,
    /// Key under which the change is made at most once.
    pub dedup_key: Option<DedupKey>,
}

impl ParticipantPatch {
    /// Returns the change of a role.
    pub(in crate::orchestrator) const fn role(identity: Identity, role: Role) -> Self {
        Self { identity, role: Some(role), name: None, metadata: None, dedup_key: None }
    }
}

/// Stream and participant after a change.
#[derive(Debug)]
pub struct ChangedParticipant {
    /// The stream.
    pub stream: Stream,
    /// The participant.
    pub participant: Participant,
}

/// Joining entry of a participant that has never connected. It expires without a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoiningTerms {
    /// Role of the participant.
    pub role: Role,
    /// Time of the token.
    pub joined_at: Timestamp,
    /// Time at which the entry expires.
    pub expires_at: Timestamp,
}

impl JoiningTerms {
    /// Returns the terms of an entry; `None` for an entry that does not expire.
    pub fn of(entry: &Participant) -> Option<Self> {
        let expires_at = entry.expires_at.filter(|_| entry.last_visit.is_none())?;
        Some(Self { role: entry.role, joined_at: entry.joined_at, expires_at })
    }

    /// Returns the entry after its expiry, as in its last event, without what the record of a request does not keep.
    fn expired(self, identity: Identity) -> Participant {
        let mut entry = Participant::joining(identity, self.role, self.joined_at);
        (entry.state, entry.left_at) = (ParticipantState::Disconnected, Some(self.expires_at));
        entry
    }
}

impl Orchestrator {
    /// Returns one participant. A hidden participant needs [`Action::ReadHidden`].
    ///
    /// # Errors
    /// [`Error::ParticipantNotFound`]; as [`Self::find`].
    #[tracing::instrument(level = "debug", skip_all, fields(stream = id_or_room))]
    pub async fn participant(
        &self,
        caller: &Caller,
        id_or_room: &str,
        identity: &Identity,
    ) -> Result<Participant, Error> {
        let stream = self.find(caller, Action::Read, id_or_room).await?;
        if let Some(entry) = self.store.participant(stream.id, identity.as_str()).await? {
            return Ok(entry);
        }
        let unlisted = self.store.unlisted(stream.id, identity.as_str()).await?;
        let shows_hidden = caller.is_allowed_in(Action::ReadHidden, &stream.room_name);
        unlisted.filter(|entry| shows_hidden || !entry.hidden).ok_or(Error::ParticipantNotFound)
    }

    /// Returns a participant that was changed earlier by `action`. Changes nothing. `joining` is the participant's
    /// joining entry at that time, which may have expired since.
    ///
    /// # Errors
    /// As [`Self::participant`], with the permission of the change, `action`.
    pub async fn participant_again(
        &self,
        caller: &Caller,
        action: Action,
        id: StreamId,
        identity: &Identity,
        joining: Option<JoiningTerms>,
    ) -> Result<ChangedParticipant, Error> {
        let stream = self.find(caller, action, &id.to_string()).await?;
        let known = self.store.participant(id, identity.as_str()).await?;
        let participant = known.or_else(|| Some(joining?.expired(identity.clone())));
        Ok(ChangedParticipant { participant: participant.ok_or(Error::ParticipantNotFound)?, stream })
    }

    /// Returns a participant after a change.
    ///
    /// # Errors
    /// [`Error::ParticipantNotFound`]; [`StoreError::NotFound`] if the stream has expired.
    pub(super) async fn changed_participant(
        &self,
        id: StreamId,
        identity: &Identity,
    ) -> Result<ChangedParticipant, Error> {
        let stream = self.store.get(id).await?.ok_or(StoreError::NotFound)?;
        let participant = self.store.participant(id, identity.as_str()).await?;
        Ok(ChangedParticipant { stream, participant: participant.ok_or(Error::ParticipantNotFound)? })
    }

    /// Changes a participant's role, name and metadata, in LiveKit if it is connected and in the record.
    ///
    /// # Errors
    /// [`Error::Rooms`] if LiveKit does not make the change, which is then not recorded either;
    /// [`Rejection::NoParticipant`]; [`Rejection::NotActive`]; [`Error::Forbidden`] if the caller may not change
    /// participants; [`Error::OperationInProgress`] if concurrent changes of the metadata precede this one for 5 s.
    #[tracing::instrument(level = "debug", skip_all, fields(caller = caller.identity(), stream = %stream.id))]
    pub async fn patch_participant(
        &self,
        caller: &Caller,
        stream: &StreamRef,
        patch: ParticipantPatch,
    ) -> Result<ChangedParticipant, Error> {
        permit(caller, Action::Moderate, &stream.room_name)?;
        self.update_participant(stream, patch, caller.named_identity()).await
    }

    /// As [`Self::patch_participant`], without a permission check.
    ///
    /// # Errors
    /// As [`Self::patch_participant`], except [`Error::Forbidden`].
    pub(in crate::orchestrator) async fn update_participant(
        &self,
        stream: &StreamRef,
        patch: ParticipantPatch,
        by: Option<Identity>,
    ) -> Result<ChangedParticipant, Error> {
        let deadline = Instant::now() + PATCH_WAIT;
        while Instant::now() < deadline {
            let known = self.store.participant(stream.id, patch.identity.as_str()).await?;
            match self.try_update(stream, &patch, known, by.clone()).await {
                Err(Error::Store(StoreError::Rejected(Rejection::MetadataChanged))) => {
                    // The random pause separates requests that collided.
                    let share = fastrand::f64();
                    sleep(PATCH_PAUSE.mul_f64(share)).await;
                }
                other => return other,
            }
        }
        Err(Error::OperationInProgress("concurrent changes of the metadata"))
    }

    async fn try_update(
        &self,
        stream: &StreamRef,
        patch: &ParticipantPatch,
        known: Option<Participant>,
        by: Option<Identity>,
    ) -> Result<ChangedParticipant, Error> {
        let metadata = merged(known.as_ref(), patch)?;
        let told = self.tell_livekit(stream, known, patch, metadata.as_ref()).await?;
        let ParticipantPatch { identity, role, name, dedup_key, .. } = patch.clone();
        let update = ParticipantUpdate { identity: identity.clone(), role, name, metadata, by };
        let guard = Guard { dedup_key, ..Guard::default() };
        let applied = self.store.apply(stream, Change::UpdateParticipant(update), guard).await?;
        let participant = self.entry_after(stream, &identity, applied.participant).await?;
        let sends_role = patch.role.is_some() || told != participant.sid;
        self.align_changed(applied.stream, participant, sends_role).await
    }

    /// Returns the entry after a change. Reads it if the change was made by an earlier attempt.
    pub(super) async fn entry_after(
        &self,
        stream: &StreamRef,
        identity: &Identity,
        applied: Option<Participant>,
    ) -> Result<Participant, Error> {
        let entry = match applied {
            Some(entry) => Some(entry),
            None => self.store.participant(stream.id, identity.as_str()).await?,
        };
        entry.ok_or(Error::ParticipantNotFound)
    }

    /// Makes the change of a connected participant in LiveKit. Returns its session.
    async fn tell_livekit(
        &self,
        stream: &StreamRef,
        known: Option<Participant>,
        patch: &ParticipantPatch,
        metadata: Option<&MetadataUpdate>,
    ) -> Result<Option<ParticipantSid>, Error> {
        let Some(known) = known.filter(Participant::is_active) else { return Ok(None) };
        let metadata: Option<Metadata> = metadata.map(|update| update.new.clone());
        let update = SessionUpdate { role: patch.role, name: patch.name.clone(), metadata };
        self.rooms.update_participant(&stream.room_name, &known.identity, &update).await?;
        Ok(known.sid)
    }

    /// Makes LiveKit follow the record after a change: the new role may have no access. A changed role is sent again,
    /// because a comparison with the older record may have sent the older role between the call and the record. It
    /// is also sent to a session that has connected since the call.
    async fn align_changed(
        &self,
        stream: Stream,
        participant: Participant,
        sends_role: bool,
    ) -> Result<ChangedParticipant, Error> {
        if !participant.is_active() {
            return Ok(ChangedParticipant { stream, participant });
        }
        if let Err(error) = self.enforce(&stream, participant.clone(), sends_role).await {
            log_failure(&stream, &error);
        }
        let current = self.store.participant(stream.id, participant.identity.as_str()).await?;
        Ok(ChangedParticipant { participant: current.unwrap_or(participant), stream })
    }
}

/// Requires an active stream.
///
/// # Errors
/// [`Rejection::NotActive`].
pub(super) fn require_active(stream: &Stream) -> Result<(), Error> {
    match stream.status {
        StreamStatus::Active => Ok(()),
        status => Err(Rejection::NotActive { status }.into()),
    }
}

/// Merges the patch of the metadata into the known metadata.
fn merged(known: Option<&Participant>, patch: &ParticipantPatch) -> Result<Option<MetadataUpdate>, Error> {
    let Some((known, patch)) = known.zip(patch.metadata.as_ref()) else { return Ok(None) };
    let new = known.metadata.merged(patch).map_err(|_| Error::MetadataTooLarge)?;
    Ok(Some(MetadataUpdate { expected: known.metadata.clone(), new }))
}

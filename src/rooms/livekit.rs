//! Rooms of a LiveKit deployment, through livekit-api.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use livekit_api::services::{
    ServerErrorCode, ServiceError,
    room::{CreateRoomOptions, RoomClient, UpdateParticipantOptions},
};
use livekit_protocol::participant_info::State;
use secrecy::ExposeSecret;
use url::Url;

use super::{
    JoinToken, Occupants, Room, RoomSpec, Rooms, RoomsError, SessionUpdate, TokenRequest, TrackSelection,
    Unsettled,
    livekit_messages::{permission_of, room_of, session, track},
    seconds, tokens,
};
use crate::{
    access::token::ApiKey,
    domain::{Identity, Metadata, ParticipantSid, RoomName, RoomSid, Track},
    livekit_client::{CallError, Caller, is_not_found},
    telemetry::Metrics,
};

/// Maximum time of LiveKit to answer. livekit-api tries other regions of LiveKit Cloud only if it is at least 5 s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// LiveKit deployment, called through one shared HTTP client.
pub struct LiveKitRooms {
    client: Arc<RoomClient>,
    key: ApiKey,
    caller: Caller,
}

impl LiveKitRooms {
    /// Makes a client of the deployment at `url` (`ws`, `wss`, `http` or `https`). The current runtime drives its
    /// connections.
    pub fn new(url: &Url, key: ApiKey, metrics: Arc<Metrics>) -> Self {
        let client = RoomClient::with_api_key(
            url.as_str().trim_end_matches('/'),
            &key.key,
            key.secret.expose_secret(),
        )
        .with_request_timeout(REQUEST_TIMEOUT);
        Self { client: Arc::new(client), key, caller: Caller::new(metrics) }
    }

    pub(super) async fn call<T: Send + 'static, F>(
        &self,
        name: &'static str,
        ask: impl FnOnce(Arc<RoomClient>) -> F,
    ) -> Result<T, RoomsError>
    where
        F: Future<Output = Result<T, ServiceError>> + Send + 'static,
    {
        Ok(self.caller.call(name, &self.client, ask).await?)
    }

    /// Calls LiveKit like [`Self::call`], and succeeds if the room or participant does not exist.
    async fn call_unless_gone<F>(
        &self,
        name: &'static str,
        ask: impl FnOnce(Arc<RoomClient>) -> F,
    ) -> Result<(), RoomsError>
    where
        F: Future<Output = Result<(), ServiceError>> + Send + 'static,
    {
        self.call(name, |client| {
            let answer = ask(client);
            async {
                match answer.await {
                    Err(error) if is_not_found(&error) => Ok(()),
                    other => other,
                }
            }
        })
        .await
    }
}

impl From<CallError> for RoomsError {
    /// Distinguishes an unavailable LiveKit from a refusal.
    fn from(error: CallError) -> Self {
        let away = [ServerErrorCode::UNAVAILABLE, ServerErrorCode::DEADLINE_EXCEEDED];
        match error {
            CallError::Unavailable(text) => Self::Unavailable(text),
            CallError::Answered { .. } if error.has_code(&away) => Self::Unavailable(error.to_string()),
            CallError::Answered { .. } | CallError::Invalid(_) => Self::Refused(error.to_string()),
        }
    }
}

#[async_trait]
impl Rooms for LiveKitRooms {
    async fn create(&self, spec: &RoomSpec) -> Result<Room, RoomsError> {
        let options = CreateRoomOptions {
            empty_timeout: seconds(spec.empty_timeout),
            departure_timeout: seconds(spec.empty_timeout),
            max_participants: spec.max_participants.unwrap_or_default(),
            metadata: spec.metadata.as_text().to_owned(),
            ..CreateRoomOptions::default()
        };
        let name = spec.name.to_string();
        let ask = |client: Arc<RoomClient>| async move { client.create_room(&name, options).await };
        Ok(room_of(self.call("create_room", ask).await?))
    }

    async fn delete(&self, room: &RoomName) -> Result<(), RoomsError> {
        let room = room.to_string();
        let ask = |client: Arc<RoomClient>| async move { client.delete_room(&room).await };
        self.call_unless_gone("delete_room", ask).await
    }

    async fn remove_participant(&self, room: &RoomName, identity: &Identity) -> Result<(), RoomsError> {
        let (room, identity) = (room.to_string(), identity.to_string());
        let ask = |client: Arc<RoomClient>| async move { client.remove_participant(&room, &identity).await };
        self.call_unless_gone("remove_participant", ask).await
    }

    async fn update_participant(
        &self,
        room: &RoomName,
        identity: &Identity,
        update: &SessionUpdate,
    ) -> Result<(), RoomsError> {
        let (room, identity) = (room.to_string(), identity.to_string());
        // LiveKit keeps a value whose option is empty.
        let options = UpdateParticipantOptions {
            metadata: update
                .metadata
                .as_ref()
                .map(|metadata| metadata.as_text().to_owned())
                .unwrap_or_default(),
            permission: update.role.map(permission_of),
            name: update.name.as_ref().map(ToString::to_string).unwrap_or_default(),
            ..UpdateParticipantOptions::default()
        };
        let ask = |client: Arc<RoomClient>| async move {
            // LiveKit answers the update of an absent participant only after seconds, and this read at once.
            client.get_participant(&room, &identity).await?;
            client.update_participant(&room, &identity, options).await.map(|_| ())
        };
        self.call_unless_gone("update_participant", ask).await
    }

    async fn mute(
        &self,
        room: &RoomName,
        identity: &Identity,
        selection: &TrackSelection,
    ) -> Result<Vec<(ParticipantSid, Track)>, RoomsError> {
        let (room, identity, selection) = (room.to_string(), identity.to_string(), selection.clone());
        let ask = |client: Arc<RoomClient>| async move {
            // livekit-api panics where LiveKit does not know the track, so the present tracks are read first.
            let participant = match client.get_participant(&room, &identity).await {
                Err(error) if is_not_found(&error) => return Ok(Vec::new()),
                other => other?,
            };
            let mut muted = Vec::new();
            for track in participant.tracks.into_iter().map(track).filter(|track| selection.includes(track)) {
                client.mute_published_track(&room, &identity, track.sid.as_str(), true).await?;
                muted.push((participant.sid.clone().into(), Track { muted: true, ..track }));
            }
            Ok(muted)
        };
        self.call("mute", ask).await
    }

    async fn set_metadata(&self, room: &RoomName, metadata: &Metadata) -> Result<(), RoomsError> {
        let (room, metadata) = (room.to_string(), metadata.as_text().to_owned());
        let ask =
            |client: Arc<RoomClient>| async move { client.update_room_metadata(&room, &metadata).await };
        self.call("update_room_metadata", ask).await.map(|_| ())
    }

    async fn list(&self, names: &[RoomName]) -> Result<Vec<Room>, RoomsError> {
        if names.is_empty() {
            // LiveKit lists all rooms if the request has no names.
            return Ok(Vec::new());
        }
        let names = names.iter().map(ToString::to_string).collect();
        let ask = |client: Arc<RoomClient>| async move { client.list_rooms(names).await };
        let rooms = self.call("list_rooms", ask).await?;
        Ok(rooms.into_iter().map(room_of).collect())
    }

    async fn occupants_of(&self, room: &RoomName, room_sid: &RoomSid) -> Result<Occupants, RoomsError> {
        let room = room.to_string();
        let ask = |client: Arc<RoomClient>| async move { client.list_participants(&room).await };
        let mut occupants = Occupants::none(room_sid);
        for participant in self.call("list_participants", ask).await? {
            // A state that this version does not know counts as not connected yet, because only `Disconnected` means
            // gone.
            let state = State::try_from(participant.state).unwrap_or(State::Joining);
            let Some(session) = session(room_sid, participant) else { continue };
            match state {
                State::Active => occupants.sessions.push(session),
                State::Disconnected => {}
                _ => {
                    let counts = session.counts();
                    occupants.unsettled.push(Unsettled { sid: session.sid, counts });
                }
            }
        }
        Ok(occupants)
    }

    async fn ping(&self) -> Result<(), RoomsError> {
        let no_room = vec!["livestream-orchestrator-ping".to_owned()];
        let ask = |client: Arc<RoomClient>| async move { client.list_rooms(no_room).await };
        self.call("ping", ask).await.map(|_| ())
    }

    fn token(&self, request: &TokenRequest) -> Result<JoinToken, RoomsError> {
        tokens::sign(&self.key, request)
    }

    fn token_again(&self, request: &TokenRequest) -> Result<JoinToken, RoomsError> {
        tokens::sign(&self.key, request)
    }

    fn simulated(&self) -> bool {
        false
    }
}

//! Egresses of a LiveKit deployment, through livekit-api.

use std::sync::Arc;

use async_trait::async_trait;
use livekit_api::services::{
    ServerErrorCode, ServiceError,
    egress::{EgressClient, EgressListFilter, EgressListOptions},
};
use livekit_protocol::EgressInfo;

use super::{
    EgressJobs, ListedEgress, MediaError, NewEgress, Storage, TargetChange,
    egress_messages::egress,
    egress_request::{StartRequest, request},
    livekit::LiveKitMedia,
};
use crate::{
    domain::{EgressId, RoomName, RtmpAddress},
    livekit_client::{CallError, is_not_found},
};

impl LiveKitMedia {
    async fn call_egress<T: Send + 'static, F>(
        &self,
        name: &'static str,
        ask: impl FnOnce(Arc<EgressClient>) -> F,
    ) -> Result<T, MediaError>
    where
        F: Future<Output = Result<T, ServiceError>> + Send + 'static,
    {
        self.caller.call(name, &self.egresses, ask).await.map_err(of_egress)
    }

    async fn list_egresses(
        &self,
        name: &'static str,
        filter: EgressListFilter,
    ) -> Result<Vec<ListedEgress>, MediaError> {
        let options = EgressListOptions { filter, ..EgressListOptions::default() };
        let ask = |client: Arc<EgressClient>| async move {
            match client.list_egress(options).await {
                Err(error) if is_not_found(&error) => Ok(Vec::new()),
                other => other,
            }
        };
        let infos = self.call_egress(name, ask).await?;
        Ok(infos.into_iter().filter_map(|info| self.listed(info)).collect())
    }

    fn listed(&self, info: EgressInfo) -> Option<ListedEgress> {
        let listed = egress(info)?;
        let prefix = self.storage.as_ref().map(Storage::prefix);
        Some(match prefix {
            Some(prefix) => ListedEgress { report: listed.report.relative_to(prefix), ..listed },
            None => listed,
        })
    }
}

/// LiveKit's messages about egresses may quote RTMP addresses and credentials.
fn of_egress(error: CallError) -> MediaError {
    if error.has_code(&[ServerErrorCode::NOT_FOUND]) {
        return MediaError::NotFound;
    }
    if error.has_code(&[ServerErrorCode::FAILED_PRECONDITION]) {
        return MediaError::Ended;
    }
    match (MediaError::from(error.clone()), error) {
        (MediaError::Refused(_), CallError::Answered { code, .. }) => {
            MediaError::Refused(format!("LiveKit does not accept the egress: {code}"))
        }
        (MediaError::Unavailable(_), CallError::Answered { code, .. }) => MediaError::Unavailable(code),
        (other, _) => other,
    }
}

fn invalid_answer() -> MediaError {
    MediaError::Refused("the answer has no id of the egress".to_owned())
}

async fn start(
    client: Arc<EgressClient>,
    room: String,
    request: StartRequest,
) -> Result<EgressInfo, ServiceError> {
    match request {
        StartRequest::Room(outputs, options) => {
            client.start_room_composite_egress(&room, outputs, options).await
        }
        StartRequest::Participant(identity, outputs, options) => {
            client.start_participant_egress(&room, &identity, outputs, options).await
        }
        StartRequest::Track(outputs, options) => {
            client.start_track_composite_egress(&room, outputs, options).await
        }
        StartRequest::Audio(request) => client.start_egress(*request).await,
    }
}

fn exposed(addresses: &[RtmpAddress]) -> Vec<String> {
    addresses.iter().map(|address| address.expose().to_owned()).collect()
}

#[async_trait]
impl EgressJobs for LiveKitMedia {
    async fn start_egress(&self, new: &NewEgress) -> Result<ListedEgress, MediaError> {
        let refused = || MediaError::Refused("the egress needs a storage, or has no such media".to_owned());
        let request = request(new, self.storage.as_ref()).ok_or_else(refused)?;
        let room = new.room.to_string();
        let started = self.call_egress("start_egress", |client| start(client, room, request)).await?;
        self.listed(started).ok_or_else(invalid_answer)
    }

    async fn change_targets(&self, id: &EgressId, change: &TargetChange) -> Result<ListedEgress, MediaError> {
        let (id, add, remove) = (id.to_string(), exposed(&change.add), exposed(&change.remove));
        let ask = |client: Arc<EgressClient>| async move { client.update_stream(&id, add, remove).await };
        self.listed(self.call_egress("update_stream", ask).await?).ok_or_else(invalid_answer)
    }

    async fn stop_egress(&self, id: &EgressId) -> Result<(), MediaError> {
        let id = id.to_string();
        let ask = |client: Arc<EgressClient>| async move { client.stop_egress(&id).await.map(drop) };
        match self.call_egress("stop_egress", ask).await {
            Err(MediaError::NotFound | MediaError::Ended) => Ok(()),
            other => other,
        }
    }

    async fn egresses(&self, room: Option<&RoomName>) -> Result<Vec<ListedEgress>, MediaError> {
        let filter = room.map_or(EgressListFilter::All, |room| EgressListFilter::Room(room.to_string()));
        self.list_egresses("list_egresses", filter).await
    }

    async fn egress(&self, id: &EgressId) -> Result<Option<ListedEgress>, MediaError> {
        let listed = self.list_egresses("get_egress", EgressListFilter::Egress(id.to_string())).await?;
        Ok(listed.into_iter().find(|egress| egress.report.id == *id))
    }
}

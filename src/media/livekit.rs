//! Media jobs of a LiveKit deployment, through livekit-api.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use livekit_api::services::{
    ServiceError,
    egress::EgressClient,
    ingress::{CreateIngressOptions, IngressClient, IngressListFilter},
};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{
    ListedIngress, MediaError, MediaJobs, NewIngress, Storage,
    livekit_messages::{ingress, input_of},
};
use crate::{
    access::token::ApiKey,
    domain::{IngressId, RoomName},
    livekit_client::{Caller, is_not_found},
    telemetry::Metrics,
};

/// Maximum time of LiveKit to answer. LiveKit itself waits 3 s for a worker.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(4_500);

/// LiveKit deployment, called through one shared HTTP client.
pub struct LiveKitMedia {
    ingresses: Arc<IngressClient>,
    pub(super) egresses: Arc<EgressClient>,
    pub(super) caller: Caller,
    /// Where egresses write files; `None` if they cannot.
    pub(super) storage: Option<Storage>,
}

impl LiveKitMedia {
    /// Makes a client of the deployment at `url` (`ws`, `wss`, `http` or `https`). The current runtime drives its
    /// connections.
    pub fn new(url: &Url, key: &ApiKey, storage: Option<Storage>, metrics: Arc<Metrics>) -> Self {
        let host = url.as_str().trim_end_matches('/');
        let secret = key.secret.expose_secret();
        let ingresses =
            IngressClient::with_api_key(host, &key.key, secret).with_request_timeout(REQUEST_TIMEOUT);
        let egresses =
            EgressClient::with_api_key(host, &key.key, secret).with_request_timeout(REQUEST_TIMEOUT);
        let (ingresses, egresses) = (Arc::new(ingresses), Arc::new(egresses));
        Self { ingresses, egresses, caller: Caller::new(metrics), storage }
    }

    async fn call<T: Send + 'static, F>(
        &self,
        name: &'static str,
        ask: impl FnOnce(Arc<IngressClient>) -> F,
    ) -> Result<T, MediaError>
    where
        F: Future<Output = Result<T, ServiceError>> + Send + 'static,
    {
        Ok(self.caller.call(name, &self.ingresses, ask).await?)
    }

    async fn list(
        &self,
        name: &'static str,
        filter: IngressListFilter,
    ) -> Result<Vec<ListedIngress>, MediaError> {
        let ask = |client: Arc<IngressClient>| async move {
            match client.list_ingress(filter).await {
                Err(error) if is_not_found(&error) => Ok(Vec::new()),
                other => other,
            }
        };
        Ok(self.call(name, ask).await?.into_iter().filter_map(ingress).collect())
    }
}

/// LiveKit's messages may quote the address that it is to pull.
fn without_source(error: MediaError, source: Option<&SecretString>) -> MediaError {
    match (error, source) {
        (MediaError::Refused(_), Some(_)) => {
            MediaError::Refused("LiveKit does not accept the ingress".to_owned())
        }
        (error, _) => error,
    }
}

fn invalid_answer() -> MediaError {
    MediaError::Refused("the answer has no id or no identity of the ingress".to_owned())
}

#[async_trait]
impl MediaJobs for LiveKitMedia {
    fn simulated(&self) -> bool {
        false
    }

    async fn create_ingress(&self, new: &NewIngress) -> Result<ListedIngress, MediaError> {
        let refused = || MediaError::Refused("the protocol is not known".to_owned());
        let input = input_of(new.kind).ok_or_else(refused)?;
        let options = CreateIngressOptions {
            name: new.mark.to_string(),
            room_name: new.room.to_string(),
            participant_identity: new.identity.to_string(),
            participant_name: new.name.as_ref().map(ToString::to_string).unwrap_or_default(),
            url: new.source.as_ref().map(|source| source.expose_secret().to_owned()).unwrap_or_default(),
            ..CreateIngressOptions::default()
        };
        let ask = |client: Arc<IngressClient>| async move { client.create_ingress(input, options).await };
        let created = self.call("create_ingress", ask).await;
        let created = created.map_err(|error| without_source(error, new.source.as_ref()))?;
        ingress(created).ok_or_else(invalid_answer)
    }

    async fn ingresses(&self, room: Option<&RoomName>) -> Result<Vec<ListedIngress>, MediaError> {
        let filter = room.map_or(IngressListFilter::All, |room| IngressListFilter::Room(room.to_string()));
        self.list("list_ingresses", filter).await
    }

    async fn ingress(&self, id: &IngressId) -> Result<Option<ListedIngress>, MediaError> {
        let listed = self.list("get_ingress", IngressListFilter::IngressId(id.to_string())).await?;
        Ok(listed.into_iter().find(|ingress| ingress.report.id == *id))
    }

    async fn delete_ingress(&self, id: &IngressId) -> Result<(), MediaError> {
        let id = id.to_string();
        let ask = |client: Arc<IngressClient>| async move {
            match client.delete_ingress(&id).await {
                Err(error) if is_not_found(&error) => Ok(()),
                other => other.map(drop),
            }
        };
        self.call("delete_ingress", ask).await
    }
}

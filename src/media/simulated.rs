//! Media jobs that exist only in this process, for dev mode without a LiveKit server. No media flows.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::{ListedEgress, ListedIngress, MediaError, MediaJobs, NewIngress};
use crate::domain::{EgressId, IngressId, IngressKind, IngressReport, IngressState, MaskedUrl, RoomName};

/// Simulation of LiveKit's media jobs.
#[derive(Default)]
pub struct SimulatedMedia {
    ingresses: Mutex<BTreeMap<IngressId, ListedIngress>>,
    pub(super) egresses: Mutex<BTreeMap<EgressId, ListedEgress>>,
}

impl SimulatedMedia {
    fn ingresses(&self) -> MutexGuard<'_, BTreeMap<IngressId, ListedIngress>> {
        self.ingresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Address of an ingress. No host has this name (RFC 2606).
fn address(new: &NewIngress) -> Option<MaskedUrl> {
    match new.kind {
        IngressKind::Rtmp => Some(MaskedUrl::public("rtmp://ingress.invalid/live".to_owned())),
        IngressKind::Whip => Some(MaskedUrl::public("https://ingress.invalid/w".to_owned())),
        IngressKind::Url => new.source.as_ref().map(|source| MaskedUrl::of(source.expose_secret())),
        IngressKind::Unknown => None,
    }
}

#[async_trait]
impl MediaJobs for SimulatedMedia {
    fn simulated(&self) -> bool {
        true
    }

    async fn create_ingress(&self, new: &NewIngress) -> Result<ListedIngress, MediaError> {
        let report = IngressReport {
            id: format!("IN_{}", Uuid::now_v7().simple()).into(),
            mark: Some(new.mark),
            kind: new.kind,
            identity: new.identity.clone(),
            name: new.name.clone(),
            url: address(new),
            state: IngressState::default(),
        };
        let has_key = new.kind != IngressKind::Url;
        let stream_key = has_key.then(|| SecretString::from(Uuid::new_v4().simple().to_string()));
        let created = ListedIngress { room: new.room.to_string(), report, stream_key };
        self.ingresses().insert(created.report.id.clone(), created.clone());
        Ok(created)
    }

    async fn ingresses(&self, room: Option<&RoomName>) -> Result<Vec<ListedIngress>, MediaError> {
        let is_in = |ingress: &&ListedIngress| room.is_none_or(|room| ingress.room == room.as_str());
        Ok(self.ingresses().values().filter(is_in).cloned().collect())
    }

    async fn ingress(&self, id: &IngressId) -> Result<Option<ListedIngress>, MediaError> {
        Ok(self.ingresses().get(id).cloned())
    }

    async fn delete_ingress(&self, id: &IngressId) -> Result<(), MediaError> {
        self.ingresses().remove(id);
        Ok(())
    }
}

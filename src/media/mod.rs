//! Media jobs of LiveKit: ingresses and egresses.
//!
//! Two backends implement the same trait and pass the same suite (`tests/contract/media.rs`): [`livekit`] and, for dev
//! mode where no LiveKit server answers, [`simulated`].

mod egress;
mod egress_messages;
mod egress_request;
mod error;
pub mod livekit;
mod livekit_egresses;
mod livekit_messages;
pub mod simulated;
mod simulated_egresses;
mod storage;

use async_trait::async_trait;
use secrecy::SecretString;

pub use self::{
    egress::{EgressJobs, ListedEgress, NewEgress, TargetChange},
    error::MediaError,
    storage::{PublicUrl, Storage, StorageBackend},
};
use crate::domain::{DisplayName, Identity, IngressId, IngressKind, IngressReport, JobMark, RoomName};

/// Settings of a new ingress.
#[derive(Clone, Debug)]
pub struct NewIngress {
    /// Protocol. [`IngressKind::Unknown`] is refused.
    pub kind: IngressKind,
    /// Room in which the participant appears.
    pub room: RoomName,
    /// Identity of the participant.
    pub identity: Identity,
    /// Display name of the participant.
    pub name: Option<DisplayName>,
    /// Address that LiveKit's worker pulls, for [`IngressKind::Url`]. It may contain a password.
    pub source: Option<SecretString>,
    /// Mark by which the ingress is found again.
    pub mark: JobMark,
}

/// Ingress of LiveKit.
#[derive(Clone, Debug)]
pub struct ListedIngress {
    /// Room of the ingress; may be any text, because other tools create ingresses too.
    pub room: String,
    /// What is recorded of it.
    pub report: IngressReport,
    /// Key that the encoder sends; `None` for a pulled URL.
    pub stream_key: Option<SecretString>,
}

/// Media jobs of one LiveKit deployment.
///
/// # Errors
/// Every call can fail with a [`MediaError`], within 4.5 s.
#[async_trait]
pub trait MediaJobs: EgressJobs {
    /// Reports whether the media jobs are simulated: no media flow, and no participant records.
    fn simulated(&self) -> bool;

    /// Creates an ingress. Each call creates another one.
    async fn create_ingress(&self, new: &NewIngress) -> Result<ListedIngress, MediaError>;

    /// Returns the ingresses of a room, or of all rooms without one.
    async fn ingresses(&self, room: Option<&RoomName>) -> Result<Vec<ListedIngress>, MediaError>;

    /// Returns an ingress.
    async fn ingress(&self, id: &IngressId) -> Result<Option<ListedIngress>, MediaError>;

    /// Deletes an ingress, and ends its session. Succeeds if it does not exist.
    async fn delete_ingress(&self, id: &IngressId) -> Result<(), MediaError>;
}

//! Errors of the use cases.

use crate::{
    access::Action,
    domain::{ErrorCode, Rejection},
    media::MediaError,
    rooms::RoomsError,
    store::StoreError,
};

/// Error of a use case.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The store rejected the operation or does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// LiveKit refused the operation or does not answer.
    #[error(transparent)]
    Rooms(#[from] RoomsError),
    /// LiveKit's ingress service refused the operation or does not answer.
    #[error(transparent)]
    Ingress(#[from] MediaError),
    /// LiveKit's egress service refused the operation or does not answer.
    #[error(transparent)]
    Egress(MediaError),
    /// The deployment has no storage for recordings and HLS.
    #[error("no storage is configured: see EGRESS_STORAGE_URL")]
    StorageNotConfigured,
    /// The stream has no recording of this id.
    #[error("the stream has no recording of this id")]
    RecordingNotFound,
    /// The stream has no broadcast of this id.
    #[error("the stream has no broadcast of this id")]
    BroadcastNotFound,
    /// A field of the request breaks a rule that depends on the stream.
    #[error("{field} {rule}")]
    InvalidField {
        /// Name of the field.
        field: &'static str,
        /// The rule.
        rule: String,
    },
    /// The stream has no ingress of this id.
    #[error("the stream has no ingress of this id")]
    IngressNotFound,
    /// The caller lacks the permission.
    #[error("{}", .0.requirement())]
    Forbidden(Action),
    /// LiveKit has an occupied room of the requested name, with other settings.
    #[error("the room exists with other settings: {}", .0.join(", "))]
    RoomExists(Vec<String>),
    /// The stream has no entry of the identity.
    #[error("the stream has no participant of this identity")]
    ParticipantNotFound,
    /// The participant has no track of this sid.
    #[error("the participant has no track of this sid")]
    TrackNotFound,
    /// The merged metadata is too large.
    #[error("the merged metadata is too large")]
    MetadataTooLarge,
    /// Another request or instance changes the stream at the moment; the text says which step it blocked.
    #[error("another operation on the stream is in progress: {0}")]
    OperationInProgress(&'static str),
    /// The room name is locked while an orphaned room of that name is deleted.
    #[error("the room name is locked: an orphaned LiveKit room of this name is being deleted")]
    RoomNameLocked,
}

impl From<Rejection> for Error {
    fn from(rejection: Rejection) -> Self {
        Self::Store(rejection.into())
    }
}

impl Error {
    /// Returns the code of the API's error table.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Store(StoreError::NotFound) => ErrorCode::StreamNotFound,
            Self::Store(StoreError::Unavailable(_)) => ErrorCode::StoreUnavailable,
            Self::Store(StoreError::Corrupt(_) | StoreError::LeaseLost) => ErrorCode::Internal,
            Self::Store(StoreError::Rejected(rejection)) => match rejection {
                Rejection::InvalidTransition { .. } => ErrorCode::InvalidTransition,
                Rejection::NotActive { .. } => ErrorCode::StreamNotActive,
                Rejection::Full { .. } => ErrorCode::StreamFull,
                Rejection::NoParticipant => ErrorCode::ParticipantNotFound,
                Rejection::NotPresent => ErrorCode::ParticipantNotPresent,
                Rejection::TooManyHands { .. } => ErrorCode::TooManyHands,
                Rejection::HandsTooFrequent => ErrorCode::HandsTooFrequent,
                Rejection::Blocked => ErrorCode::ParticipantBlocked,
                Rejection::TooManyBlocks { .. } => ErrorCode::TooManyBlocks,
                Rejection::Backstage => ErrorCode::StreamBackstage,
                Rejection::IngressExists => ErrorCode::IngressExists,
                Rejection::TooManyIngresses => ErrorCode::TooManyIngresses,
                Rejection::NoIngressPlan => ErrorCode::IngressUnavailable,
                Rejection::TooManyEgresses => ErrorCode::TooManyEgresses,
                Rejection::NoEgressPlan => ErrorCode::EgressUnavailable,
                Rejection::NoBroadcast => ErrorCode::BroadcastNotFound,
                Rejection::BroadcastEnded => ErrorCode::BroadcastEnded,
                Rejection::NoTarget => ErrorCode::OutputNotFound,
                Rejection::LastTarget => ErrorCode::LastOutput,
                Rejection::TooManyTargets => ErrorCode::TooManyOutputs,
                Rejection::VersionMismatch { .. } | Rejection::MetadataChanged => ErrorCode::VersionMismatch,
            },
            Self::Rooms(RoomsError::Unavailable(_)) => ErrorCode::LivekitUnavailable,
            Self::Rooms(RoomsError::Refused(_)) => ErrorCode::LivekitError,
            Self::Ingress(MediaError::Unsupported | MediaError::Unavailable(_)) => {
                ErrorCode::IngressUnavailable
            }
            Self::Egress(MediaError::Unsupported | MediaError::Unavailable(_)) => {
                ErrorCode::EgressUnavailable
            }
            Self::Ingress(_) | Self::Egress(_) => ErrorCode::LivekitError,
            Self::StorageNotConfigured => ErrorCode::StorageNotConfigured,
            Self::RecordingNotFound => ErrorCode::RecordingNotFound,
            Self::BroadcastNotFound => ErrorCode::BroadcastNotFound,
            Self::InvalidField { .. } => ErrorCode::ValidationFailed,
            Self::IngressNotFound => ErrorCode::IngressNotFound,
            Self::Forbidden(_) => ErrorCode::Forbidden,
            Self::RoomExists(_) => ErrorCode::RoomExists,
            Self::ParticipantNotFound => ErrorCode::ParticipantNotFound,
            Self::TrackNotFound => ErrorCode::TrackNotFound,
            Self::MetadataTooLarge => ErrorCode::ValidationFailed,
            Self::OperationInProgress(_) => ErrorCode::OperationInProgress,
            Self::RoomNameLocked => ErrorCode::RoomNameLocked,
        }
    }

    /// Returns a `detail` for the caller; `None` where the code's title says everything. Contains nothing internal.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Store(StoreError::Rejected(rejection)) => Some(rejection.to_string()),
            Self::Forbidden(action) => Some(action.requirement()),
            Self::RoomExists(differences) => Some(format!(
                "the LiveKit room of this name has participants and other settings: {}",
                differences.join(", ")
            )),
            Self::Ingress(MediaError::Unsupported) | Self::Egress(MediaError::Unsupported) => {
                Some(MediaError::Unsupported.to_string())
            }
            Self::Ingress(MediaError::Unavailable(_)) => {
                Some("LiveKit or its ingress worker does not answer".to_owned())
            }
            Self::Egress(MediaError::Unavailable(_)) => {
                Some("LiveKit or its egress worker does not answer".to_owned())
            }
            Self::StorageNotConfigured => Some("this deployment has no EGRESS_STORAGE_URL".to_owned()),
            Self::OperationInProgress(_) | Self::RoomNameLocked => Some(self.to_string()),
            _ => None,
        }
    }
}

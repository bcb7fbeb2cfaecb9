//! Reasons for the rejection of a change.

use super::StreamStatus;

/// Reason for which a change was rejected. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The lifecycle does not allow the transition.
    #[error("a stream that is {from} cannot become {to}")]
    InvalidTransition {
        /// Current status.
        from: StreamStatus,
        /// Requested status.
        to: StreamStatus,
    },
    /// The status does not allow the change.
    #[error("the stream is {status}")]
    NotActive {
        /// Current status.
        status: StreamStatus,
    },
    /// The maximum number of participants is active.
    #[error("the stream has its maximum of {max} participants")]
    Full {
        /// Maximum number of participants.
        max: u32,
    },
    /// The identity is blocked in the stream.
    #[error("the identity is blocked in this stream")]
    Blocked,
    /// The maximum number of identities is blocked.
    #[error("the stream has its maximum of {max} blocks")]
    TooManyBlocks {
        /// Maximum number of blocks.
        max: u32,
    },
    /// The stream is backstage, and the token is for a viewer.
    #[error("the stream is backstage: viewers can join after it has gone live")]
    Backstage,
    /// The stream is not at the version that the caller expected.
    #[error("the stream is at version {current}")]
    VersionMismatch {
        /// Current version.
        current: u64,
    },
    /// The stream has no entry of the identity.
    #[error("the stream has no participant of this identity")]
    NoParticipant,
    /// The participant has left, and a participant that has left cannot raise its hand.
    #[error("the participant has left")]
    NotPresent,
    /// The maximum number of hands is raised.
    #[error("the stream has its maximum of {max} raised hands")]
    TooManyHands {
        /// Maximum number of raised hands.
        max: u32,
    },
    /// Another change has replaced the metadata.
    #[error("the metadata has changed")]
    MetadataChanged,
}

//! Reasons for the rejection of a change.

use super::{
    StreamStatus, egress_record::MAX_RUNNING_EGRESSES, ingress::MAX_INGRESSES, rtmp_target::MAX_TARGETS,
};

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
    /// An ingress has the identity already.
    #[error("an ingress of this stream has this identity")]
    IngressExists,
    /// The stream has the maximum number of ingresses.
    #[error("the stream has its maximum of {MAX_INGRESSES} ingresses")]
    TooManyIngresses,
    /// The intent to create the ingress was withdrawn.
    #[error("the creation of the ingress was abandoned")]
    NoIngressPlan,
    /// The stream has the maximum number of recordings and broadcasts that run.
    #[error("the stream has its maximum of {MAX_RUNNING_EGRESSES} recordings and broadcasts that run")]
    TooManyEgresses,
    /// The intent to start the egress was withdrawn.
    #[error("the start of the egress was abandoned")]
    NoEgressPlan,
    /// The stream has no broadcast of this id.
    #[error("the stream has no broadcast of this id")]
    NoBroadcast,
    /// The broadcast has ended or is ending.
    #[error("the broadcast has ended or is ending")]
    BroadcastEnded,
    /// The broadcast has no such target.
    #[error("the broadcast has no such output")]
    NoTarget,
    /// The change would leave the broadcast without an output.
    #[error("the broadcast would have no output: stop it instead")]
    LastTarget,
    /// The broadcast has the maximum number of targets.
    #[error("a broadcast has at most {MAX_TARGETS} RTMP outputs")]
    TooManyTargets,
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
    /// Hands were raised too often, see [`super::hand_rate`].
    #[error("hands were raised too often: a participant may raise its hand about once in 10 s")]
    HandsTooFrequent,
    /// Another change has replaced the metadata.
    #[error("the metadata has changed")]
    MetadataChanged,
}

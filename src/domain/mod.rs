//! Streams, participants, events, and the rules of their changes. Pure: no I/O, no clock, no framework.
//!
//! The edges of the service parse input into these types once. Inner layers do not validate it again.

pub mod aggregate;
pub mod attributes;
pub mod audience;
pub mod block;
pub mod change;
pub mod cursor;
mod delivery_schedule;
pub mod egress;
mod egress_change;
mod egress_document;
mod egress_outputs;
pub mod egress_record;
pub mod egress_report;
pub mod error;
pub mod event;
mod event_size;
pub mod hand_rate;
pub mod ids;
pub mod ingress;
pub mod json;
mod leave_reason;
pub mod lifecycle;
mod masked_url;
mod media_job;
pub mod media_path;
pub mod merge_patch;
pub mod metadata;
mod name;
pub mod participant;
mod participant_kind;
mod participant_state;
mod participant_update;
pub mod partition;
mod rejection;
pub mod removal;
mod role;
pub mod rtmp_address;
pub mod rtmp_target;
mod session;
pub mod sids;
pub mod size;
pub mod stream;
mod stream_document;
pub mod time;
pub mod topic;
pub mod track;
mod visit;
pub mod webhook_endpoint;

pub use aggregate::Aggregate;
pub use attributes::Attributes;
pub use audience::{Audience, AudienceMode, InitialAudience, ParticipantCounts};
pub use block::Block;
pub use change::{Change, StopReason};
pub use cursor::Cursor;
pub use delivery_schedule::retry_delay;
pub use egress::{EgressKind, EgressPreset, EgressSource, EgressStatus, Layout};
pub use egress_change::{EgressChange, StartedEgress, TargetsPlan};
pub use egress_outputs::{EgressOutputs, HlsOutput};
pub use egress_record::{Egress, EgressFailure, EgressPlan, EgressSpec, StreamEgresses};
pub use egress_report::{
    EgressFile, EgressReport, EgressState, EgressStateTime, EgressTarget, HlsResult, TargetStatus,
};
pub use error::ErrorCode;
pub use event::{Event, EventKind};
pub use ids::{BlockReason, DisplayName, Identity, RoomName, StreamId};
pub use ingress::{
    Ingress, IngressKind, IngressPlan, IngressReport, IngressState, IngressStatus, StreamIngresses,
};
pub use leave_reason::LeaveReason;
pub use lifecycle::StreamStatus;
pub use masked_url::MaskedUrl;
pub use media_job::{JobId, JobMark};
pub use media_path::{MediaPath, PathError, PathTemplate, PathValues, StoragePrefix};
pub use metadata::{Metadata, MetadataPatch, ParticipantMetadata};
pub use name::UnknownName;
pub use participant::Participant;
pub use participant_kind::ParticipantKind;
pub use participant_state::ParticipantState;
pub use participant_update::{MetadataUpdate, ParticipantUpdate};
pub use partition::{Partition, Partitioning};
pub use rejection::Rejection;
pub use removal::{Removal, Removals, TokenMark};
pub use role::Role;
pub use rtmp_address::{AddressFingerprint, RtmpAddress};
pub use rtmp_target::{RtmpStatus, RtmpTarget, TargetId};
pub use session::Session;
pub use sids::{EgressId, IngressId, ParticipantSid, RoomSid, TrackSid};
pub use stream::{PartialStream, Stream, StreamRef, StreamView};
pub use time::Timestamp;
pub use topic::Topic;
pub use track::{Track, TrackSource, Tracks};
pub use visit::Visit;
pub use webhook_endpoint::{DisabledReason, Endpoint, EndpointFilter, EndpointId, EndpointSecrets};

//! Streams, participants, events, and the rules of their changes. Pure: no I/O, no clock, no framework.
//!
//! The edges of the service parse input into these types once. Inner layers do not validate it again.

pub mod aggregate;
pub mod attributes;
pub mod audience;
pub mod change;
pub mod cursor;
pub mod error;
pub mod event;
mod event_size;
pub mod ids;
pub mod json;
mod leave_reason;
pub mod lifecycle;
pub mod merge_patch;
pub mod metadata;
mod name;
pub mod participant;
mod participant_kind;
mod participant_state;
mod participant_update;
pub mod partition;
pub mod removal;
mod role;
pub mod sids;
pub mod size;
pub mod stream;
mod stream_document;
pub mod time;
pub mod topic;
pub mod track;

pub use aggregate::Aggregate;
pub use attributes::Attributes;
pub use audience::{Audience, AudienceMode, InitialAudience, ParticipantCounts};
pub use change::{Change, Rejection, Session, StopReason};
pub use cursor::Cursor;
pub use error::ErrorCode;
pub use event::{Event, EventKind};
pub use ids::{DisplayName, Identity, RoomName, StreamId};
pub use leave_reason::LeaveReason;
pub use lifecycle::StreamStatus;
pub use metadata::{Metadata, MetadataPatch, ParticipantMetadata};
pub use name::UnknownName;
pub use participant::Participant;
pub use participant_kind::ParticipantKind;
pub use participant_state::ParticipantState;
pub use participant_update::{MetadataUpdate, ParticipantUpdate};
pub use partition::{Partition, Partitioning};
pub use removal::{Removal, Removals, TokenMark};
pub use role::Role;
pub use sids::{ParticipantSid, RoomSid, TrackSid};
pub use stream::{PartialStream, Stream, StreamRef, StreamView};
pub use time::Timestamp;
pub use topic::Topic;
pub use track::{Track, TrackSource, Tracks};

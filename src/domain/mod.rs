//! What a stream is and how it may change: values, the lifecycle, events. Pure: no I/O, no clock, no framework.
//!
//! Everything that enters the service from outside is parsed into one of these types once, at the edge, and is not
//! checked again further in.

pub mod aggregate;
pub mod attributes;
pub mod change;
pub mod cursor;
pub mod error;
pub mod event;
pub mod ids;
pub mod json;
pub mod lifecycle;
pub mod metadata;
pub mod participant;
mod rendered;
pub mod sids;
pub mod stream;
pub mod time;
pub mod topic;
pub mod track;

pub use aggregate::Aggregate;
pub use attributes::Attributes;
pub use change::{Change, Rejection, Session, StopReason};
pub use cursor::Cursor;
pub use error::ErrorCode;
pub use event::{Event, EventKind};
pub use ids::{DisplayName, Identity, RoomName, StreamId};
pub use lifecycle::StreamStatus;
pub use metadata::{Metadata, MetadataPatch, ParticipantMetadata};
pub use participant::{Participant, ParticipantKind, ParticipantState, Role};
pub use rendered::{Rendered, Shared};
pub use sids::{ParticipantSid, RoomSid, TrackSid};
pub use stream::{Stream, StreamRef, StreamView};
pub use time::Timestamp;
pub use topic::Topic;
pub use track::{Track, TrackSource, Tracks};

//! Schemas of the documents that the domain serialises, for the OpenAPI document.
//!
//! The domain names no library and renders its documents by hand, so that an instance renders a state once for all
//! clients. Its schemas are therefore described here. `tests/e2e/openapi_conformance.rs` compares them with the
//! responses of a server.

mod egresses;
mod enums;
mod events;
mod ingresses;
mod participants;
mod streams;

pub use self::{
    egresses::{Broadcast, Recording},
    events::Event,
    ingresses::Ingress,
    participants::{Block, Participant},
    streams::{ParticipantCounts, ReadableStream, Stream, StreamInEvent, StreamState, StreamSummary},
};

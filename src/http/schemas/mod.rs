//! What the JSON of this API looks like, for the OpenAPI document. The bodies themselves are written by the domain, which
//! knows no such library; that they are as they stand here is what tests/e2e/openapi_conformance.rs tries with everything it can think of.
#![allow(dead_code, reason = "these types are read by utoipa alone")]

mod events;
mod operation;
mod participants;
mod requests;
mod streams;

pub use self::{
    events::Event,
    operation::{Health, Heard, Live, Problem, Ready},
    participants::{Joined, KindFilter, Left, Participant, ParticipantState, Role},
    requests::{Joining, Leaving, NewStream, StreamPatch},
    streams::{ReadableStream, Stream, StreamState, StreamStatus, StreamSummary},
};

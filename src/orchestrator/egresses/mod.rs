//! Recordings and broadcasts of streams: start, reads, change and stop.
//!
//! Import direction: `order ← creation`, `view ← creation, reads, stopping, targets`.

mod creation;
mod order;
mod reads;
mod stopping;
mod targets;
mod unwanted;
mod view;

pub(in crate::orchestrator) use self::unwanted::Unrecorded;
pub use self::{
    creation::EgressRequest,
    order::{BroadcastOrder, EgressOrder, HlsOrder, RecordedSource, RecordingOrder},
    targets::{TargetSelector, TargetsRequest},
    view::EgressView,
};

//! Recordings and broadcasts: their records in every store, and the use cases on a fake LiveKit.

mod history;
mod in_livekit;
mod lifecycle;
mod reconciliation;
mod reports;
mod stopping;
mod targets;
mod targets_in_livekit;

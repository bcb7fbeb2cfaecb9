//! Ingresses: their records in every store, and the use cases on a fake LiveKit.

mod in_livekit;
mod lifecycle;
mod reconciliation;
mod reports;

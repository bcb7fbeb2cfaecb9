//! Reconciler: compares the recorded streams with LiveKit and repairs differences by ordinary changes.
//!
//! Webhooks are fast but can be lost. One instance at a time, which holds the reconciliation lease, therefore lists the
//! rooms of all live streams and their participants. LiveKit's lists may be late too, so a repair changes only what was
//! recorded before a given time. Every change carries the lease: an instance that was suspended and has lost the lease
//! changes nothing.
//!
//! An empty list must be confirmed by a second one. Otherwise a LiveKit server that has just lost its state, or a proxy
//! that answers for it, would end every live stream.
//!
//! Import direction; this file only declares and re-exports:
//! ```text
//! report, service ← ingresses, egresses ← compare, media, missing, orphaned_rooms ← comparison ← schedule
//! ```

mod compare;
mod comparison;
mod egress_listing;
mod egresses;
mod ingresses;
mod media;
mod missing;
mod orphaned_rooms;
mod report;
mod schedule;
mod service;

pub use self::{report::Report, service::Reconciler};

//! Use cases: what requests, LiveKit's webhooks and timers do with the store and LiveKit.
//!
//! A use case reads, decides, makes atomic changes in the store, and calls LiveKit between them. It knows the traits of
//! the store and of LiveKit, and nothing behind them.
//!
//! Import direction; this file only declares and re-exports:
//! ```text
//! error, policy, health ← service ← find, reads, lock ← opening, stopping ← streams, participation
//!   ← orphaned_rooms ← webhooks, sweeper, reconciler
//! ```

mod error;
mod find;
mod health;
mod lock;
mod opening;
mod orphaned_rooms;
mod participation;
mod policy;
mod reads;
mod reconciler;
mod service;
mod stopping;
mod streams;
mod sweeper;
mod webhooks;

pub use self::{
    error::Error,
    find::permit,
    health::Health,
    participation::{JoinRequest, Joined, LeaveRequest, Left},
    policy::Policy,
    reads::ParticipantQuery,
    reconciler::{Reconciler, Report},
    service::Orchestrator,
    streams::{CreateRequest, Creation, Patch},
    sweeper::{SWEEP_INTERVAL, Sweeper},
    webhooks::{CHECK_ROOM, Outcome, WebhookProcessor},
};

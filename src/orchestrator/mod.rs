//! Use cases: what requests, LiveKit's webhooks and timers do with the store and LiveKit.
//!
//! A use case reads, decides, makes atomic changes in the store, and calls LiveKit between them. It knows the traits of
//! the store and of LiveKit, and nothing behind them.
//!
//! Import direction; this file only declares and re-exports:
//! ```text
//! error, media_storage, policy, probe ← health, leave_request, read_grant, webhook_probe ← service ← find, lock,
//! room_metadata
//!   ← reads, ingresses, egresses ← moderation, stopping ← participation, opening
//!   ← creation, patch, orphaned_rooms ← webhooks, sweeper, count_teller, clock_monitor, reconciler
//! ```

mod clock_monitor;
mod count_teller;
mod creation;
mod egresses;
mod error;
mod find;
mod health;
mod ingresses;
mod leave_request;
mod lock;
mod media_storage;
mod moderation;
mod opening;
mod orphaned_rooms;
mod participation;
mod patch;
mod policy;
mod probe;
mod read_grant;
mod reads;
mod reconciler;
mod room_metadata;
mod service;
mod stopping;
mod sweeper;
mod webhook_probe;
mod webhooks;

pub use self::{
    clock_monitor::ClockMonitor,
    count_teller::CountTeller,
    creation::{CreateRequest, Creation},
    egresses::{
        BroadcastOrder, EgressOrder, EgressRequest, EgressView, HlsOrder, RecordedSource, RecordingOrder,
        TargetSelector, TargetsRequest,
    },
    error::Error,
    health::Health,
    ingresses::{IngressRequest, IngressWithKey},
    leave_request::LeaveRequest,
    media_storage::MediaStorage,
    moderation::{
        BlockRequest, BlockTerms, ChangedParticipant, JoiningTerms, MuteAll, MuteRequest, ParticipantPatch,
    },
    participation::{JoinRequest, Joined, Left, TokenTerms},
    patch::Patch,
    policy::{EGRESS_END_TIMEOUT, EGRESS_STOP_WAIT, Policy},
    probe::Probe,
    read_grant::ReadGrant,
    reads::ParticipantQuery,
    reconciler::{Reconciler, Report},
    service::Orchestrator,
    sweeper::{SWEEP_INTERVAL, Sweeper},
    webhook_probe::{CHECK_ROOM, WebhookProbe},
    webhooks::{Outcome, WebhookProcessor},
};

//! Webhook endpoints of applications: their use cases, and the sender that delivers events to them.
//!
//! A sender follows the log of one partition ([`crate::followers`]) and has a worker for each endpoint. The worker
//! keeps in the store how far the endpoint is (`progress`), never copies of events, and attempts each delivery by the
//! schedule of [`crate::domain::retry_delay`].
//!
//! Import direction; this file only declares and re-exports:
//! ```text
//! error, endpoint_record, endpoint_states, orphaned_positions, backlog ← message, permits, progress, directory
//!   ← worker ← sender
//!   ← overview, positions, test_delivery ← service
//! ```

mod backlog;
mod directory;
mod endpoint_record;
mod endpoint_states;
mod error;
mod message;
mod orphaned_positions;
mod overview;
mod permits;
mod positions;
mod progress;
mod sender;
mod service;
mod test_delivery;
mod worker;

pub use self::{
    directory::Directory,
    error::Error,
    overview::{Overview, Summary},
    permits::{AllPermits, IN_LINE},
    progress::LastAnswer,
    sender::{SenderContext, WebhookSender},
    service::{EndpointPatch, EndpointService, NewEndpoint},
    test_delivery::{TestResult, deliver_test},
};

//! What background jobs that follow the log of all streams share. Each job follows the log of every partition, one
//! instance at a time, and keeps its position outside of this process.
//!
//! - [`FollowerRuntime`] has the threads of all followers on this instance. Their tasks [give way](giving_way()) to
//!   requests.
//! - [`run_while_leased`] runs a job under its lease. Another instance takes over within 15 s of a death.
//! - [`RecentEvents`] reads the log of a partition once for all followers on this instance.
//! - [`SharedClock`] continues the store's time between two readings.
//! - [`LagGauges`] show how far a job is behind.
//! - [`PastEvents`] are what the log no longer holds.
//!
//! A follower only reads: however slow it is, no change of a stream waits for it. A follower that has fallen behind the
//! log gets [`Followed::Lost`], never a silent gap.

mod clock;
mod giving_way;
mod lag;
mod lease;
mod past_events;
mod recent_events;
mod runtime;

pub use self::{
    clock::SharedClock,
    giving_way::{GivingWay, giving_way},
    lag::{Lag, LagGauges},
    lease::{LeasedJob, run_while_leased},
    past_events::{PastError, PastEvent, PastEvents, PastRead},
    recent_events::{Followed, MIN_READ_INTERVAL, POLL_INTERVAL, RecentEvents},
    runtime::FollowerRuntime,
};

//! What background jobs that follow the log of all streams share. Each job follows the log of every partition, one
//! instance at a time, and keeps its position outside of this process.
//!
//! - [`run_while_leased`] runs a job under its lease. Another instance takes over within 12 s of a death.
//! - [`RecentEvents`] reads the log of a partition once for all followers on this instance.
//! - [`SharedClock`] continues the store's time between two readings.
//!
//! A follower only reads: however slow it is, no change of a stream waits for it. A follower that has fallen behind the
//! log gets [`Followed::Lost`], never a silent gap.

mod clock;
mod lease;
mod recent_events;

pub use self::{
    clock::SharedClock,
    lease::{LeasedJob, run_while_leased},
    recent_events::{Followed, POLL_INTERVAL, RecentEvents},
};

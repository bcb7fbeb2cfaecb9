//! An open connection for commands.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use redis::aio::MultiplexedConnection;

/// A connection that has answered within this time is used without a probe. An idle one is probed first, because a
/// connection may be dead without an error, and a change sent on it would be lost.
const FRESH: Duration = Duration::from_millis(100);

/// A multiplexed connection to a master.
pub(super) struct MasterConnection {
    pub(super) connection: MultiplexedConnection,
    /// The factory's count of broken connections when this one was opened.
    pub(super) breakages: u64,
    opened: Instant,
    /// The time of the last answer, in milliseconds after `opened`.
    answered: AtomicU64,
}

impl MasterConnection {
    pub(super) fn new(connection: MultiplexedConnection, breakages: u64) -> Self {
        Self { connection, breakages, opened: Instant::now(), answered: AtomicU64::new(0) }
    }

    fn age(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Records an answer: the connection is fresh for the next 100 ms.
    pub(super) fn record_answer(&self) {
        self.answered.store(self.age(), Ordering::Relaxed);
    }

    /// Whether the connection was opened or has answered within the last 100 ms.
    pub(super) fn is_fresh(&self) -> bool {
        u128::from(self.age().saturating_sub(self.answered.load(Ordering::Relaxed))) <= FRESH.as_millis()
    }
}

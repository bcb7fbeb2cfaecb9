//! Budget of the bytes that wait in this instance for clients that do not read.
//!
//! Everything that waits is charged: queues, buffers of the local fan-out, pages of the log, messages in transports,
//! snapshots. Shared bytes count once for each client that waits for them, so the sum is an upper bound of the memory.
//! Above the limit, a client that has not taken a whole message (at most 512 KiB) within a second is disconnected.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use prometheus::{IntCounterVec, IntGauge};
use tokio::{sync::watch, time::sleep};

use super::transport::Transport;
use crate::telemetry::Metrics;

/// Bytes above which stalled clients are disconnected: 16 clients with a full queue of 4 MiB.
const LIMIT: usize = 64 * 1024 * 1024;
/// Time without progress after which a connection counts as stalled.
const STALL: Duration = Duration::from_secs(1);

/// Bytes that wait in this instance. Clones share the count.
#[derive(Clone)]
pub struct Budget {
    shared: Arc<Shared>,
}

struct Shared {
    limit: usize,
    waiting: IntGauge,
    overflows: IntCounterVec,
    /// Copy of the watched value, so that a charge takes no lock.
    is_exceeded: AtomicBool,
    exceeded: watch::Sender<bool>,
}

impl Budget {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self::with_limit(LIMIT, metrics.waiting_bytes.clone(), metrics.queue_overflows.clone())
    }

    fn with_limit(limit: usize, waiting: IntGauge, overflows: IntCounterVec) -> Self {
        let (exceeded, _) = watch::channel(false);
        Self {
            shared: Arc::new(Shared {
                limit,
                waiting,
                overflows,
                is_exceeded: AtomicBool::default(),
                exceeded,
            }),
        }
    }

    /// Charges bytes until [`Self::release`].
    pub(super) fn add(&self, bytes: usize) {
        self.shared.waiting.add(signed(bytes));
        self.shared.update();
    }

    /// Ends the charge of these bytes.
    pub(super) fn release(&self, bytes: usize) {
        self.shared.waiting.sub(signed(bytes));
        self.shared.update();
    }

    /// Charges bytes until the charge is dropped.
    pub fn charge(&self, bytes: usize) -> Charge {
        self.add(bytes);
        Charge { budget: self.clone(), bytes }
    }

    /// Waits until the caller, which makes no progress meanwhile, must disconnect its client.
    ///
    /// Resolves if the budget is exceeded and the wait has lasted 1 s, and counts the overflow. Clients end one
    /// by one until the rest fits, because each wait reads the budget again. Cancellation safe.
    pub async fn stalled(&self, transport: Transport) {
        sleep(STALL).await;
        // The sender is in `self`, so the wait cannot fail.
        let _ = self.shared.exceeded.subscribe().wait_for(|is_exceeded| *is_exceeded).await;
        self.shared.overflows.with_label_values(&[transport.as_str()]).inc();
    }
}

impl Shared {
    fn is_over(&self) -> bool {
        self.waiting.get() > signed(self.limit)
    }

    fn update(&self) {
        if self.is_over() != self.is_exceeded.load(Ordering::Relaxed) {
            self.exceeded.send_if_modified(|exceeded| {
                let is_over = self.is_over();
                self.is_exceeded.store(is_over, Ordering::Relaxed);
                std::mem::replace(exceeded, is_over) != is_over
            });
        }
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Charge of a budget. Dropping it releases the bytes.
pub struct Charge {
    budget: Budget,
    bytes: usize,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.release(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Opts;
    use tokio::{task::JoinSet, time::timeout};

    use super::*;

    fn budget(limit: usize) -> Budget {
        let overflows = IntCounterVec::new(Opts::new("overflows", "-"), &["transport"]).unwrap();
        Budget::with_limit(limit, IntGauge::new("waiting", "-").unwrap(), overflows)
    }

    #[tokio::test(start_paused = true)]
    async fn stalled_clients_end_until_the_rest_fits() {
        let budget = budget(10);
        let mut clients = JoinSet::new();
        for _ in 0..5 {
            let budget = budget.clone();
            clients.spawn(async move {
                let _charge = budget.charge(4);
                budget.stalled(Transport::Sse).await;
            });
        }
        // Two of the five charges fit.
        for _ in 0..3 {
            clients.join_next().await.unwrap().unwrap();
        }
        assert!(timeout(Duration::from_secs(60), clients.join_next()).await.is_err());
        assert_eq!(budget.shared.overflows.with_label_values(&["sse"]).get(), 3);
        clients.abort_all();
        while clients.join_next().await.is_some() {}
        assert_eq!(budget.shared.waiting.get(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn client_below_the_limit_waits_without_end() {
        let budget = budget(10);
        let _charge = budget.charge(10);
        assert!(timeout(Duration::from_secs(3600), budget.stalled(Transport::Grpc)).await.is_err());
    }
}

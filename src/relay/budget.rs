//! Budget of the bytes that wait in this instance for clients that do not read.
//!
//! Everything that waits is charged: queues, buffers of the local fan-out, pages of the log, messages in transports,
//! snapshots. Shared bytes count once for each client that waits for them, so the sum is an upper bound of the memory.
//! Above the limit, clients that have stalled are disconnected, one by one in the order in which they stalled.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use prometheus::{IntCounterVec, IntGauge};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::sleep,
};

use super::transport::Transport;
use crate::telemetry::Metrics;

/// Bytes above which stalled clients are disconnected: 16 clients with a full queue of 4 MiB.
const LIMIT: usize = 64 * 1024 * 1024;
/// Time without progress after which a connection counts as stalled. The kernel reports progress in steps of up to
/// 96 KiB, so a client that reads 32 KiB a second never stalls.
const STALL: Duration = Duration::from_secs(3);

/// Bytes that wait in this instance. Clones share the count.
#[derive(Clone)]
pub struct Budget {
    shared: Arc<Shared>,
}

struct Shared {
    limit: usize,
    waiting: AtomicUsize,
    /// Copy of the value for the metrics. Decisions use the value itself.
    gauge: IntGauge,
    overflows: IntCounterVec,
    /// Notified by the charge that exceeds the limit. Keeps a notification that nothing waits for.
    exceeded: Notify,
    /// Held by the stalled client that is disconnected next. The others wait in order.
    turn: Arc<Semaphore>,
}

impl Budget {
    /// Returns an unused budget, whose use the metrics show.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self::with_limit(LIMIT, metrics.waiting_bytes.clone(), metrics.queue_overflows.clone())
    }

    fn with_limit(limit: usize, gauge: IntGauge, overflows: IntCounterVec) -> Self {
        let (waiting, exceeded) = (AtomicUsize::default(), Notify::new());
        let turn = Arc::new(Semaphore::new(1));
        Self { shared: Arc::new(Shared { limit, waiting, gauge, overflows, exceeded, turn }) }
    }

    /// Charges bytes until [`Self::release`].
    pub(super) fn add(&self, bytes: usize) {
        let before = self.shared.waiting.fetch_add(bytes, Ordering::SeqCst);
        self.shared.gauge.add(signed(bytes));
        if before <= self.shared.limit && before + bytes > self.shared.limit {
            self.shared.exceeded.notify_one();
        }
    }

    /// Ends the charge of these bytes.
    pub(super) fn release(&self, bytes: usize) {
        self.shared.waiting.fetch_sub(bytes, Ordering::SeqCst);
        self.shared.gauge.sub(signed(bytes));
    }

    /// Charges bytes until the charge is dropped.
    pub fn charge(&self, bytes: usize) -> Charge {
        self.add(bytes);
        Charge { budget: self.clone(), bytes }
    }

    /// Waits until the caller, for whose client bytes wait, must disconnect it.
    ///
    /// Resolves if the budget is exceeded and `taken`, the number of bytes that the client has taken so far, has not
    /// changed for three seconds. Counts the overflow. The next stalled client is not disconnected before the eviction
    /// is dropped, so only as many end as the rest needs to fit. Cancellation safe.
    pub async fn stalled(&self, transport: Transport, taken: impl Fn() -> u64) -> Eviction {
        loop {
            let before = taken();
            sleep(STALL).await;
            if taken() != before {
                continue;
            }
            let turn = self.turn().await;
            // The wait for the turn has no limit.
            if taken() == before {
                self.shared.overflows.with_label_values(&[transport.as_str()]).inc();
                return Eviction { _turn: turn };
            }
        }
    }

    /// Waits for the turn to disconnect, and until the budget is exceeded.
    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        let turn = self.shared.turn.clone().acquire_owned().await.ok();
        while !self.is_exceeded() {
            self.shared.exceeded.notified().await;
        }
        turn
    }

    fn is_exceeded(&self) -> bool {
        self.shared.waiting.load(Ordering::SeqCst) > self.shared.limit
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Disconnection of a stalled client. Its owner drops it after everything that waited for the client is released.
pub struct Eviction {
    _turn: Option<OwnedSemaphorePermit>,
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
    use std::{future::pending, sync::atomic::AtomicU64, thread};

    use prometheus::Opts;
    use tokio::{
        task::{JoinSet, yield_now},
        time::{Instant, timeout},
    };

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
                let charge = budget.charge(4);
                let _eviction = budget.stalled(Transport::Sse, || 0).await;
                // Other clients run before this one releases its charge.
                yield_now().await;
                drop(charge);
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
        assert_eq!(budget.shared.gauge.get(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn client_that_makes_progress_above_the_limit_ends_once_it_stalls() {
        let (budget, taken) = (budget(10), AtomicU64::default());
        let _charge = budget.charge(11);
        let progress = async {
            for _ in 0..100 {
                sleep(STALL * 9 / 10).await;
                taken.fetch_add(1, Ordering::SeqCst);
            }
            pending::<()>().await;
        };
        let began = Instant::now();
        tokio::select! {
            _ = budget.stalled(Transport::Sse, || taken.load(Ordering::SeqCst)) => {}
            () = progress => {}
        }
        assert!(began.elapsed() > STALL * 90, "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn client_below_the_limit_waits_without_end() {
        let budget = budget(10);
        let _charge = budget.charge(10);
        assert!(timeout(Duration::from_secs(3600), budget.stalled(Transport::Grpc, || 0)).await.is_err());
    }

    /// Waits until both threads have reached a step, so that their next calls run at the same time.
    fn meet(arrived: &AtomicUsize, step: usize) {
        arrived.fetch_add(1, Ordering::SeqCst);
        while arrived.load(Ordering::SeqCst) < 2 * (step + 1) {
            thread::yield_now();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn charge_during_a_release_on_another_thread_ends_a_stalled_client() {
        let budgets: Vec<_> = (0..20_000).map(|_| budget(10)).collect();
        let arrived = AtomicUsize::default();
        let charges: Vec<_> = thread::scope(|scope| {
            let released: Vec<_> = budgets.iter().map(|budget| budget.charge(11)).collect();
            scope.spawn(|| {
                for (step, charge) in released.into_iter().enumerate() {
                    meet(&arrived, step);
                    drop(charge);
                }
            });
            let charge = |(step, budget): (usize, &Budget)| {
                meet(&arrived, step);
                budget.charge(11)
            };
            budgets.iter().enumerate().map(charge).collect()
        });
        for (step, budget) in budgets.iter().enumerate() {
            let ended = timeout(2 * STALL, budget.stalled(Transport::Sse, || 0)).await;
            assert!(ended.is_ok(), "11 of 10 bytes are charged to budget {step}");
        }
        drop(charges);
        assert!(timeout(2 * STALL, budgets[0].stalled(Transport::Sse, || 0)).await.is_err());
    }
}

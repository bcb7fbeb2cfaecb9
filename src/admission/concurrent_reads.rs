//! Limit on reads of one caller that are in progress at this instance.
//!
//! The bytes of a read are charged after it, so reads at the same time pass the rate limit before any of them is
//! charged. This limit bounds their number, and the number of reads that wait for them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// Maximum reads of one caller in progress at this instance.
pub const MAX_CONCURRENT_READS: usize = 8;
/// Maximum reads of one caller that wait at this instance. A page that loads everything at once has far fewer.
pub const MAX_WAITING_READS: usize = 64;
/// Maximum time that a read waits for an earlier one of its caller. Longer than a call to Redis, which ends after 2 s.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Reads of one caller.
struct CallerReads {
    /// Permits of reads in progress. Waiting reads get them in their order.
    permits: Arc<Semaphore>,
    /// Number of reads that wait or are in progress.
    reads: usize,
}

/// Counter of reads in progress with a limit for each caller. Clones share the counts.
#[derive(Clone, Default)]
pub struct ConcurrentReads(Arc<Mutex<HashMap<String, CallerReads>>>);

impl ConcurrentReads {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, CallerReads>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the caller with this limit key has fewer than [`MAX_CONCURRENT_READS`] in progress. Returns `None`
    /// after 5 s, and at once while [`MAX_WAITING_READS`] of the caller wait.
    ///
    /// Cancellation safe: a dropped read gives its place to the next one.
    pub async fn begin(&self, limit_key: &str) -> Option<ReadPermit> {
        let (counted, permits) = self.count(limit_key)?;
        let permit = timeout(MAX_WAIT, permits.acquire_owned()).await.ok()?.ok()?;
        Some(ReadPermit { _permit: permit, _counted: counted })
    }

    /// Counts a read of the caller, also while it waits; `None` if too many wait.
    fn count(&self, limit_key: &str) -> Option<(CountedRead, Arc<Semaphore>)> {
        let new = || CallerReads { permits: Arc::new(Semaphore::new(MAX_CONCURRENT_READS)), reads: 0 };
        let mut callers = self.lock();
        let caller = callers.entry(limit_key.to_owned()).or_insert_with(new);
        if caller.reads == MAX_CONCURRENT_READS + MAX_WAITING_READS {
            return None;
        }
        caller.reads += 1;
        let counted = CountedRead { all: self.clone(), limit_key: limit_key.to_owned() };
        Some((counted, caller.permits.clone()))
    }
}

/// Permit of one read in progress. Dropping it lets the caller's next read begin.
pub struct ReadPermit {
    _permit: OwnedSemaphorePermit,
    _counted: CountedRead,
}

/// A read that waits or is in progress. The last one of a caller removes the caller's entry.
struct CountedRead {
    all: ConcurrentReads,
    limit_key: String,
}

impl Drop for CountedRead {
    fn drop(&mut self) {
        let mut callers = self.all.lock();
        if let Some(caller) = callers.get_mut(&self.limit_key) {
            caller.reads -= 1;
            if caller.reads == 0 {
                callers.remove(&self.limit_key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, future::join_all};

    use super::*;

    async fn fill(reads: &ConcurrentReads, limit_key: &str) -> Vec<ReadPermit> {
        let permits = join_all((0..MAX_CONCURRENT_READS).map(|_| reads.begin(limit_key))).await;
        permits.into_iter().map(Option::unwrap).collect()
    }

    #[tokio::test]
    async fn read_over_limit_of_its_caller_waits_for_an_earlier_one() {
        let reads = ConcurrentReads::default();
        let mut permits = fill(&reads, "ann").await;
        let mut waiting = Box::pin(reads.begin("ann"));
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(reads.begin("bob").now_or_never().is_some(), "another caller has its own limit");
        permits.pop();
        let next = waiting.await;
        assert!(next.is_some());
        drop((permits, next));
        assert_eq!(reads.lock().len(), 0, "callers without reads have no entry");
    }

    #[tokio::test]
    async fn dropped_waiting_read_gives_its_place_to_the_next() {
        let reads = ConcurrentReads::default();
        let permits = fill(&reads, "ann").await;
        let mut dropped = Box::pin(reads.begin("ann"));
        assert!(dropped.as_mut().now_or_never().is_none());
        let mut next = Box::pin(reads.begin("ann"));
        assert!(next.as_mut().now_or_never().is_none());
        drop(dropped);
        drop(permits);
        assert!(next.await.is_some());
        assert_eq!(reads.lock().len(), 0);
    }

    #[tokio::test]
    async fn read_over_limit_of_waiting_ones_gets_no_permit_at_once() {
        let reads = ConcurrentReads::default();
        let permits = fill(&reads, "ann").await;
        let mut waiting: Vec<_> = (0..MAX_WAITING_READS).map(|_| Box::pin(reads.begin("ann"))).collect();
        assert!(waiting.iter_mut().all(|read| read.as_mut().now_or_never().is_none()));
        let refused = reads.begin("ann").now_or_never().expect("an answer at once");
        assert!(refused.is_none());
        assert!(reads.begin("bob").now_or_never().is_some(), "another caller has its own limit");
        waiting.pop();
        let mut next = Box::pin(reads.begin("ann"));
        assert!(next.as_mut().now_or_never().is_none(), "a read that has left does not count");
        drop((permits, waiting));
        assert!(next.await.is_some());
        assert_eq!(reads.lock().len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn read_that_waits_too_long_gets_no_permit() {
        let reads = ConcurrentReads::default();
        let _permits = fill(&reads, "ann").await;
        assert!(reads.begin("ann").await.is_none());
        assert_eq!(reads.lock()["ann"].reads, MAX_CONCURRENT_READS);
    }
}

//! How many deliveries this instance makes at once: to one endpoint, for all partitions together, and to all endpoints.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};

use super::backlog::SLOW_AFTER;
use crate::domain::{EndpointId, webhook_endpoint::MAX_ENDPOINTS};

/// Maximum concurrent deliveries to one endpoint, of streams that follow the log of all streams.
pub const IN_LINE: usize = 32;
/// Maximum concurrent deliveries of streams that are behind. They have permits of their own, so that they hold up no
/// streams that are not.
const BEHIND: usize = 8;
/// Maximum concurrent deliveries that have taken longer than [`SLOW_AFTER`]. They no longer count among the others, so
/// that streams that hang hold up no other stream.
const SLOW: usize = 128;
/// Maximum concurrent tests, which requests start.
const TESTS: usize = 2;
/// Maximum concurrent deliveries of an instance to all endpoints. Each may have a connection.
const MAX_ATTEMPTS: usize = 2_048;
/// Deliveries to one endpoint that other endpoints leave to it.
const MAX_RESERVED: usize = 8;

/// Permits for deliveries to one endpoint.
pub(super) struct Permits {
    in_line: Arc<Semaphore>,
    behind: Arc<Semaphore>,
    slow: Arc<Semaphore>,
    tests: Semaphore,
    reserved: Arc<Semaphore>,
    shared: Arc<Semaphore>,
}

/// Permit of one step, which holds it until its end.
pub(super) struct StepPermit {
    place: OwnedSemaphorePermit,
    attempt: OwnedSemaphorePermit,
    slow: Arc<Semaphore>,
}

/// Permits of all endpoints at this instance.
pub struct AllPermits {
    endpoints: Mutex<HashMap<EndpointId, Weak<Permits>>>,
    reserved: usize,
    shared: Arc<Semaphore>,
}

impl Permits {
    fn new(reserved: usize, shared: Arc<Semaphore>) -> Self {
        let semaphore = |count| Arc::new(Semaphore::new(count));
        Self {
            in_line: semaphore(IN_LINE),
            behind: semaphore(BEHIND),
            slow: semaphore(SLOW),
            tests: Semaphore::new(TESTS),
            reserved: semaphore(reserved),
            shared,
        }
    }

    /// Returns a permit for a stream that follows the log of all streams, if there is one.
    pub(super) fn try_in_line(&self) -> Option<StepPermit> {
        self.try_step(&self.in_line)
    }

    /// Returns a permit for a stream that is behind, if there is one.
    pub(super) fn try_behind(&self) -> Option<StepPermit> {
        self.try_step(&self.behind)
    }

    fn try_step(&self, places: &Arc<Semaphore>) -> Option<StepPermit> {
        let place = places.clone().try_acquire_owned().ok()?;
        let reserved = self.reserved.clone().try_acquire_owned();
        let attempt = reserved.or_else(|_| self.shared.clone().try_acquire_owned()).ok()?;
        Some(StepPermit { place, attempt, slow: self.slow.clone() })
    }

    /// Runs a test, after those that requests have started before.
    pub(super) async fn run_test<T>(&self, test: impl Future<Output = T>) -> T {
        // Never closed.
        let _permit = self.tests.acquire().await;
        test.await
    }
}

impl StepPermit {
    /// Runs a step. When it has taken longer than [`SLOW_AFTER`], it leaves its place to another stream, and takes one
    /// of those of slow deliveries.
    pub(super) async fn run<T>(self, step: impl Future<Output = T>) -> T {
        let Self { place, attempt: _attempt, slow } = self;
        let become_slow = async move {
            sleep(SLOW_AFTER).await;
            let slow = slow.acquire_owned().await;
            drop(place);
            slow
        };
        let mut step = pin!(step);
        tokio::select! {
            biased;
            result = &mut step => result,
            _slow = become_slow => step.await,
        }
    }
}

impl AllPermits {
    /// Permits at most `max_attempts` concurrent deliveries, between one for each possible endpoint and 2,048. As far
    /// as this suffices, 8 of them are reserved for each endpoint. One is in any case, because endpoints that hang
    /// would hold up the others otherwise.
    pub fn new(max_attempts: usize) -> Self {
        let max = max_attempts.clamp(MAX_ENDPOINTS, MAX_ATTEMPTS);
        let reserved = (max / 2 / MAX_ENDPOINTS).clamp(1, MAX_RESERVED);
        let shared = Arc::new(Semaphore::new(max - reserved * MAX_ENDPOINTS));
        Self { endpoints: Mutex::default(), reserved, shared }
    }

    /// Returns the permits of an endpoint, which all of its workers share.
    pub(super) fn of(&self, id: &EndpointId) -> Arc<Permits> {
        let mut all = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, permits| permits.strong_count() > 0);
        if let Some(permits) = all.get(id).and_then(Weak::upgrade) {
            return permits;
        }
        let permits = Arc::new(Permits::new(self.reserved, self.shared.clone()));
        all.insert(id.clone(), Arc::downgrade(&permits));
        permits
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;
    use crate::domain::StreamId;

    fn id() -> EndpointId {
        StreamId::generate().into()
    }

    #[tokio::test(start_paused = true)]
    async fn step_that_hangs_leaves_its_place_to_others() {
        let permits = AllPermits::new(usize::MAX).of(&id());
        let hanging: Vec<_> = std::iter::from_fn(|| permits.try_in_line()).collect();
        assert_eq!(hanging.len(), IN_LINE);
        let hanging = hanging.into_iter().map(|permit| tokio::spawn(permit.run(pending::<()>())));
        let hanging: Vec<_> = hanging.collect();
        assert!(permits.try_in_line().is_none());
        sleep(SLOW_AFTER * 2).await;
        assert!(permits.try_in_line().is_some());
        hanging.iter().for_each(|task| task.abort());
    }

    #[test]
    fn endpoints_that_use_all_shared_permits_leave_each_other_the_reserved_ones() {
        let all = AllPermits::new(usize::MAX);
        let (mut held, mut endpoints) = (Vec::new(), Vec::new());
        for _ in 0..MAX_ENDPOINTS {
            let permits = all.of(&id());
            held.extend(std::iter::from_fn(|| permits.try_in_line()));
            held.extend(std::iter::from_fn(|| permits.try_behind()));
            endpoints.push(permits);
        }
        assert_eq!(held.len(), MAX_ATTEMPTS);
        held.clear();
        let last = endpoints.pop().unwrap();
        held.extend(endpoints.iter().flat_map(|permits| std::iter::from_fn(|| permits.try_in_line())));
        let of_last: Vec<_> = std::iter::from_fn(|| last.try_in_line()).collect();
        assert_eq!(of_last.len(), MAX_RESERVED);
    }

    #[test]
    fn few_open_files_permit_few_deliveries_and_one_to_each_endpoint() {
        for (max, expected) in [(0, 1), (MAX_ENDPOINTS + 9, 10), (MAX_ENDPOINTS + 64, IN_LINE)] {
            let all = AllPermits::new(max);
            let (permits, other) = (all.of(&id()), all.of(&id()));
            let held: Vec<_> = std::iter::from_fn(|| permits.try_in_line()).collect();
            assert_eq!(held.len(), expected);
            assert!(other.try_in_line().is_some());
        }
    }
}

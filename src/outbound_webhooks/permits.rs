//! How many deliveries to one endpoint this instance makes at once, for all partitions together.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::Semaphore;

use crate::domain::EndpointId;

/// Maximum concurrent deliveries of streams that follow the log of all streams.
const IN_LINE: usize = 32;
/// Maximum concurrent deliveries of streams that are behind. They have permits of their own, so that streams that wait
/// or hang hold up no others.
const BEHIND: usize = 8;

/// Permits for deliveries to one endpoint.
pub(super) struct Permits {
    pub(super) in_line: Arc<Semaphore>,
    pub(super) behind: Arc<Semaphore>,
}

/// Permits of all endpoints at this instance.
#[derive(Default)]
pub(super) struct AllPermits(Mutex<HashMap<EndpointId, Weak<Permits>>>);

impl AllPermits {
    /// Returns the permits of an endpoint, which all of its workers share.
    pub(super) fn of(&self, id: &EndpointId) -> Arc<Permits> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, permits| permits.strong_count() > 0);
        if let Some(permits) = all.get(id).and_then(Weak::upgrade) {
            return permits;
        }
        let semaphore = |count| Arc::new(Semaphore::new(count));
        let permits = Arc::new(Permits { in_line: semaphore(IN_LINE), behind: semaphore(BEHIND) });
        all.insert(id.clone(), Arc::downgrade(&permits));
        permits
    }
}

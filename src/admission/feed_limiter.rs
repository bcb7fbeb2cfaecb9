//! Limits on open feeds of this instance. Each feed holds a connection and memory until its client leaves.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

#[derive(Default)]
struct OpenFeeds {
    total: usize,
    by_caller: HashMap<String, usize>,
}

/// Counter of open feeds with a limit for all callers together and one for each caller. Clones share the counts.
#[derive(Clone)]
pub struct FeedLimiter {
    max_total: usize,
    max_per_caller: usize,
    open: Arc<Mutex<OpenFeeds>>,
}

impl FeedLimiter {
    /// Allows `max_total` open feeds, and `max_per_caller` of one caller.
    pub fn new(max_total: usize, max_per_caller: usize) -> Self {
        Self { max_total, max_per_caller, open: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, OpenFeeds> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more feed of the caller with this limit key; `None` if a limit is reached.
    pub fn open(&self, limit_key: &str) -> Option<FeedPermit> {
        let mut open = self.lock();
        let own = open.by_caller.get(limit_key).copied().unwrap_or_default();
        if open.total >= self.max_total || own >= self.max_per_caller {
            return None;
        }
        open.total += 1;
        open.by_caller.insert(limit_key.to_owned(), own + 1);
        drop(open);
        Some(FeedPermit { limiter: self.clone(), limit_key: limit_key.to_owned() })
    }
}

/// Permit of one open feed. Dropping it ends the count.
pub struct FeedPermit {
    limiter: FeedLimiter,
    limit_key: String,
}

impl Drop for FeedPermit {
    fn drop(&mut self) {
        let mut open = self.limiter.lock();
        open.total = open.total.saturating_sub(1);
        if let Some(own) = open.by_caller.get_mut(&self.limit_key) {
            *own -= 1;
            if *own == 0 {
                open.by_caller.remove(&self.limit_key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feed_over_either_limit_is_refused_until_a_permit_is_dropped() {
        let feeds = FeedLimiter::new(3, 2);
        let (first, _second) = (feeds.open("ann"), feeds.open("ann"));
        assert!(first.is_some() && feeds.open("ann").is_none(), "limit of one caller");
        let _third = feeds.open("bob");
        assert!(feeds.open("eve").is_none(), "limit of all callers");
        drop(first);
        assert!(feeds.open("ann").is_some());
        assert_eq!(feeds.lock().by_caller.len(), 2, "callers without open feeds have no entry");
    }
}

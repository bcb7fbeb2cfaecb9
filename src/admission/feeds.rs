//! How many feeds are open at this instance: each holds a connection and memory for as long as its client stays.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

#[derive(Default)]
struct Open {
    all: usize,
    by_subject: HashMap<String, usize>,
}

/// The feeds of an instance.
#[derive(Clone)]
pub struct Feeds {
    most: usize,
    most_of_one: usize,
    open: Arc<Mutex<Open>>,
}

impl Feeds {
    /// At the most so many at once, and so many of one caller.
    pub fn new(most: usize, most_of_one: usize) -> Self {
        Self { most, most_of_one, open: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more; none where there are as many as may be.
    pub fn open(&self, subject: &str) -> Option<Permit> {
        let mut open = self.lock();
        let own = open.by_subject.get(subject).copied().unwrap_or_default();
        if open.all >= self.most || own >= self.most_of_one {
            return None;
        }
        open.all += 1;
        open.by_subject.insert(subject.to_owned(), own + 1);
        drop(open);
        Some(Permit { feeds: self.clone(), subject: subject.to_owned() })
    }
}

/// A place. It is free again when this is dropped.
pub struct Permit {
    feeds: Feeds,
    subject: String,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.feeds.lock();
        open.all = open.all.saturating_sub(1);
        if let Some(own) = open.by_subject.get_mut(&self.subject) {
            *own -= 1;
            if *own == 0 {
                open.by_subject.remove(&self.subject);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_run_out_for_one_and_for_all_and_come_back() {
        let feeds = Feeds::new(3, 2);
        let (first, _second) = (feeds.open("ann"), feeds.open("ann"));
        assert!(first.is_some() && feeds.open("ann").is_none(), "of one");
        let _third = feeds.open("bob");
        assert!(feeds.open("eve").is_none(), "of all");
        drop(first);
        assert!(feeds.open("ann").is_some());
        assert_eq!(feeds.lock().by_subject.len(), 2, "nobody is kept who has none");
    }
}

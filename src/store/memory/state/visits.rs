//! The log of ended visits.

use crate::{
    domain::{Cursor, Visit},
    store::{VisitPage, visits::lost_before},
};

/// Ended visits, oldest first.
#[derive(Default)]
pub(in crate::store::memory) struct Visits {
    entries: Vec<Entry>,
    newest: Cursor,
}

struct Entry {
    cursor: Cursor,
    previous: Cursor,
    visit: Visit,
}

impl Visits {
    /// Appends visits. Keeps at most `max` of them.
    pub(in crate::store::memory) fn append(&mut self, visits: Vec<Visit>, now_ms: u64, max: usize) {
        for visit in visits {
            let (previous, cursor) = (self.newest, self.newest.next(now_ms));
            self.entries.push(Entry { cursor, previous, visit });
            self.newest = cursor;
        }
        let excess = self.entries.len().saturating_sub(max);
        self.entries.drain(..excess);
    }

    /// See [`crate::store::VisitLog::visits_after`].
    pub(in crate::store::memory) fn page(&self, position: Option<Cursor>, limit: usize) -> Option<VisitPage> {
        let first = self.entries.first()?.previous;
        let known = |position| position == first || self.entries.iter().any(|one| one.cursor == position);
        let from = position.filter(|position| known(*position));
        let after = self.entries.iter().filter(|one| from.is_none_or(|from| one.cursor > from));
        let entries: Vec<_> = after.take(limit).collect();
        Some(VisitPage {
            end: entries.last()?.cursor,
            visits: entries.iter().map(|one| one.visit.clone()).collect(),
            lost: position.filter(|_| from.is_none()).map(|position| lost_before(first, position)),
        })
    }

    /// Removes the visits before a position.
    pub(in crate::store::memory) fn remove_before(&mut self, position: Cursor) {
        self.entries.retain(|one| one.cursor >= position);
    }
}

//! The log of ended visits.

use crate::{
    domain::Cursor,
    store::{
        VisitPage,
        visits::{VisitLogEntry, lost_before},
    },
};

/// Entries of the log, oldest first.
#[derive(Default)]
pub(in crate::store::memory) struct Visits {
    entries: Vec<Entry>,
    newest: Cursor,
}

struct Entry {
    cursor: Cursor,
    previous: Cursor,
    content: VisitLogEntry,
}

impl Visits {
    /// Appends entries. Keeps at most `max` of them.
    pub(in crate::store::memory) fn append(
        &mut self,
        contents: impl IntoIterator<Item = VisitLogEntry>,
        now_ms: u64,
        max: usize,
    ) {
        for content in contents {
            let (previous, cursor) = (self.newest, self.newest.next(now_ms));
            self.entries.push(Entry { cursor, previous, content });
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
        let end = entries.last()?.cursor;
        let lost = position.filter(|_| from.is_none()).map(|position| lost_before(first, position));
        Some(VisitPage::of(entries.into_iter().map(|one| one.content.clone()), end, lost))
    }

    /// Removes the entries before a position.
    pub(in crate::store::memory) fn remove_before(&mut self, position: Cursor) {
        self.entries.retain(|one| one.cursor >= position);
    }
}

//! Merging of pages, one of each partition, without I/O.

use std::sync::Arc;

use crate::{
    domain::{Cursor, Event},
    store::{LOG_PAGE_BYTES, LogRead, Page},
};

/// The events after a cursor in the log of one partition, and true if it had no more.
pub(super) type EventPage = (Vec<Arc<Event>>, bool);

/// Merges pages of all partitions that begin after one cursor: at most `limit` events, and about a page's size of them.
///
/// Events after the watermark are omitted, because an earlier one may still come from another partition. The live feed
/// delivers them.
pub(super) fn merge_events(pages: Vec<EventPage>, watermark: Cursor, limit: usize) -> LogRead {
    let ends = pages.iter().filter(|(_, complete)| !complete);
    let known_until = ends.filter_map(|(events, _)| events.last()).map(|last| last.cursor).min();
    let until = known_until.map_or(watermark, |known| known.min(watermark));
    let all = pages.into_iter().flat_map(|(events, _)| events);
    let mut events: Vec<_> = all.filter(|event| event.cursor <= until).collect();
    events.sort_unstable_by_key(|event| event.cursor);
    let count = bounded_count(&events).min(limit);
    let complete = until == watermark && count == events.len();
    events.truncate(count);
    LogRead::Events { events, complete }
}

/// Returns how many of these events a page holds: it ends with the event that exceeds [`LOG_PAGE_BYTES`].
fn bounded_count(events: &[Arc<Event>]) -> usize {
    let mut bytes = 0;
    let exceeds = |event: &Arc<Event>| {
        bytes += event.approximate_bytes();
        bytes > LOG_PAGE_BYTES
    };
    events.iter().position(exceeds).map_or(events.len(), |last| last + 1)
}

/// Merges pages of a list in descending order of their keys: at most `limit` entries, and `max_bytes` of them, but at
/// least one.
pub(super) fn merge_pages<T>(
    pages: Vec<Page<T>>,
    limit: usize,
    max_bytes: usize,
    key: impl Fn(&T) -> String,
    bytes: impl Fn(&T) -> usize,
) -> Page<T> {
    // A partition's entries are known down to the end of its page.
    let known_from = pages.iter().filter_map(|page| page.next.clone()).max();
    let all = pages.into_iter().flat_map(|page| page.items);
    let mut entries: Vec<_> = all.map(|entry| (key(&entry), entry)).collect();
    entries.retain(|(key, _)| known_from.as_ref().is_none_or(|from| key >= from));
    entries.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
    let mut total = 0;
    let fits = |(index, (_, entry)): (usize, &(String, T))| {
        total += bytes(entry);
        index < limit && (index == 0 || total <= max_bytes)
    };
    let count = entries.iter().enumerate().map(fits).take_while(|fits| *fits).count();
    let is_cut = count < entries.len();
    entries.truncate(count);
    let next = if is_cut { entries.last().map(|(key, _)| key.clone()) } else { known_from };
    Page { next, items: entries.into_iter().map(|(_, entry)| entry).collect() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns the page of a partition that holds these keys.
    fn page(keys: &[u32], limit: usize, after: Option<&String>) -> Page<u32> {
        let mut later: Vec<_> =
            keys.iter().copied().filter(|key| after.is_none_or(|a| name(key) < *a)).collect();
        later.sort_unstable_by(|a, b| b.cmp(a));
        let has_more = later.len() > limit;
        later.truncate(limit);
        Page { next: later.last().filter(|_| has_more).map(name), items: later }
    }

    fn name(key: &u32) -> String {
        format!("{key:08}")
    }

    proptest! {
        #[test]
        fn merged_pages_have_every_entry_once_in_order(
            partitions in prop::collection::vec(prop::collection::vec(0_u32..10_000, 0..30), 1..5),
            limit in 1_usize..10, page_limit in 1_usize..10, max_bytes in 1_usize..40,
        ) {
            // Each number is in one partition.
            let count = u32::try_from(partitions.len()).unwrap();
            let distinct = |(partition, keys): (usize, &Vec<u32>)| {
                let mut keys: Vec<_> = keys.iter().map(|key| key * count + partition as u32).collect();
                keys.sort_unstable();
                keys.dedup();
                keys
            };
            let partitions: Vec<_> = partitions.iter().enumerate().map(distinct).collect();
            let mut expected: Vec<u32> = partitions.iter().flatten().copied().collect();
            expected.sort_unstable_by(|a, b| b.cmp(a));
            let (mut all, mut after) = (Vec::new(), None);
            loop {
                let pages = partitions.iter().map(|keys| page(keys, page_limit, after.as_ref())).collect();
                let merged = merge_pages(pages, limit, max_bytes, name, |_| 10);
                prop_assert!(merged.items.len() <= limit && merged.items.len() <= (max_bytes / 10).max(1));
                all.extend(merged.items);
                after = merged.next;
                if after.is_none() {
                    break;
                }
            }
            prop_assert_eq!(all, expected);
        }
    }
}

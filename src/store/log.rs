//! The rule, for every backend, that decides whether a log can be continued from a cursor.

use super::ResetReason;
use crate::domain::{Cursor, Topic};

/// Oldest entry of a log after trimming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstEntry {
    /// Cursor of the entry.
    pub cursor: Cursor,
    /// Cursor of the entry before it, which may have been trimmed; [`Cursor::ORIGIN`] for the first entry of all.
    pub previous: Cursor,
}

/// State of the logs in relation to one cursor.
#[derive(Clone, Copy, Debug)]
pub struct LogFacts {
    /// True if the topic's log holds an entry with this cursor.
    pub contains_cursor: bool,
    /// Oldest entry of the topic's log; `None` for an empty log.
    pub first: Option<FirstEntry>,
    /// True if the log of all streams holds an entry with this cursor.
    pub all_contains_cursor: bool,
    /// Oldest entry of the log of all streams; `None` for an empty log.
    pub first_of_all: Option<FirstEntry>,
    /// Newest cursor of all events.
    pub newest: Cursor,
}

/// Returns why the topic's log cannot be continued from `after`.
///
/// Returns `None` if the log holds every event after the cursor, and the logs do not prove that the service has never
/// issued the cursor.
pub fn reset_reason(topic: Topic, after: Cursor, facts: &LogFacts) -> Option<ResetReason> {
    if facts.contains_cursor {
        return None;
    }
    if after > facts.newest {
        return Some(ResetReason::Future);
    }
    let Some(first) = facts.first else {
        // An empty log continues only from its origin.
        return (after != Cursor::ORIGIN || facts.newest != Cursor::ORIGIN).then_some(ResetReason::Unknown);
    };
    if after < first.previous {
        return Some(ResetReason::Expired);
    }
    if after == first.previous || (topic != Topic::All && may_be_of_another_stream(after, facts)) {
        return None;
    }
    Some(ResetReason::Unknown)
}

/// Reports whether a cursor on one stream's feed may come from the feed of all streams.
///
/// Returns false only if the log of all streams is complete back to the cursor and has no entry with it.
fn may_be_of_another_stream(after: Cursor, facts: &LogFacts) -> bool {
    let trimmed = |first: FirstEntry| first.previous != Cursor::ORIGIN && after <= first.previous;
    facts.all_contains_cursor || after == Cursor::ORIGIN || facts.first_of_all.is_none_or(trimmed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::StreamId;

    /// Returns the logs' state after `total` events, of which every `stride`th belongs to the topic's stream.
    fn facts(total: u64, keep_all: u64, stride: u64, keep: u64, after: Cursor) -> LogFacts {
        let all: Vec<_> = (1..=total).map(|ms| Cursor::new(ms, 0)).collect();
        let own: Vec<_> = all.iter().copied().filter(|cursor| cursor.millis() % stride == 0).collect();
        let tail = |log: &[Cursor], keep: u64| -> Vec<FirstEntry> {
            let previous = std::iter::once(Cursor::ORIGIN).chain(log.iter().copied());
            let entries: Vec<_> = log
                .iter()
                .zip(previous)
                .map(|(cursor, previous)| FirstEntry { cursor: *cursor, previous })
                .collect();
            entries[entries.len().saturating_sub(usize::try_from(keep).unwrap())..].to_vec()
        };
        let (own, all_held) = (tail(&own, keep), tail(&all, keep_all));
        LogFacts {
            contains_cursor: own.iter().any(|entry| entry.cursor == after),
            first: own.first().copied(),
            all_contains_cursor: all_held.iter().any(|entry| entry.cursor == after),
            first_of_all: all_held.first().copied(),
            newest: all.last().copied().unwrap_or(Cursor::ORIGIN),
        }
    }

    proptest! {
        /// A reset is needed exactly if an event of the stream after an issued cursor has been trimmed.
        #[test]
        fn issued_cursor_is_expired_if_a_later_event_was_trimmed(
            total in 1u64..60, keep_all in 1u64..60, stride in 1u64..5, keep in 1u64..60, at in 0u64..60,
        ) {
            prop_assume!(at <= total && total >= stride);
            let after = Cursor::new(at, 0);
            let facts = facts(total, keep_all, stride, keep, after);
            let own: Vec<u64> = (1..=total).filter(|ms| ms % stride == 0).collect();
            let trimmed = &own[..own.len().saturating_sub(usize::try_from(keep).unwrap())];
            let missed = trimmed.iter().any(|ms| *ms > at);
            let topic = Topic::Stream(StreamId::generate());
            prop_assert_eq!(reset_reason(topic, after, &facts), missed.then_some(ResetReason::Expired));
        }

        /// A cursor between two events that the log of all streams holds was never issued.
        #[test]
        fn cursor_that_was_never_issued_is_unknown(total in 2u64..60, at in 1u64..60) {
            prop_assume!(at < total);
            let after = Cursor::new(at, 1);
            let facts = facts(total, 60, 1, 60, after);
            for topic in [Topic::All, Topic::Stream(StreamId::generate())] {
                prop_assert_eq!(reset_reason(topic, after, &facts), Some(ResetReason::Unknown));
            }
        }
    }

    #[test]
    fn future_cursor_and_emptied_log_need_a_reset() {
        let after = Cursor::new(7, 0);
        assert_eq!(reset_reason(Topic::All, after, &facts(6, 9, 1, 9, after)), Some(ResetReason::Future));
        let mut emptied = facts(9, 9, 1, 9, after);
        (emptied.contains_cursor, emptied.first) = (false, None);
        assert_eq!(reset_reason(Topic::All, after, &emptied), Some(ResetReason::Unknown));
        let untouched = facts(0, 9, 1, 9, Cursor::ORIGIN);
        assert_eq!(reset_reason(Topic::All, Cursor::ORIGIN, &untouched), None);
    }
}

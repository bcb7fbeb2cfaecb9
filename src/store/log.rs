//! Whether a log can be continued from a cursor: the one rule, for every backend.

use super::ResetReason;
use crate::domain::{Cursor, Topic};

/// The oldest entry that a log still holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstEntry {
    /// Its cursor.
    pub cursor: Cursor,
    /// The cursor of the entry before it, which may have been trimmed; the origin where there never was one.
    pub previous: Cursor,
}

/// What there is to know about a cursor and the logs.
#[derive(Clone, Copy, Debug)]
pub struct LogFacts {
    /// Whether the topic's log holds an entry with exactly this cursor.
    pub held: bool,
    /// The oldest entry of the topic's log.
    pub first: Option<FirstEntry>,
    /// Whether the log of all streams holds an entry with exactly this cursor.
    pub held_by_all: bool,
    /// The oldest entry of the log of all streams.
    pub first_of_all: Option<FirstEntry>,
    /// The newest cursor ever given out.
    pub newest: Cursor,
}

/// Says why `after` cannot be continued from, or nothing if it can: the topic's log still holds everything after it,
/// and nothing shows that this service never gave it out.
pub fn reset_reason(topic: Topic, after: Cursor, facts: &LogFacts) -> Option<ResetReason> {
    if facts.held {
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

/// A cursor that a client brings to one stream's feed may have come from the feed of all streams. It is good unless the
/// log of all streams would still hold it and does not.
fn may_be_of_another_stream(after: Cursor, facts: &LogFacts) -> bool {
    let trimmed = |first: FirstEntry| first.previous != Cursor::ORIGIN && after <= first.previous;
    facts.held_by_all || after == Cursor::ORIGIN || facts.first_of_all.is_none_or(trimmed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::StreamId;

    /// Logs as they would be after `total` events, of which every `stride`th is of the topic's stream.
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
            held: own.iter().any(|entry| entry.cursor == after),
            first: own.first().copied(),
            held_by_all: all_held.iter().any(|entry| entry.cursor == after),
            first_of_all: all_held.first().copied(),
            newest: all.last().copied().unwrap_or(Cursor::ORIGIN),
        }
    }

    proptest! {
        /// For cursors that were given out: lost exactly when an event of the stream after it has been trimmed.
        #[test]
        fn a_given_cursor_is_lost_exactly_when_something_after_it_is(
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

        /// A cursor between two events that the log of all streams holds was never given out.
        #[test]
        fn a_cursor_that_was_never_given_is_noticed(total in 2u64..60, at in 1u64..60) {
            prop_assume!(at < total);
            let after = Cursor::new(at, 1);
            let facts = facts(total, 60, 1, 60, after);
            for topic in [Topic::All, Topic::Stream(StreamId::generate())] {
                prop_assert_eq!(reset_reason(topic, after, &facts), Some(ResetReason::Unknown));
            }
        }
    }

    #[test]
    fn the_future_and_an_emptied_log_are_noticed() {
        let after = Cursor::new(7, 0);
        assert_eq!(reset_reason(Topic::All, after, &facts(6, 9, 1, 9, after)), Some(ResetReason::Future));
        let mut emptied = facts(9, 9, 1, 9, after);
        (emptied.held, emptied.first) = (false, None);
        assert_eq!(reset_reason(Topic::All, after, &emptied), Some(ResetReason::Unknown));
        let untouched = facts(0, 9, 1, 9, Cursor::ORIGIN);
        assert_eq!(reset_reason(Topic::All, Cursor::ORIGIN, &untouched), None);
    }
}

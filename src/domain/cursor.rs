//! Cursor: the position of an event in the logs, from which clients resume.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

/// Id of an event in both of its logs, written `ms-n`: milliseconds since 1970 and a number that grows within one of
/// them.
///
/// Cursors order the events of all streams. They grow even after a failover that lost the newest writes, because they
/// begin with the time. Clients treat them as opaque.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    ms: u64,
    n: u64,
}

/// The text is not a cursor in the canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a cursor that this service gave out")]
pub struct NotACursor;

impl Cursor {
    /// Position before the first event.
    pub const ORIGIN: Self = Self { ms: 0, n: 0 };

    /// Greatest cursor. No event has it, and Redis rejects a read of the entries after it.
    pub const GREATEST: Self = Self { ms: u64::MAX, n: u64::MAX };

    /// Makes the cursor `ms-n`.
    pub const fn new(ms: u64, n: u64) -> Self {
        Self { ms, n }
    }

    /// Returns the smallest cursor for an event at `now_ms` that is greater than this one.
    pub const fn next(self, now_ms: u64) -> Self {
        if now_ms > self.ms { Self { ms: now_ms, n: 0 } } else { Self { ms: self.ms, n: self.n + 1 } }
    }

    /// Returns the time of the event in milliseconds since the Unix epoch.
    pub const fn millis(self) -> u64 {
        self.ms
    }

    /// Returns the number behind the time.
    pub const fn number(self) -> u64 {
        self.n
    }
}

impl FromStr for Cursor {
    type Err = NotACursor;

    /// Parses only the canonical text (`1-0`, not `01-0` or `+1-0`), so that equal cursors are equal texts.
    fn from_str(text: &str) -> Result<Self, NotACursor> {
        let (ms, n) = text.split_once('-').ok_or(NotACursor)?;
        let cursor = Self { ms: number(ms)?, n: number(n)? };
        Ok(cursor)
    }
}

fn number(text: &str) -> Result<u64, NotACursor> {
    let canonical = text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
    if canonical { text.parse().map_err(|_| NotACursor) } else { Err(NotACursor) }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.n)
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn cursor_parses_from_its_text(ms in any::<u64>(), n in any::<u64>()) {
            let cursor = Cursor::new(ms, n);
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn next_cursor_is_greater_and_not_before_now(ms in 0..u64::MAX, n in 0..u64::MAX, now in any::<u64>()) {
            let cursor = Cursor::new(ms, n);
            let next = cursor.next(now);
            prop_assert!(next > cursor);
            prop_assert!(next.millis() >= now);
        }

        #[test]
        fn text_that_parses_is_canonical(text in "[-+0-9 ]{0,12}") {
            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert_eq!(cursor.to_string(), text);
            }
        }
    }

    #[test]
    fn cursors_order_by_time_then_counter() {
        assert!(Cursor::new(9, 0) < Cursor::new(10, 0));
        assert!(Cursor::new(10, 9) < Cursor::new(10, 10));
    }

    #[test]
    fn malformed_cursor_does_not_parse() {
        for text in [
            "",
            "-",
            "1",
            "1-",
            "-1",
            "1-2-3",
            "01-0",
            "+1-0",
            " 1-0",
            "1-0\n",
            "a-b",
            "99999999999999999999-0",
        ] {
            assert_eq!(text.parse::<Cursor>(), Err(NotACursor), "{text:?}");
        }
    }
}

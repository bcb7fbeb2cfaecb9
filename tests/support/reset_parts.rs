//! Checks that the parts of a reset arrive in order.

use serde_json::Value;

/// Number of received parts of the reset in progress on one connection.
#[derive(Default)]
pub struct ResetParts(u64);

impl ResetParts {
    /// Checks a message of a reset, which is `part` of `parts`; both are 0 for a reset in one message. Returns true if
    /// the message completes the reset.
    pub fn accept(&mut self, part: u64, parts: u64) -> bool {
        let expected = if parts == 0 { 0 } else { self.0 + 1 };
        assert_eq!(part, expected, "parts of a reset arrive in order, each once");
        assert!(parts == 0 || (parts > 1 && part <= parts), "part {part} of {parts}");
        assert!(parts > 0 || self.0 == 0, "a reset in one message interrupts one in parts");
        let is_complete = part == parts;
        self.0 = if is_complete { 0 } else { part };
        is_complete
    }

    /// As [`Self::accept`], for a message in JSON. Only the message that completes a reset has a cursor.
    pub fn accept_json(&mut self, reset: &Value) -> bool {
        assert!(reset.get("snapshot").is_some(), "a reset has a snapshot");
        let number = |name: &str| reset.get(name).map_or(0, |value| value.as_u64().unwrap());
        let is_complete = self.accept(number("part"), number("parts"));
        assert_eq!(is_complete, reset.get("cursor").is_some(), "the last part has the cursor");
        is_complete
    }
}

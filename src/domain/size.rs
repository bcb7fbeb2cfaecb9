//! Size of JSON documents, and the limit that every message obeys.

use std::io::{self, Write};

use serde::Serialize;

/// Maximum size of a message to a client, in bytes: a document, a page of a list, or a message of a feed.
pub const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// Size that a transport may add to a stream's document: the fields of SSE, the other members of a reset.
pub const ENVELOPE_BYTES: usize = 4 * 1024;

/// Counts the bytes that are written to it.
struct Counter(usize);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the size of a value's JSON, in bytes.
pub fn json_size<T: Serialize + ?Sized>(value: &T) -> usize {
    let mut counter = Counter(0);
    // The counter accepts everything, and no value of the domain fails to serialise.
    let _ = serde_json::to_writer(&mut counter, value);
    counter.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_size_is_that_of_the_text() {
        let value = ("\u{1F600}\"\n", [1, 22]);
        assert_eq!(json_size(&value), serde_json::to_string(&value).unwrap().len());
    }
}

//! Whether the received bytes end with a request, or continue with a part of the next one.
//!
//! The HTTP layer does not tell whether it has undecoded bytes in its buffer. The end of a request follows from the end
//! of its head, which is the only part of a head that is looked at here, and from the length of its body.

/// End of a request head, and of a chunked body.
const HEAD_END: &[u8; 4] = b"\r\n\r\n";

/// Position in the received bytes.
#[derive(Clone, Copy)]
enum Position {
    /// In a head, of whose end this many bytes were received.
    Head(usize),
    /// This many bytes after a head.
    AfterHead(u64),
    /// After a request with a part of the next one, until a request ends with [`HEAD_END`].
    Unknown,
}

/// Follows the received bytes of a connection.
pub(super) struct RequestEnd {
    position: Position,
    /// The last received bytes.
    tail: [u8; HEAD_END.len()],
}

impl Default for RequestEnd {
    fn default() -> Self {
        Self { position: Position::Head(0), tail: Default::default() }
    }
}

impl RequestEnd {
    /// Records received bytes.
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.position = match self.position {
            Position::Head(matched) => after_head(matched, bytes),
            Position::AfterHead(count) => Position::AfterHead(count + bytes.len() as u64),
            Position::Unknown => Position::Unknown,
        };
        let last = &bytes[bytes.len().saturating_sub(HEAD_END.len())..];
        self.tail.rotate_left(last.len());
        self.tail[HEAD_END.len() - last.len()..].copy_from_slice(last);
    }

    /// Records the end of a request with a body of this length, `None` if it is chunked. Reports whether no received
    /// bytes follow it.
    pub(super) fn end_request(&mut self, body: Option<u64>) -> bool {
        let is_last = match (body, self.position) {
            (Some(length), Position::AfterHead(count)) => count == length,
            (Some(1..), _) => false,
            (Some(0) | None, _) => self.tail == *HEAD_END,
        };
        self.position = if is_last { Position::Head(0) } else { Position::Unknown };
        is_last
    }
}

/// Returns the position after `bytes`, which follow `matched` bytes of the end of a head.
fn after_head(mut matched: usize, bytes: &[u8]) -> Position {
    for (index, byte) in bytes.iter().enumerate() {
        let is_next = *byte == HEAD_END[matched];
        // Any other byte begins the end again if it is its first one.
        matched = if is_next { matched + 1 } else { usize::from(*byte == HEAD_END[0]) };
        if matched == HEAD_END.len() {
            return Position::AfterHead((bytes.len() - index - 1) as u64);
        }
    }
    Position::Head(matched)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    const CHUNKED: &str = "POST / HTTP/1.1\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    const SIZED: &str = "POST / HTTP/1.1\r\n\r\n{}";
    const PARTIAL: &str = "GET / HTTP/1.1\r\n";

    /// Receives the texts one after the other in pieces of `size` bytes, and ends a request after each.
    fn ends(size: usize, requests: &[(&str, Option<u64>)]) -> Vec<bool> {
        let mut end = RequestEnd::default();
        let each = requests.iter().map(|(text, body)| {
            text.as_bytes().chunks(size).for_each(|piece| end.receive(piece));
            end.end_request(*body)
        });
        each.collect()
    }

    #[test]
    fn request_is_the_end_unless_a_part_of_the_next_one_follows() {
        let (sized, partial) = ((SIZED, Some(2)), |text: &str| format!("{text}{PARTIAL}"));
        let get = (GET, Some(0));
        for size in [1, 2, 3, 1_000] {
            assert_eq!(ends(size, &[get, sized, (CHUNKED, None), sized, get]), [true; 5], "{size}");
            for (text, body) in [get, sized, (CHUNKED, None)] {
                let text = partial(text);
                let rest = &GET[PARTIAL.len()..];
                // The position is known again after a request without a body.
                let requests = [(text.as_str(), body), (rest, Some(0)), sized];
                assert_eq!(ends(size, &requests), [false, true, true], "{size} {text}");
            }
            let pipelined = format!("{GET}{SIZED}");
            assert_eq!(ends(size, &[(&pipelined, Some(0)), ("", Some(2)), get]), [false, false, true]);
            let repeated = "GET / HTTP/1.1\r\r\n\r\r\n\r\n";
            assert_eq!(ends(size, &[(repeated, Some(0)), sized]), [true, true]);
        }
    }
}

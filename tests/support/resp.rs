//! Frames of the Redis protocol (RESP), and of HTTP.

/// End of `count` frames from `start` on.
fn elements_end(bytes: &[u8], start: usize, count: i64) -> Option<usize> {
    (0..count.max(0)).try_fold(start, |end, _| Some(end + frame_length(&bytes[end..])?))
}

/// Length of the first frame; `None` if it is incomplete.
fn frame_length(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")? + 2;
    let number = || std::str::from_utf8(&bytes[1..end - 2]).ok()?.parse::<i64>().ok();
    match bytes[0] {
        b'$' => match usize::try_from(number()?) {
            Ok(length) => Some(end + length + 2).filter(|end| *end <= bytes.len()),
            Err(_) => Some(end),
        },
        b'*' | b'>' => elements_end(bytes, end, number()?),
        b'%' => elements_end(bytes, end, 2 * number()?),
        _ => Some(end),
    }
}

/// What a connection speaks.
#[derive(Clone, Copy)]
pub enum Protocol {
    Resp,
    Http,
}

impl Protocol {
    /// Determines the protocol by the first bytes of a direction: letters begin only HTTP.
    pub fn of(first: &[u8]) -> Self {
        if first[0].is_ascii_alphabetic() { Self::Http } else { Self::Resp }
    }

    /// Returns the length of the first frame: a value of RESP, or all bytes of HTTP, whose bodies have no end mark.
    pub fn frame_length(self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Resp => frame_length(bytes),
            Self::Http => Some(bytes.len()).filter(|length| *length > 0),
        }
    }
}

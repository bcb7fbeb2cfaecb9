//! As much HTTP as a load generator needs.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use memchr::memmem;

/// The bytes that an answer has in all, once its head is there. It must say its length.
pub fn length(read: &[u8]) -> Option<usize> {
    let head = memmem::find(read, b"\r\n\r\n")? + 4;
    if read.starts_with(b"HTTP/1.1 304") || read.starts_with(b"HTTP/1.1 204") {
        return Some(head);
    }
    let text = std::str::from_utf8(&read[..head]).expect("a head");
    let body = text.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().expect("a number"))
    });
    Some(head + body.expect("a length"))
}

/// Whether it is an answer of success.
pub fn is_success(answer: &[u8]) -> bool {
    answer.starts_with(b"HTTP/1.1 2")
}

/// A request without a body, for whatever there is. nchan sends events only to those who say that they take them.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: bench\r\naccept: text/event-stream, */*\r\n\r\n")
}

/// A request with one; `headers` are whole lines.
pub fn post(path: &str, headers: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

/// One connection, one request at a time.
pub struct Caller(TcpStream);

impl Caller {
    /// Connects.
    pub fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a listener");
        stream.set_nodelay(true).expect("a socket");
        Self(stream)
    }

    /// Sends a request and waits for its answer, which must be one of success.
    pub fn call(&mut self, request: &str) -> Vec<u8> {
        self.0.write_all(request.as_bytes()).expect("a request that is taken");
        let (mut answer, mut buffer) = (Vec::new(), [0; 16 * 1024]);
        while length(&answer).is_none_or(|length| answer.len() < length) {
            let bytes = self.0.read(&mut buffer).expect("an answer");
            assert!(bytes > 0, "the connection was closed");
            answer.extend_from_slice(&buffer[..bytes]);
        }
        assert!(is_success(&answer), "{}", String::from_utf8_lossy(&answer));
        answer
    }
}

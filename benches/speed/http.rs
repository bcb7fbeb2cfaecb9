//! HTTP/1.1 requests and answers of the load generators.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use memchr::memmem;

/// Returns the length of an answer once its head is complete. An answer with a body must have a Content-Length.
pub fn answer_length(read: &[u8]) -> Option<usize> {
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

/// Reports whether an answer has a 2xx status.
pub fn is_success(answer: &[u8]) -> bool {
    answer.starts_with(b"HTTP/1.1 2")
}

/// Returns a GET request. nchan sends events only to clients that accept `text/event-stream`.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream, */*\r\n\r\n")
}

/// Returns a POST request; `headers` are complete header lines.
pub fn post(path: &str, headers: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
}

/// A connection with one request at a time.
pub struct HttpClient(TcpStream);

impl HttpClient {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a listener");
        stream.set_nodelay(true).expect("a socket");
        Self(stream)
    }

    /// Sends a request and returns its answer, which must have a 2xx status.
    pub fn call(&mut self, request: &str) -> Vec<u8> {
        self.0.write_all(request.as_bytes()).expect("a request that is taken");
        let (mut answer, mut buffer) = (Vec::new(), [0; 16 * 1024]);
        while answer_length(&answer).is_none_or(|length| answer.len() < length) {
            let bytes = self.0.read(&mut buffer).expect("an answer");
            assert!(bytes > 0, "the connection was closed");
            answer.extend_from_slice(&buffer[..bytes]);
        }
        assert!(is_success(&answer), "{}", String::from_utf8_lossy(&answer));
        answer
    }
}

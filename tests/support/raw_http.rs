//! An HTTP client on a raw TCP connection, which sends bytes unchanged and may half-close the connection.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::within;

/// A response with a `content-length`.
#[derive(Debug)]
pub struct RawResponse {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl RawResponse {
    /// Value of a header, which must not occur twice.
    pub fn header(&self, name: &str) -> Option<String> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut found = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        let value = found.next()?.to_owned();
        assert!(found.next().is_none(), "{name} occurs once: {}", self.head);
        Some(value)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks that the response is a problem document with this status and code and has a request id.
    #[track_caller]
    pub fn expect_problem(&self, status: u16, code: &str) {
        assert_eq!((self.status, &self.json()["code"]), (status, &json!(code)), "{self:?}");
        assert_eq!(self.header("content-type").as_deref(), Some("application/problem+json"));
        assert_eq!(self.json()["status"], status);
        for field in ["type", "title", "detail"] {
            assert!(self.json()[field].is_string(), "{field}: {self:?}");
        }
        assert!(self.header("x-request-id").is_some_and(|id| !id.is_empty()), "{self:?}");
    }
}

/// Splits received bytes into responses. Panics if they contain anything but complete responses.
fn parse(mut received: &str) -> Vec<RawResponse> {
    let mut responses = Vec::new();
    while !received.is_empty() {
        let (head, rest) =
            received.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no end of the head: {received}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut response = RawResponse { status, head: head.to_owned(), body: String::new() };
        let length: usize = response.header("content-length").expect("a content length").parse().unwrap();
        assert!(rest.len() >= length, "the body is incomplete: {received}");
        let (body, next) = rest.split_at(length);
        body.clone_into(&mut response.body);
        responses.push(response);
        received = next;
    }
    responses
}

pub async fn connect(base: &str) -> TcpStream {
    TcpStream::connect(base.strip_prefix("http://").unwrap()).await.unwrap()
}

/// Sends the parts, then FIN.
pub async fn send_and_half_close(connection: &mut TcpStream, parts: &[&[u8]]) {
    for part in parts {
        connection.write_all(part).await.unwrap();
    }
    connection.shutdown().await.unwrap();
}

/// Sends the parts, then FIN, and returns the responses up to the server's FIN.
pub async fn send_half_closed(base: &str, parts: &[&[u8]]) -> Vec<RawResponse> {
    let mut connection = connect(base).await;
    send_and_half_close(&mut connection, parts).await;
    read_responses(connection).await
}

/// Sends bytes and returns the responses up to the server's FIN.
pub async fn send_raw(base: &str, request: &[u8]) -> Vec<RawResponse> {
    let mut connection = connect(base).await;
    // The server may refuse the request and close before all bytes are sent.
    let _ = connection.write_all(request).await;
    read_responses(connection).await
}

async fn read_responses(mut connection: TcpStream) -> Vec<RawResponse> {
    let mut received = Vec::new();
    let read = within("the end of the responses", connection.read_to_end(&mut received)).await;
    let received = String::from_utf8(received).unwrap();
    read.unwrap_or_else(|error| panic!("{error} after {received:?}"));
    parse(&received)
}

/// A POST request with a JSON body. `headers` are complete header lines.
pub fn post(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    let headers = format!("{headers}host: localhost\r\ncontent-type: application/json\r\n");
    format!("POST {path} HTTP/1.1\r\n{headers}content-length: {length}\r\n\r\n{body}")
}

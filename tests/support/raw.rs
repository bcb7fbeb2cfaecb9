//! A client on a bare TCP connection: sends bytes as they are, and may half-close the connection.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::within;

/// One answer with a `content-length`.
#[derive(Debug)]
pub struct RawAnswer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl RawAnswer {
    /// A header's value; the name in lower case.
    pub fn header(&self, name: &str) -> Option<String> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut found = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        let value = found.next()?.to_owned();
        assert!(found.next().is_none(), "{name} is there once: {}", self.head);
        Some(value)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks that this is a problem document with this status and code, and that it names its request.
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

/// Splits what was received into answers. Anything that is not a complete answer fails the test.
fn parse(mut received: &str) -> Vec<RawAnswer> {
    let mut answers = Vec::new();
    while !received.is_empty() {
        let (head, rest) = received.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {received}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = RawAnswer { status, head: head.to_owned(), body: String::new() };
        let length: usize = answer.header("content-length").expect("a length").parse().unwrap();
        assert!(rest.len() >= length, "a body that ends early: {received}");
        let (body, next) = rest.split_at(length);
        body.clone_into(&mut answer.body);
        answers.push(answer);
        received = next;
    }
    answers
}

pub async fn connect(base: &str) -> TcpStream {
    TcpStream::connect(base.strip_prefix("http://").unwrap()).await.unwrap()
}

/// Sends the pieces one after another, then FIN.
pub async fn send_and_half_close(connection: &mut TcpStream, pieces: &[&[u8]]) {
    for piece in pieces {
        connection.write_all(piece).await.unwrap();
    }
    connection.shutdown().await.unwrap();
}

/// Sends the pieces, then FIN, and gives every answer up to the server's FIN.
pub async fn half_closed(base: &str, pieces: &[&[u8]]) -> Vec<RawAnswer> {
    let mut connection = connect(base).await;
    send_and_half_close(&mut connection, pieces).await;
    rest(connection).await
}

/// Sends bytes and gives every answer up to the server's FIN.
pub async fn answers_to(base: &str, request: &[u8]) -> Vec<RawAnswer> {
    let mut connection = connect(base).await;
    // A refusal may come before all of it is sent.
    let _ = connection.write_all(request).await;
    rest(connection).await
}

async fn rest(mut connection: TcpStream) -> Vec<RawAnswer> {
    let mut received = Vec::new();
    let read = within("the end of the answers", connection.read_to_end(&mut received)).await;
    let received = String::from_utf8(received).unwrap();
    read.unwrap_or_else(|error| panic!("{error} after {received:?}"));
    parse(&received)
}

/// A request with a body of JSON.
pub fn post(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    let headers = format!("{headers}host: localhost\r\ncontent-type: application/json\r\n");
    format!("POST {path} HTTP/1.1\r\n{headers}content-length: {length}\r\n\r\n{body}")
}

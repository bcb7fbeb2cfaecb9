//! A request head that begins together with the request before it, on one connection.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Pair, connections::closed};
use crate::support::{
    app::TestApp,
    raw_http::{connect, post},
    within,
};

const GET_LIVE: &str = "GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n";
/// Beginning of a request head.
const PARTIAL: &str = "GET /health/live HTTP/1.1\r\nx-slow: a";

/// Returns the length of the response that begins these bytes; `None` if its head is not complete.
fn response_length(received: &str) -> Option<usize> {
    let (head, _) = received.split_once("\r\n\r\n")?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    Some(head.len() + 4 + length.parse::<usize>().unwrap())
}

/// Sends bytes and reads one response.
async fn send(connection: &mut TcpStream, bytes: &str) -> String {
    connection.write_all(bytes.as_bytes()).await.unwrap();
    let mut received = Vec::new();
    loop {
        let read = within("a response", connection.read_buf(&mut received)).await.unwrap();
        let text = String::from_utf8(received.clone()).unwrap();
        assert!(read > 0, "{text}");
        if response_length(&text).is_some_and(|length| text.len() >= length) {
            return text;
        }
    }
}

async fn open(app: &TestApp, bytes: &str, status: &str) -> TcpStream {
    let mut connection = connect(&app.base).await;
    let answer = send(&mut connection, bytes).await;
    assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    connection
}

/// POST with a chunked body.
const CHUNKED: &str = "POST /streams HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
    transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";

#[tokio::test]
async fn connection_with_partial_second_head_is_closed_and_idle_one_stays_open() {
    let Pair(app, _other) = Pair::start().await;
    let created = post("/streams", "", "{}");
    // Begun first, so that their time is over before that of the partial heads.
    let mut idle = [
        open(&app, GET_LIVE, "200").await,
        open(&app, &created, "201").await,
        open(&app, CHUNKED, "201").await,
    ];
    let partial = [
        open(&app, &format!("{GET_LIVE}{PARTIAL}"), "200").await,
        open(&app, &format!("{created}{PARTIAL}"), "201").await,
        open(&app, &format!("{CHUNKED}{PARTIAL}"), "201").await,
        // A byte more does not begin the time again.
        {
            let mut slow = open(&app, &format!("{GET_LIVE}{PARTIAL}"), "200").await;
            slow.write_all(b"a").await.unwrap();
            slow
        },
    ];
    futures_util::future::join_all(partial.map(closed)).await;
    for connection in &mut idle {
        let answer = send(connection, GET_LIVE).await;
        assert!(answer.contains("\"ok\""), "{answer}");
    }
}

#[tokio::test]
async fn second_head_that_arrives_in_two_parts_is_answered() {
    let Pair(app, _other) = Pair::start().await;
    let (first, second) = GET_LIVE.split_at(20);
    for request in [GET_LIVE, &post("/streams", "", "{}"), CHUNKED] {
        let status = if request == GET_LIVE { "200" } else { "201" };
        let mut connection = open(&app, &format!("{request}{first}"), status).await;
        let answer = send(&mut connection, second).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{request}{answer}");
    }
}

#![allow(clippy::print_stdout)] // Not in CLIENTS.md.
//! Prints the events of a stream until it ends: `follow my-stream [cursor]`

use std::{env, time::Duration};

use anyhow::{Context, bail};
use reqwest::{Client, Response, StatusCode, Url};
use serde_json::Value;

/// An event, or a reset.
struct Message {
    kind: String,
    data: Value,
}

/// The events of one stream, once and in order. Reconnects and resumes when the connection ends.
struct Feed {
    client: Client,
    url: Url,
    token: String,
    /// Cursor of the last complete message.
    cursor: Option<String>,
    connection: Option<Response>,
    /// Received bytes of incomplete messages.
    buffer: Vec<u8>,
    /// Time before the next connection, from the service's `retry`.
    retry: Duration,
}

impl Feed {
    /// Returns the next message, or `None` after the stream's last event.
    async fn next(&mut self) -> anyhow::Result<Option<Message>> {
        loop {
            // An empty line ends a message.
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                if let Some(message) = self.parse(std::str::from_utf8(&block)?)? {
                    return Ok(Some(message));
                }
                continue;
            }
            let Some(connection) = &mut self.connection else {
                if self.connect().await? {
                    return Ok(None);
                }
                continue;
            };
            match connection.chunk().await {
                Ok(Some(bytes)) => self.buffer.extend_from_slice(&bytes),
                // The connection has ended, the stream has not.
                Ok(None) | Err(_) => self.disconnect().await,
            }
        }
    }

    /// Connects, or waits before the next attempt. Returns true if the stream has ended.
    async fn connect(&mut self) -> anyhow::Result<bool> {
        let mut request = self.client.get(self.url.clone()).bearer_auth(&self.token);
        if let Some(cursor) = &self.cursor {
            request = request.header("last-event-id", cursor);
        }
        let Ok(response) = request.send().await else {
            self.disconnect().await;
            return Ok(false);
        };
        let status = response.status();
        match status {
            StatusCode::OK => self.connection = Some(response),
            StatusCode::NO_CONTENT => return Ok(true),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => self.wait(&response).await,
            _ if status.is_server_error() => self.wait(&response).await,
            // 401: the token has expired, get a new one. 404: the stream does not exist, or has expired after its end.
            _ => bail!("refused with {status}: {}", response.text().await?),
        }
        Ok(false)
    }

    async fn wait(&self, response: &Response) {
        let header = response.headers().get("retry-after");
        let seconds = header.and_then(|value| value.to_str().ok()?.parse().ok());
        tokio::time::sleep(seconds.map_or(self.retry, Duration::from_secs)).await;
    }

    /// Discards the connection and its incomplete message, then waits.
    async fn disconnect(&mut self) {
        self.connection = None;
        self.buffer.clear();
        tokio::time::sleep(self.retry).await;
    }

    /// Parses the lines of one message. A block without `data` is not a message.
    fn parse(&mut self, block: &str) -> anyhow::Result<Option<Message>> {
        let field = |name| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        if let Some(retry) = field("retry") {
            self.retry = Duration::from_millis(retry.parse()?);
        }
        if let Some(id) = field("id") {
            self.cursor = Some(id.to_owned());
        }
        let Some(data) = field("data") else { return Ok(None) };
        let kind = field("event").unwrap_or("message").to_owned();
        Ok(Some(Message { kind, data: serde_json::from_str(data)? }))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (api, token) = (env::var("API")?, env::var("TOKEN")?);
    let mut arguments = env::args().skip(1);
    let stream = arguments.next().context("a stream's id or room name")?;

    let _ = rustls::crypto::ring::default_provider().install_default(); // Not in CLIENTS.md.
    // The service sends a comment every 15 s: after 45 s of silence the connection is dead.
    let client = Client::builder().read_timeout(Duration::from_secs(45)).build()?;
    let mut feed = Feed {
        client,
        url: Url::parse_with_params(&format!("{api}/events"), [("streamId", stream)])?,
        token,
        cursor: arguments.next(),
        connection: None,
        buffer: Vec::new(),
        retry: Duration::from_secs(2),
    };
    while let Some(Message { kind, data }) = feed.next().await? {
        // After a reset, discard your state and start again from data["snapshot"].
        println!("{kind} {data}");
    }
    Ok(())
}

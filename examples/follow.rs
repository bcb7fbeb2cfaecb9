#![allow(clippy::print_stdout)] // Here only.
//! Follows a stream until it is over: `follow my-stream [cursor]`

use std::{env, time::Duration};

use anyhow::{Context, bail};
use reqwest::{Client, Response, StatusCode, Url};
use serde_json::Value;

/// One message: an event, or a reset.
struct Message {
    kind: String,
    data: Value,
}

/// The events of one stream, over as many connections as it takes.
struct Feed {
    client: Client,
    url: Url,
    token: String,
    /// The cursor: everything up to it has been handed out.
    after: Option<String>,
    connection: Option<Response>,
    /// What has arrived of the next message.
    buffer: Vec<u8>,
    pause: Duration,
}

impl Feed {
    /// The next message; none when the stream is over.
    async fn next(&mut self) -> anyhow::Result<Option<Message>> {
        loop {
            // A message, and its cursor with it, counts once all of it is here.
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                if let Some(message) = self.take(std::str::from_utf8(&block)?)? {
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
                // The end of this connection, not of the stream.
                Ok(None) | Err(_) => self.lose().await,
            }
        }
    }

    /// Connects, or waits a little. Says whether the stream is over.
    async fn connect(&mut self) -> anyhow::Result<bool> {
        let mut request = self.client.get(self.url.clone()).bearer_auth(&self.token);
        if let Some(after) = &self.after {
            request = request.header("last-event-id", after);
        }
        let Ok(answer) = request.send().await else {
            self.lose().await;
            return Ok(false);
        };
        let status = answer.status();
        match status {
            StatusCode::OK => self.connection = Some(answer),
            StatusCode::NO_CONTENT => return Ok(true),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => self.wait_as_told(&answer).await,
            _ if status.is_server_error() => self.wait_as_told(&answer).await,
            // 401: the token has expired, get a new one. 404: there is no such stream, or no longer.
            _ => bail!("refused with {status}: {}", answer.text().await?),
        }
        Ok(false)
    }

    async fn wait_as_told(&self, answer: &Response) {
        let told = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        tokio::time::sleep(told.map_or(self.pause, Duration::from_secs)).await;
    }

    async fn lose(&mut self) {
        self.connection = None;
        self.buffer.clear();
        tokio::time::sleep(self.pause).await;
    }

    /// Reads one block of lines.
    fn take(&mut self, block: &str) -> anyhow::Result<Option<Message>> {
        let field = |name| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        if let Some(retry) = field("retry") {
            self.pause = Duration::from_millis(retry.parse()?);
        }
        if let Some(id) = field("id") {
            self.after = Some(id.to_owned());
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

    let _ = rustls::crypto::ring::default_provider().install_default(); // Here only.
    // The service says something every 15 s: after a longer silence the connection is dead.
    let client = Client::builder().read_timeout(Duration::from_secs(45)).build()?;
    let mut feed = Feed {
        client,
        url: Url::parse_with_params(&format!("{api}/events"), [("streamId", stream)])?,
        token,
        after: arguments.next(),
        connection: None,
        buffer: Vec::new(),
        pause: Duration::from_secs(2),
    };
    while let Some(Message { kind, data }) = feed.next().await? {
        // After a reset, begin again from data["snapshot"]; everything else is one event more.
        println!("{kind} {data}");
    }
    Ok(())
}

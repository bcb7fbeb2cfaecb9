//! A parser of SSE streams in the WHATWG format that returns every field, comments included.

use std::{pin::Pin, time::Duration};

use futures_util::{Stream, StreamExt};
use reqwest::{Client, Response, StatusCode, header::HeaderMap};
use serde_json::Value;

use super::within;

/// One block: the lines between two blank lines.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Block {
    pub event: Option<String>,
    pub id: Option<String>,
    pub retry: Option<u64>,
    pub comment: Option<String>,
    pub data: Option<Value>,
}

impl Block {
    pub fn parse(text: &str) -> Self {
        let mut block = Self::default();
        for line in text.lines() {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
            match field {
                "event" => block.event = Some(value),
                "id" => block.id = Some(value),
                "retry" => block.retry = Some(value.parse().unwrap()),
                "data" => block.data = Some(serde_json::from_str(&value).unwrap()),
                "" => block.comment = Some(value),
                other => panic!("unknown SSE field {other:?}"),
            }
        }
        block
    }
}

type Chunks = Pin<Box<dyn Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>;

/// The blocks of a response.
pub struct Blocks {
    chunks: Chunks,
    /// Received bytes after the last block. A chunk may end within a character.
    buffer: Vec<u8>,
}

impl Blocks {
    pub fn of(response: Response) -> Self {
        Self { chunks: Box::pin(response.bytes_stream()), buffer: Vec::new() }
    }

    /// Returns the next block; `None` at the end of the response and after an error.
    pub async fn next(&mut self) -> Option<Block> {
        loop {
            if let Some(end) = memchr::memmem::find(&self.buffer, b"\n\n") {
                let rest = self.buffer.split_off(end + 2);
                let text = std::mem::replace(&mut self.buffer, rest);
                return Some(Block::parse(std::str::from_utf8(&text).unwrap().trim_end()));
            }
            self.buffer.extend_from_slice(&self.chunks.next().await?.ok()?);
        }
    }
}

/// An open SSE stream.
pub struct EventStream {
    pub status: StatusCode,
    pub headers: HeaderMap,
    blocks: Blocks,
}

impl EventStream {
    pub async fn open(base: &str, path: &str, last_event_id: Option<&str>) -> Self {
        Self::open_with(base, path, last_event_id, None).await
    }

    /// As [`Self::open`], with an access token.
    pub async fn open_with(
        base: &str,
        path: &str,
        last_event_id: Option<&str>,
        bearer: Option<&str>,
    ) -> Self {
        let client = Client::builder().connect_timeout(Duration::from_secs(5)).build().unwrap();
        let mut request = client.get(format!("{base}{path}"));
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        if let Some(bearer) = bearer {
            request = request.header("authorization", format!("Bearer {bearer}"));
        }
        let response = within("an event stream", request.send()).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, blocks: Blocks::of(response) }
    }

    /// Returns the next block; `None` at the end of the stream.
    pub async fn block(&mut self) -> Option<Block> {
        within("the next block", self.blocks.next()).await
    }

    /// Returns the next block with data; `None` at the end of the stream.
    pub async fn message(&mut self) -> Option<Block> {
        loop {
            let block = self.block().await?;
            if block.data.is_some() {
                return Some(block);
            }
        }
    }

    /// Skips messages until one has this event name; returns its data.
    pub async fn wait_for(&mut self, event: &str) -> Value {
        loop {
            let block = self.message().await.unwrap_or_else(|| panic!("the stream ended before {event}"));
            if block.event.as_deref() == Some(event) {
                return block.data.unwrap();
            }
        }
    }

    /// Skips messages until the data fulfil a condition; returns them.
    pub async fn wait_until(&mut self, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        loop {
            let block = self.message().await.unwrap_or_else(|| panic!("the stream ended before {what}"));
            let data = block.data.unwrap();
            if condition(&data) {
                return data;
            }
        }
    }
}

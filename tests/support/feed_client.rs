//! One connection to an event feed over SSE, WebSocket or gRPC, with the same messages for each transport.

use std::{pin::Pin, time::Duration};

use futures_util::{SinkExt, Stream, StreamExt};
use livestream_orchestrator::domain::Cursor;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};
use tonic::Streaming;

use super::{
    app::TestApp,
    grpc::{Client, StreamEvent, subscribe_request},
    sse::Block,
};

/// Base URLs of an instance.
#[derive(Clone, Debug)]
pub struct Address {
    pub http: String,
    pub grpc: String,
}

impl From<&TestApp> for Address {
    fn from(app: &TestApp) -> Self {
        Self { http: app.base.clone(), grpc: app.grpc.clone() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Sse,
    WebSocket,
    Grpc,
}

impl Transport {
    pub const ALL: [Self; 3] = [Self::Sse, Self::WebSocket, Self::Grpc];
}

/// A received event: the fields that every transport sends.
#[derive(Clone, Debug, PartialEq)]
pub struct ReceivedEvent {
    pub stream: String,
    pub seq: u64,
    pub cursor: String,
    /// Milliseconds since 1970.
    pub at: i64,
    /// The whole event; `None` over gRPC.
    pub json: Option<Value>,
}

impl ReceivedEvent {
    pub fn from_json(json: Value) -> Self {
        let text = |key: &str| json[key].as_str().unwrap_or_else(|| panic!("no {key} in {json}"));
        Self {
            stream: text("streamId").to_owned(),
            seq: json["seq"].as_u64().unwrap(),
            cursor: text("cursor").to_owned(),
            at: chrono::DateTime::parse_from_rfc3339(text("timestamp")).unwrap().timestamp_millis(),
            json: Some(json),
        }
    }

    /// Compares the common fields, and the JSON if both events have it.
    pub fn is_same_as(&self, other: &Self) -> bool {
        let is_equal = |(one, two): (&Value, &Value)| one == two;
        (&self.stream, self.seq, &self.cursor, self.at) == (&other.stream, other.seq, &other.cursor, other.at)
            && self.json.as_ref().zip(other.json.as_ref()).is_none_or(is_equal)
    }
}

impl From<StreamEvent> for ReceivedEvent {
    fn from(event: StreamEvent) -> Self {
        let StreamEvent { stream_id, seq, cursor, timestamp, .. } = event;
        Self { stream: stream_id, seq, cursor, at: timestamp, json: None }
    }
}

/// A message of a feed, or its end.
#[derive(Clone, Debug)]
pub enum Received {
    Event(ReceivedEvent),
    Reset {
        reason: String,
        cursor: String,
    },
    /// The stream has ended, and the client has all its events.
    Complete,
    /// The connection ended; contains the reconnect delay that the server sent.
    Disconnected(Option<Duration>),
}

type Chunks = Pin<Box<dyn Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>;
type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

enum Channel {
    Sse { chunks: Chunks, buffer: String },
    WebSocket(Box<Socket>),
    Grpc(Box<Streaming<StreamEvent>>),
    Complete,
}

/// One connection to one feed.
pub struct FeedConnection {
    channel: Channel,
    /// Cursor after which the feed begins. The server sends it at once on every transport.
    pub from: String,
    retry: Option<Duration>,
    /// Reason of the end: the last SSE comment, the WebSocket close reason, or the `code` of the gRPC status.
    pub end_reason: Option<String>,
}

/// The connection attempt failed or was refused.
#[derive(Debug)]
pub struct OpenError;

impl FeedConnection {
    /// Opens the feed of one stream, or of all streams (`None`), after a cursor if there is one.
    pub async fn open(
        address: &Address,
        transport: Transport,
        stream: Option<&str>,
        after: Option<&str>,
    ) -> Result<Self, OpenError> {
        match transport {
            Transport::Sse => Self::open_sse(address, stream, after).await,
            Transport::WebSocket => Self::open_websocket(address, stream, after).await,
            Transport::Grpc => {
                let mut client = Client::connect(&address.grpc).await.map_err(|_| OpenError)?;
                let request = subscribe_request(stream.unwrap_or_default(), after.unwrap_or_default());
                let response = match client.call(request).await {
                    Ok(response) => response,
                    Err(status) if status.code() == tonic::Code::NotFound => return Ok(Self::complete()),
                    Err(_) => return Err(OpenError),
                };
                let from = response
                    .metadata()
                    .get("cursor")
                    .expect("a cursor in the initial metadata")
                    .to_str()
                    .unwrap();
                let from = from.to_owned();
                Ok(Self {
                    channel: Channel::Grpc(Box::new(response.into_inner())),
                    from,
                    retry: None,
                    end_reason: None,
                })
            }
        }
    }

    async fn open_sse(
        address: &Address,
        stream: Option<&str>,
        after: Option<&str>,
    ) -> Result<Self, OpenError> {
        let client = reqwest::Client::builder().connect_timeout(Duration::from_secs(5)).build().unwrap();
        let query = stream.map(|id| format!("?streamId={id}")).unwrap_or_default();
        let mut request = client.get(format!("{}/events{query}", address.http));
        if let Some(cursor) = after {
            request = request.header("last-event-id", cursor);
        }
        let response = request.send().await.map_err(|_| OpenError)?;
        if [StatusCode::NO_CONTENT, StatusCode::NOT_FOUND].contains(&response.status()) {
            return Ok(Self::complete());
        }
        let response = response.error_for_status().map_err(|_| OpenError)?;
        let channel = Channel::Sse { chunks: Box::pin(response.bytes_stream()), buffer: String::new() };
        let mut connection = Self { channel, from: String::new(), retry: None, end_reason: None };
        let first = connection.next_block().await.ok_or(OpenError)?;
        // A malformed cursor has no answer, so that the client keeps it until the end of the reset.
        let is_cursor = after.is_none_or(|after| after.parse::<Cursor>().is_ok());
        assert_eq!(first.id.is_some(), is_cursor, "the first block has an id");
        connection.from = first.id.or(after.map(str::to_owned)).unwrap();
        Ok(connection)
    }

    async fn open_websocket(
        address: &Address,
        stream: Option<&str>,
        after: Option<&str>,
    ) -> Result<Self, OpenError> {
        let url = format!("{}/ws", address.http.replacen("http", "ws", 1));
        let (mut socket, _) = connect_async(url).await.map_err(|_| OpenError)?;
        let subscribe = json!({"type": "subscribe", "streamId": stream.unwrap_or("*"), "after": after});
        socket.send(Message::text(subscribe.to_string())).await.map_err(|_| OpenError)?;
        let mut connection = Self {
            channel: Channel::WebSocket(Box::new(socket)),
            from: String::new(),
            retry: None,
            end_reason: None,
        };
        loop {
            let message = connection.next_json().await.ok_or(OpenError)?;
            match message["type"].as_str() {
                Some("connected") => {}
                Some("subscribed") => {
                    message["cursor"]
                        .as_str()
                        .expect("a cursor in the initial metadata")
                        .clone_into(&mut connection.from);
                    return Ok(connection);
                }
                _ if message["code"] == "stream_not_found" => return Ok(Self::complete()),
                _ => return Err(OpenError),
            }
        }
    }

    /// Connection to a stream that has ended or expired.
    const fn complete() -> Self {
        Self { channel: Channel::Complete, from: String::new(), retry: None, end_reason: None }
    }

    pub async fn next(&mut self) -> Received {
        match &mut self.channel {
            Channel::Complete => Received::Complete,
            Channel::Sse { .. } => self.next_sse().await,
            Channel::WebSocket(_) => self.next_message().await,
            Channel::Grpc(_) => self.next_call_message().await,
        }
    }

    async fn next_call_message(&mut self) -> Received {
        let Channel::Grpc(messages) = &mut self.channel else { unreachable!() };
        loop {
            match messages.message().await {
                Ok(Some(event)) if event.event_type == 20 => {
                    let reset = event.reset.expect("a reset with its fields");
                    if reset.part == reset.parts {
                        return Received::Reset { reason: reset.reason, cursor: reset.cursor };
                    }
                }
                Ok(Some(event)) => return Received::Event(event.into()),
                Ok(None) => return Received::Complete,
                Err(status) => {
                    let code = status.metadata().get("code").and_then(|code| code.to_str().ok());
                    self.end_reason = code.map(str::to_owned);
                    return Received::Disconnected(None);
                }
            }
        }
    }

    /// Over SSE the end of a complete feed is a disconnect; the next connection is answered 204.
    async fn next_sse(&mut self) -> Received {
        loop {
            let Some(block) = self.next_block().await else { return Received::Disconnected(self.retry) };
            let Some(data) = block.data else { continue };
            if block.event.as_deref() == Some("reset") {
                match reset(&data) {
                    Some(reset) => return reset,
                    None => continue,
                }
            }
            assert_eq!(block.id.as_deref(), data["cursor"].as_str(), "the id is the cursor");
            return Received::Event(ReceivedEvent::from_json(data));
        }
    }

    async fn next_message(&mut self) -> Received {
        loop {
            let Some(message) = self.next_json().await else { return Received::Disconnected(self.retry) };
            match message["type"].as_str() {
                Some("reset") => {
                    if let Some(reset) = reset(&message) {
                        return reset;
                    }
                }
                Some("unsubscribed") if message["reason"] == "stream_stopped" => return Received::Complete,
                Some("unsubscribed" | "error") => return Received::Disconnected(None),
                Some("pong") => {}
                _ => return Received::Event(ReceivedEvent::from_json(message)),
            }
        }
    }

    async fn next_block(&mut self) -> Option<Block> {
        let Channel::Sse { chunks, buffer } = &mut self.channel else { unreachable!() };
        loop {
            if let Some(end) = buffer.find("\n\n") {
                let rest = buffer.split_off(end + 2);
                let block = Block::parse(std::mem::replace(buffer, rest).trim_end());
                self.retry = block.retry.map(Duration::from_millis).or(self.retry);
                self.end_reason.clone_from(&block.comment);
                return Some(block);
            }
            buffer.push_str(std::str::from_utf8(&chunks.next().await?.ok()?).unwrap());
        }
    }

    async fn next_json(&mut self) -> Option<Value> {
        let Channel::WebSocket(socket) = &mut self.channel else { unreachable!() };
        loop {
            match socket.next().await?.ok()? {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Close(frame) => {
                    let hint = frame.and_then(|frame| serde_json::from_str::<Value>(&frame.reason).ok());
                    let hint = hint.unwrap_or_default();
                    self.retry = hint["retry"].as_u64().map(Duration::from_millis);
                    self.end_reason = hint["reason"].as_str().map(str::to_owned);
                    return None;
                }
                _ => {}
            }
        }
    }
}

/// Returns the reset that a message completes; `None` for a part before the last.
fn reset(data: &Value) -> Option<Received> {
    assert!(data.get("snapshot").is_some(), "a reset has a snapshot");
    assert_eq!(data["part"] == data["parts"], data.get("cursor").is_some(), "the last part has the cursor");
    let cursor = data.get("cursor")?.as_str().unwrap().to_owned();
    Some(Received::Reset { reason: data["reason"].as_str().unwrap().to_owned(), cursor })
}

//! A client that remembers nothing but its cursor, over any transport.

use std::{pin::Pin, time::Duration};

use futures_util::{SinkExt, Stream, StreamExt};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};
use tonic::Streaming;

use super::{
    app::TestApp,
    grpc::{Client, Told, asked},
    sse::Block,
};

/// Where an instance is.
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

/// An event, as far as every transport tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub stream: String,
    pub seq: u64,
    pub cursor: String,
    /// Milliseconds since 1970.
    pub at: i64,
    /// The whole event, where it came as JSON.
    pub json: Option<Value>,
}

impl Seen {
    pub fn of(json: Value) -> Self {
        let text = |key: &str| json[key].as_str().unwrap_or_else(|| panic!("no {key} in {json}"));
        Self {
            stream: text("streamId").to_owned(),
            seq: json["seq"].as_u64().unwrap(),
            cursor: text("cursor").to_owned(),
            at: chrono::DateTime::parse_from_rfc3339(text("timestamp")).unwrap().timestamp_millis(),
            json: Some(json),
        }
    }

    /// Whether it is the same event; gRPC does not tell everything that JSON does.
    pub fn is(&self, other: &Self) -> bool {
        let whole = |(one, two): (&Value, &Value)| one == two;
        (&self.stream, self.seq, &self.cursor, self.at) == (&other.stream, other.seq, &other.cursor, other.at)
            && self.json.as_ref().zip(other.json.as_ref()).is_none_or(whole)
    }
}

impl From<Told> for Seen {
    fn from(told: Told) -> Self {
        Self { stream: told.stream_id, seq: told.seq, cursor: told.cursor, at: told.timestamp, json: None }
    }
}

/// What a client hears.
#[derive(Clone, Debug)]
pub enum Heard {
    Event(Seen),
    /// Start again.
    Reset {
        reason: String,
        cursor: String,
    },
    /// The feed is complete.
    Complete,
    /// The connection is gone, perhaps with a hint when to come back.
    Cut(Option<Duration>),
}

type Chunks = Pin<Box<dyn Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>;
type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

enum Wire {
    Sse { chunks: Chunks, buffer: String },
    WebSocket(Box<Socket>),
    Grpc(Box<Streaming<Told>>),
    Complete,
}

/// One connection with one feed.
pub struct Link {
    wire: Wire,
    /// The cursor that it begins after; every connection says one at once.
    pub from: String,
    retry: Option<Duration>,
    /// Why it ended, as far as it said.
    pub last_words: Option<String>,
}

/// Nobody answered, or not yet.
#[derive(Debug)]
pub struct Refused;

impl Link {
    /// Follows one stream, or all of them (`None`).
    pub async fn open(
        address: &Address,
        transport: Transport,
        stream: Option<&str>,
        after: Option<&str>,
    ) -> Result<Self, Refused> {
        match transport {
            Transport::Sse => Self::open_sse(address, stream, after).await,
            Transport::WebSocket => Self::open_socket(address, stream, after).await,
            Transport::Grpc => {
                let mut client = Client::at(&address.grpc).await.map_err(|_| Refused)?;
                let request = asked(stream.unwrap_or_default(), after.unwrap_or_default());
                let response = match client.call(request).await {
                    Ok(response) => response,
                    Err(status) if status.code() == tonic::Code::NotFound => return Ok(Self::complete()),
                    Err(_) => return Err(Refused),
                };
                let from = response.metadata().get("cursor").expect("a cursor at once").to_str().unwrap();
                let from = from.to_owned();
                Ok(Self {
                    wire: Wire::Grpc(Box::new(response.into_inner())),
                    from,
                    retry: None,
                    last_words: None,
                })
            }
        }
    }

    async fn open_sse(address: &Address, stream: Option<&str>, after: Option<&str>) -> Result<Self, Refused> {
        let client = reqwest::Client::builder().connect_timeout(Duration::from_secs(5)).build().unwrap();
        let query = stream.map(|id| format!("?streamId={id}")).unwrap_or_default();
        let mut request = client.get(format!("{}/events{query}", address.http));
        if let Some(cursor) = after {
            request = request.header("last-event-id", cursor);
        }
        let response = request.send().await.map_err(|_| Refused)?;
        if [StatusCode::NO_CONTENT, StatusCode::NOT_FOUND].contains(&response.status()) {
            return Ok(Self::complete());
        }
        let response = response.error_for_status().map_err(|_| Refused)?;
        let wire = Wire::Sse { chunks: Box::pin(response.bytes_stream()), buffer: String::new() };
        let mut link = Self { wire, from: String::new(), retry: None, last_words: None };
        let first = link.block().await.ok_or(Refused)?;
        link.from = first.id.expect("an id at once");
        Ok(link)
    }

    async fn open_socket(
        address: &Address,
        stream: Option<&str>,
        after: Option<&str>,
    ) -> Result<Self, Refused> {
        let url = format!("{}/ws", address.http.replacen("http", "ws", 1));
        let (mut socket, _) = connect_async(url).await.map_err(|_| Refused)?;
        let subscribe = json!({"type": "subscribe", "streamId": stream.unwrap_or("*"), "after": after});
        socket.send(Message::text(subscribe.to_string())).await.map_err(|_| Refused)?;
        let mut link = Self {
            wire: Wire::WebSocket(Box::new(socket)),
            from: String::new(),
            retry: None,
            last_words: None,
        };
        loop {
            let message = link.message().await.ok_or(Refused)?;
            match message["type"].as_str() {
                Some("connected") => {}
                Some("subscribed") => {
                    message["cursor"].as_str().expect("a cursor at once").clone_into(&mut link.from);
                    return Ok(link);
                }
                _ if message["code"] == "stream_not_found" => return Ok(Self::complete()),
                _ => return Err(Refused),
            }
        }
    }

    /// The stream is over, and perhaps gone already.
    const fn complete() -> Self {
        Self { wire: Wire::Complete, from: String::new(), retry: None, last_words: None }
    }

    pub async fn next(&mut self) -> Heard {
        match &mut self.wire {
            Wire::Complete => Heard::Complete,
            Wire::Sse { .. } => self.next_sse().await,
            Wire::WebSocket(_) => self.next_message().await,
            Wire::Grpc(messages) => match messages.message().await {
                Ok(Some(told)) if told.event_type == 20 => {
                    let reset = told.reset.expect("what a reset says");
                    Heard::Reset { reason: reset.reason, cursor: reset.cursor }
                }
                Ok(Some(told)) => Heard::Event(told.into()),
                Ok(None) => Heard::Complete,
                Err(status) => {
                    let code = status.metadata().get("code").and_then(|code| code.to_str().ok());
                    self.last_words = code.map(str::to_owned);
                    Heard::Cut(None)
                }
            },
        }
    }

    /// A stream's feed is complete with its last event, whether or not the end of the connection is seen.
    async fn next_sse(&mut self) -> Heard {
        loop {
            let Some(block) = self.block().await else { return Heard::Cut(self.retry) };
            let Some(data) = block.data else { continue };
            if block.event.as_deref() == Some("reset") {
                return reset(&data);
            }
            assert_eq!(block.id.as_deref(), data["cursor"].as_str(), "the id is the cursor");
            return Heard::Event(Seen::of(data));
        }
    }

    async fn next_message(&mut self) -> Heard {
        loop {
            let Some(message) = self.message().await else { return Heard::Cut(self.retry) };
            match message["type"].as_str() {
                Some("reset") => return reset(&message),
                Some("unsubscribed") if message["reason"] == "stream_stopped" => return Heard::Complete,
                Some("unsubscribed" | "error") => return Heard::Cut(None),
                Some("pong") => {}
                _ => return Heard::Event(Seen::of(message)),
            }
        }
    }

    async fn block(&mut self) -> Option<Block> {
        let Wire::Sse { chunks, buffer } = &mut self.wire else { unreachable!() };
        loop {
            if let Some(end) = buffer.find("\n\n") {
                let rest = buffer.split_off(end + 2);
                let block = Block::parse(std::mem::replace(buffer, rest).trim_end());
                self.retry = block.retry.map(Duration::from_millis).or(self.retry);
                self.last_words.clone_from(&block.comment);
                return Some(block);
            }
            buffer.push_str(std::str::from_utf8(&chunks.next().await?.ok()?).unwrap());
        }
    }

    async fn message(&mut self) -> Option<Value> {
        let Wire::WebSocket(socket) = &mut self.wire else { unreachable!() };
        loop {
            match socket.next().await?.ok()? {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Close(frame) => {
                    let hint = frame.and_then(|frame| serde_json::from_str::<Value>(&frame.reason).ok());
                    let hint = hint.unwrap_or_default();
                    self.retry = hint["retry"].as_u64().map(Duration::from_millis);
                    self.last_words = hint["reason"].as_str().map(str::to_owned);
                    return None;
                }
                _ => {}
            }
        }
    }
}

fn reset(data: &Value) -> Heard {
    assert!(data.get("snapshot").is_some(), "a reset carries what to start again from");
    let text = |key: &str| data[key].as_str().unwrap().to_owned();
    Heard::Reset { reason: text("reason"), cursor: text("cursor") }
}

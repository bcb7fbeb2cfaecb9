//! One connection to an event feed over SSE, WebSocket or gRPC, with the same messages for each transport.

use std::{collections::HashMap, time::Duration};

use futures_util::{SinkExt, StreamExt};
use livestream_orchestrator::domain::Cursor;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};
use tonic::Streaming;

pub use super::received_event::{Counts, ReceivedEvent};
use super::{
    app::TestApp,
    grpc::{Client, Reset, State, StreamEvent, subscribe_request},
    reset_parts::ResetParts,
    sse::{Block, Blocks},
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

/// A message of a feed, or its end.
#[derive(Clone, Debug)]
pub enum Received {
    Event(ReceivedEvent),
    Reset {
        reason: String,
        cursor: String,
        /// Snapshot of the last part; null over gRPC.
        snapshot: Value,
        /// Counts of each stream in the snapshot.
        counts: HashMap<String, Counts>,
    },
    /// The stream has ended, and the client has all its events.
    Complete,
    /// The connection ended; contains the reconnect delay that the server sent.
    Disconnected(Option<Duration>),
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

enum Channel {
    Sse(Blocks),
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
    parts: ResetParts,
    /// Counts in the received parts of a reset.
    reset_counts: HashMap<String, Counts>,
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
                Ok(Self::new(Channel::Grpc(Box::new(response.into_inner())), from))
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
        let mut connection = Self::new(Channel::Sse(Blocks::of(response)), String::new());
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
        let mut connection = Self::new(Channel::WebSocket(Box::new(socket)), String::new());
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
    fn complete() -> Self {
        Self::new(Channel::Complete, String::new())
    }

    fn new(channel: Channel, from: String) -> Self {
        let (parts, reset_counts) = (ResetParts::default(), HashMap::new());
        Self { channel, from, retry: None, parts, reset_counts, end_reason: None }
    }

    pub async fn next(&mut self) -> Received {
        match &mut self.channel {
            Channel::Complete => Received::Complete,
            Channel::Sse(_) => self.next_sse().await,
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
                    let counts =
                        |state: &State| Some((state.stream_id.clone(), state.participant_counts?.into()));
                    self.reset_counts.extend(reset.snapshot.iter().filter_map(counts));
                    if self.parts.accept(reset.part.into(), reset.parts.into()) {
                        let Reset { reason, cursor, .. } = reset;
                        let counts = std::mem::take(&mut self.reset_counts);
                        return Received::Reset { reason, cursor, snapshot: Value::Null, counts };
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
                match self.accept_reset(&data) {
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
                    if let Some(reset) = self.accept_reset(&message) {
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
        let Channel::Sse(blocks) = &mut self.channel else { unreachable!() };
        let block = blocks.next().await?;
        self.retry = block.retry.map(Duration::from_millis).or(self.retry);
        self.end_reason.clone_from(&block.comment);
        Some(block)
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

    /// Returns the reset that a message in JSON completes.
    fn accept_reset(&mut self, data: &Value) -> Option<Received> {
        let snapshot = &data["snapshot"];
        for document in snapshot.as_array().map_or(std::slice::from_ref(snapshot), Vec::as_slice) {
            // Further participants of a stream have none of these fields.
            let counts = Counts::of(&document["participantCounts"]);
            let id = document["streamId"].as_str().map(str::to_owned);
            self.reset_counts.extend(id.zip(counts));
        }
        self.parts.accept_json(data).then(|| {
            let text = |name: &str| data[name].as_str().unwrap().to_owned();
            let counts = std::mem::take(&mut self.reset_counts);
            Received::Reset {
                reason: text("reason"),
                cursor: text("cursor"),
                snapshot: snapshot.clone(),
                counts,
            }
        })
    }
}

//! A client that reconnects and resumes after every disconnect and records what it receives.

use std::{collections::HashMap, time::Duration};

use tokio::{sync::watch, task::JoinHandle, time::sleep};

use super::{Position, now_millis, position};
use crate::support::{
    feed_client::{Address, Counts, FeedConnection, Received, Transport},
    within,
};

/// Time between a disconnect and the next connection attempt.
#[derive(Clone, Copy, Debug)]
pub enum ReconnectDelay {
    /// 20 ms, which keeps tests short.
    Minimal,
    /// The delay that the server sent, as `EventSource` does; one second without it.
    ServerHint,
}

impl ReconnectDelay {
    fn after(self, hint: Option<Duration>) -> Duration {
        match self {
            Self::Minimal => Duration::from_millis(20),
            Self::ServerHint => hint.unwrap_or(Duration::from_secs(1)),
        }
    }
}

/// A received message. Times are milliseconds since 1970.
#[derive(Clone, Debug)]
pub enum RecordedMessage {
    Event { position: Position, at: i64, received: i64 },
    Reset { reason: String, position: Position, received: i64 },
}

/// Messages that one client has received.
#[derive(Debug, Default)]
pub struct Recording {
    /// Position at which the first connection began.
    pub from: Option<Position>,
    pub messages: Vec<RecordedMessage>,
    /// Counts of each stream, folded from the events and resets.
    pub counts: HashMap<String, Counts>,
    /// Number of lost connections.
    pub disconnects: usize,
    /// True after the end of the feed.
    pub complete: bool,
}

impl Recording {
    /// Position of the newest message, or the start position if there is none.
    pub fn last_position(&self) -> Option<Position> {
        match self.messages.last() {
            Some(RecordedMessage::Event { position, .. } | RecordedMessage::Reset { position, .. }) => {
                Some(*position)
            }
            None => self.from,
        }
    }

    pub fn resets(&self) -> impl Iterator<Item = &RecordedMessage> {
        self.messages.iter().filter(|message| matches!(message, RecordedMessage::Reset { .. }))
    }

    /// Milliseconds between each event's timestamp and its receipt.
    pub fn delays(&self) -> Vec<i64> {
        let delay = |message: &RecordedMessage| match message {
            RecordedMessage::Event { at, received, .. } => Some((received - at).max(0)),
            RecordedMessage::Reset { .. } => None,
        };
        self.messages.iter().filter_map(delay).collect()
    }

    /// Time at which the client first had the event at `wanted`, a later event, or the reset of a complete feed.
    pub fn received_at(&self, wanted: Position) -> Option<i64> {
        self.messages.iter().find_map(|message| match message {
            RecordedMessage::Event { position, received, .. } if *position >= wanted => Some(*received),
            RecordedMessage::Reset { received, .. } if self.complete => Some(*received),
            _ => None,
        })
    }
}

/// A client that connects to the next instance after each disconnect. Dropping it closes its connection.
pub struct RecordingClient {
    pub transport: Transport,
    /// Id of the stream, or `None` for the feed of all streams.
    pub stream: Option<String>,
    recording: watch::Receiver<Recording>,
    task: JoinHandle<()>,
}

impl Drop for RecordingClient {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl RecordingClient {
    /// Connects to the first of `instances` and returns when the subscription has a position.
    pub async fn start(
        instances: Vec<Address>,
        transport: Transport,
        stream: Option<String>,
        delay: ReconnectDelay,
    ) -> Self {
        let (sender, recording) = watch::channel(Recording::default());
        let task = tokio::spawn(record(instances, transport, stream.clone(), delay, sender));
        let mut client = Self { transport, stream, recording, task };
        client.wait_for("a connection", |recording| recording.from.is_some()).await;
        client
    }

    pub async fn wait_for(&mut self, what: &str, condition: impl FnMut(&Recording) -> bool) {
        let what = format!("{what} ({:?}, {:?})", self.transport, self.stream);
        let _found = within(&what, self.recording.wait_for(condition)).await.unwrap();
    }

    pub fn recording(&self) -> watch::Ref<'_, Recording> {
        self.recording.borrow()
    }
}

/// Connects, receives and reconnects until the feed is complete.
async fn record(
    instances: Vec<Address>,
    transport: Transport,
    stream: Option<String>,
    delay: ReconnectDelay,
    recording: watch::Sender<Recording>,
) {
    let mut cursor = None::<String>;
    for instance in instances.iter().cycle() {
        let opened = FeedConnection::open(instance, transport, stream.as_deref(), cursor.as_deref()).await;
        let Ok(mut connection) = opened else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        if cursor.is_none() && !connection.from.is_empty() {
            cursor = Some(connection.from.clone());
            recording.send_modify(|recording| recording.from = Some(position(&connection.from)));
        }
        let Some(hint) = record_connection(&mut connection, &mut cursor, &recording).await else {
            return recording.send_modify(|recording| recording.complete = true);
        };
        recording.send_modify(|recording| recording.disconnects += 1);
        sleep(delay.after(hint)).await;
    }
}

/// Records messages until the disconnect and returns the server's reconnect delay; `None` if the feed is complete.
async fn record_connection(
    connection: &mut FeedConnection,
    cursor: &mut Option<String>,
    recording: &watch::Sender<Recording>,
) -> Option<Option<Duration>> {
    loop {
        let message = connection.next().await;
        let received = now_millis();
        let (newest, message, counts) = match message {
            Received::Event(event) => {
                let position = position(&event.cursor);
                let message = RecordedMessage::Event { position, at: event.at, received };
                (event.cursor, message, HashMap::from([(event.stream, event.counts)]))
            }
            Received::Reset { reason, cursor, counts, .. } => {
                let position = position(&cursor);
                (cursor, RecordedMessage::Reset { reason, position, received }, counts)
            }
            Received::Complete => return None,
            Received::Disconnected(hint) => return Some(hint),
        };
        *cursor = Some(newest);
        recording.send_modify(|recording| {
            recording.counts.extend(counts);
            recording.messages.push(message);
        });
    }
}

//! Feed connection of the hub: connect with backoff, resubscribe, and handle its loss.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Hub, TaskResult, send};
use crate::{
    domain::Topic,
    relay::{channel::ReadCause, jitter::jitter},
    store::{FeedConnection, StoreError},
};

const MIN_BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_secs(2);
/// Time between two log lines about the same outage, because each partition retries by itself.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

impl Hub {
    /// Starts a background task that retries with backoff until the feed is connected. The merged feed is retried at
    /// once when a partition is back, because an instance without lost partitions is not ready until then.
    pub(super) fn connect(&self) {
        let (feed, source, commands) = (self.feed.clone(), self.source, self.commands.clone());
        let (readiness, is_merged) = (self.readiness.clone(), self.readiness.is_merged(source));
        tokio::spawn(async move {
            let (mut backoff, mut logged_at) = (MIN_BACKOFF, None::<Instant>);
            while commands.strong_count() > 0 {
                match feed.connect(source).await {
                    Ok(connection) => return send(&commands, TaskResult::Connected(connection)),
                    Err(error) if logged_at.is_none_or(|at| at.elapsed() > LOG_INTERVAL) => {
                        logged_at = Some(Instant::now());
                        tracing::warn!(source = source.0, %error, "event feed connect failed; retrying");
                    }
                    Err(_) => {}
                }
                tokio::select! {
                    () = sleep(backoff.mul_f64(0.5 + jitter())) => {}
                    () = readiness.partition_back(), if is_merged => {}
                }
                backoff = (backoff * 2).min(MAX_BACKOFF);
            }
        });
    }

    /// Subscribes all channels on a new connection and reads every log from the last delivered event.
    pub(super) async fn on_connected(&mut self, connection: Box<dyn FeedConnection>) {
        self.connection = Some(connection);
        self.probed_at = None;
        self.checked_at = Instant::now();
        let topics: Vec<_> = self.channels.keys().copied().collect();
        if !self.subscribe_feed(&topics).await {
            return;
        }
        tracing::info!(source = self.source.0, channels = topics.len(), "event feed connected");
        // With several sources, one line for all: the last one connects when all others are connected.
        if self.source.0 + 1 == self.feed.sources() {
            self.metrics.feed_connects.inc();
        }
        self.catching_up = topics.iter().copied().collect();
        self.set_ready(topics.is_empty());
        for topic in topics {
            self.start_read(topic, ReadCause::Reconnect);
        }
    }

    /// Subscribes the connection to topics; returns false if the connection is lost.
    pub(super) async fn subscribe_feed(&mut self, topics: &[Topic]) -> bool {
        let Some(connection) = &mut self.connection else { return false };
        match connection.subscribe(topics).await {
            Ok(()) => true,
            Err(error) => {
                self.on_connection_lost(&error.to_string());
                false
            }
        }
    }

    /// Drops the connection, disconnects all channels and starts a new connect. No-op while a connect is running.
    pub(super) fn on_connection_lost(&mut self, why: &str) {
        self.probed_at = None;
        if self.connection.is_none() {
            return;
        }
        tracing::warn!(source = self.source.0, why, "event feed connection lost; reconnecting");
        self.connection = None;
        self.set_ready(false);
        for channel in self.channels.values_mut() {
            channel.disconnect();
        }
        // A channel without a position has pending subscribers only; they get an error.
        self.channels.retain(|_, channel| channel.last.is_some());
        for (_, _, reply) in self.pending_subscribers.drain(..) {
            let lost = StoreError::Unavailable("the event feed connection was lost".to_owned());
            let _ = reply.send(Err(lost));
        }
        self.connect();
    }
}

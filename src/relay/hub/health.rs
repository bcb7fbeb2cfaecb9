//! Periodic work of the hub: closes unused channels and detects silent losses.

use std::time::Duration;

use tokio::time::Instant;

use super::{Hub, TaskResult, send};
use crate::{
    domain::{Cursor, Topic},
    relay::channel::{Channel, ReadCause},
};

/// Time that a channel stays open without subscribers.
const LINGER: Duration = Duration::from_secs(5);
/// Interval of the tail comparison and the connection probe.
///
/// Together with [`PROBE_TIMEOUT`] it bounds how long a silent loss stays undetected.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// Time after which a missing probe means a dead connection.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

impl Hub {
    pub(super) async fn on_tick(&mut self) {
        if self.probed_at.is_some_and(|at| at.elapsed() > PROBE_TIMEOUT) {
            if let Some(connection) = &mut self.connection {
                connection.discard();
            }
            self.on_connection_lost("probe timed out");
        }
        self.close_unused().await;
        if self.connection.is_some() && self.checked_at.elapsed() > CHECK_INTERVAL {
            self.check();
        }
    }

    /// Closes channels that have had no subscriber for [`LINGER`] and unsubscribes them from the feed.
    async fn close_unused(&mut self) {
        let topics = self.unused_topics();
        if topics.is_empty() {
            return;
        }
        for topic in &topics {
            if let Some(mut channel) = self.channels.remove(topic) {
                channel.disconnect();
            }
            self.catching_up.remove(topic);
        }
        self.update_ready();
        if let Some(connection) = &mut self.connection
            && let Err(error) = connection.unsubscribe(&topics).await
        {
            self.on_connection_lost(&error.to_string());
        }
    }

    fn unused_topics(&self) -> Vec<Topic> {
        let is_unused =
            |channel: &&Channel| channel.empty_since.is_some_and(|since| since.elapsed() > LINGER);
        let has_pending =
            |topic: &Topic| self.pending_subscribers.iter().any(|(pending, ..)| pending == topic);
        let unused = self.channels.values().filter(is_unused).map(|channel| channel.topic);
        unused.filter(|topic| !has_pending(topic)).collect()
    }

    /// Sends a probe and reads the tails of all live channels' logs, in a background task.
    fn check(&mut self) {
        let Some(connection) = &self.connection else { return };
        self.checked_at = Instant::now();
        self.probed_at.get_or_insert(self.checked_at);
        let (feed, source) = (self.feed.clone(), self.source);
        let address = connection.probe_address().to_owned();
        let live = self.channels.values().filter(|channel| channel.is_live() && self.options.repair);
        let topics: Vec<_> = live.map(|channel| channel.topic).collect();
        let commands = self.commands.clone();
        tokio::spawn(async move {
            if let Err(error) = feed.probe(source, &address).await {
                tracing::warn!(%error, "event feed probe failed");
            }
            match feed.tails(&topics).await {
                Ok(tails) => send(&commands, TaskResult::Tails(topics.into_iter().zip(tails).collect())),
                Err(error) => tracing::warn!(%error, "log tails read failed"),
            }
        });
    }

    /// Reads the log of each live channel whose tail is not its last delivered event.
    ///
    /// The difference is a lost event or one still in transit; the read is correct in both cases.
    pub(super) fn compare_tails(&mut self, tails: Vec<(Topic, Cursor)>) {
        for (topic, tail) in tails {
            let differs =
                |channel: &Channel| channel.is_live() && channel.last.is_some_and(|last| last != tail);
            if self.channels.get(&topic).is_some_and(differs) {
                self.start_read(topic, ReadCause::Tail);
            }
        }
    }
}

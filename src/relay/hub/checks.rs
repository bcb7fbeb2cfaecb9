//! What the hub does now and then: closing channels that nobody uses, and looking for losses that nobody told of.

use std::time::Duration;

use tokio::time::Instant;

use super::{Done, Hub, send};
use crate::{
    domain::Cursor,
    relay::channel::{Cause, Channel},
    store::Topic,
};

/// How long a channel stays open for the next client.
const LINGER: Duration = Duration::from_secs(5);
/// How often the tails of the logs are compared with what was passed on, and the connection is probed. With the wait
/// for the probe it bounds how long a silent loss goes unnoticed.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// How long a probe may take to come back.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

impl Hub {
    pub(super) async fn tick(&mut self) {
        if self.probed_at.is_some_and(|at| at.elapsed() > PROBE_TIMEOUT) {
            self.lose("a probe did not come back");
        }
        self.close_empty().await;
        if self.connection.is_some() && self.checked_at.elapsed() > CHECK_INTERVAL {
            self.check();
        }
    }

    async fn close_empty(&mut self) {
        let unused = |channel: &Channel| channel.empty_since.is_some_and(|since| since.elapsed() > LINGER);
        let topics = self.channels.values().filter(|channel| unused(channel)).map(|channel| channel.topic);
        let awaited = |topic: &Topic| self.waiting.iter().any(|(waiting, ..)| waiting == topic);
        let topics: Vec<_> = topics.filter(|topic| !awaited(topic)).collect();
        for topic in &topics {
            if let Some(mut channel) = self.channels.remove(topic) {
                channel.cut();
            }
            self.catching_up.remove(topic);
        }
        if topics.is_empty() {
            return;
        }
        self.set_ready(self.connection.is_some() && self.catching_up.is_empty());
        if let Some(connection) = &mut self.connection
            && let Err(error) = connection.unsubscribe(&topics).await
        {
            self.lose(&error.to_string());
        }
    }

    /// Asks the logs for their tails and the connection for a sign of life, in the background.
    fn check(&mut self) {
        let Some(connection) = &self.connection else { return };
        self.checked_at = Instant::now();
        self.probed_at.get_or_insert(self.checked_at);
        let (feed, address) = (self.feed.clone(), connection.probe_address().to_owned());
        let live = self.channels.values().filter(|channel| channel.is_live() && self.options.repair);
        let topics: Vec<_> = live.map(|channel| channel.topic).collect();
        let commands = self.commands.clone();
        tokio::spawn(async move {
            if let Err(error) = feed.probe(&address).await {
                tracing::warn!(%error, "the feed could not be probed");
            }
            match feed.tails(&topics).await {
                Ok(tails) => send(&commands, Done::Tails(topics.into_iter().zip(tails).collect())),
                Err(error) => tracing::warn!(%error, "the tails of the logs could not be read"),
            }
        });
    }

    /// A tail that is not what was passed on last: something was lost without a word, or is just on its way. Reading
    /// the log is right for both.
    pub(super) fn compare(&mut self, tails: Vec<(Topic, Cursor)>) {
        for (topic, tail) in tails {
            let channel = self.channels.get(&topic);
            if channel
                .is_some_and(|channel| channel.is_live() && channel.last.is_some_and(|last| last != tail))
            {
                self.read(topic, Cause::Tail);
            }
        }
    }
}

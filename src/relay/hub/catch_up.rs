//! Log reads of the hub: start positions of new channels, and repair of gaps.

use std::sync::Arc;

use super::{Hub, TaskResult, lag, send};
use crate::{
    domain::{Event, Topic},
    relay::{
        channel::{Channel, Phase, ReadCause},
        log_reader::{LogOutcome, read_log},
        reset::ResetFrame,
    },
};

impl Hub {
    /// Starts a background read of the channel's log. A running read of the same channel is aborted.
    ///
    /// With repair disabled, a channel that knows its position goes live without a read.
    pub(super) fn start_read(&mut self, topic: Topic, cause: ReadCause) {
        let Some(channel) = self.channels.get_mut(&topic) else { return };
        channel.stop_reading();
        if channel.last.is_some() && !self.options.repair {
            channel.phase = Phase::Live;
            return self.on_caught_up(topic);
        }
        let (commands, generation) = (self.commands.clone(), channel.generation);
        let source = (self.feed.clone(), self.snapshots.clone());
        let read = read_log(source, self.read_slots.clone(), topic, channel.next_read());
        let task = tokio::spawn(async move {
            let outcome = read.await;
            send(&commands, TaskResult::LogRead { topic, generation, outcome });
        });
        channel.phase = Phase::Reading { task: task.abort_handle(), cause };
    }

    /// Applies the result of a log read. Results of an aborted read are discarded by their generation.
    pub(super) fn on_log_read(&mut self, topic: Topic, generation: u64, outcome: LogOutcome) {
        let is_current = |channel: &&mut Channel| channel.generation == generation;
        let Some(channel) = self.channels.get_mut(&topic).filter(is_current) else { return };
        match outcome {
            LogOutcome::Position(cursor) => channel.last = Some(cursor),
            LogOutcome::Events { events, complete } => {
                self.on_log_events(topic, events);
                if !complete {
                    return self.start_read(topic, ReadCause::NextPage);
                }
            }
            LogOutcome::Reset(reset) => {
                self.on_log_reset(topic, reset);
                if topic == Topic::All {
                    // A shared snapshot may be older than the pending events.
                    return self.start_read(topic, ReadCause::NextPage);
                }
            }
        }
        self.go_live(topic);
    }

    fn on_log_events(&mut self, topic: Topic, events: Vec<Arc<Event>>) {
        let Some(channel) = self.channels.get_mut(&topic) else { return };
        let gap = channel.read_cause().and_then(ReadCause::gap_label).filter(|_| !events.is_empty());
        if let Some(found_by) = gap {
            self.metrics.gaps.with_label_values(&[found_by]).inc();
        }
        for event in &events {
            self.metrics.relay_lag.observe(lag(event).as_secs_f64());
            self.metrics.repaired_events.inc();
        }
        channel.catch_up(events);
    }

    fn on_log_reset(&mut self, topic: Topic, reset: Arc<ResetFrame>) {
        let Some(channel) = self.channels.get_mut(&topic) else { return };
        tracing::warn!(?topic, reason = reset.reason, "log incomplete; resetting the channel's clients");
        self.metrics.resets.with_label_values(&[reset.reason]).inc();
        channel.reset(reset);
    }

    /// Adds the pending subscribers and switches the channel to live. Reads the log again if a gap remains.
    fn go_live(&mut self, topic: Topic) {
        // Subscribers are added before pending events are delivered, because those events follow their position.
        self.add_pending(topic);
        let has_gap = self.channels.get_mut(&topic).is_some_and(Channel::go_live);
        if has_gap {
            self.start_read(topic, ReadCause::Sequence);
        } else {
            self.on_caught_up(topic);
        }
    }

    fn on_caught_up(&mut self, topic: Topic) {
        self.catching_up.remove(&topic);
        self.update_ready();
    }
}

//! Comparison of a client's recording with the log.

use std::collections::{BTreeMap, HashSet};

use super::{
    Position,
    client::{RecordedMessage, Recording},
    log::{LogCopy, LogEntry},
};

/// Deliveries of one client, or the sum over several.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeliveryReport {
    pub received: usize,
    /// Entries of the log that were not received and that no reset covers.
    pub lost: usize,
    pub duplicates: usize,
    pub out_of_order: usize,
    /// Received events that Redis lost afterwards without a reset for the client.
    pub unannounced: usize,
    /// Number of resets by reason.
    pub resets: BTreeMap<String, usize>,
}

impl DeliveryReport {
    pub fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.lost += other.lost;
        self.duplicates += other.duplicates;
        self.out_of_order += other.out_of_order;
        self.unannounced += other.unannounced;
        for (reason, count) in &other.resets {
            *self.resets.entry(reason.clone()).or_default() += count;
        }
    }

    /// Reports whether every event was delivered once and in order, without a reset.
    pub fn is_exactly_once(&self) -> bool {
        self.has_no_silent_loss() && self.resets.is_empty()
    }

    /// Reports whether every event was delivered once and in order, or covered by a reset.
    pub fn has_no_silent_loss(&self) -> bool {
        self.lost + self.duplicates + self.out_of_order + self.unannounced == 0
    }
}

/// Compares what a client received with the log of its topic.
pub fn compare_with_log(recording: &Recording, log: &LogCopy) -> DeliveryReport {
    let mut report = DeliveryReport::default();
    let from = recording.from.expect("the client was connected");
    let (mut seen, mut covered, mut last) = (HashSet::new(), HashSet::new(), from);
    let lost_by_redis: HashSet<_> =
        log.entries.iter().filter(|entry| entry.lost_by_redis).map(|entry| entry.position).collect();
    for message in &recording.messages {
        match message {
            RecordedMessage::Event { position, .. } => {
                if !seen.insert(*position) {
                    report.duplicates += 1;
                } else if *position < last {
                    report.out_of_order += 1;
                }
                last = *position;
                report.unannounced += usize::from(lost_by_redis.contains(position));
            }
            RecordedMessage::Reset { reason, position, received } => {
                *report.resets.entry(reason.clone()).or_default() += 1;
                report.unannounced = 0;
                covered.extend(covered_by_reset(log, *position, *received));
                last = *position;
            }
        }
    }
    report.received = seen.len();
    let is_lost = |entry: &&LogEntry| {
        let known = seen.contains(&entry.position) || covered.contains(&entry.position);
        entry.position > from && !known && !entry.lost_by_redis
    };
    report.lost = log.entries.iter().filter(is_lost).count();
    report
}

/// Positions that a reset's snapshot covers: up to its cursor, and those that Redis had lost at its receipt.
fn covered_by_reset(log: &LogCopy, position: Position, received: i64) -> impl Iterator<Item = Position> {
    let received = u64::try_from(received).unwrap();
    let is_covered = move |entry: &&LogEntry| {
        entry.position <= position || entry.epoch < log.epoch && entry.position.0 <= received
    };
    log.entries.iter().filter(is_covered).map(|entry| entry.position)
}

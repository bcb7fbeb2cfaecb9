//! Channel: position, subscribers and pending events of one topic. Performs no I/O.
//!
//! ```text
//! Disconnected ──connected──▶ Reading ──log read──▶ Live
//!      ▲                       │   ▲                │ │
//!      │                       │   └─gap, new tail──┘ │
//!      └────connection
//! lost────┴──────────────────────┘
//! ```

use std::{collections::HashMap, sync::Arc};

use tokio::{task::AbortHandle, time::Instant};

use super::{
    access::AccessRegistry,
    frame::EventFrame,
    reset::ResetFrame,
    subscriber::{Delivery, Subscriber, SubscriberId},
};
use crate::domain::{Cursor, Event, Topic};

/// Phase of a channel.
pub(super) enum Phase {
    /// A background task reads the log. Events from the feed are pending until it is done.
    Reading {
        /// Aborts the read when the connection changes.
        task: AbortHandle,
        /// Why the log is read.
        cause: ReadCause,
    },
    /// Events from the feed are delivered as they arrive.
    Live,
    /// The feed is not connected.
    Disconnected,
}

/// Subject of a log read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextRead {
    /// The tail of the log.
    Position,
    /// The events after a cursor.
    After(Cursor),
    /// A snapshot, whatever the log has after this cursor.
    Reset(Cursor),
}

/// Reason for a log read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadCause {
    /// The channel is new and needs its start position.
    Start,
    /// An event's predecessor is not the last delivered event.
    Sequence,
    /// The log's tail is not the last delivered event.
    Tail,
    /// The feed connection is new.
    Reconnect,
    /// The previous read returned one page of several.
    NextPage,
}

impl ReadCause {
    /// Returns the `found_by` label of the gap metric; `None` where events in the log do not mean a loss.
    pub(super) const fn gap_label(self) -> Option<&'static str> {
        match self {
            Self::Sequence => Some("sequence"),
            Self::Tail => Some("tail"),
            Self::Reconnect => Some("reconnect"),
            Self::Start | Self::NextPage => None,
        }
    }
}

/// Relation of an event to the last delivered event of its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SequenceCheck {
    /// The event directly follows.
    Next,
    /// The event was delivered before.
    Duplicate,
    /// Events between the two are missing, or the log has forked after a data loss in Redis.
    Gap,
}

/// Classifies an event by its cursor and by the cursor of its predecessor.
pub(super) fn classify(last: Cursor, cursor: Cursor, previous: Cursor) -> SequenceCheck {
    if cursor <= last {
        SequenceCheck::Duplicate
    } else if previous == last {
        SequenceCheck::Next
    } else {
        SequenceCheck::Gap
    }
}

/// One topic with its subscribers.
pub(super) struct Channel {
    pub(super) topic: Topic,
    /// Newest delivered event; `None` until the log has returned the start position.
    pub(super) last: Option<Cursor>,
    pub(super) phase: Phase,
    /// True if the store has lost events that the channel has delivered, until its clients are reset.
    pub(super) has_lost_events: bool,
    /// See [`super::Options::repair`].
    repair: bool,
    /// Participants whose feeds end when they are blocked.
    access: AccessRegistry,
    /// Number of the current log read. Results of earlier reads are discarded.
    pub(super) generation: u64,
    /// Events that arrived during a log read, with the cursors of their predecessors; at most [`MAX_PENDING_EVENTS`].
    pending_events: Vec<(Arc<Event>, Cursor)>,
    subscribers: HashMap<SubscriberId, Subscriber>,
    /// Time since which the channel has no subscriber.
    pub(super) empty_since: Option<Instant>,
}

/// Maximum events that are pending during a log read. Later ones are dropped, because the log holds them too.
const MAX_PENDING_EVENTS: usize = 1_000;

impl Channel {
    pub(super) fn new(topic: Topic, repair: bool, access: AccessRegistry) -> Self {
        Self {
            topic,
            last: None,
            phase: Phase::Disconnected,
            has_lost_events: false,
            repair,
            access,
            generation: 0,
            pending_events: Vec::new(),
            subscribers: HashMap::new(),
            empty_since: None,
        }
    }

    pub(super) fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live)
    }

    pub(super) fn subscribe(&mut self, subscriber: Subscriber) {
        self.empty_since = None;
        self.subscribers.insert(subscriber.id, subscriber);
    }

    pub(super) fn unsubscribe(&mut self, subscriber: SubscriberId) {
        self.subscribers.remove(&subscriber);
        self.note_if_empty();
    }

    fn note_if_empty(&mut self) {
        if self.subscribers.is_empty() {
            self.empty_since.get_or_insert_with(Instant::now);
        }
    }

    /// Handles an event from the feed; returns true if the log must be read because of a gap.
    pub(super) fn on_event(&mut self, event: Arc<Event>, previous: Cursor) -> bool {
        let Some(last) = self.last.filter(|_| self.is_live()) else {
            if self.pending_events.len() < MAX_PENDING_EVENTS {
                self.pending_events.push((event, previous));
            }
            return false;
        };
        match classify(last, event.cursor, previous) {
            SequenceCheck::Duplicate => {}
            SequenceCheck::Gap if self.repair => {
                self.pending_events.push((event, previous));
                return true;
            }
            SequenceCheck::Next | SequenceCheck::Gap => self.deliver_event(event),
        }
        false
    }

    /// Delivers a page of events from the log and skips those delivered before.
    pub(super) fn catch_up(&mut self, events: Vec<Arc<Event>>) {
        for event in events {
            if self.last.is_some_and(|last| event.cursor > last) {
                self.deliver_event(event);
            }
        }
    }

    /// Returns what the next read of the log must find out.
    pub(super) const fn next_read(&self) -> NextRead {
        match self.last {
            None => NextRead::Position,
            Some(last) if self.has_lost_events => NextRead::Reset(last),
            Some(last) => NextRead::After(last),
        }
    }

    /// Returns the cause of the current log read, if one is running.
    pub(super) fn read_cause(&self) -> Option<ReadCause> {
        match self.phase {
            Phase::Reading { cause, .. } => Some(cause),
            Phase::Live | Phase::Disconnected => None,
        }
    }

    /// Switches to live and delivers the pending events; returns true if a gap remains.
    pub(super) fn go_live(&mut self) -> bool {
        self.phase = Phase::Live;
        let pending = std::mem::take(&mut self.pending_events);
        // Events after a gap stay pending for the next log read.
        pending.into_iter().fold(false, |gap, event| self.on_pending_event(gap, event))
    }

    fn on_pending_event(&mut self, gap: bool, (event, previous): (Arc<Event>, Cursor)) -> bool {
        if gap {
            self.pending_events.push((event, previous));
            return true;
        }
        self.on_event(event, previous)
    }

    fn deliver_event(&mut self, event: Arc<Event>) {
        self.last = Some(event.cursor);
        let frame = Arc::new(EventFrame::new(event));
        self.deliver(&Delivery::Event(frame.clone()));
        self.access.on_event(frame.event());
    }

    /// Sends a reset to every subscriber and moves the position to the reset's snapshot.
    pub(super) fn reset(&mut self, reset: Arc<ResetFrame>) {
        (self.last, self.has_lost_events) = (Some(reset.cursor), false);
        self.deliver(&Delivery::Reset(reset));
        self.access.on_reset(self.topic);
    }

    /// Sends a message to every subscriber and removes subscribers whose queue is full or closed.
    fn deliver(&mut self, delivery: &Delivery) {
        self.subscribers.retain(|_, subscriber| subscriber.try_send(delivery));
        self.note_if_empty();
    }

    /// Handles a lost connection: aborts the log read and drops pending events, because the log holds them.
    pub(super) fn disconnect(&mut self) {
        self.stop_reading();
        self.phase = Phase::Disconnected;
        self.pending_events.clear();
    }

    /// Aborts the current log read, if any, and invalidates its result.
    pub(super) fn stop_reading(&mut self) {
        self.generation += 1;
        if let Phase::Reading { task, .. } = &self.phase {
            task.abort();
        }
    }

    /// Removes every subscriber with this end reason.
    pub(super) fn end(&mut self, reason: super::Ended) {
        for subscriber in self.subscribers.values() {
            subscriber.end(reason);
        }
        self.subscribers.clear();
    }
}

//! One topic on this instance: how far it has come, who listens, and what to do with what arrives. No I/O.

use std::{collections::HashMap, sync::Arc};

use tokio::{task::AbortHandle, time::Instant};

use super::{
    frame::{EventFrame, ResetFrame},
    seat::{Delivery, Seat},
};
use crate::{
    domain::{Cursor, Event},
    store::Topic,
};

/// What a channel is doing.
pub(super) enum Phase {
    /// Reading the log to where the feed goes on; what the feed brings meanwhile waits.
    Reading {
        /// The reading, to be given up when the connection changes.
        task: AbortHandle,
        /// Why.
        cause: Cause,
    },
    /// Passing on what the feed brings.
    Live,
    /// The feed is not connected.
    Cut,
}

/// Why a channel's log is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// To find out where the channel begins.
    Begin,
    /// An event did not follow the one before it.
    Sequence,
    /// The log goes on after what was passed on last.
    Tail,
    /// The connection was made anew.
    Reconnect,
    /// There was more than one page.
    NextPage,
}

impl Cause {
    /// The word used in metrics, for a cause that means a loss if the log has anything.
    pub(super) const fn found_by(self) -> Option<&'static str> {
        match self {
            Self::Sequence => Some("sequence"),
            Self::Tail => Some("tail"),
            Self::Reconnect => Some("reconnect"),
            Self::Begin | Self::NextPage => None,
        }
    }
}

/// What an event is to a channel that has come as far as `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The next one.
    Next,
    /// One that was passed on before.
    Known,
    /// One after a gap, or of a log that has forked.
    Gap,
}

/// Judges by the order of cursors and by the event's own word about the one before it.
pub(super) fn judge(topic: Topic, last: Cursor, event: &Event) -> Verdict {
    if event.cursor <= last {
        Verdict::Known
    } else if topic.previous(event) == last {
        Verdict::Next
    } else {
        Verdict::Gap
    }
}

/// One topic with its listeners.
pub(super) struct Channel {
    pub(super) topic: Topic,
    /// The newest event that was passed on; none until the log has said where the channel begins.
    pub(super) last: Option<Cursor>,
    pub(super) phase: Phase,
    /// Whether gaps are repaired; see [`super::Options::repair`].
    repair: bool,
    /// Told apart from readings of before the connection changed.
    pub(super) generation: u64,
    /// What arrived while the log is being read.
    waiting: Vec<Arc<Event>>,
    seats: HashMap<u64, Seat>,
    /// Since when nobody listens.
    pub(super) empty_since: Option<Instant>,
}

/// How many events may wait for a reading of the log. Beyond that they are dropped: the log has them too.
const MAX_WAITING: usize = 1_000;

impl Channel {
    pub(super) fn new(topic: Topic, repair: bool) -> Self {
        Self {
            topic,
            last: None,
            phase: Phase::Cut,
            repair,
            generation: 0,
            waiting: Vec::new(),
            seats: HashMap::new(),
            empty_since: None,
        }
    }

    pub(super) fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live)
    }

    pub(super) fn seat(&mut self, seat: Seat) {
        self.empty_since = None;
        self.seats.insert(seat.id, seat);
    }

    pub(super) fn vacate(&mut self, seat: u64) {
        self.seats.remove(&seat);
        if self.seats.is_empty() {
            self.empty_since.get_or_insert_with(Instant::now);
        }
    }

    /// Takes what the feed brought; says whether the log has to be read because something is missing.
    pub(super) fn offer(&mut self, event: Arc<Event>) -> bool {
        let Some(last) = self.last.filter(|_| self.is_live()) else {
            if self.waiting.len() < MAX_WAITING {
                self.waiting.push(event);
            }
            return false;
        };
        match judge(self.topic, last, &event) {
            Verdict::Known => {}
            Verdict::Gap if self.repair => {
                self.waiting.push(event);
                return true;
            }
            Verdict::Next | Verdict::Gap => self.pass_on(event),
        }
        false
    }

    /// Passes on what was read from the log after `last`.
    pub(super) fn catch_up(&mut self, events: Vec<Arc<Event>>) {
        for event in events {
            if self.last.is_some_and(|last| event.cursor > last) {
                self.pass_on(event);
            }
        }
    }

    /// Why the log is being read, if it is.
    pub(super) fn cause(&self) -> Option<Cause> {
        match self.phase {
            Phase::Reading { cause, .. } => Some(cause),
            Phase::Live | Phase::Cut => None,
        }
    }

    /// Goes live with what has waited; says whether there still is a gap.
    pub(super) fn go_live(&mut self) -> bool {
        self.phase = Phase::Live;
        let waiting = std::mem::take(&mut self.waiting);
        // All of them are offered: what follows a gap waits for the next reading.
        waiting.into_iter().fold(false, |gap, event| self.offer_after(gap, event))
    }

    fn offer_after(&mut self, gap: bool, event: Arc<Event>) -> bool {
        if gap {
            self.waiting.push(event);
            return true;
        }
        self.offer(event)
    }

    fn pass_on(&mut self, event: Arc<Event>) {
        self.last = Some(event.cursor);
        let frame = Arc::new(EventFrame::new(event));
        self.deliver(&Delivery::Event(frame));
    }

    /// Tells everybody to start again from the reset's snapshot.
    pub(super) fn reset(&mut self, reset: ResetFrame) {
        self.last = Some(reset.cursor);
        self.deliver(&Delivery::Reset(Arc::new(reset)));
    }

    /// Hands a message to every seat; who cannot take it loses the seat.
    fn deliver(&mut self, delivery: &Delivery) {
        self.seats.retain(|_, seat| seat.offer(delivery));
        if self.seats.is_empty() {
            self.empty_since.get_or_insert_with(Instant::now);
        }
    }

    /// The connection is gone: whatever is being read is given up, whatever waited is in the log.
    pub(super) fn cut(&mut self) {
        self.stop_reading();
        self.phase = Phase::Cut;
        self.waiting.clear();
    }

    pub(super) fn stop_reading(&mut self) {
        self.generation += 1;
        if let Phase::Reading { task, .. } = &self.phase {
            task.abort();
        }
    }

    pub(super) fn end(&mut self, reason: super::Ended) {
        for seat in self.seats.values() {
            seat.end(reason);
        }
        self.seats.clear();
    }
}

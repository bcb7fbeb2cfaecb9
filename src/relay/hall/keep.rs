//! What somebody in a hall has yet to take: once for all of them, and bounded.

use std::collections::VecDeque;

use crate::{
    domain::Cursor,
    relay::seat::{Delivery, Ended, QUEUE_BYTES, QUEUE_MESSAGES, size},
};

/// What there is for somebody.
pub(super) enum Taken {
    /// The next message.
    Message(Delivery),
    /// Nothing yet.
    Nothing,
    /// The next message is not kept any more.
    Lost,
    /// Nothing, and there will not be.
    End,
}

/// The newest messages, numbered.
pub(super) struct Keep {
    messages: VecDeque<Delivery>,
    bytes: usize,
    /// The number of the oldest.
    first: u64,
    /// The position after the newest.
    last: Cursor,
    ended: Option<Ended>,
}

impl Default for Keep {
    fn default() -> Self {
        Self { messages: VecDeque::new(), bytes: 0, first: 0, last: Cursor::ORIGIN, ended: None }
    }
}

impl Keep {
    /// What comes follows this position.
    pub(super) fn begin(&mut self, position: Cursor) {
        self.last = position;
    }

    /// Adds messages. The oldest go where there are too many.
    pub(super) fn add(&mut self, deliveries: impl Iterator<Item = Delivery>) {
        for delivery in deliveries {
            self.bytes += size(&delivery);
            match &delivery {
                Delivery::Event(frame) => self.last = frame.event().cursor,
                Delivery::Reset(reset) => self.last = reset.cursor,
                Delivery::Ended(_) => {}
            }
            self.messages.push_back(delivery);
        }
        while self.messages.len() > QUEUE_MESSAGES || (self.bytes > QUEUE_BYTES && self.messages.len() > 1) {
            self.forget_oldest();
        }
    }

    /// Forgets what comes before this number.
    pub(super) fn forget_before(&mut self, number: u64) {
        while self.first < number && !self.messages.is_empty() {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(delivery) = self.messages.pop_front() {
            self.bytes -= size(&delivery);
            self.first += 1;
        }
    }

    /// There will be no more.
    pub(super) fn end_with(&mut self, reason: Ended) {
        self.ended = Some(reason);
    }

    /// Why there will be no more, if that is so.
    pub(super) const fn ended(&self) -> Option<Ended> {
        self.ended
    }

    /// The number of the oldest message.
    pub(super) const fn first(&self) -> u64 {
        self.first
    }

    /// The number of the next message to come, and the position that it follows.
    pub(super) fn end(&self) -> (u64, Cursor) {
        (self.first + self.messages.len() as u64, self.last)
    }

    /// The message with this number.
    pub(super) fn take(&self, number: u64) -> Taken {
        let Some(index) = number.checked_sub(self.first) else { return Taken::Lost };
        let message = usize::try_from(index).ok().and_then(|index| self.messages.get(index));
        match message {
            Some(delivery) => Taken::Message(delivery.clone()),
            None if self.ended.is_some() => Taken::End,
            None => Taken::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(keep: &mut Keep, count: usize) {
        keep.add((0..count).map(|_| Delivery::Ended(Ended::Complete)));
    }

    #[test]
    fn what_is_kept_is_bounded_and_numbered() {
        let mut keep = Keep::default();
        add(&mut keep, QUEUE_MESSAGES);
        assert!(matches!(keep.take(0), Taken::Message(_)));
        add(&mut keep, 1);
        let end = QUEUE_MESSAGES as u64 + 1;
        assert!(matches!(keep.take(0), Taken::Lost) && matches!(keep.take(1), Taken::Message(_)));
        assert!(matches!(keep.take(end), Taken::Nothing) && keep.end().0 == end);
        keep.forget_before(end);
        assert_eq!((keep.first(), keep.bytes), (end, 0));
        keep.end_with(Ended::TooSlow);
        assert!(matches!(keep.take(end), Taken::End));
    }
}

//! Bounds on how often hands are raised. A raised hand is an event to all followers, also of a counted stream.

use std::{collections::BTreeMap, time::Duration};

use super::{Identity, Timestamp};

/// `burst` raisings at once, and then one each `interval`.
#[derive(Clone, Copy, Debug)]
pub struct HandRate {
    /// Time in which one more raising is allowed.
    pub interval: Duration,
    /// Maximum raisings at once.
    pub burst: u32,
}

/// Bound for one participant.
pub const HANDS_OF_PARTICIPANT: HandRate = HandRate { interval: Duration::from_secs(10), burst: 5 };

/// Bound for all participants of a stream. Its burst lets the maximum number of hands be raised twice.
pub const HANDS_OF_STREAM: HandRate = HandRate { interval: Duration::from_millis(100), burst: 2_000 };

impl HandRate {
    /// Returns the time until which raisings are paid for after one more; `None` if none is allowed now. `paid` is that
    /// time before the raising.
    fn take(self, paid: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        let next = paid.unwrap_or(now).max(now).plus(self.interval);
        (next <= now.plus(self.interval * self.burst)).then_some(next)
    }
}

/// Raisings of hands in a stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Raisings {
    of_stream: Option<Timestamp>,
    of_participants: BTreeMap<Identity, Timestamp>,
}

impl Raisings {
    /// Records that a participant raises its hand; returns false if it may not do so yet.
    #[must_use]
    pub fn take(&mut self, identity: &Identity, now: Timestamp) -> bool {
        self.of_participants.retain(|_, paid| *paid > now);
        let own = HANDS_OF_PARTICIPANT.take(self.of_participants.get(identity).copied(), now);
        let (Some(own), Some(all)) = (own, HANDS_OF_STREAM.take(self.of_stream, now)) else { return false };
        self.of_stream = Some(all);
        self.of_participants.insert(identity.clone(), own);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(text: &str) -> Identity {
        Identity::parse(text).unwrap()
    }

    #[test]
    fn participant_raises_its_hand_in_bursts_and_then_at_intervals() {
        let (mut raisings, ann) = (Raisings::default(), identity("ann"));
        let mut now = Timestamp::from_millis(1_000);
        let allowed = (0..10).filter(|_| raisings.take(&ann, now)).count();
        assert_eq!(allowed, 5);
        assert!(raisings.take(&identity("bob"), now), "others have a burst of their own");
        for _ in 0..3 {
            now = now.plus(HANDS_OF_PARTICIPANT.interval);
            assert_eq!([raisings.take(&ann, now), raisings.take(&ann, now)], [true, false]);
        }
        now = now.plus(Duration::from_secs(3_600));
        assert_eq!((0..10).filter(|_| raisings.take(&ann, now)).count(), 5);
        assert_eq!(raisings.of_participants.len(), 1, "earlier raisings are forgotten");
    }

    #[test]
    fn stream_bounds_the_raisings_of_all_its_participants() {
        let mut raisings = Raisings::default();
        let now = Timestamp::from_millis(1_000);
        let mut raise = |n: u32, now| raisings.take(&identity(&format!("p{n}")), now);
        assert_eq!((0..3_000).filter(|n| raise(*n, now)).count(), 2_000);
        let later = now.plus(Duration::from_secs(1));
        assert_eq!((3_000..4_000).filter(|n| raise(*n, later)).count(), 10);
    }
}
